//! Rosters and logins.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::DbError;

/// One published roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RosterRow {
    pub version: u64,
    /// Digest of the roster document.
    pub digest: [u8; 32],
    /// Until when it is in force.
    pub not_after: String,
    /// The signed object.
    pub signed: Vec<u8>,
    /// The entry that published it.
    pub index: u64,
}

const COLUMNS: &str = "version, digest, not_after, signed, idx";

fn read_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<RosterRow> {
    Ok(RosterRow {
        version: row.get(0)?,
        digest: row.get(1)?,
        not_after: row.get(2)?,
        signed: row.get(3)?,
        index: row.get(4)?,
    })
}

/// Adds a roster.
pub fn insert(tx: &Connection, roster: &RosterRow) -> Result<(), DbError> {
    tx.prepare_cached(
        "INSERT INTO rosters (version, digest, not_after, signed, idx) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![roster.version, roster.digest, roster.not_after, roster.signed, roster.index])?;
    Ok(())
}

/// The roster in force when the entry at `index` was recorded.
pub fn in_force_at(reader: &Connection, index: u64) -> Result<Option<RosterRow>, DbError> {
    let mut statement = reader.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM rosters WHERE idx < ?1 ORDER BY version DESC LIMIT 1"
    ))?;
    Ok(statement.query_row([index], read_row).optional()?)
}

/// The newest roster.
pub fn newest(reader: &Connection) -> Result<Option<RosterRow>, DbError> {
    let mut statement =
        reader.prepare_cached(&format!("SELECT {COLUMNS} FROM rosters ORDER BY version DESC LIMIT 1"))?;
    Ok(statement.query_row([], read_row).optional()?)
}

/// The roster of a version.
pub fn of_version(reader: &Connection, version: u64) -> Result<Option<RosterRow>, DbError> {
    let mut statement =
        reader.prepare_cached(&format!("SELECT {COLUMNS} FROM rosters WHERE version = ?1"))?;
    Ok(statement.query_row([version], read_row).optional()?)
}

/// Records a login.
pub fn insert_login(
    tx: &Connection,
    index: u64,
    person: &str,
    key: &str,
    tls_key: &str,
    time: &str,
) -> Result<(), DbError> {
    tx.prepare_cached("INSERT INTO logins (idx, person, key, tls_key, time) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![index, person, key, tls_key, time])?;
    Ok(())
}
