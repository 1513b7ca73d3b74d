//! Mirrors that were admitted and retired, as the deployment's chain says.

use std::collections::BTreeSet;

use evidence::entry::EntryType;
use evidence::id::{Chain, MirrorId};
use rusqlite::Connection;

use super::entries::{self, EntryRow};
use crate::rows::DbError;

/// The mirrors that were retired.
pub(crate) fn retired(reader: &Connection) -> Result<BTreeSet<MirrorId>, DbError> {
    of_kind(reader, EntryType::MirrorRetired)?.iter().map(|row| row.parsed("mirror")).collect()
}

/// The witness keys of the mirrors that are admitted now.
pub(crate) fn witness_keys(reader: &Connection) -> Result<BTreeSet<String>, DbError> {
    let retired = retired(reader)?;
    let rows = of_kind(reader, EntryType::MirrorAdmitted)?;
    let is_live =
        |row: &&EntryRow| !retired.iter().any(|mirror| row.reference("mirror") == Some(mirror.as_str()));
    let keys = rows.iter().filter(is_live).filter_map(|row| row.reference("witness_key"));
    Ok(keys.map(str::to_owned).collect())
}

/// The admission of a mirror that was not retired.
pub(crate) fn live(reader: &Connection, id: &str) -> Result<Option<EntryRow>, DbError> {
    let find = |kind: EntryType| entries::first_with_ref(reader, kind, "mirror", id);
    match (find(EntryType::MirrorAdmitted)?, find(EntryType::MirrorRetired)?) {
        (Some(row), None) => Ok(Some(row)),
        _ => Ok(None),
    }
}

/// Entries of a kind in the deployment's chain.
pub(crate) fn of_kind(reader: &Connection, kind: EntryType) -> Result<Vec<EntryRow>, DbError> {
    let mut rows = entries::of_chain(reader, &Chain::Deployment, 0, u64::from(u32::MAX))?;
    rows.retain(|row| row.kind == kind);
    Ok(rows)
}
