//! Ledger entries, one row for each: the index into the log. The entries themselves are in the stores'
//! bundles.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::DbError;

/// What the database knows about one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRow {
    /// Index in the log.
    pub index: u64,
    /// Event id.
    pub event: [u8; 32],
    /// Entry type.
    pub kind: String,
    /// Incident id, or empty for the deployment's own chain.
    pub incident: String,
    /// Place in its chain.
    pub seq: u64,
    /// Leaf hash.
    pub leaf: [u8; 32],
    /// Collector's time.
    pub time: String,
    /// Names and values, sorted by name.
    pub refs: Vec<(String, String)>,
    /// Who acted; empty if the act's document names nobody.
    pub actor: String,
    /// Digest of the detail object.
    pub detail: Option<[u8; 32]>,
}

const COLUMNS: &str = "idx, event, type, incident, seq, leaf, time, refs, actor, detail";

fn read_row(row: &Row<'_>) -> rusqlite::Result<(EntryRow, String)> {
    let refs: String = row.get(7)?;
    let entry = EntryRow {
        index: row.get(0)?,
        event: row.get(1)?,
        kind: row.get(2)?,
        incident: row.get(3)?,
        seq: row.get(4)?,
        leaf: row.get(5)?,
        time: row.get(6)?,
        refs: Vec::new(),
        actor: row.get(8)?,
        detail: row.get(9)?,
    };
    Ok((entry, refs))
}

fn with_refs((mut entry, refs): (EntryRow, String)) -> Result<EntryRow, DbError> {
    entry.refs = serde_json::from_str(&refs).or(Err(DbError::Corrupt { column: "entries.refs" }))?;
    Ok(entry)
}

/// Adds an entry. Fails if its index, event or place in the chain is taken.
pub fn insert(tx: &Connection, entry: &EntryRow) -> Result<(), DbError> {
    let refs = serde_json::to_string(&entry.refs).or(Err(DbError::Corrupt { column: "entries.refs" }))?;
    tx.prepare_cached(
        "INSERT INTO entries (idx, event, type, incident, seq, leaf, time, refs, actor, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        entry.index,
        entry.event,
        entry.kind,
        entry.incident,
        entry.seq,
        entry.leaf,
        entry.time,
        refs,
        entry.actor,
        entry.detail
    ])?;
    Ok(())
}

fn one(
    reader: &Connection,
    condition: &str,
    value: impl rusqlite::ToSql,
) -> Result<Option<EntryRow>, DbError> {
    let mut statement = reader.prepare_cached(&format!("SELECT {COLUMNS} FROM entries WHERE {condition}"))?;
    statement.query_row([value], read_row).optional()?.map(with_refs).transpose()
}

/// The entry at an index.
pub fn at(reader: &Connection, index: u64) -> Result<Option<EntryRow>, DbError> {
    one(reader, "idx = ?1", index)
}

/// The entry of an event.
pub fn by_event(reader: &Connection, event: &[u8; 32]) -> Result<Option<EntryRow>, DbError> {
    one(reader, "event = ?1", event)
}

/// The first entry of a type that has a reference with that name and value, such as the `order.issued` of an
/// order.
pub fn first_with_ref(
    reader: &Connection,
    kind: &str,
    name: &str,
    value: &str,
) -> Result<Option<EntryRow>, DbError> {
    let mut statement = reader.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM entries WHERE type = ?1 AND EXISTS (
             SELECT 1 FROM json_each(refs) AS pair
             WHERE pair.value ->> 0 = ?2 AND pair.value ->> 1 = ?3) ORDER BY idx LIMIT 1"
    ))?;
    statement.query_row(params![kind, name, value], read_row).optional()?.map(with_refs).transpose()
}

/// Entries of a type with this ref, in the order of the log.
pub fn of_kind_with_ref(
    reader: &Connection,
    kind: &str,
    name: &str,
    value: &str,
) -> Result<Vec<EntryRow>, DbError> {
    let mut statement = reader.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM entries WHERE type = ?1
             AND EXISTS (SELECT 1 FROM json_each(refs) AS pair
                         WHERE pair.value ->> 0 = ?2 AND pair.value ->> 1 = ?3) ORDER BY idx"
    ))?;
    let rows = statement.query_map(params![kind, name, value], read_row)?;
    rows.map(|row| with_refs(row?)).collect()
}

/// The type of the newest entry of two types about an object on a store.
pub fn newest_about(
    reader: &Connection,
    kinds: [&str; 2],
    object: &str,
    store: &str,
) -> Result<Option<String>, DbError> {
    let mut statement = reader.prepare_cached(
        "SELECT type FROM entries WHERE type IN (?1, ?2)
             AND EXISTS (SELECT 1 FROM json_each(refs) AS pair
                         WHERE pair.value ->> 0 = 'object' AND pair.value ->> 1 = ?3)
             AND EXISTS (SELECT 1 FROM json_each(refs) AS pair
                         WHERE pair.value ->> 0 = 'store' AND pair.value ->> 1 = ?4)
         ORDER BY idx DESC LIMIT 1",
    )?;
    let [one, other] = kinds;
    Ok(statement.query_row(params![one, other, object, store], |row| row.get(0)).optional()?)
}

/// Indices of all entries of two types, in the order of the log.
pub fn indices_of(reader: &Connection, kinds: [&str; 2]) -> Result<Vec<u64>, DbError> {
    let mut statement =
        reader.prepare_cached("SELECT idx FROM entries WHERE type IN (?1, ?2) ORDER BY idx")?;
    let rows = statement.query_map(kinds, |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Entries of a chain from `seq` on, in order, at most `limit`.
pub fn of_chain(reader: &Connection, incident: &str, seq: u64, limit: u64) -> Result<Vec<EntryRow>, DbError> {
    let mut statement = reader.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM entries WHERE incident = ?1 AND seq >= ?2 ORDER BY seq LIMIT ?3"
    ))?;
    let rows = statement.query_map(params![incident, seq, limit], read_row)?;
    rows.map(|row| with_refs(row?)).collect()
}

/// Entries of the whole log from `index` on, in order, at most `limit`.
pub fn from_index(reader: &Connection, index: u64, limit: u64) -> Result<Vec<EntryRow>, DbError> {
    let mut statement = reader
        .prepare_cached(&format!("SELECT {COLUMNS} FROM entries WHERE idx >= ?1 ORDER BY idx LIMIT ?2"))?;
    let rows = statement.query_map(params![index, limit], read_row)?;
    rows.map(|row| with_refs(row?)).collect()
}
