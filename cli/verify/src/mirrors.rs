//! Statements of mirrors: signed by the act key of a mirror that an endpoint-admin had admitted, about the manifest that was stored.

use evidence::act::Act;
use evidence::entry::{ActObject, EntryType};
use evidence::id::Actor;

use crate::custody::{Custody, Proven, act_document, signer};
use crate::trust::chain;

/// Judges `evidence.replicated` and the signature of `disposition.confirmed`; the admission itself is judged as any act of a person.
pub(crate) fn check(custody: &Custody, proven: &Proven, object: &ActObject) -> Result<(), String> {
    let type_ = proven.entry.envelope.type_;
    if !matches!(
        type_,
        EntryType::EvidenceReplicated | EntryType::DispositionConfirmed
    ) {
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
        custody
            .of_deployment(type_)
            .find(|entry| entry.reference("mirror") == Some(mirror.as_str()) && entry.index < proven.index)
    };
    let admitted = about(EntryType::MirrorAdmitted)
        .ok_or_else(|| says(format!("no mirror {mirror} had been admitted")))?;
    if admitted.reference("key") != Some(key.fingerprint().to_string().as_str()) {
        return Err(says(format!(
            "signed by {}, not the act key of {mirror}",
            key.fingerprint()
        )));
    }
    if about(EntryType::MirrorRetired).is_some() {
        return Err(says(format!("mirror {mirror} had been retired")));
    }
    if type_ == EntryType::DispositionConfirmed {
        // What it may say is judged with the plan it names.
        return Ok(());
    }
    let stored = custody.incident.iter().any(|entry| {
        entry.entry.envelope.type_ == EntryType::CollectionStored
            && entry.index < proven.index
            && entry.reference("collection") == proven.reference("collection")
            && entry.reference("manifest") == proven.reference("manifest")
    });
    if stored {
        Ok(())
    } else {
        Err(says(
            "no such collection had been stored with that manifest".to_owned(),
        ))
    }
}
