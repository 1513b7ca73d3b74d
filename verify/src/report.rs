//! The report of a verification: the result of each check, the outside witnesses, and the checks that were not made.
//! Guarantee: no check is `ok` by default. A check that did not run is named as not checked.

use std::collections::BTreeMap;

use custody::rule::RuleId;
use evidence::entry::state::CollectionState;
use evidence::length::len;
use evidence::manifest::Manifest;
use serde::Serialize;

/// A check that fails because of an entry.
#[derive(Debug)]
pub(crate) struct Fault {
    pub check: &'static str,
    /// The object, if the check runs once for each.
    pub subject: String,
    /// `None` if a file of the bundle is missing or cannot be read.
    pub rule: Option<RuleId>,
    /// Begins with the number of the rule.
    pub says: String,
}

/// Whether exit code 0 needs a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// In every bundle.
    Always,
    /// Not by itself; only if the policy or a pinned certificate asks for it.
    Never,
    /// Once for each order, endpoint or collection; an incident may have none.
    PerObject,
}

/// The table of docs/spec/bundle.md.
const CHECKS: [(&str, Need); 23] = [
    ("sums", Need::Always),
    ("sums.signature", Need::Always),
    ("sums.stamp", Need::Never),
    ("roster", Need::Always),
    ("checkpoint", Need::Always),
    ("quorum", Need::Never),
    ("checkpoint.stamp", Need::Never),
    ("custody.inclusion", Need::Always),
    ("custody.chain", Need::Always),
    ("custody.acts", Need::Always),
    ("custody.complete", Need::Never),
    ("custody.replicated", Need::Never),
    ("disposition", Need::PerObject),
    ("order", Need::PerObject),
    ("endpoint", Need::PerObject),
    ("delegation", Need::PerObject),
    ("seals", Need::PerObject),
    ("manifest", Need::PerObject),
    ("container", Need::PerObject),
    ("items", Need::PerObject),
    ("coverage", Need::Always),
    ("conveniences", Need::Always),
    ("export", Need::Always),
];

/// Result of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Ok,
    /// It does not hold.
    Failed,
    /// The check was not made, or could not be made.
    NotChecked,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Name in docs/spec/bundle.md.
    pub check: &'static str,
    /// The subject, if a check runs several times: an order, an endpoint, a collection.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subject: String,
    pub verdict: Verdict,
    /// The rule of docs/spec/rules.md that does not hold, if the check failed by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'static str>,
    /// True if exit code 0 needs it.
    pub required: bool,
    /// The finding, or why the check failed.
    pub says: String,
}

/// A collection that the bundle holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CollectionSummary {
    pub collection: String,
    /// `endpoint#generation`.
    pub endpoint: String,
    /// `stored`, `stored-degraded` or `interrupted`.
    pub state: String,
    pub items: u64,
    /// Bytes of content.
    pub content_bytes: u64,
    pub stored_bytes: u64,
    /// Items by outcome.
    pub outcomes: Vec<(String, u64)>,
    /// From the manifest: what this does not show, by the endpoint's own word.
    pub limitations: Vec<String>,
}

/// An item of a partial production that was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProducedItem {
    pub collection: String,
    pub n: u64,
    /// Its path for people.
    pub shown: String,
    /// Its outcome on the endpoint.
    pub outcome: String,
    /// Length of its content; `None` if it has none of its own.
    pub size: Option<u64>,
    /// Digest of its content, as in its record.
    pub sha256: Option<String>,
}

/// Most produced items that the text names; `--json` has all.
const ITEMS_TEXT_MAX: usize = 1000;

