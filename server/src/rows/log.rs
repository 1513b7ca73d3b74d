//! The sequencer's own tables: where the log ends, what is staged, and the head of each chain.

use evidence::time::Time;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::DbError;

/// The committed end of the log. Checkpoints are signed only from this row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogState {
    /// Committed entries.
    pub size: u64,
    /// Root of the tree of that size.
    pub root: [u8; 32],
    /// Time of the newest entry; `None` before the first.
    pub last_time: Option<Time>,
    /// Size that the newest published checkpoint covers, as last recorded. Recovery also looks at the stores.
    pub published_size: u64,
    /// The newest published note; empty before the first.
    pub checkpoint: Vec<u8>,
}

/// End of one chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainState {
    /// Sequence number that the next entry gets.
    pub next_seq: u64,
    /// Leaf hash of the newest entry; zeros before the first.
    pub head: [u8; 32],
}

pub(super) fn insert_empty(tx: &Connection) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO log (id, size, root, last_time, published_size, checkpoint) VALUES (1, 0, ?1, '', 0, x'')",
        params![ledger::hash::EMPTY_ROOT.0],
    )?;
    Ok(())
}

/// Reads the committed end of the log.
pub fn state(reader: &Connection) -> Result<LogState, DbError> {
    let mut statement = reader
        .prepare_cached("SELECT size, root, last_time, published_size, checkpoint FROM log WHERE id = 1")?;
    let (last_time, state) = statement.query_row([], |row| {
        let last_time: String = row.get(2)?;
        let state = LogState {
            size: row.get(0)?,
            root: row.get(1)?,
            last_time: None,
            published_size: row.get(3)?,
            checkpoint: row.get(4)?,
        };
        Ok((last_time, state))
    })?;
    if last_time.is_empty() && state.size == 0 {
        return Ok(state);
    }
    // A time that cannot be read is never taken for none: the next entry could then be dated before this one.
    let last_time = last_time.parse().or(Err(DbError::Corrupt { column: "log.last_time" }))?;
    Ok(LogState { last_time: Some(last_time), ..state })
}

/// Moves the end of the log, if it is where the caller believes. `false`: another sequencer was faster, and
/// nothing changed.
pub fn compare_and_swap(
    tx: &Connection,
    old: (u64, &[u8; 32]),
    new: (u64, &[u8; 32]),
    last_time: &str,
) -> Result<bool, DbError> {
    let changed = tx
        .prepare_cached(
            "UPDATE log SET size = ?3, root = ?4, last_time = ?5 WHERE id = 1 AND size = ?1 AND root = ?2",
        )?
        .execute(params![old.0, old.1, new.0, new.1, last_time])?;
    Ok(changed == 1)
}

/// Records what is published, and deletes what was staged for it.
pub fn record_published(tx: &Connection, size: u64, note: &[u8]) -> Result<(), DbError> {
    tx.prepare_cached(
        "UPDATE log SET published_size = ?1, checkpoint = ?2 WHERE id = 1 AND published_size <= ?1",
    )?
    .execute(params![size, note])?;
    tx.prepare_cached("DELETE FROM staging WHERE size <= ?1")?.execute(params![size])?;
    Ok(())
}

/// Stages one object of the growth that leads to `size`.
pub fn stage(tx: &Connection, size: u64, key: &str, bytes: &[u8]) -> Result<(), DbError> {
    tx.prepare_cached("INSERT INTO staging (size, key, bytes) VALUES (?1, ?2, ?3)")?
        .execute(params![size, key, bytes])?;
    Ok(())
}

/// Staged objects of all unpublished growth, oldest first.
pub fn staged(reader: &Connection) -> Result<Vec<(String, Vec<u8>)>, DbError> {
    let mut statement = reader.prepare_cached("SELECT key, bytes FROM staging ORDER BY size, key")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// End of a chain. A chain without entries starts at 0.
pub fn chain(reader: &Connection, incident: &str) -> Result<ChainState, DbError> {
    let mut statement = reader.prepare_cached("SELECT next_seq, head FROM chains WHERE incident = ?1")?;
    let found =
        statement.query_row([incident], |row| Ok(ChainState { next_seq: row.get(0)?, head: row.get(1)? }));
    Ok(found.optional()?.unwrap_or(ChainState { next_seq: 0, head: [0; 32] }))
}

/// Moves the end of a chain.
pub fn advance_chain(tx: &Connection, incident: &str, chain: &ChainState) -> Result<(), DbError> {
    tx.prepare_cached(
        "INSERT INTO chains (incident, next_seq, head) VALUES (?1, ?2, ?3)
         ON CONFLICT (incident) DO UPDATE SET next_seq = excluded.next_seq, head = excluded.head",
    )?
    .execute(params![incident, chain.next_seq, chain.head])?;
    Ok(())
}
