//! The check `manifest`: it describes this container, and the ledger recorded it.
//! Not here: who signed it, and whether it is that of delegation and order ([`crate::fold`]).

use evidence::causes::chain;
use evidence::entry::state::CollectionState;
use evidence::manifest::Manifest;

use super::container::Walked;
use super::delegation::Context;
use super::expected::Expected;
use crate::entries::Proven;

/// The manifest of a collection, as the bundle has it.
pub(super) enum Found<'a> {
    /// The ledger recorded it, and it holds.
    Recorded(&'a Manifest, &'a Proven),
    /// It is missing, or it broke a rule: then the report says so.
    Refused,
    /// Neither ledger nor bundle has one.
    Nowhere,
}

/// Looks for the manifest of a collection. It must be there exactly where the ledger recorded one.
pub(super) fn manifest<'a>(
    context: &Context<'a>,
    folder: &str,
    expected: &'a Expected,
) -> Result<Found<'a>, String> {
    let is_here = context.files.has(&format!("{folder}/manifest.json"));
    match (&expected.stored, context.folded.manifests.get(&expected.collection)) {
        (Some(stored), Some(manifest)) => Ok(Found::Recorded(manifest, stored)),
        (Some(_), None) if is_here || !context.partial => Ok(Found::Refused),
        (Some(_), None) => Err("is missing, though collection.stored recorded one".to_owned()),
        (None, _) if is_here => Err("is there, but the ledger has no collection.stored".to_owned()),
        (None, _) => Ok(Found::Nowhere),
    }
}

/// The state of a stored collection, by the word of its entry.
pub(super) fn recorded(stored: &Proven) -> CollectionState {
    // An entry with another value was refused when it was read.
    if stored.reference("degraded") == Some("yes") {
        CollectionState::StoredDegraded
    } else {
        CollectionState::Stored
    }
}

/// Compares manifest and container and returns the collection's state.
pub(super) fn bind(expected: &Expected, found: &Found<'_>, walked: &Walked) -> Result<String, String> {
    let state = match found {
        Found::Recorded(manifest, stored) => {
            if !walked.is_final {
                return Err("is there, but the last segment is not final".to_owned());
            }
            manifest.check_container(&walked.summary).map_err(|cause| chain(&cause))?;
            recorded(stored).as_str()
        }
        _ if expected.interrupted.is_empty() => "unfinished at export",
        _ => CollectionState::Interrupted.as_str(),
    };
    Ok(state.to_owned())
}
