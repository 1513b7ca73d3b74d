//! The legal holds that the collector has set in each store.
//!
//! Not a projection: the ledger says what must be held, and these rows say what was already set. If the rows
//! are lost, the collector sets the holds again.

use evidence::digest::Digest;
use evidence::entry::state::CollectionState;
use rusqlite::Connection;

use super::DbError;
use super::column::values;
use super::record::{list, record};

record! {
    /// A collection whose objects on one store are not yet held as its incident's holds require.
    #[derive(Copy)]
    HoldTask of "collections" by "id" {
        collection: Digest = "id",
        /// True to hold the objects, false to free them.
        held: bool = "wanted",
        /// Number of its segments now.
        segments: u64 = "segments",
    }
}

/// Ended collections whose holds must be set or cleared on this store, oldest first. If no mark is known and
/// the incident ever had a hold, they are included in either case.
pub(crate) fn due(reader: &Connection, store: &str, limit: u32) -> Result<Vec<HoldTask>, DbError> {
    let rest = "FROM (
             SELECT c.number, c.id, c.segments, m.held, m.segments AS marked,
                 EXISTS (SELECT 1 FROM holds AS h WHERE h.incident = c.incident) AS ever,
                 EXISTS (SELECT 1 FROM holds AS h WHERE h.incident = c.incident AND h.released = '') AS wanted
             FROM collections AS c LEFT JOIN hold_marks AS m ON m.store = ?1 AND m.collection = c.id
             WHERE c.state <> ?3)
         WHERE (held IS NULL AND ever) OR held <> wanted OR (wanted AND marked <> segments)
         ORDER BY number LIMIT ?2";
    list(reader, rest, values![store, limit, CollectionState::Running])
}

/// Notes that the store now holds, or no longer holds, the collection's objects as asked.
pub(crate) fn done(tx: &Connection, store: &str, task: &HoldTask) -> Result<(), DbError> {
    tx.prepare_cached(
        "INSERT INTO hold_marks (store, collection, held, segments) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (store, collection) DO UPDATE SET held = ?3, segments = ?4",
    )?
    .execute(values![store, task.collection, task.held, task.segments])?;
    Ok(())
}

/// Notes that an object of the collection was written again on that store, without a hold. The hold is then
/// set again on all its objects.
pub(crate) fn again(tx: &Connection, store: &str, collection: &Digest) -> Result<(), DbError> {
    tx.prepare_cached("UPDATE hold_marks SET segments = -1 WHERE store = ?1 AND collection = ?2")?
        .execute(values![store, collection])?;
    Ok(())
}
