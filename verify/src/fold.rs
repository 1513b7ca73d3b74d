//! The rule book (`custody`) over the entries of a bundle, in the order of the log.
//! Guarantee: an entry that breaks a rule fails the check of that rule, and changes nothing. The entries behind it are judged on:
//! what leans on it fails with it, and is not called wrong by itself.
//! Not here: files of the bundle that no entry's act is, and containers.

mod checks;
pub(crate) mod endpoints;

use std::collections::{BTreeMap, BTreeSet};

use custody::act::{Act, Beside};
use custody::rule::{Broken, RuleId};
use custody::{At, Pins, State, View};
use evidence::bundle::Overview;
use evidence::causes::chain;
use evidence::digest::Digest;
use evidence::enrolment::EnrolmentRequest;
use evidence::entry::{ActDocument, EntryType};
use evidence::json;
use evidence::log_key::LogKeys;
use evidence::manifest::Manifest;
use evidence::order::TargetProof;

use crate::acts::{act_of, is_left_out};
use crate::entries::{Entries, Proven};
use crate::files::Files;
use crate::report::Fault;
use crate::trust::Trust;
use checks::{check_of, of_object};

/// Most faults that a report names. More would not tell more.
const FAULTS_MAX: usize = 1000;

/// What the entries say.
#[derive(Debug)]
pub(crate) struct Folded {
    /// The state after the last entry.
    pub state: State,
    /// Enrolments that hold, in the order of the log.
    pub enrolments: Vec<EnrolmentRequest>,
    /// Manifests that hold, by collection.
    pub manifests: BTreeMap<Digest, Manifest>,
    /// The first fault of each check and object.
    pub faults: Vec<Fault>,
}

/// Judges all entries.
///
/// # Errors
/// If the bundle lacks the log's first entry: without it, no rule can be asked.
pub(crate) fn fold(
    files: &Files<'_>,
    overview: &Overview,
    entries: &Entries,
    trust: &Trust,
    log_keys: LogKeys,
) -> Result<Folded, Fault> {
    let pins = Pins {
        deployment: overview.deployment.clone(),
        authority: trust.authority.clone(),
        ca_sha256: ca(entries)?,
        log_keys,
    };
    let state = State::new(pins, View::Bundle);
    let partial = overview.partial;
    let folded = Folded { state, enrolments: Vec::new(), manifests: BTreeMap::new(), faults: Vec::new() };
    let mut folding = Folding { files, partial, folded, refused: BTreeSet::new() };
    for proven in entries.all() {
        folding.entry(proven);
    }
    Ok(folding.folded)
}

/// The CA certificate that `log.genesis` names. Nobody pins it for a verifier, and it holds for all that follows.
fn ca(entries: &Entries) -> Result<Digest, Fault> {
    let first = entries.deployment.get(&0);
    let genesis = first.filter(|proven| proven.entry.envelope.type_ == EntryType::LogGenesis);
    let ca = genesis.and_then(|genesis| genesis.reference("ca")?.parse().ok());
    ca.ok_or_else(|| {
        let rule = RuleId::Log2;
        let says = format!("{rule}: the bundle has no log.genesis, which is the first entry of the log");
        Fault { check: check_of(rule), subject: String::new(), rule: Some(rule), says }
    })
}

struct Folding<'a> {
    files: &'a Files<'a>,
    partial: bool,
    folded: Folded,
    /// Events of refused entries, and the collections whose beginning was refused.
    refused: BTreeSet<Digest>,
}

/// Why an entry is not taken.
enum Refused {
    Rule(Broken),
    /// The file of its act.
    File(String),
}

impl From<Broken> for Refused {
    fn from(broken: Broken) -> Self {
        Self::Rule(broken)
    }
}

