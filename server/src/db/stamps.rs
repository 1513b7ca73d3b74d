//! Time stamps: those had, and the queue of those asked for (LIVE: at the next start the newest head is stamped again).

use rusqlite::{Connection, params};

use super::DbError;

/// One checkpoint to be stamped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StampTask {
    /// Tree size of the checkpoint.
    pub size: u64,
    /// The signed note.
    pub note: Vec<u8>,
    /// Tries so far.
    pub attempts: u32,
}

/// Asks for a stamp; a size is asked for once.
///
/// # Errors
/// Of the database.
pub fn enqueue(tx: &Connection, size: u64, note: &[u8]) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO tsa_queue (size, note, attempts, due_ms, error) VALUES (?1, ?2, 0, 0, '')
         ON CONFLICT (size) DO NOTHING",
        params![size, note],
    )?;
    Ok(())
}

/// Tasks whose time has come, newest first: the newest stamp covers all that came before.
///
/// # Errors
/// Of the database.
pub fn due(reader: &Connection, now_ms: u64, limit: u32) -> Result<Vec<StampTask>, DbError> {
    let mut statement = reader.prepare_cached(
        "SELECT size, note, attempts FROM tsa_queue WHERE due_ms <= ?1 ORDER BY size DESC LIMIT ?2",
    )?;
    let rows = statement.query_map(params![now_ms, limit], |row| {
        Ok(StampTask {
            size: row.get(0)?,
            note: row.get(1)?,
            attempts: row.get(2)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The stamp could not be had; it is tried again at `due_ms`.
///
/// # Errors
/// Of the database.
pub fn failed(tx: &Connection, size: u64, due_ms: u64, error: &str) -> Result<(), DbError> {
    tx.execute(
        "UPDATE tsa_queue SET attempts = attempts + 1, due_ms = ?2, error = ?3 WHERE size = ?1",
        params![size, due_ms, error],
    )?;
    Ok(())
}

/// The stamp is there: it and everything smaller leaves the queue.
///
/// # Errors
/// Of the database.
pub fn done(tx: &Connection, size: u64) -> Result<(), DbError> {
    tx.execute("DELETE FROM tsa_queue WHERE size <= ?1", [size])?;
    Ok(())
}

/// How many stamps are asked for and not had, and the last error.
///
/// # Errors
/// Of the database.
pub fn waiting(reader: &Connection) -> Result<(u64, Option<String>), DbError> {
    Ok(reader.query_row(
        "SELECT count(*), (SELECT error FROM tsa_queue WHERE error <> '' ORDER BY due_ms DESC LIMIT 1) FROM tsa_queue",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?)
}

/// Records a stamp that `tsa.stamped` names.
///
/// # Errors
/// Of the database.
pub fn insert(tx: &Connection, size: u64, stamp: &[u8; 32], index: u64) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO stamps (size, stamp, idx) VALUES (?1, ?2, ?3)",
        params![size, stamp, index],
    )?;
    Ok(())
}

/// Stamps of the smallest stamped checkpoint that covers `size`: tree size and digest of the response.
///
/// # Errors
/// Of the database.
pub fn covering(reader: &Connection, size: u64) -> Result<Vec<(u64, [u8; 32])>, DbError> {
    let mut statement = reader.prepare_cached(
        "SELECT size, stamp FROM stamps WHERE size = (SELECT min(size) FROM stamps WHERE size >= ?1) ORDER BY stamp",
    )?;
    let rows = statement.query_map([size], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
