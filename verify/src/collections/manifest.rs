//! The check `manifest`: it is about this delegation, order and container, and the ledger recorded it.

use evidence::causes::chain;
use evidence::digest::Digest;
use evidence::entry::state::CollectionState;
use evidence::manifest::Manifest;
use evidence::order::Step;

use super::container::Walked;
use super::delegation::Delegated;
use super::expected::Expected;
use crate::documents::signed;
use crate::entries::Proven;
use crate::files::Files;

/// Reads and verifies the manifest and returns it with its digest; `None` if the bundle holds none.
pub(super) fn manifest(
    files: &Files<'_>,
    folder: &str,
    delegated: &Delegated,
) -> Result<Option<(Manifest, Digest)>, String> {
    if !files.has(&format!("{folder}/manifest.json")) {
        return Ok(None);
    }
    let signed = signed(files, &format!("{folder}/manifest"))?;
    let manifest =
        Manifest::verify(&signed, &delegated.delegation, &delegated.digest, &delegated.evidence_key)
            .map_err(|cause| chain(&cause))?;
    let planned = delegated.order.plan.steps().iter().map(Step::collector);
    if !planned.eq(manifest.steps.iter().map(|step| step.collector.as_str())) {
        return Err("its steps are not those of the order's plan".to_owned());
    }
    if manifest.limits != manifest.limits.min(&delegated.order.limits) {
        return Err("its limits are wider than the order's".to_owned());
    }
    Ok(Some((manifest, signed.digest())))
}

/// Compares a manifest with its `collection.stored` and returns the collection's state.
pub(super) fn recorded(
    manifest: &Manifest,
    digest: &Digest,
    stored: &Proven,
    delegated: &Delegated,
) -> Result<CollectionState, String> {
    for (name, value) in [
        ("manifest", digest.to_string()),
        ("order", delegated.delegation.order.to_string()),
        ("endpoint", delegated.delegation.endpoint.to_string()),
    ] {
        if stored.reference(name) != Some(value.as_str()) {
            return Err(format!("collection.stored names another {name}"));
        }
    }
    if stored.entry.envelope.event != *digest {
        return Err("is not the one that collection.stored recorded".to_owned());
    }
    if stored.entry.envelope.incident.incident() != Some(&manifest.incident)
        || manifest.incident != delegated.order.incident
    {
        return Err(format!("is of incident {}", manifest.incident));
    }
    match (stored.reference("degraded"), stored.reference("independent")) {
        (Some("yes"), Some("yes" | "no")) => Ok(CollectionState::StoredDegraded),
        (Some("no"), Some("yes" | "no")) => Ok(CollectionState::Stored),
        _ => Err("collection.stored does not say whether it is degraded".to_owned()),
    }
}

/// Compares manifest, container and ledger with each other and returns the collection's state.
pub(super) fn bind(
    expected: &Expected,
    manifest: Option<&(Manifest, Digest)>,
    walked: &Walked,
    delegated: &Delegated,
) -> Result<String, String> {
    let state = match (manifest, &expected.stored) {
        (Some((manifest, digest)), Some(stored)) => {
            if !walked.is_final {
                return Err("is there, but the last segment is not final".to_owned());
            }
            manifest.check_container(&walked.summary).map_err(|cause| chain(&cause))?;
            recorded(manifest, digest, stored, delegated)?.as_str()
        }
        (Some(_), None) => return Err("is there, but the ledger has no collection.stored".to_owned()),
        (None, Some(_)) => return Err("is missing, though collection.stored recorded one".to_owned()),
        (None, None) if expected.interrupted.is_empty() => "unfinished at export",
        (None, None) => CollectionState::Interrupted.as_str(),
    };
    Ok(state.to_owned())
}
