//! The check `disposition`: the disposal of the incident's evidence as its chain tells it, and the certificate of destruction.
//! Guarantee: the certificate says what the chain says.
//! Not here: whether the entries about disposal hold ([`crate::fold`]). And, because no ledger shows them: copies that left before,
//! backups of the stores, bytes that a disk keeps of deleted files.

use std::collections::BTreeSet;

use evidence::bundle::{Overview, destruction_json};
use evidence::digest::Digest;
use evidence::disposal::{Course, Object, Place};
use evidence::entry::EntryType;
use evidence::length::to_u64;

use crate::entries::Entries;
use crate::files::Files;
use crate::report::Report;
use evidence::causes::chain;

/// The certificate of destruction for programs.
const CERTIFICATE: &str = "destruction.json";

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
pub(crate) fn is_gone(files: &Files<'_>, overview: &Overview, course: &Course, collection: &Digest) -> bool {
    let is_here = if overview.partial {
        files.below(&format!("evidence/{collection}/")).next().is_some()
    } else {
        files.has(&format!("evidence/{collection}/container.tar.zst"))
    };
    !is_here && stores(course, collection) > 0
}
