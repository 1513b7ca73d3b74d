//! Verifies a bundle offline against pinned keys: docs/spec/bundle.md, every check of it.
//! Guarantee: no network code; nothing inside the bundle is believed but what pinned keys lead to; what was not checked is said.

#![forbid(unsafe_code)]

mod collections;
mod cosigners;
mod coverage;
mod custody;
mod disposal;
mod endpoints;
mod export;
mod files;
mod items;
mod log_keys;
mod mirrors;
mod orders;
mod report;
mod rosters;
mod stamps;
mod trust;

use std::collections::BTreeMap;
use std::path::Path;

use evidence::bundle::Overview;
use evidence::entry::EntryType;
use evidence::entry::act::Act;
use evidence::entry::detail::Detail;
use evidence::json;
use evidence::time::Time;
use ledger::Note;

pub use files::FilesError;
pub use report::{Check, CollectionSummary, ProducedItem, Report, Verdict};
pub use trust::{Trust, TrustError};

use custody::{Custody, Head};
use endpoints::Endpoints;
use evidence::causes::chain;
use files::Files;
use orders::{Fate, Orders};
use rosters::Rosters;

/// How far a verification is: bytes read of the bytes there are to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Read so far.
    pub done: u64,
    /// In all; containers and produced contents are read twice, once for their digest and once for what is in them.
    pub total: u64,
}

/// Most altered, missing or extra files that a report names: enough to see what happened.
const WRONG_FILES_MAX: usize = 32;

/// How much of a report is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Every check.
    Whole,
    /// No check after one that failed: whether a bundle holds, not all that is wrong with it.
    UntilFailure,
}

