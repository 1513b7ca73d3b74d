//! Ledger entries, one row for each: the index into the log. The stores' bundles hold the entries
//! themselves.

use std::str::FromStr;

use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::id::{Actor, Chain};
use evidence::time::Time;
use ledger::Hash;
use rusqlite::Connection;

use super::DbError;
use super::column::{Unfit, values};
use super::record::{find, find_value, insert as insert_row, list, list_values, record};

record! {
    /// The database's knowledge of one entry.
    EntryRow of "entries" by "idx" {
        /// Index in the log.
        index: u64 = "idx",
        /// Event id.
        event: Digest = "event",
        kind: EntryType = "type",
        incident: Chain = "incident",
        /// Place in its chain.
        seq: u64 = "seq",
        leaf: Hash = "leaf",
        /// Collector's time.
        time: Time = "time",
        /// Names and values, sorted by name.
        refs: Vec<(String, String)> = "refs",
        /// Who acted; `None` if the act's document names nobody.
        actor: Option<Actor> = "actor",
        /// Digest of the detail object.
        detail: Option<Digest> = "detail",
    }
}

impl EntryRow {
    /// A ref of the entry.
    pub(crate) fn reference(&self, name: &str) -> Option<&str> {
        evidence::entry::pairs::find(&self.refs, name)
    }

    /// A ref that the entry's type requires.
    pub(crate) fn required(&self, name: &str) -> Result<&str, DbError> {
        self.reference(name).ok_or_else(|| self.without(name, "missing".into()))
    }

    /// A ref that the entry's type requires, parsed into its type.
    pub(crate) fn parsed<T: FromStr<Err: Into<Unfit>>>(&self, name: &str) -> Result<T, DbError> {
        self.required(name)?.parse().map_err(|error: T::Err| self.without(name, error.into()))
    }

    fn without(&self, name: &str, source: Unfit) -> DbError {
        let (column, key) = (format!("refs, ref {name}"), format!("idx {}", self.index));
        DbError::Corrupt { table: "entries", column, key, source }
    }
}

/// Adds an entry. Fails if its index, event or place in the chain is taken.
pub(crate) fn insert(tx: &Connection, entry: &EntryRow) -> Result<(), DbError> {
    insert_row(tx, entry)
}

pub(crate) fn at(reader: &Connection, index: u64) -> Result<Option<EntryRow>, DbError> {
    find(reader, "FROM entries WHERE idx = ?1", values![index])
}

pub(crate) fn by_event(reader: &Connection, event: &Digest) -> Result<Option<EntryRow>, DbError> {
    find(reader, "FROM entries WHERE event = ?1", values![event])
}

const OF_KIND_WITH_REF: &str = "FROM entries WHERE type = ?1
             AND EXISTS (SELECT 1 FROM json_each(refs) AS pair
                         WHERE pair.value ->> 0 = ?2 AND pair.value ->> 1 = ?3) ORDER BY idx";

/// The first entry of a type that has a reference with that name and value, such as the `order.issued` of an
/// order.
pub(crate) fn first_with_ref(
    reader: &Connection,
    kind: EntryType,
    name: &str,
    value: &str,
) -> Result<Option<EntryRow>, DbError> {
    find(reader, &format!("{OF_KIND_WITH_REF} LIMIT 1"), values![kind, name, value])
}

/// Entries of a type with this ref, in the order of the log.
pub(crate) fn of_kind_with_ref(
    reader: &Connection,
    kind: EntryType,
    name: &str,
    value: &str,
) -> Result<Vec<EntryRow>, DbError> {
    list(reader, OF_KIND_WITH_REF, values![kind, name, value])
}

/// The type of the newest entry of two types about an object on a store.
pub(crate) fn newest_about(
    reader: &Connection,
    [one, other]: [EntryType; 2],
    object: &str,
    store: &str,
) -> Result<Option<EntryType>, DbError> {
    let sql = "SELECT type, idx FROM entries WHERE type IN (?1, ?2)
             AND EXISTS (SELECT 1 FROM json_each(refs) AS pair
                         WHERE pair.value ->> 0 = 'object' AND pair.value ->> 1 = ?3)
             AND EXISTS (SELECT 1 FROM json_each(refs) AS pair
                         WHERE pair.value ->> 0 = 'store' AND pair.value ->> 1 = ?4)
         ORDER BY idx DESC LIMIT 1";
    find_value(reader, "entries", sql, values![one, other, object, store])
}

/// Indices of all entries of two types, in the order of the log.
pub(crate) fn indices_of(reader: &Connection, [one, other]: [EntryType; 2]) -> Result<Vec<u64>, DbError> {
    let sql = "SELECT idx FROM entries WHERE type IN (?1, ?2) ORDER BY idx";
    list_values(reader, "entries", sql, values![one, other])
}

/// Entries of a chain from `seq` on, in order, at most `limit`.
pub(crate) fn of_chain(
    reader: &Connection,
    chain: &Chain,
    seq: u64,
    limit: u64,
) -> Result<Vec<EntryRow>, DbError> {
    let rest = "FROM entries WHERE incident = ?1 AND seq >= ?2 ORDER BY seq LIMIT ?3";
    list(reader, rest, values![chain, seq, limit])
}

/// Entries of the whole log from `index` on, in order, at most `limit`.
pub(crate) fn from_index(reader: &Connection, index: u64, limit: u64) -> Result<Vec<EntryRow>, DbError> {
    list(reader, "FROM entries WHERE idx >= ?1 ORDER BY idx LIMIT ?2", values![index, limit])
}
