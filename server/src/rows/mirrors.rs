//! Mirrors that were admitted and retired, read from the deployment's chain.

use std::collections::BTreeSet;

use evidence::entry::EntryType;
use evidence::id::MirrorId;
use rusqlite::Connection;

use super::entries::{self, EntryRow};
use crate::rows::DbError;

/// The mirrors that were retired.
pub fn retired(reader: &Connection) -> Result<BTreeSet<MirrorId>, DbError> {
    let rows = of_kind(reader, EntryType::MirrorRetired)?;
    let ids = rows.iter().filter_map(|row| reference(row, "mirror"));
    Ok(ids.filter_map(|id| id.parse().ok()).collect())
}

/// The witness keys of the mirrors that are admitted now.
pub(crate) fn witness_keys(reader: &Connection) -> Result<BTreeSet<String>, DbError> {
    let retired = retired(reader)?;
    let rows = of_kind(reader, EntryType::MirrorAdmitted)?;
    let is_live =
        |row: &&EntryRow| !retired.iter().any(|mirror| reference(row, "mirror") == Some(mirror.as_str()));
    let keys = rows.iter().filter(is_live).filter_map(|row| reference(row, "witness_key"));
    Ok(keys.map(str::to_owned).collect())
}

/// The admission of a mirror that was not retired.
pub(crate) fn live(reader: &Connection, id: &str) -> Result<Option<EntryRow>, DbError> {
    let find = |kind: EntryType| entries::first_with_ref(reader, kind.as_str(), "mirror", id);
    match (find(EntryType::MirrorAdmitted)?, find(EntryType::MirrorRetired)?) {
        (Some(row), None) => Ok(Some(row)),
        _ => Ok(None),
    }
}

/// Entries of a kind in the deployment's chain.
pub(crate) fn of_kind(reader: &Connection, kind: EntryType) -> Result<Vec<EntryRow>, DbError> {
    let mut rows = entries::of_chain(reader, "", 0, u64::from(u32::MAX))?;
    rows.retain(|row| row.kind == kind.as_str());
    Ok(rows)
}

/// A ref of an entry.
pub(crate) fn reference<'row>(row: &'row EntryRow, name: &str) -> Option<&'row str> {
    evidence::entry::pairs::find(&row.refs, name)
}
