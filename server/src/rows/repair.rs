//! The repair queue (LIVE: if it is lost, `scan_for_missing` fills it again).

use rusqlite::{Connection, params};
use store::{Key, KeyKind, Wanting, WantingSink};

use super::{Db, DbError};

/// One replica that must be repaired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairTask {
    /// Store id.
    pub store: String,
    /// Object key.
    pub key: String,
    /// `missing` or `damaged`.
    pub wanting: String,
    /// Number of tries so far.
    pub attempts: u32,
}

/// Puts a replica into the queue. One that is already there stays as it is, except that damage replaces
/// absence.
pub fn want(tx: &Connection, store: &str, key: &str, wanting: Wanting) -> Result<(), DbError> {
    let wanting = match wanting {
        Wanting::Damaged => "damaged",
        Wanting::Missing => "missing",
    };
    tx.prepare_cached(
        "INSERT INTO repair_queue (store, key, wanting, attempts, due_ms, error) VALUES (?1, ?2, ?3, 0, 0, '')
         ON CONFLICT (store, key) DO UPDATE SET wanting = min(wanting, excluded.wanting)",
    )?
    .execute(params![store, key, wanting])?;
    Ok(())
}

/// Tasks that are due, oldest first.
pub fn repairs_due(reader: &Connection, now_ms: u64, limit: u32) -> Result<Vec<RepairTask>, DbError> {
    let mut statement = reader.prepare_cached(
        "SELECT store, key, wanting, attempts FROM repair_queue WHERE due_ms <= ?1 ORDER BY due_ms, key LIMIT ?2",
    )?;
    let rows = statement.query_map(params![now_ms, limit], |row| {
        Ok(RepairTask { store: row.get(0)?, key: row.get(1)?, wanting: row.get(2)?, attempts: row.get(3)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether a replica is already in the queue.
pub fn is_wanting(reader: &Connection, store: &str, key: &str) -> Result<bool, DbError> {
    let mut statement = reader.prepare_cached("SELECT 1 FROM repair_queue WHERE store = ?1 AND key = ?2")?;
    Ok(statement.exists([store, key])?)
}

/// How many replicas must be repaired on one store, and why the one that has waited longest could not be
/// made.
pub fn wanting_on(reader: &Connection, store: &str) -> Result<(u64, String), DbError> {
    let mut statement = reader.prepare_cached(
        "SELECT count(*), coalesce((SELECT error FROM repair_queue WHERE store = ?1 AND error <> '' ORDER BY attempts DESC LIMIT 1), '')
         FROM repair_queue WHERE store = ?1",
    )?;
    Ok(statement.query_row([store], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

/// Deletes tasks for stores that are no longer written: they left, or are leaving.
pub fn keep_only(tx: &Connection, stores: &[String]) -> Result<(), DbError> {
    let names = serde_json::to_string(stores).or(Err(DbError::Corrupt { column: "repair_queue.store" }))?;
    tx.execute("DELETE FROM repair_queue WHERE store NOT IN (SELECT value FROM json_each(?1))", [names])?;
    Ok(())
}

/// Makes every task due now, because somebody asked for it.
pub fn hurry(tx: &Connection) -> Result<(), DbError> {
    tx.execute("UPDATE repair_queue SET due_ms = 0", [])?;
    Ok(())
}

/// How many replicas must be repaired. Operators want to see 0.
pub fn repairs_waiting(reader: &Connection) -> Result<u64, DbError> {
    Ok(reader.query_row("SELECT count(*) FROM repair_queue", [], |row| row.get(0))?)
}

/// The replica is right: it leaves the queue, and a segment now has this many copies.
pub fn repair_done(tx: &Connection, task: &RepairTask, copies: Option<u32>) -> Result<(), DbError> {
    let removed =
        tx.execute("DELETE FROM repair_queue WHERE store = ?1 AND key = ?2", params![task.store, task.key])?;
    let key = Key::parse(&task.key).ok();
    if let Some(collection) = key.as_ref().and_then(Key::collection) {
        super::hold_marks::again(tx, &task.store, &collection)?;
    }
    let segment = key.filter(|key| key.kind() == KeyKind::Segment);
    let place = segment.and_then(|key| Some((key.collection()?, key.index()?)));
    if removed == 1
        && let Some(((collection, index), copies)) = place.zip(copies)
    {
        tx.execute(
            "UPDATE segments SET copies = ?3
             WHERE collection = (SELECT number FROM collections WHERE id = ?1) AND idx = ?2",
            params![collection, index, copies],
        )?;
    }
    Ok(())
}

/// A copy of a segment is gone or damaged: this many stores still have it.
pub fn lost(tx: &Connection, key: &Key, copies: u32) -> Result<(), DbError> {
    if key.kind() == KeyKind::Segment
        && let Some((collection, index)) = key.collection().zip(key.index())
    {
        tx.execute(
            "UPDATE segments SET copies = min(copies, ?3)
             WHERE collection = (SELECT number FROM collections WHERE id = ?1) AND idx = ?2",
            params![collection, index, copies],
        )?;
    }
    Ok(())
}

/// Stores whose replica of an object is known to need repair.
pub fn lacking(reader: &Connection, key: &str) -> Result<Vec<String>, DbError> {
    let mut statement = reader.prepare_cached("SELECT store FROM repair_queue WHERE key = ?1")?;
    let rows = statement.query_map([key], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The replica could not be made. It is tried again at `due_ms`.
pub fn repair_failed(tx: &Connection, task: &RepairTask, due_ms: u64, error: &str) -> Result<(), DbError> {
    tx.execute(
        "UPDATE repair_queue SET attempts = attempts + 1, due_ms = ?3, error = ?4 WHERE store = ?1 AND key = ?2",
        params![task.store, task.key, due_ms, error],
    )?;
    Ok(())
}

/// The queue as a [`WantingSink`]. It writes to the database and waits for the commit, so replicas must never be used
/// inside a `Db::write` closure: the writer would wait for itself.
pub struct QueueSink(pub Db);

impl WantingSink for QueueSink {
    fn wanting(&self, store: &str, key: &Key, wanting: Wanting) {
        let store = store.to_owned();
        let object = key.clone();
        let key = key.to_string();
        let queued = self.0.write(move |tx| {
            // An object that an approved plan destroys is not missing.
            if crate::rows::fence::is_disposed_of(tx, &object, Some(&store), crate::clock::now())? {
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
