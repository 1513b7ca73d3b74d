//! Time stamps that the collector has, and the queue of those that it still wants (LIVE: the next start
//! stamps the newest head again).

use rusqlite::{Connection, OptionalExtension as _, params};

use super::DbError;

/// One checkpoint that needs a stamp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StampTask {
    /// Tree size of the checkpoint.
    pub size: u64,
    /// The signed note.
    pub note: Vec<u8>,
    /// Number of tries so far.
    pub attempts: u32,
}

/// The newest stamp of an authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewestStamp {
    /// Tree size of the checkpoint.
    pub size: u64,
    /// When it arrived, in milliseconds since 1970.
    pub at_ms: u64,
    /// When the certificate that signed it expires.
    pub ends_ms: Option<u64>,
}

/// The newest stamp of an authority, if the authority gave one since the database was made.
pub fn newest(reader: &Connection, tsa: &str) -> Result<Option<NewestStamp>, DbError> {
    let mut statement =
        reader.prepare_cached("SELECT size, at_ms, ends_ms FROM tsa_newest WHERE tsa = ?1")?;
    let newest = statement.query_row([tsa], |row| {
        Ok(NewestStamp { size: row.get(0)?, at_ms: row.get(1)?, ends_ms: row.get(2)? })
    });
    Ok(newest.optional()?)
}

/// Queues a request for a stamp of an authority, only once for each size.
pub fn enqueue(tx: &Connection, tsa: &str, size: u64, note: &[u8]) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO tsa_queue (tsa, size, note, attempts, due_ms, error) VALUES (?1, ?2, ?3, 0, 0, '')
         ON CONFLICT (tsa, size) DO NOTHING",
        params![tsa, size, note],
    )?;
    Ok(())
}

/// Tasks that are due, newest first: the newest stamp covers everything before it.
pub fn due(reader: &Connection, tsa: &str, now_ms: u64, limit: u32) -> Result<Vec<StampTask>, DbError> {
    let mut statement = reader.prepare_cached(
        "SELECT size, note, attempts FROM tsa_queue WHERE tsa = ?1 AND due_ms <= ?2 ORDER BY size DESC LIMIT ?3",
    )?;
    let rows = statement.query_map(params![tsa, now_ms, limit], |row| {
        Ok(StampTask { size: row.get(0)?, note: row.get(1)?, attempts: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The stamp could not be obtained. It is tried again at `due_ms`.
pub fn failed(tx: &Connection, tsa: &str, size: u64, due_ms: u64, error: &str) -> Result<(), DbError> {
    tx.execute(
        "UPDATE tsa_queue SET attempts = attempts + 1, due_ms = ?3, error = ?4 WHERE tsa = ?1 AND size = ?2",
        params![tsa, size, due_ms, error],
    )?;
    Ok(())
}

/// The stamp has arrived. Its task and those for smaller sizes leave the authority's queue.
pub fn done(tx: &Connection, tsa: &str, had: NewestStamp) -> Result<(), DbError> {
    tx.execute("DELETE FROM tsa_queue WHERE tsa = ?1 AND size <= ?2", params![tsa, had.size])?;
    tx.execute(
        "INSERT OR REPLACE INTO tsa_newest (tsa, size, at_ms, ends_ms) VALUES (?1, ?2, ?3, ?4)",
        params![tsa, had.size, had.at_ms, had.ends_ms],
    )?;
    Ok(())
}

/// How many requested stamps are still missing, and the last error.
#[cfg(test)]
pub fn waiting(reader: &Connection) -> Result<(u64, Option<String>), DbError> {
    Ok(reader.query_row(
        "SELECT count(*), (SELECT error FROM tsa_queue WHERE error <> '' ORDER BY due_ms DESC LIMIT 1) FROM tsa_queue",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?)
}

/// Records a stamp that a `tsa.stamped` entry names.
pub fn insert(tx: &Connection, size: u64, stamp: &[u8; 32], index: u64) -> Result<(), DbError> {
    tx.execute("INSERT INTO stamps (size, stamp, idx) VALUES (?1, ?2, ?3)", params![size, stamp, index])?;
    Ok(())
}

/// Stamps of the smallest stamped checkpoint that covers `size`: tree size and digest of the response.
#[cfg(test)]
pub fn covering(reader: &Connection, size: u64) -> Result<Vec<(u64, [u8; 32])>, DbError> {
    let mut statement = reader.prepare_cached(
        "SELECT size, stamp FROM stamps WHERE size = (SELECT min(size) FROM stamps WHERE size >= ?1) ORDER BY stamp",
    )?;
    let rows = statement.query_map([size], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
