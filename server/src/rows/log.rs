//! The sequencer's own tables: where the log ends, what is staged, and the head of each chain.

use evidence::digest::Digest;
use evidence::id::Chain;
use evidence::time::Time;
use ledger::Hash;
use rusqlite::Connection;

use super::DbError;
use super::column::values;
use super::record::{find, list, record};

record! {
    /// The committed end of the log. Checkpoints are signed only from this row.
    LogState of "log" by "id" {
        /// Committed entries.
        size: u64 = "size",
        /// Root of the tree of that size.
        root: Hash = "root",
        /// Time of the newest entry; `None` before the first.
        last_time: Option<Time> = "last_time",
        /// Size that the newest published checkpoint covers, as last recorded. Recovery also looks at the stores.
        published_size: u64 = "published_size",
        /// The newest published note; empty before the first.
        checkpoint: Vec<u8> = "checkpoint",
    }
}

record! {
    /// End of one chain.
    ChainState of "chains" by "incident" {
        /// Sequence number that the next entry gets.
        next_seq: u64 = "next_seq",
        /// Leaf hash of the newest entry; zeros before the first.
        head: Digest = "head",
    }
}

record! {
    /// One object of growth that is committed and not published yet.
    StagedRow of "staging" by "size", "key" {
        key: String = "key",
        bytes: Vec<u8> = "bytes",
    }
}

pub(super) fn insert_empty(tx: &Connection) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO log (id, size, root, last_time, published_size, checkpoint) VALUES (1, 0, ?1, '', 0, x'')",
        values![ledger::hash::EMPTY_ROOT],
    )?;
    Ok(())
}

/// Reads the committed end of the log.
pub(crate) fn state(reader: &Connection) -> Result<LogState, DbError> {
    let key = || "id 1".to_owned();
    let state: LogState = find(reader, "FROM log WHERE id = 1", [])?
        .ok_or_else(|| DbError::Absent { table: "log", key: key() })?;
    if state.last_time.is_none() && state.size > 0 {
        // Do not read it as absent: the next entry could then get an earlier time than this one.
        return Err(DbError::Corrupt {
            table: "log",
            column: "last_time".to_owned(),
            key: key(),
            source: "a log with entries has no time of its newest entry".into(),
        });
    }
    Ok(state)
}

/// Moves the end of the log, if it is where the caller believes. `false`: another sequencer was faster, and
/// nothing changed.
pub(crate) fn compare_and_swap(
    tx: &Connection,
    old: (u64, Hash),
    new: (u64, Hash),
    last_time: Option<Time>,
) -> Result<bool, DbError> {
    let changed = tx
        .prepare_cached(
            "UPDATE log SET size = ?3, root = ?4, last_time = ?5 WHERE id = 1 AND size = ?1 AND root = ?2",
        )?
        .execute(values![old.0, old.1, new.0, new.1, last_time])?;
    Ok(changed == 1)
}

/// Records what is published, and deletes what was staged for it.
pub(crate) fn record_published(tx: &Connection, size: u64, note: &[u8]) -> Result<(), DbError> {
    tx.prepare_cached(
        "UPDATE log SET published_size = ?1, checkpoint = ?2 WHERE id = 1 AND published_size <= ?1",
    )?
    .execute(values![size, note])?;
    tx.prepare_cached("DELETE FROM staging WHERE size <= ?1")?.execute(values![size])?;
    Ok(())
}

/// Stages one object of the growth that leads to `size`.
pub(crate) fn stage(tx: &Connection, size: u64, key: &str, bytes: &[u8]) -> Result<(), DbError> {
    tx.prepare_cached("INSERT INTO staging (size, key, bytes) VALUES (?1, ?2, ?3)")?
        .execute(values![size, key, bytes])?;
    Ok(())
}

/// Staged objects of all unpublished growth, oldest first.
pub(crate) fn staged(reader: &Connection) -> Result<Vec<StagedRow>, DbError> {
    list(reader, "FROM staging ORDER BY size, key", [])
}

/// End of a chain. A chain without entries starts at 0.
pub(crate) fn chain(reader: &Connection, chain: &Chain) -> Result<ChainState, DbError> {
    let found = find(reader, "FROM chains WHERE incident = ?1", values![chain])?;
    Ok(found.unwrap_or(ChainState { next_seq: 0, head: Digest::ZERO }))
}

/// Moves the end of a chain.
pub(crate) fn advance_chain(tx: &Connection, chain: &Chain, end: &ChainState) -> Result<(), DbError> {
    tx.prepare_cached(
        "INSERT INTO chains (incident, next_seq, head) VALUES (?1, ?2, ?3)
         ON CONFLICT (incident) DO UPDATE SET next_seq = excluded.next_seq, head = excluded.head",
    )?
    .execute(values![chain, end.next_seq, end.head])?;
    Ok(())
}
