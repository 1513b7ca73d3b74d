//! The check `disposition`: the disposal of the incident's evidence as its chain tells it, and the certificate of destruction.
//! Guarantee: evidence counts as disposed of only if two persons approved, one of them an approver, when nothing kept it. The certificate
//! says what the chain says.
//! Not here: copies that left before, backups of the stores, bytes that a disk keeps of deleted files. No ledger shows them.

use std::collections::BTreeSet;

use custody::rule::{RuleId, must};
use evidence::bundle::{Overview, destruction_json};
use evidence::digest::Digest;
use evidence::disposal::{Course, Fact, Object, Place};
use evidence::entry::act::Act;
use evidence::entry::{ActDocument, EntryType};
use evidence::json;
use evidence::length::to_u64;
use evidence::roster::Role;

use crate::acts::act_of;
use crate::documents::signer;
use crate::entries::{Entries, Proven};
use crate::files::Files;
use crate::report::Report;
use crate::rosters::Rosters;
use evidence::causes::chain;

/// The certificate of destruction for programs.
const CERTIFICATE: &str = "destruction.json";

/// Folds the incident's chain. Each entry about disposal must follow from the entries before it.
pub(crate) fn course(
    files: &Files<'_>,
    overview: &Overview,
    entries: &Entries,
    rosters: &Rosters,
) -> Result<Course, String> {
    let mut course = Course::new(overview.deployment.clone(), overview.incident.clone());
    for proven in &entries.incident {
        let envelope = &proven.entry.envelope;
        let act: Option<Act> = match envelope.type_.rule().document {
            ActDocument::Act if envelope.type_.is_known() => {
                let object = act_of(files, proven)?;
                Some(json::parse_document(&object.document).map_err(|cause| chain(&cause))?)
            }
            _ => None,
        };
        let is_approver =
            envelope.type_ == EntryType::DispositionApproved && is_approver(files, proven, rosters)?;
        let fact = Fact::of(proven.index, envelope, act.as_ref(), is_approver);
        if envelope.type_ == EntryType::DispositionApproved {
            let says = format_args!("a collection runs at entry {}", proven.index).to_string();
            must(RuleId::Disposal8, !runs_before(entries, proven.index), says)
                .map_err(|broken| broken.to_string())?;
        }
        course
            .judge(&fact)
            .map_err(|refusal| format!("{} at {}: {refusal}", envelope.type_, proven.index))?;
        course.apply(&fact);
    }
    Ok(course)
}

/// True if a collection of the incident started before this index and had not ended.
fn runs_before(entries: &Entries, index: u64) -> bool {
    let mut running = BTreeSet::new();
    for proven in entries.incident.iter().take_while(|proven| proven.index < index) {
        let collection = proven.reference("collection");
        match proven.entry.envelope.type_ {
            EntryType::CollectionStarted => {
                running.insert(collection);
            }
            EntryType::CollectionStored
            | EntryType::CollectionInterrupted
            | EntryType::CollectionMalformed
            | EntryType::CollectionContradicted => {
                running.remove(&collection);
            }
            _ => {}
        }
    }
    !running.is_empty()
}

fn is_approver(files: &Files<'_>, proven: &Proven, rosters: &Rosters) -> Result<bool, String> {
    let signed = act_of(files, proven)?.signed().map_err(|cause| chain(&cause))?;
    let key = signer(&signed, "exhibit-act-v1")?;
    Ok(rosters.person(proven.index, &key, &[Role::Approver]).is_some())
}

/// Compares the certificate with the chain and reports the plans and the objects that are gone.
pub(crate) fn check(
    files: &Files<'_>,
    overview: &Overview,
    entries: &Entries,
    course: &Course,
    report: &mut Report,
) {
    let retired: BTreeSet<_> = entries
        .of_deployment(EntryType::MirrorRetired)
        .filter_map(|proven| proven.reference("mirror")?.parse().ok())
        .collect();
    let destruction = course.destruction(&retired);
    let expected = destruction.as_ref().filter(|_| !overview.partial);
    let compared = match (files.bytes(CERTIFICATE), expected) {
        (Err(why), _) => Err(why),
        (Ok(None), None) => Ok(()),
        (Ok(None), Some(_)) => Err(format!("{CERTIFICATE} is missing, though something is gone")),
        (Ok(Some(_)), None) => {
            Err(format!("{CERTIFICATE} is here, though the chain says of nothing that it is gone"))
        }
        (Ok(Some(bytes)), Some(expected)) => match destruction_json(expected) {
            Ok(document) if document == bytes => Ok(()),
            Ok(_) => Err(format!("{CERTIFICATE} says something else than the chain")),
            Err(cause) => Err(chain(&cause)),
        },
    };
    let Some(destruction) = destruction else {
        let approvals = entries
            .incident
            .iter()
            .any(|proven| proven.entry.envelope.type_ == EntryType::DispositionApproved);
        match compared {
            Err(why) => report.failed("disposition", "", why),
            Ok(()) if approvals => report.ok("disposition", "", "approvals hold; nothing is gone yet"),
            Ok(()) => {}
        }
        return;
    };
    let gone: usize = destruction.plans.iter().map(|plan| plan.gone.len()).sum();
    let waiting: usize = destruction.plans.iter().map(|plan| plan.waiting.len()).sum();
    let open =
        if waiting > 0 { format!("; {waiting} confirmations of mirrors are missing") } else { String::new() };
    report.record(
        "disposition",
        "",
        compared.map(|()| {
            format!(
                "{} plans, each approved by two persons when nothing kept the evidence; {gone} objects recorded as gone{open}",
                destruction.plans.len()
            )
        }),
    );
}

/// The places that gave a collection up. `None` until a store of the collector did: a mirror's word about its own copy is not enough.
pub(crate) fn places(course: &Course, collection: &Digest) -> Option<String> {
    let object = Object::Collection(*collection);
    let mut places: Vec<String> = course.gone_from(&object).map(ToString::to_string).collect();
    places.sort();
    (stores(course, collection) > 0).then(|| places.join(", "))
}

/// The number of the collector's stores that gave a collection up.
pub(crate) fn stores(course: &Course, collection: &Digest) -> u64 {
    let object = Object::Collection(*collection);
    let stores = course.gone_from(&object).filter(|place| matches!(place, Place::Store(_)));
    to_u64(stores.count())
}

/// True if a store gave a collection up and the bundle holds no evidence of it.
pub(crate) fn is_gone(files: &Files<'_>, overview: &Overview, course: &Course, collection: &str) -> bool {
    let is_here = if overview.partial {
        files.below(&format!("evidence/{collection}/")).next().is_some()
    } else {
        files.has(&format!("evidence/{collection}/container.tar.zst"))
    };
    !is_here && Digest::from_hex(collection).is_ok_and(|id| stores(course, &id) > 0)
}