/// Verifies the bundle in `folder`.
///
/// # Errors
/// [`FilesError::Io`], [`FilesError::NotAFolder`] and [`FilesError::NotABundle`] when there is nothing to judge (exit 2); everything else is in the report.
pub fn verify(
    folder: &Path,
    trust: &Trust,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, FilesError> {
    judge(Files::open(folder), trust, Effort::Whole, progress)
}

/// Verifies a bundle whose files are in memory, by name.
///
/// # Errors
/// As [`verify`].
pub fn verify_memory(
    files: &BTreeMap<String, Vec<u8>>,
    trust: &Trust,
    effort: Effort,
) -> Result<Report, FilesError> {
    judge(Files::in_memory(files), trust, effort, &mut |_| ())
}

fn judge(
    files: Result<Files<'_>, FilesError>,
    trust: &Trust,
    effort: Effort,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, FilesError> {
    let mut report = Report::default();
    let files = match files {
        Ok(files) => files,
        Err(FilesError::Malformed { what }) => {
            report.failed("sums", "", what);
            report.complete();
            return Ok(report);
        }
        Err(other) => return Err(other),
    };
    let containers: u64 = files
        .below("evidence/")
        .filter(|name| name.ends_with(".zst") || name.ends_with(".content"))
        .filter_map(|name| files.length(name))
        .sum();
    let mut state = Progress { done: 0, total: files.total().saturating_add(containers) };
    let mut step = |bytes: u64| {
        state.done = state.done.saturating_add(bytes);
        progress(state);
    };
    let most = match effort {
        Effort::Whole => WRONG_FILES_MAX,
        Effort::UntilFailure => 1,
    };
    let wrong = files.compare(most, &mut step)?;
    if wrong.is_empty() {
        report.ok("sums", "", "every file has its digest; none is missing, none is extra");
    }
    for one in wrong {
        report.failed("sums", "", one);
    }
    contents(&files, trust, effort, &mut report, &mut step);
    report.complete();
    Ok(report)
}

/// All checks behind `sums`; each that cannot run leaves those that lean on it undone, and [`Report::complete`] says so.
fn contents(
    files: &Files<'_>,
    trust: &Trust,
    effort: Effort,
    report: &mut Report,
    step: &mut dyn FnMut(u64),
) {
    let enough = |report: &Report| effort == Effort::UntilFailure && report.exit_code() == 1;
    if enough(report) {
        return;
    }
    let overview = files
        .required("bundle.json")
        .and_then(|bytes| json::parse_document::<Overview>(&bytes).map_err(|cause| chain(&cause)));
    let overview = match overview {
        Ok(overview) => overview,
        Err(why) => {
            report.failed("coverage", "", format!("bundle.json: {why}"));
            return;
        }
    };
    report.incident = overview.incident.to_string();
    report.deployment = overview.deployment.to_string();
    report.partial = overview.partial;
    let mut rosters = match Rosters::load(files, &overview.deployment, trust) {
        Ok(rosters) => rosters,
        Err(why) => {
            report.failed("roster", "", why);
            return;
        }
    };
    let (trust, said) = match log_keys::follow(files, &overview.deployment, trust) {
        Ok(followed) => followed,
        Err(why) => {
            report.failed("checkpoint", "", why);
            return;
        }
    };
    let trust = &trust;
    let Some(head) = checkpoint(files, &overview, trust, &said, report) else {
        return;
    };
    let custody = match Custody::load(files, &head) {
        Ok(custody) => custody,
        Err(why) => {
            report.failed("custody.inclusion", "", why);
            return;
        }
    };
    report.ok(
        "custody.inclusion",
        "",
        format!(
            "{} entries are in the tree of size {}",
            custody.incident.len().saturating_add(custody.deployment.len()),
            head.checkpoint.size
        ),
    );
    let placed = custody
        .of_deployment(EntryType::RosterPublished)
        .try_for_each(|proven| rosters.place(proven))
        .and_then(|()| rosters.check_all_published());
    report.settle(
        "roster",
        "",
        placed.map(|()| format!("{} versions, signed by the pinned authority", rosters.len())),
    );
    report.settle(
        "custody.chain",
        "",
        custody.check_chain(&overview.deployment, &overview.incident, overview.head_seq, &overview.head),
    );
    acts(files, &overview, &custody, &rosters, trust, report);
    report.settle(
        "sums.signature",
        "",
        export::sums_signature(files, &overview, &rosters).map(|who| format!("signed by {who}, a responder")),
    );
    stamps::sums(files, trust, report);
    report.settle("export", "", export::check(files, &overview, &head, &custody, &rosters, trust));
    if enough(report) {
        return;
    }
    let endpoints = Endpoints::load(files, &custody, &rosters, report);
    let orders = orders(files, &overview, &custody, &rosters, report);
    let expected = match collections::expected(&custody) {
        Ok(expected) => expected,
        Err(why) => {
            report.failed("coverage", "", why);
            return;
        }
    };
    let course = match disposal::course(files, &overview, &custody, &rosters) {
        Ok(course) => course,
        Err(why) => {
            report.failed("disposition", "", why);
            return;
        }
    };
    disposal::check(files, &overview, &custody, &course, report);
    let is_gone = |id: &str| disposal::is_gone(files, &overview, &course, id);
    mirrors::replicated(&custody, is_gone, trust, &overview, report);
    let context = collections::Context {
        course: &course,
        files,
        custody: &custody,
        endpoints: &endpoints,
        orders: &orders,
        partial: overview.partial,
    };
    let here = |one: &&collections::Expected| {
        let folder = format!("evidence/{}/", one.collection);
        !overview.partial || files.below(&folder).next().is_some()
    };
    for one in expected.iter().filter(here) {
        collections::check(&context, one, report, step);
        if enough(report) {
            return;
        }
    }
    let last = custody.incident.last().map_or(Time::EPOCH, |proven| proven.entry.envelope.time);
    report.settle("coverage", "", coverage::collections(files, &overview, &expected, &course, last));
    report.settle(
        "conveniences",
        "",
        coverage::conveniences(files, &rosters, &endpoints, trust, &custody, head.checkpoint.size),
    );
    // With a check undone because another failed, its files would be named here for nothing.
    let all_ran = |report: &Report| {
        let late =
            ["sums", "sums.signature", "sums.stamp", "quorum", "checkpoint.stamp", "export", "conveniences"];
        report.checks.iter().all(|check| check.verdict != Verdict::Failed || late.contains(&check.check))
    };
    if all_ran(report)
        && let Err(why) = coverage::nothing_else(files)
    {
        report.failed("coverage", "", why);
    }
}

/// The ledger's head under the pinned log key, or the one that the authority let follow it.
fn checkpoint(
    files: &Files<'_>,
    overview: &Overview,
    trust: &Trust,
    by: &str,
    report: &mut Report,
) -> Option<Head> {
    let verified = files.required("ledger/checkpoint").and_then(|bytes| {
        let note = Note::parse(&bytes).map_err(|cause| chain(&cause))?;
        let verified = trust.policy.verify_note(&note).map_err(|cause| chain(&cause))?;
        let same = verified.checkpoint.origin == overview.origin
            && verified.checkpoint.origin == format!("exhibit/{}", overview.deployment)
            && verified.checkpoint.size == overview.entries;
        if same {
            Ok((bytes, note, verified))
        } else {
            Err(format!(
                "is of {} with {} entries, bundle.json says otherwise",
                verified.checkpoint.origin, verified.checkpoint.size
            ))
        }
    });
    match verified {
        Ok((bytes, note, verified)) => {
            report.ok(
                "checkpoint",
                "",
                format!(
                    "{} at size {}, signed by {by}",
                    verified.checkpoint.origin, verified.checkpoint.size
                ),
            );
            cosigners::judge(overview, trust, &verified, report);
            for time in stamps::checkpoint(files, &bytes, trust, report) {
                report.vouched_by.push(format!("time-stamping authority, {time}"));
            }
            Some(Head { checkpoint: verified.checkpoint, note })
        }
        Err(why) => {
            report.failed("checkpoint", "", why);
            None
        }
    }
}

/// Every entry's act is there, is the one the entry names, and is signed as its type demands; every detail is the one its act names.
fn acts(
    files: &Files<'_>,
    overview: &Overview,
    custody: &Custody,
    rosters: &Rosters,
    trust: &Trust,
    report: &mut Report,
) {
    let (mut count, mut erased, mut left_out) = (0_u64, 0_u64, 0_u64);
    let mut unknown = None;
    for proven in custody.all() {
        if overview.partial && custody::is_left_out(files, proven) {
            left_out = left_out.saturating_add(1);
            continue;
        }
        let judged = custody::act_of(files, proven).and_then(|act| {
            let judged = custody::check_act(proven, &act, rosters)?;
            mirrors::check(custody, proven, &act)?;
            let detail = detail(files, &act)?;
            genesis(proven, trust)?;
            Ok((judged, detail))
        });
        match judged {
            Ok((judged, detail)) => {
                count = count.saturating_add(1);
                erased = erased.saturating_add(u64::from(detail == Found::No));
                if judged == custody::Judged::Unknown {
                    unknown = unknown.or(Some(proven));
                }
            }
            Err(why) => {
                report.failed("custody.acts", "", why);
                return;
            }
        }
    }
    if let Some(proven) = unknown {
        let type_ = proven.entry.envelope.type_;
        report.not_checked(
            "custody.acts",
            "",
            format!("{type_} at {}: this version does not know who signs it; use a newer one", proven.index),
        );
        return;
    }
    report.ok(
        "custody.acts",
        "",
        format!(
            "{count} acts present and signed as their types demand; {erased} details not in the bundle{}",
            if left_out > 0 {
                format!("; {left_out} orders and manifests of what is not produced are left out")
            } else {
                String::new()
            }
        ),
    );
}

/// Whether the detail object that an act names is in the bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Yes,
    No,
    NotNamed,
}

fn detail(files: &Files<'_>, act: &evidence::entry::ActObject) -> Result<Found, String> {
    let Ok(parsed) = json::parse_document::<Act>(&act.document) else {
        return Ok(Found::NotNamed);
    };
    let Some(detail) = parsed.detail else {
        return Ok(Found::NotNamed);
    };
    let name = format!("details/{detail}.json");
    let Some(bytes) = files.bytes(&name)? else {
        return Ok(Found::No);
    };
    Detail::open(&bytes, &detail).map_err(|cause| format!("{name}: {}", chain(&cause)))?;
    Ok(Found::Yes)
}

/// The first entry of a log names the log's own key.
fn genesis(proven: &custody::Proven, trust: &Trust) -> Result<(), String> {
    if proven.entry.envelope.type_ != EntryType::LogGenesis {
        return Ok(());
    }
    let named = proven.reference("log").unwrap_or_default();
    if proven.index != 0 || proven.entry.envelope.seq != 0 {
        return Err(format!("log.genesis stands at {}", proven.index));
    }
    if trust.policy.logs().iter().any(|log| log.key.to_string() == named) {
        Ok(())
    } else {
        Err("log.genesis names another log key than the pinned one".to_owned())
    }
}

/// All orders that the chain names.
fn orders(
    files: &Files<'_>,
    overview: &Overview,
    custody: &Custody,
    rosters: &Rosters,
    report: &mut Report,
) -> Orders {
    let mut orders = Orders::new();
    for proven in custody
        .incident
        .iter()
        .filter(|proven| proven.entry.envelope.type_ == EntryType::OrderIssued)
        .filter(|proven| !(overview.partial && custody::is_left_out(files, proven)))
    {
        let id = proven.entry.envelope.event;
        match orders::check(files, &id, custody, rosters) {
            Ok(verified) => {
                let order = &verified.order;
                let mut says = format!("issued by {}, {} targets", order.issuer, order.targets_count);
                if let Fate::NotApproved(ending) = verified.fate {
                    says.push_str(&format!("; {ending}: nothing was collected under it"));
                }
                report.ok("order", &id.to_string(), says);
                orders.insert(id, verified);
            }
            Err(why) => report.failed("order", &id.to_string(), why),
        }
    }
    orders
}
