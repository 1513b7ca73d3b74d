//! Mirrors' statements, and the check `custody.replicated`: each stored collection has a statement if the pinned quorum names a mirror.
//! Guarantee: a statement counts only if an endpoint-admin had admitted the mirror, the mirror's act key signed it, and it is about the
//! manifest that was stored.

use evidence::bundle::Overview;
use evidence::entry::act::Act;
use evidence::entry::{ActObject, EntryType};
use evidence::id::Actor;

use crate::acts::act_document;
use crate::cosigners::CHECKS_ENTRIES;
use crate::documents::signer;
use crate::entries::{Entries, Proven};
use crate::report::Report;
use crate::trust::Trust;
use evidence::causes::chain;

/// Judges `evidence.replicated` and the signature of `disposition.confirmed`. The mirror's admission is an act of a person like any other.
pub(crate) fn check(entries: &Entries, proven: &Proven, object: &ActObject) -> Result<(), String> {
    let type_ = proven.entry.envelope.type_;
    if !matches!(type_, EntryType::EvidenceReplicated | EntryType::DispositionConfirmed) {
        return Ok(());
    }
    let says = |why: String| format!("{type_} at {}: {why}", proven.index);
    let act: Act = act_document(proven, object).map_err(says)?;
    let Actor::Mirror(mirror) = &act.by else {
        return Err(says(format!("in the name of {}", act.by)));
    };
    if proven.reference("mirror") != Some(mirror.as_str()) {
        return Err(says("names another mirror than its act".to_owned()));
    }
    let signed = object.signed().map_err(|cause| says(chain(&cause)))?;
    let key = signer(&signed, "exhibit-act-v1").map_err(says)?;
    let about = |type_| {
        entries
            .of_deployment(type_)
            .find(|entry| entry.reference("mirror") == Some(mirror.as_str()) && entry.index < proven.index)
    };
    let admitted = about(EntryType::MirrorAdmitted)
        .ok_or_else(|| says(format!("no mirror {mirror} had been admitted")))?;
    if admitted.reference("key") != Some(key.fingerprint().to_string().as_str()) {
        return Err(says(format!("signed by {}, not the act key of {mirror}", key.fingerprint())));
    }
    if about(EntryType::MirrorRetired).is_some() {
        return Err(says(format!("mirror {mirror} had been retired")));
    }
    if type_ == EntryType::DispositionConfirmed {
        // The check `disposition` judges its content, with the plan that it names.
        return Ok(());
    }
    // A checkpoint below the collection's entry says nothing about the collection. A size above this entry did not exist yet.
    let size: Option<u64> = proven.reference("size").and_then(|size| size.parse().ok());
    let Some(size) = size.filter(|size| *size <= proven.index) else {
        return Err(says("names a size that the log did not have yet".to_owned()));
    };
    let stored = entries.incident.iter().any(|entry| {
        entry.entry.envelope.type_ == EntryType::CollectionStored
            && entry.index < size
            && entry.reference("collection") == proven.reference("collection")
            && entry.reference("manifest") == proven.reference("manifest")
    });
    if stored {
        Ok(())
    } else {
        Err(says("no such collection had been stored with that manifest below that size".to_owned()))
    }
}

/// The check `custody.replicated`. Collections that were disposed of need no statement. `check` has judged the statements before.
pub(crate) fn replicated(
    entries: &Entries,
    is_gone: impl Fn(&str) -> bool,
    trust: &Trust,
    overview: &Overview,
    report: &mut Report,
) {
    let name = "custody.replicated";
    let policy = &trust.policy;
    let mut witnesses = policy.witnesses().iter();
    if !policy.needs_cosigners() || !witnesses.any(|witness| witness.key.name().ends_with(CHECKS_ENTRIES)) {
        return report.not_asked(name, "", "the pinned policy asks for no mirror");
    }
    let of = |type_| entries.incident.iter().filter(move |entry| entry.entry.envelope.type_ == type_);
    let stored: Vec<&Proven> = of(EntryType::CollectionStored)
        .filter(|one| !one.reference("collection").is_some_and(&is_gone))
        .collect();
    let mut lonely = stored.iter().filter(|stored| {
        !of(EntryType::EvidenceReplicated)
            .any(|said| said.reference("collection") == stored.reference("collection"))
    });
    match lonely.next() {
        None => {
            let says = format!("mirrors hold all {} stored collections", stored.len());
            report.ok(name, "", says);
        }
        Some(first) => {
            // Display only: a `collection.stored` without this ref was refused when it was read.
            let says = format!(
                "no mirror has said that it holds {} (collections without one: {})",
                first.reference("collection").unwrap_or_default(),
                lonely.count() + 1
            );
            if overview.without_quorum && trust.accept_without_quorum {
                report.not_asked(name, "", format!("{says}; exported WITHOUT QUORUM, and you accept that"));
            } else {
                report.not_checked(name, "", format!("{says}: ask for a new export when a mirror has it"));
            }
        }
    }
}
