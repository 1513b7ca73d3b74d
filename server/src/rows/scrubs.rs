//! How far the scrub of each store has come (LIVE: if it is lost with the database, the pass begins anew).

use rusqlite::{Connection, OptionalExtension as _, params};

use super::DbError;

/// The newest pass over one store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScrubRow {
    pub store: String,
    /// When it began, in milliseconds since 1970.
    pub begun_ms: u64,
    /// When it ended; 0 while it continues.
    pub ended_ms: u64,
    /// When the last complete pass, up to this one, had begun; 0 if there is none yet.
    pub whole_ms: u64,
    /// The last key that was examined.
    pub cursor: String,
    /// Number of objects examined.
    pub objects: u64,
    /// Number of objects to examine, as far as known.
    pub total: u64,
    /// Bytes re-hashed.
    pub bytes: u64,
    /// Objects with other bytes than they should have.
    pub damaged: u64,
    /// Objects that were here, or should be, and are missing.
    pub missing: u64,
    /// Objects that could not be read this time.
    pub unreadable: u64,
    /// Faults in this store's copy of the ledger.
    pub ledger_problems: u64,
}

const COLUMNS: &str = "store, begun_ms, ended_ms, whole_ms, cursor, objects, total, bytes, damaged, missing, unreadable, ledger_problems";

fn read_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<ScrubRow> {
    Ok(ScrubRow {
        store: row.get(0)?,
        begun_ms: row.get(1)?,
        ended_ms: row.get(2)?,
        whole_ms: row.get(3)?,
        cursor: row.get(4)?,
        objects: row.get(5)?,
        total: row.get(6)?,
        bytes: row.get(7)?,
        damaged: row.get(8)?,
        missing: row.get(9)?,
        unreadable: row.get(10)?,
        ledger_problems: row.get(11)?,
    })
}

/// The newest pass over a store.
pub fn of_store(reader: &Connection, store: &str) -> Result<Option<ScrubRow>, DbError> {
    let mut statement = reader.prepare_cached(&format!("SELECT {COLUMNS} FROM scrubs WHERE store = ?1"))?;
    Ok(statement.query_row([store], read_row).optional()?)
}

/// Records how far a pass has come.
pub fn save(tx: &Connection, row: &ScrubRow) -> Result<(), DbError> {
    tx.prepare_cached(&format!(
        "INSERT OR REPLACE INTO scrubs ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
    ))?
    .execute(params![
        row.store,
        row.begun_ms,
        row.ended_ms,
        row.whole_ms,
        row.cursor,
        row.objects,
        row.total,
        row.bytes,
        row.damaged,
        row.missing,
        row.unreadable,
        row.ledger_problems
    ])?;
    Ok(())
}

/// Bytes of all acknowledged segments and seals. A pass over one store reads approximately this much.
pub fn bytes_to_read(reader: &Connection) -> Result<u64, DbError> {
    Ok(reader
        .query_row("SELECT coalesce(sum(stored_len + seal_len), 0) FROM segments", [], |row| row.get(0))?)
}