impl Folding<'_> {
    fn entry(&mut self, proven: &Proven) {
        let entry = &proven.entry;
        let at = At { index: proven.index, leaf: proven.leaf.into() };
        if let Err(broken) = self.folded.state.follows(at, entry) {
            let check = if broken.rule == RuleId::Entry8 { "custody.chain" } else { check_of(broken.rule) };
            self.fault(check, String::new(), Some(broken.rule), said(proven, &broken));
        }
        // What a type of a later version says cannot be judged: `custody.acts` says so.
        if !entry.envelope.type_.is_known() {
            return self.folded.state.pass(at, entry);
        }
        let judged = self.act(proven).and_then(|(act, lacks)| {
            let change = self.folded.state.step_anywhere(at, entry, &act).map_err(|mut broken| {
                if let (RuleId::Collection11, Some(why)) = (broken.rule, lacks) {
                    broken.says = why;
                }
                Refused::Rule(broken)
            })?;
            Ok((act, change))
        });
        match judged {
            Ok((act, change)) => {
                self.folded.state.take(change);
                match act {
                    Act::Enrolment(enrolment) => self.folded.enrolments.push(enrolment.document),
                    Act::Manifest(manifest) => {
                        let manifest = manifest.document;
                        self.folded.manifests.insert(manifest.collection, manifest);
                    }
                    _ => {}
                }
            }
            Err(refused) => {
                self.folded.state.pass(at, entry);
                self.refuse(proven, refused);
            }
        }
    }

    /// The act of an entry, and why the place of a collection's endpoint among the targets is not known.
    fn act(&self, proven: &Proven) -> Result<(Act, Option<String>), Refused> {
        if self.partial && is_left_out(self.files, proven) {
            return Ok((Act::LeftOut(None), None));
        }
        let object = act_of(self.files, proven).map_err(Refused::File)?;
        let (target, lacks) = match proven.entry.envelope.type_ {
            EntryType::CollectionStarted => match self.target(proven) {
                Ok(target) => (Some(target), None),
                Err(why) => (None, Some(why)),
            },
            _ => (None, None),
        };
        Ok(match Act::read(&proven.entry, &object, Beside { target, listed: None })? {
            Act::Delegation(delegation, _) if !self.is_here(proven) => (Act::LeftOut(Some(delegation)), None),
            act => (act, lacks),
        })
    }

    /// False for a collection of which a partial production has nothing: order and enrolment may not be there.
    fn is_here(&self, started: &Proven) -> bool {
        let collection = started.reference("collection").unwrap_or_default();
        !self.partial || self.files.below(&format!("evidence/{collection}/")).next().is_some()
    }

    /// The place of a collection's endpoint among the targets of the order.
    fn target(&self, started: &Proven) -> Result<TargetProof, String> {
        let named = |name| started.reference(name).unwrap_or_default();
        let name = format!("orders/{}.targets/{}.json", named("order"), named("endpoint"));
        json::parse_document(&self.files.required(&name)?)
            .map_err(|cause| format!("{name}: {}", chain(&cause)))
    }

    fn refuse(&mut self, proven: &Proven, refused: Refused) {
        let envelope = &proven.entry.envelope;
        self.refused.insert(envelope.event);
        if envelope.type_ == EntryType::CollectionStarted {
            self.refused.extend(digest(proven, "collection"));
        }
        match refused {
            Refused::Rule(broken) => {
                if self.leans_on_refused(proven, broken.rule) {
                    return;
                }
                self.fails(proven, check_of(broken.rule), Some(broken.rule), &said(proven, &broken));
            }
            Refused::File(why) => {
                self.fails(proven, "custody.acts", None, &why);
                if envelope.type_.rule().document == ActDocument::Act
                    && envelope.incident.incident().is_some()
                {
                    self.fault("disposition", String::new(), None, why);
                }
            }
        }
    }

    /// True if an entry is refused only because the one that it is about was refused.
    fn leans_on_refused(&self, proven: &Proven, rule: RuleId) -> bool {
        let about = match rule {
            RuleId::Order16 | RuleId::Order23 => digest(proven, "order"),
            RuleId::Collection15 | RuleId::Collection16 => digest(proven, "collection"),
            RuleId::Mirror9 => digest(proven, "manifest"),
            _ => None,
        };
        about.is_some_and(|about| self.refused.contains(&about))
    }

    /// Fails the check of a rule, and that of the object which the entry is about.
    fn fails(&mut self, proven: &Proven, check: &'static str, rule: Option<RuleId>, says: &str) {
        let object = of_object(proven);
        if object.as_ref().is_none_or(|(of_object, _)| *of_object != check) {
            self.fault(check, String::new(), rule, says.to_owned());
        }
        // What `coverage` says is about the chain's list of collections, not about one document.
        if let Some((check, subject)) = object.filter(|_| check != "coverage") {
            self.fault(check, subject, rule, says.to_owned());
        }
    }

    fn fault(&mut self, check: &'static str, subject: String, rule: Option<RuleId>, says: String) {
        if self.folded.faults.len() < FAULTS_MAX
            && !self.folded.faults.iter().any(|fault| fault.check == check && fault.subject == subject)
        {
            self.folded.faults.push(Fault { check, subject, rule, says });
        }
    }
}

fn said(proven: &Proven, broken: &Broken) -> String {
    format!("{}: {} at {}: {}", broken.rule, proven.entry.envelope.type_, proven.index, broken.says)
}

fn digest(proven: &Proven, name: &str) -> Option<Digest> {
    proven.reference(name).and_then(|text| text.parse().ok())
}