/// The whole report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The incident, once read.
    pub incident: String,
    pub deployment: String,
    /// True for a partial production, by its own label: evidence is left out on purpose.
    pub partial: bool,
    /// All checks in the order they ran.
    pub checks: Vec<Check>,
    /// The outsiders who vouch for the ledger's head, and since when. Empty if there are none.
    pub vouched_by: Vec<String>,
    /// Signature lines of keys that nobody pinned, in `ledger/checkpoint` and `export/checkpoint`. Nothing rests on them.
    pub unpinned_lines: usize,
    /// Collections that were disposed of: their custody was verified, their evidence is destroyed.
    pub disposed: Vec<String>,
    /// Evidence that was verified.
    pub collections: Vec<CollectionSummary>,
    /// The items of a partial production that were verified.
    pub items: Vec<ProducedItem>,
}

impl Report {
    /// Records a check that holds.
    pub fn ok(&mut self, check: &'static str, subject: &str, says: impl Into<String>) {
        self.push(check, subject, Verdict::Ok, true, says.into());
    }

    /// Records a failed check.
    pub fn failed(&mut self, check: &'static str, subject: &str, says: impl Into<String>) {
        self.push(check, subject, Verdict::Failed, true, says.into());
    }

    /// Records a check that the verdict needs and that could not be made.
    pub fn not_checked(&mut self, check: &'static str, subject: &str, says: impl Into<String>) {
        self.push(check, subject, Verdict::NotChecked, true, says.into());
    }

    /// Records a check that was not made and that the pinned policy does not ask for.
    pub(crate) fn not_asked(&mut self, check: &'static str, subject: &str, says: impl Into<String>) {
        self.push(check, subject, Verdict::NotChecked, false, says.into());
    }

    /// Records the outcome of a fallible check.
    pub(crate) fn record(
        &mut self,
        check: &'static str,
        subject: &str,
        result: Result<String, String>,
    ) -> bool {
        match result {
            Ok(says) => self.ok(check, subject, says),
            Err(says) => {
                self.failed(check, subject, says);
                return false;
            }
        }
        true
    }

    /// Adds the items of a partial production, with their totals.
    pub(crate) fn produced(
        &mut self,
        collection: &str,
        endpoint: String,
        state: CollectionState,
        manifest: &Manifest,
        items: Vec<ProducedItem>,
    ) {
        let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
        for item in &items {
            *outcomes.entry(item.outcome.clone()).or_default() += 1;
        }
        self.collections.push(CollectionSummary {
            collection: collection.to_owned(),
            endpoint,
            state: format!("{state}, {} of {} items produced", items.len(), manifest.items),
            items: len(&items),
            content_bytes: items.iter().filter_map(|item| item.size).sum(),
            stored_bytes: 0,
            outcomes: outcomes.into_iter().collect(),
            limitations: manifest.limitations.clone(),
        });
        self.items.extend(items);
    }

    /// Records that an entry does not hold. A check that found nothing wrong by itself says that instead.
    pub(crate) fn broken(&mut self, fault: Fault) {
        let Fault { check, subject, rule, says } = fault;
        let rule = rule.map(RuleId::as_str);
        let failed = Check { check, subject, verdict: Verdict::Failed, rule, required: true, says };
        let is_same = |one: &&mut Check| {
            one.check == failed.check && one.subject == failed.subject && one.verdict != Verdict::Failed
        };
        match self.checks.iter_mut().find(is_same) {
            Some(before) => *before = failed,
            None => self.checks.push(failed),
        }
    }

    fn push(&mut self, check: &'static str, subject: &str, verdict: Verdict, required: bool, says: String) {
        self.checks.push(Check { check, subject: subject.to_owned(), verdict, rule: None, required, says });
    }

    /// Adds every check of the table that did not run, so that no reader takes silence for success.
    pub(crate) fn complete(&mut self) {
        for (check, required) in CHECKS {
            if !self.checks.iter().any(|done| done.check == check) {
                let says = "did not run, because nothing in the bundle asks for it";
                let skipped = "did not run, because an earlier check failed";
                match (self.exit_code(), required) {
                    (1, Need::Always | Need::PerObject) => self.not_checked(check, "", skipped),
                    (1, Need::Never) => self.not_asked(check, "", skipped),
                    (_, Need::Always) => self.not_checked(check, "", "did not run"),
                    (_, Need::Never | Need::PerObject) => self.not_asked(check, "", says),
                }
            }
        }
    }

