//! The checks `sums.signature` and `export`: a responder signed SHA256SUMS, and the ledger recorded the export behind the bundle's head.

use custody::act::{Act, Beside};
use custody::{At, State};
use evidence::bundle::{Overview, SUMS_NAMESPACE, WITHOUT_QUORUM_FIELD, parse_consistency};
use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::id::Actor;
use evidence::keys::sshsig;
use evidence::roster::Role;
use ledger::{Note, ProofFile, verify_consistency};

use crate::acts::act_of;
use crate::collections::items;
use crate::entries::{Entries, proven};
use crate::files::Files;
use crate::head::Head;
use crate::notes;
use crate::report::Report;
use crate::rosters::Rosters;
use crate::trust::Trust;
use evidence::causes::chain;

/// Checks the signature over SHA256SUMS and returns the signer's name.
pub(crate) fn sums_signature(
    files: &Files<'_>,
    overview: &Overview,
    rosters: &Rosters,
) -> Result<String, String> {
    let armour = String::from_utf8(files.required("SHA256SUMS.sig")?).map_err(|cause| cause.to_string())?;
    let key = sshsig::verify(&armour, SUMS_NAMESPACE, files.sums_bytes()).map_err(|cause| chain(&cause))?;
    let roster = rosters.newest().ok_or("the bundle has no roster")?.roster();
    let person = roster.person_of_key(&key).filter(|person| person.has(Role::Responder));
    let person =
        person.ok_or_else(|| format!("{} is no responder's key in the newest roster", key.fingerprint()))?;
    if overview.by == Actor::Person(person.id.clone()) {
        Ok(person.id.to_string())
    } else {
        Err(format!("signed by {}, bundle.json says {}", person.id, overview.by))
    }
}

/// Checks the `bundle.exported` entry and that its checkpoint continues the bundle's own.
pub(crate) fn check(
    files: &Files<'_>,
    overview: &Overview,
    head: &Head,
    entries: &Entries,
    state: &State,
    trust: &Trust,
    report: &mut Report,
) -> Result<String, String> {
    let bytes = files.required("export/checkpoint")?;
    let note = Note::parse(&bytes).map_err(|cause| format!("export/checkpoint: {}", chain(&cause)))?;
    let later = trust
        .policy
        .verify_note(&note)
        .map_err(|cause| format!("export/checkpoint: {}", chain(&cause)))?
        .checkpoint;
    report.unpinned_lines +=
        notes::check(&note, &trust.policy).map_err(|broken| format!("export/checkpoint: {broken}"))?;
    let later = Head { checkpoint: later, note };
    let proof = parse_consistency(&files.required("export/consistency")?)
        .ok_or_else(|| "export/consistency is malformed".to_owned())?;
    let (old, new) = (&head.checkpoint, &later.checkpoint);
    if new.origin != old.origin {
        return Err(format!("export/checkpoint is of {}", new.origin));
    }
    verify_consistency(old.size, &old.root, new.size, &new.root, &proof).map_err(|cause| {
        format!("export/checkpoint does not continue ledger/checkpoint: {}", chain(&cause))
    })?;
    // SHA256SUMS covers neither file. Each must hold the other's note, so that a change of any bit in either is noticed.
    let carried = ProofFile::parse(&files.required("export/entry.tlog-proof")?)
        .map_err(|cause| format!("export/entry.tlog-proof: {}", chain(&cause)))?;
    if *carried.checkpoint() != later.note {
        return Err("export/entry.tlog-proof does not carry export/checkpoint".to_owned());
    }
    let exported = proven(files, "export/entry", "export/entry.tlog-proof", &later)?;
    let envelope = &exported.entry.envelope;
    if envelope.type_ != EntryType::BundleExported || envelope.incident.incident() != Some(&overview.incident)
    {
        return Err(format!("export/entry is {} of {}", envelope.type_, envelope.incident));
    }
    if envelope.deployment != overview.deployment {
        return Err(format!("export/entry is of deployment {}", envelope.deployment));
    }
    let sums = Digest::of(files.sums_bytes()).to_string();
    let last = entries.incident.last().ok_or("the incident has no entries")?;
    for (name, value) in
        [("sums", sums), ("head", overview.head.to_string()), ("count", entries.incident.len().to_string())]
    {
        if exported.reference(name) != Some(value.as_str()) {
            return Err(format!("bundle.exported names another {name}"));
        }
    }
    if exported.index <= last.index || envelope.seq <= overview.head_seq {
        return Err("bundle.exported stands before the head it names".to_owned());
    }
    if envelope.time < last.entry.envelope.time {
        return Err("bundle.exported is dated before the head it names".to_owned());
    }
    if overview.head_seq.checked_add(1) == Some(envelope.seq) && envelope.prev != overview.head {
        return Err("bundle.exported does not link to the head it names".to_owned());
    }
    let act = act_of(files, &exported)?;
    let act = Act::read(&exported.entry, &act, Beside::default()).map_err(|broken| broken.to_string())?;
    let at = At { index: exported.index, leaf: exported.leaf.into() };
    state.may_sign(at, &exported.entry, &act).map_err(|broken| broken.to_string())?;
    let by = act.plain().ok_or("bundle.exported has no exhibit-act-v1")?;
    check_fields(files, overview, by)?;
    let (name, value) = WITHOUT_QUORUM_FIELD;
    if by.field(name) != overview.without_quorum.then_some(value) {
        return Err(format!("bundle.exported and bundle.json do not agree about {name}"));
    }
    if overview.quorum && overview.without_quorum {
        return Err("bundle.json says that there was a quorum, and that there was none".to_owned());
    }
    if by.by == overview.by {
        // No underflow: the export was refused above unless its number is larger than the head's.
        let between = envelope.seq - overview.head_seq - 1;
        Ok(format!(
            "logged as entry {} at {}; {between} entries of the incident were recorded in between and are not here",
            exported.index, envelope.time
        ))
    } else {
        Err(format!("exported by {}, bundle.json says {}", by.by, overview.by))
    }
}

/// Checks that the act names the same selection as the bundle, and none for a whole bundle. So nobody can turn a part into a whole by
/// removing its label.
fn check_fields(
    files: &Files<'_>,
    overview: &Overview,
    act: &evidence::entry::act::Act,
) -> Result<(), String> {
    let selection = items::selection(files)?;
    for (name, value) in selection.fields() {
        let wanted = overview.partial.then_some(value.as_str());
        if act.field(name) != wanted {
            return Err(format!(
                "bundle.exported has {name} {}, and this bundle {}",
                act.field(name).unwrap_or("none"),
                wanted.unwrap_or("is not labelled as a part")
            ));
        }
    }
    Ok(())
}
