//! How far the scrub of each store has come (LIVE: if it is lost with the database, the pass begins anew).

use rusqlite::{Connection, params_from_iter};

use super::DbError;
use super::column::{Millis, values};
use super::record::{Record as _, find, find_value, record};

record! {
    /// The newest pass over one store.
    #[derive(Default)]
    ScrubRow of "scrubs" by "store" {
        store: String = "store",
        /// When it began; `None` before the first pass.
        begun: Option<Millis> = "begun_ms",
        /// When it ended; `None` while it continues.
        ended: Option<Millis> = "ended_ms",
        /// When the last complete pass, up to this one, had begun; `None` if there is none yet.
        whole: Option<Millis> = "whole_ms",
        /// The last key that was examined.
        cursor: String = "cursor",
        /// Number of objects examined.
        objects: u64 = "objects",
        /// Number of objects to examine, as far as known.
        total: u64 = "total",
        /// Bytes re-hashed.
        bytes: u64 = "bytes",
        /// Objects with other bytes than they should have.
        damaged: u64 = "damaged",
        /// Objects that were here, or should be, and are missing.
        missing: u64 = "missing",
        /// Objects that could not be read this time.
        unreadable: u64 = "unreadable",
        /// Faults in this store's copy of the ledger.
        ledger_problems: u64 = "ledger_problems",
    }
}

/// The newest pass over a store.
pub(crate) fn of_store(reader: &Connection, store: &str) -> Result<Option<ScrubRow>, DbError> {
    find(reader, "FROM scrubs WHERE store = ?1", values![store])
}

/// Records how far a pass has come.
pub(crate) fn save(tx: &Connection, row: &ScrubRow) -> Result<(), DbError> {
    tx.prepare_cached(&format!(
        "INSERT OR REPLACE INTO scrubs ({}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        ScrubRow::COLUMNS.join(", ")
    ))?
    .execute(params_from_iter(row.write()?))?;
    Ok(())
}

/// Bytes of all acknowledged segments and seals. A pass over one store reads approximately this much.
pub(crate) fn bytes_to_read(reader: &Connection) -> Result<u64, DbError> {
    let sql = "SELECT coalesce(sum(stored_len + seal_len), 0) AS bytes FROM segments";
    Ok(find_value(reader, "segments", sql, [])?.unwrap_or(0))
}