    /// 1 if anything failed; otherwise 2 if a required check was not made; otherwise 0.
    pub fn exit_code(&self) -> u8 {
        if self.checks.iter().any(|check| check.verdict == Verdict::Failed) {
            1
        } else if self.checks.is_empty()
            || self.checks.iter().any(|check| check.required && check.verdict == Verdict::NotChecked)
        {
            2
        } else {
            0
        }
    }

    /// One line for each check, then what was verified and who vouches.
    pub fn text(&self) -> String {
        let mut lines = Vec::new();
        for check in &self.checks {
            let verdict = match check.verdict {
                Verdict::Ok => "ok         ",
                Verdict::Failed => "FAILED     ",
                Verdict::NotChecked => "not checked",
            };
            let name = if check.subject.is_empty() {
                check.check.to_owned()
            } else {
                format!("{} {}", check.check, short(&check.subject))
            };
            lines.push(printable(&format!("{verdict}  {name:34} {}", check.says)));
        }
        for collection in &self.collections {
            let outcomes: Vec<String> =
                collection.outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
            lines.push(printable(&format!(
                "collection {} of {}: {}, {} items ({}), {} bytes of content in {} stored",
                short(&collection.collection),
                collection.endpoint,
                collection.state,
                collection.items,
                outcomes.join(", "),
                collection.content_bytes,
                collection.stored_bytes,
            )));
            lines.extend(
                collection.limitations.iter().map(|limit| printable(&format!("  limitation: {limit}"))),
            );
        }
        for item in self.items.iter().take(ITEMS_TEXT_MAX) {
            lines.push(printable(&format!(
                "item {}:{} {}: {}{}",
                short(&item.collection),
                item.n,
                item.shown,
                item.outcome,
                match (item.size, &item.sha256) {
                    (Some(size), Some(sha256)) => format!(", {size} bytes, sha256 {sha256}"),
                    _ => ", no content of its own".to_owned(),
                }
            )));
        }
        if self.items.len() > ITEMS_TEXT_MAX {
            lines.push(format!("and {} items more: --json names them", self.items.len() - ITEMS_TEXT_MAX));
        }
        if self.vouched_by.is_empty() {
            lines.push("vouched for by: nobody outside the collector (no cosigner, no stamp)".to_owned());
        } else {
            lines.extend(self.vouched_by.iter().map(|who| printable(&format!("vouched for by: {who}"))));
        }
        if self.unpinned_lines > 0 {
            lines.push(format!(
                "{} signature lines are of keys that nobody pinned: nothing rests on them",
                self.unpinned_lines
            ));
        }
        let failed = self.checks.iter().filter(|check| check.verdict == Verdict::Failed).count();
        let open = self.checks.iter().filter(|check| check.verdict == Verdict::NotChecked).count();
        let verdict = match self.exit_code() {
            0 if self.partial => "VERIFIED, PARTIAL PRODUCTION (items are left out on purpose)",
            0 if !self.disposed.is_empty() => {
                "VERIFIED, DISPOSED (evidence was destroyed on two persons' word; its custody is here)"
            }
            0 => "VERIFIED",
            1 => "FAILED",
            _ => "NOT VERIFIED: a required check could not be made",
        };
        lines.push(format!("{verdict}: {} checks, {failed} failed, {open} not checked", self.checks.len()));
        lines.join("\n")
    }
}

/// The first 12 digits of an id, enough for people.
fn short(id: &str) -> &str {
    if id.len() == 64 { id.get(..12).unwrap_or(id) } else { id }
}

/// Removes control characters: content of a bundle must not drive the reader's terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
