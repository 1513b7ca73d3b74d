//! Time stamps that the collector has, and the queue of those that it still wants (LIVE: the next start
//! stamps the newest head again).

use evidence::digest::Digest;
use rusqlite::Connection;

use super::DbError;
use super::column::values;
use super::record::{find, list, record};

record! {
    /// One checkpoint that needs a stamp.
    StampTask of "tsa_queue" by "tsa", "size" {
        /// Tree size of the checkpoint.
        size: u64 = "size",
        /// The signed note.
        note: Vec<u8> = "note",
        /// Number of tries so far.
        attempts: u32 = "attempts",
    }
}

record! {
    /// The newest stamp of an authority.
    #[derive(Copy)]
    NewestStamp of "tsa_newest" by "tsa" {
        /// Tree size of the checkpoint.
        size: u64 = "size",
        /// When it arrived, in milliseconds since 1970.
        at_ms: u64 = "at_ms",
        /// When the certificate that signed it expires.
        ends_ms: Option<u64> = "ends_ms",
    }
}

record! {
    /// One stamp that a `tsa.stamped` entry names.
    StampRow of "stamps" by "size", "idx" {
        /// Tree size of the checkpoint.
        size: u64 = "size",
        /// Digest of the response.
        stamp: Digest = "stamp",
        /// The entry.
        index: u64 = "idx",
    }
}

/// The newest stamp of an authority, if the authority gave one since the database was made.
pub(crate) fn newest(reader: &Connection, tsa: &str) -> Result<Option<NewestStamp>, DbError> {
    find(reader, "FROM tsa_newest WHERE tsa = ?1", values![tsa])
}

/// Queues a request for a stamp of an authority, only once for each size.
pub(crate) fn enqueue(tx: &Connection, tsa: &str, size: u64, note: &[u8]) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO tsa_queue (tsa, size, note, attempts, due_ms, error) VALUES (?1, ?2, ?3, 0, 0, '')
         ON CONFLICT (tsa, size) DO NOTHING",
        values![tsa, size, note],
    )?;
    Ok(())
}

/// Tasks that are due, newest first: the newest stamp covers everything before it.
pub(crate) fn due(
    reader: &Connection,
    tsa: &str,
    now_ms: u64,
    limit: u32,
) -> Result<Vec<StampTask>, DbError> {
    let rest = "FROM tsa_queue WHERE tsa = ?1 AND due_ms <= ?2 ORDER BY size DESC LIMIT ?3";
    list(reader, rest, values![tsa, now_ms, limit])
}

/// The stamp could not be obtained. It is tried again at `due_ms`.
pub(crate) fn failed(tx: &Connection, tsa: &str, size: u64, due_ms: u64, error: &str) -> Result<(), DbError> {
    tx.execute(
        "UPDATE tsa_queue SET attempts = attempts + 1, due_ms = ?3, error = ?4 WHERE tsa = ?1 AND size = ?2",
        values![tsa, size, due_ms, error],
    )?;
    Ok(())
}

/// The stamp has arrived. Its task and those for smaller sizes leave the authority's queue.
pub(crate) fn done(tx: &Connection, tsa: &str, newest: NewestStamp) -> Result<(), DbError> {
    tx.execute("DELETE FROM tsa_queue WHERE tsa = ?1 AND size <= ?2", values![tsa, newest.size])?;
    tx.execute(
        "INSERT OR REPLACE INTO tsa_newest (tsa, size, at_ms, ends_ms) VALUES (?1, ?2, ?3, ?4)",
        values![tsa, newest.size, newest.at_ms, newest.ends_ms],
    )?;
    Ok(())
}

/// How many requested stamps are still missing, and the last error.
#[cfg(test)]
pub(crate) fn waiting(reader: &Connection) -> Result<(u64, Option<String>), DbError> {
    Ok(reader.query_row(
        "SELECT count(*), (SELECT error FROM tsa_queue WHERE error <> '' ORDER BY due_ms DESC LIMIT 1) FROM tsa_queue",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?)
}

/// Records a stamp.
pub(crate) fn insert(tx: &Connection, row: &StampRow) -> Result<(), DbError> {
    super::record::insert(tx, row)
}

/// The stamp of the largest stamped checkpoint.
pub(crate) fn of_newest_checkpoint(reader: &Connection) -> Result<Option<StampRow>, DbError> {
    find(reader, "FROM stamps ORDER BY size DESC, stamp LIMIT 1", [])
}

/// Stamps of the smallest stamped checkpoint that covers `size`.
#[cfg(test)]
pub(crate) fn covering(reader: &Connection, size: u64) -> Result<Vec<StampRow>, DbError> {
    let rest = "FROM stamps WHERE size = (SELECT min(size) FROM stamps WHERE size >= ?1) ORDER BY stamp";
    list(reader, rest, values![size])
}
