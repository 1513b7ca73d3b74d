//! The entries of the incident's chain about each collection, and the seals that they name.

use std::collections::BTreeMap;

use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::length::len;

use crate::entries::{Entries, Proven};

/// The entries about one collection.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub collection: Digest,
    /// `collection.stored`, if it was.
    pub stored: Option<Proven>,
    /// Each `collection.interrupted`, in order. The endpoint may have gone on after it.
    pub interrupted: Vec<Proven>,
    /// Each `collection.progress`.
    pub progress: Vec<Proven>,
}

/// Sorts the chain's entries by collection. An entry that fits no collection broke a rule, and the fold has named it.
pub(crate) fn expected(entries: &Entries) -> Vec<Expected> {
    let mut list: Vec<Expected> = Vec::new();
    let mut places: BTreeMap<Digest, usize> = BTreeMap::new();
    for proven in &entries.incident {
        let named = proven.reference("collection").and_then(|text| Digest::from_hex(text).ok());
        let Some(collection) = named else {
            continue;
        };
        let type_ = proven.entry.envelope.type_;
        let found = places.get(&collection).and_then(|place| list.get_mut(*place));
        match (type_, found) {
            (EntryType::CollectionStarted, None) => {
                places.insert(collection, list.len());
                list.push(Expected {
                    collection,
                    stored: None,
                    interrupted: Vec::new(),
                    progress: Vec::new(),
                });
            }
            (EntryType::CollectionStored, Some(found)) if found.stored.is_none() => {
                found.stored = Some(proven.clone());
            }
            (EntryType::CollectionInterrupted, Some(found)) => found.interrupted.push(proven.clone()),
            (EntryType::CollectionProgress, Some(found)) => found.progress.push(proven.clone()),
            _ => {}
        }
    }
    list
}

/// Checks that the seals which the ledger recorded during the collection are in the bundle. So nobody can cut off segments that had
/// arrived.
pub(super) fn anchors(expected: &Expected, seals: &[Digest]) -> Result<(), String> {
    let at = |count: u64| usize::try_from(count).ok().and_then(|index| seals.get(index)).copied();
    for proven in &expected.progress {
        let index = number(proven, "index")?;
        if at(index).map(|seal| seal.to_string()).as_deref() != proven.reference("seal") {
            return Err(format!("seal {index} is not the one of collection.progress"));
        }
    }
    for proven in &expected.interrupted {
        let segments = number(proven, "segments")?;
        let last = match segments.checked_sub(1) {
            None => Some(Digest::ZERO),
            Some(index) => at(index),
        };
        if last.map(|seal| seal.to_string()).as_deref() != proven.reference("seal") {
            return Err(format!("seal {segments} of collection.interrupted is not the one here"));
        }
    }
    match expected.interrupted.last() {
        Some(last) if expected.stored.is_none() && number(last, "segments")? != len(seals) => {
            Err("there are more segments than collection.interrupted counted".to_owned())
        }
        _ => Ok(()),
    }
}

pub(crate) fn number(proven: &Proven, name: &str) -> Result<u64, String> {
    proven
        .reference(name)
        .and_then(|text| text.parse().ok().filter(|number: &u64| number.to_string() == text))
        .ok_or_else(|| format!("{} at {} has no number {name}", proven.entry.envelope.type_, proven.index))
}
