//! The entries of the incident's chain about each collection, and the seals that they name.

use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::length::len;

use crate::entries::{Entries, Proven};

/// The entries about one collection.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub collection: Digest,
    /// `collection.started`.
    pub started: Proven,
    /// `collection.stored`, if it was.
    pub stored: Option<Proven>,
    /// Each `collection.interrupted`, in order. The endpoint may have gone on after it.
    pub interrupted: Vec<Proven>,
    /// Each `collection.progress`.
    pub progress: Vec<Proven>,
}

/// Sorts the chain's entries by collection.
pub(crate) fn expected(entries: &Entries) -> Result<Vec<Expected>, String> {
    let mut list: Vec<Expected> = Vec::new();
    for proven in &entries.incident {
        let type_ = proven.entry.envelope.type_;
        let Some(text) = proven.reference("collection").filter(|_| type_.is_known()) else {
            continue;
        };
        let collection = Digest::from_hex(text)
            .map_err(|_not_hex| format!("entry {} names no collection id", proven.index))?;
        if type_ == EntryType::CollectionStarted {
            if list.iter().any(|expected| expected.collection == collection) {
                return Err(format!("collection {collection} was started twice"));
            }
            list.push(Expected {
                collection,
                started: proven.clone(),
                stored: None,
                interrupted: Vec::new(),
                progress: Vec::new(),
            });
            continue;
        }
        let found = list.iter_mut().find(|expected| expected.collection == collection);
        let found = found.ok_or_else(|| {
            format!("{type_} at {} is about a collection that was never started", proven.index)
        })?;
        match type_ {
            EntryType::CollectionStored if found.stored.is_some() => {
                return Err(format!("collection {collection} was stored twice"));
            }
            EntryType::CollectionStored => found.stored = Some(proven.clone()),
            EntryType::CollectionInterrupted => found.interrupted.push(proven.clone()),
            EntryType::CollectionProgress => found.progress.push(proven.clone()),
            _ => {}
        }
    }
    Ok(list)
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
