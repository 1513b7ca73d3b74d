//! The repair queue (LIVE: if it is lost, `scan_for_missing` fills it again).

use evidence::digest::Digest;
use rusqlite::Connection;
use store::{Key, KeyKind, Wanting, WantingSink};

use super::column::values;
use super::record::{find_value, list_readable, list_values, record};
use super::{Db, DbError};

record! {
    /// One replica that must be repaired.
    RepairTask of "repair_queue" by "store", "key" {
        /// Store id.
        store: String = "store",
        key: Key = "key",
        wanting: Wanting = "wanting",
        /// Number of tries so far.
        attempts: u32 = "attempts",
    }
}

/// Puts a replica into the queue. One that is already there stays as it is, except that damage replaces
/// absence.
pub(crate) fn want(tx: &Connection, store: &str, key: &Key, wanting: Wanting) -> Result<(), DbError> {
    tx.prepare_cached(
        "INSERT INTO repair_queue (store, key, wanting, attempts, due_ms, error) VALUES (?1, ?2, ?3, 0, 0, '')
         ON CONFLICT (store, key) DO UPDATE SET wanting = min(wanting, excluded.wanting)",
    )?
    .execute(values![store, key, wanting])?;
    Ok(())
}

/// Tasks that are due, oldest first, at most `limit`. One that cannot be read is left out: the others must go on.
pub(crate) fn repairs_due(
    reader: &Connection,
    now_ms: u64,
    limit: usize,
) -> Result<Vec<RepairTask>, DbError> {
    let rest = "FROM repair_queue WHERE due_ms <= ?1 ORDER BY due_ms, key";
    list_readable(reader, rest, values![now_ms], limit)
}

/// Whether a replica is already in the queue.
pub(crate) fn is_wanting(reader: &Connection, store: &str, key: &Key) -> Result<bool, DbError> {
    let mut statement = reader.prepare_cached("SELECT 1 FROM repair_queue WHERE store = ?1 AND key = ?2")?;
    Ok(statement.exists(values![store, key])?)
}

/// How many replicas on one store need repair, and the last error of the one that was tried most often.
pub(crate) fn wanting_on(reader: &Connection, store: &str) -> Result<(u64, Option<String>), DbError> {
    let count = "SELECT count(*) FROM repair_queue WHERE store = ?1";
    let error = "SELECT error, store, key FROM repair_queue WHERE store = ?1 AND error <> ''
             ORDER BY attempts DESC LIMIT 1";
    let count = find_value(reader, "repair_queue", count, values![store])?;
    Ok((count.unwrap_or(0), find_value(reader, "repair_queue", error, values![store])?))
}

/// Deletes tasks for stores that are no longer written: they left, or are leaving.
pub(crate) fn keep_only(tx: &Connection, stores: &[String]) -> Result<(), DbError> {
    let names = serde_json::Value::from(stores).to_string();
    tx.execute("DELETE FROM repair_queue WHERE store NOT IN (SELECT value FROM json_each(?1))", [names])?;
    Ok(())
}

/// Makes every task due now, because somebody asked for it.
pub(crate) fn hurry(tx: &Connection) -> Result<(), DbError> {
    tx.execute("UPDATE repair_queue SET due_ms = 0", [])?;
    Ok(())
}

/// How many replicas must be repaired. Operators want to see 0.
pub(crate) fn repairs_waiting(reader: &Connection) -> Result<u64, DbError> {
    Ok(find_value(reader, "repair_queue", "SELECT count(*) FROM repair_queue", [])?.unwrap_or(0))
}

/// Removes a repaired replica from the queue. A segment then has this many copies.
pub(crate) fn repair_done(tx: &Connection, task: &RepairTask, copies: Option<u32>) -> Result<(), DbError> {
    let removed =
        tx.execute("DELETE FROM repair_queue WHERE store = ?1 AND key = ?2", values![task.store, task.key])?;
    let Some(collection) = task.key.collection().map(Digest) else {
        return Ok(());
    };
    super::hold_marks::again(tx, &task.store, &collection)?;
    if removed == 1
        && task.key.kind() == KeyKind::Segment
        && let Some((index, copies)) = task.key.index().zip(copies)
    {
        tx.execute(
            "UPDATE segments SET copies = ?3
             WHERE collection = (SELECT number FROM collections WHERE id = ?1) AND idx = ?2",
            values![collection, index, copies],
        )?;
    }
    Ok(())
}

/// Records that a copy of a segment is gone or damaged, and that this many stores still have it.
pub(crate) fn lost(tx: &Connection, key: &Key, copies: u32) -> Result<(), DbError> {
    if key.kind() == KeyKind::Segment
        && let Some((collection, index)) = key.collection().zip(key.index())
    {
        tx.execute(
            "UPDATE segments SET copies = min(copies, ?3)
             WHERE collection = (SELECT number FROM collections WHERE id = ?1) AND idx = ?2",
            values![Digest(collection), index, copies],
        )?;
    }
    Ok(())
}

/// Stores whose replica of an object is known to need repair.
pub(crate) fn lacking(reader: &Connection, key: &Key) -> Result<Vec<String>, DbError> {
    list_values(reader, "repair_queue", "SELECT store, key FROM repair_queue WHERE key = ?1", values![key])
}

/// Records that a replica could not be repaired. It is tried again at `due_ms`.
pub(crate) fn repair_failed(
    tx: &Connection,
    task: &RepairTask,
    due_ms: u64,
    error: &str,
) -> Result<(), DbError> {
    tx.execute(
        "UPDATE repair_queue SET attempts = attempts + 1, due_ms = ?3, error = ?4 WHERE store = ?1 AND key = ?2",
        values![task.store, task.key, due_ms, error],
    )?;
    Ok(())
}

/// The queue as a [`WantingSink`]. It writes to the database and waits for the commit, so replicas must never be used
/// inside a `Db::write` closure: the writer would wait for itself.
pub(crate) struct QueueSink(pub(crate) Db);

impl WantingSink for QueueSink {
    fn wanting(&self, store: &str, key: &Key, wanting: Wanting) {
        let (store, key) = (store.to_owned(), key.clone());
        let queued = self.0.write(move |tx| {
            // An object that an approved plan destroys is not missing.
            if crate::rows::fence::is_disposed_of(tx, &key, Some(&store), crate::clock::now())? {
                return Ok(());
            }
            want(tx, &store, &key, wanting)
        });
        if let Err(error) = queued {
            // The task is not lost: the scan at the next start finds it.
            tracing::warn!(error = &error as &dyn std::error::Error, "A wanting replica could not be queued");
        }
    }
}
