//! Collections with their segments and items: up to millions of rows, so everything here is by key or by index.

use evidence::entry::state::{AttemptState, CollectionState};

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::DbError;
use super::column::{self, Sql};

/// One collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionRow {
    /// Short number within this database; not stable across rebuilds.
    pub number: u64,
    /// Collection id.
    pub id: [u8; 32],
    pub incident: String,
    pub order: [u8; 32],
    pub endpoint: String,
    pub generation: u32,
    pub attempt: u32,
    /// Event id of `collection.started`: the delegation document's digest.
    pub delegation: [u8; 32],
    /// Sealer's public key, as text.
    pub sealer: String,
    /// State of the collection.
    pub state: CollectionState,
    /// Digest of the manifest, once stored.
    pub manifest: Option<[u8; 32]>,
    /// Digest of the newest seal.
    pub seal_head: Option<[u8; 32]>,
    /// Item records so far.
    pub items: u64,
    /// How many of them are not ok.
    pub not_ok: u64,
    /// Sum of `size` of members with content; from the manifest once it is stored.
    pub content_bytes: u64,
    /// Plain bytes so far.
    pub plain_bytes: u64,
    /// Stored bytes so far.
    pub stored_bytes: u64,
    /// Segments so far.
    pub segments: u64,
    /// Number of copies, as `collection.stored` says. Before that entry, the copies of the segment that has
    /// the fewest.
    pub copies: u32,
    /// Fewer than policy asks, as `collection.stored` says.
    pub degraded: bool,
    /// On independent stores, as `collection.stored` says.
    pub independent: bool,
    /// Collector's time of `collection.started`.
    pub begun: String,
    /// Collector's time of the last state; empty while the collection runs.
    pub ended: String,
    /// Entry `collection.started`.
    pub started_index: u64,
    /// Entry `collection.stored`. Its proof is the receipt.
    pub stored_index: Option<u64>,
}

const COLUMNS: &str = "number, id, incident, order_id, endpoint, generation, attempt, delegation, sealer, state, manifest,
    seal_head, items, not_ok, content_bytes, plain_bytes, stored_bytes, segments,
    CASE WHEN stored_idx IS NULL THEN (SELECT coalesce(min(s.copies), 0) FROM segments s WHERE s.collection = collections.number)
        ELSE copies END, degraded, independent, begun,
    ended, started_idx, stored_idx";

fn read_row(row: &Row<'_>) -> rusqlite::Result<CollectionRow> {
    Ok(CollectionRow {
        number: row.get(0)?,
        id: row.get(1)?,
        incident: row.get(2)?,
        order: row.get(3)?,
        endpoint: row.get(4)?,
        generation: row.get(5)?,
        attempt: row.get(6)?,
        delegation: row.get(7)?,
        sealer: row.get(8)?,
        state: column::get(row, 9)?,
        manifest: row.get(10)?,
        seal_head: row.get(11)?,
        items: row.get(12)?,
        not_ok: row.get(13)?,
        content_bytes: row.get(14)?,
        plain_bytes: row.get(15)?,
        stored_bytes: row.get(16)?,
        segments: row.get(17)?,
        copies: row.get(18)?,
        degraded: row.get(19)?,
        independent: row.get(20)?,
        begun: row.get(21)?,
        ended: row.get(22)?,
        started_index: row.get(23)?,
        stored_index: row.get(24)?,
    })
}

/// What `collection.started` says about a new collection.
#[derive(Debug, Clone)]
pub struct NewCollection<'entry> {
    /// Collection id.
    pub id: [u8; 32],
    pub incident: &'entry str,
    pub order: [u8; 32],
    pub endpoint: &'entry str,
    pub generation: u32,
    pub attempt: u32,
    /// Event id.
    pub delegation: [u8; 32],
    /// Sealer's public key.
    pub sealer: &'entry str,
    /// Entry time.
    pub begun: &'entry str,
    /// Entry.
    pub index: u64,
}

/// Starts a collection.
pub fn insert(tx: &Connection, new: &NewCollection<'_>) -> Result<(), DbError> {
    tx.prepare_cached(
        "INSERT INTO collections (id, incident, order_id, endpoint, generation, attempt, delegation, sealer, state, begun,
             ended, started_idx) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?11, ?9, '', ?10)",
    )?
    .execute(params![
        new.id,
        new.incident,
        new.order,
        new.endpoint,
        new.generation,
        new.attempt,
        new.delegation,
        new.sealer,
        new.begun,
        new.index,
        Sql(&CollectionState::Running)
    ])?;
    Ok(())
}

/// One collection.
pub fn at(reader: &Connection, id: &[u8; 32]) -> Result<Option<CollectionRow>, DbError> {
    let mut statement = reader.prepare_cached(&format!("SELECT {COLUMNS} FROM collections WHERE id = ?1"))?;
    Ok(statement.query_row([id], read_row).optional()?)
}

/// Collections whose id begins with these hexadecimal digits, at most two: none, one, or ambiguous.
pub fn by_prefix(reader: &Connection, prefix: &str) -> Result<Vec<CollectionRow>, DbError> {
    let mut statement = reader.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM collections WHERE substr(lower(hex(id)), 1, length(?1)) = ?1 LIMIT 2"
    ))?;
    let rows = statement.query_map([prefix], read_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Collections of an incident (`None`: of all), oldest first.
pub fn of_incident(reader: &Connection, incident: Option<&str>) -> Result<Vec<CollectionRow>, DbError> {
    let mut statement = reader.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM collections WHERE ?1 IS NULL OR incident = ?1 ORDER BY started_idx"
    ))?;
    let rows = statement.query_map([incident], read_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Collections that are still `running`: the start-up sweep looks at them.
pub fn running(reader: &Connection) -> Result<Vec<CollectionRow>, DbError> {
    let mut statement = reader
        .prepare_cached(&format!("SELECT {COLUMNS} FROM collections WHERE state = ?1 ORDER BY number"))?;
    let rows = statement.query_map([Sql(&CollectionState::Running)], read_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether a segment or seal of this digest was acknowledged in a collection.
pub fn names_object(reader: &Connection, id: &[u8; 32], digest: &[u8; 32]) -> Result<bool, DbError> {
    let mut statement = reader.prepare_cached(
        "SELECT 1 FROM segments WHERE collection = (SELECT number FROM collections WHERE id = ?1)
             AND (sha256 = ?2 OR seal_sha256 = ?2)",
    )?;
    Ok(statement.exists([id, digest])?)
}

/// Whether a collection accepts segments. This is asked for every segment, so it reads one column of one row.
pub fn is_running(tx: &Connection, id: &[u8; 32]) -> Result<bool, DbError> {
    let mut statement = tx.prepare_cached("SELECT 1 FROM collections WHERE id = ?1 AND state = ?2")?;
    Ok(statement.exists(params![id, Sql(&CollectionState::Running)])?)
}

/// Ends a collection, and the attempt that made it.
pub fn set_state(tx: &Connection, id: &[u8; 32], state: CollectionState, time: &str) -> Result<(), DbError> {
    tx.prepare_cached("UPDATE collections SET state = ?2, ended = ?3 WHERE id = ?1")?.execute(params![
        id,
        Sql(&state),
        time
    ])?;
    if let Some(attempt) = AttemptState::of_collection(state) {
        tx.prepare_cached("UPDATE attempts SET state = ?2, time = ?3 WHERE collection = ?1")?
            .execute(params![id, Sql(&attempt), time])?;
    }
    Ok(())
}

/// What `collection.stored` and its manifest say.
#[derive(Debug, Clone)]
pub struct StoredCollection<'entry> {
    /// Collection id.
    pub id: [u8; 32],
    /// Digest of the manifest document.
    pub manifest: [u8; 32],
    /// Sum of `size` of members with content.
    pub content_bytes: u64,
    /// Counts by outcome.
    pub outcomes: Vec<(String, u64)>,
    pub copies: u32,
    /// Fewer than policy asks.
    pub degraded: bool,
    /// On independent stores.
    pub independent: bool,
    /// Entry time.
    pub time: &'entry str,
    /// Entry.
    pub index: u64,
}

/// Marks a collection as stored.
pub fn set_stored(tx: &Connection, stored: &StoredCollection<'_>) -> Result<(), DbError> {
    let state = if stored.degraded { CollectionState::StoredDegraded } else { CollectionState::Stored };
    set_state(tx, &stored.id, state, stored.time)?;
    tx.prepare_cached(
        "UPDATE collections SET manifest = ?2, content_bytes = ?3, copies = ?4, degraded = ?5, independent = ?6,
             stored_idx = ?7 WHERE id = ?1",
    )?
    .execute(params![
        stored.id,
        stored.manifest,
        stored.content_bytes,
        stored.copies,
        stored.degraded,
        stored.independent,
        stored.index
    ])?;
    for (outcome, count) in &stored.outcomes {
        tx.prepare_cached(
            "INSERT INTO outcomes (collection, outcome, count)
             VALUES ((SELECT number FROM collections WHERE id = ?1), ?2, ?3)",
        )?
        .execute(params![stored.id, outcome, count])?;
    }
    Ok(())
}

/// Changes collections from stored degraded to `stored` if they now have all their copies: each segment has
/// more copies than the entry said, and no part of the collection waits for repair. The entry itself does not
/// change.
pub fn mark_repaired(tx: &Connection) -> Result<(), DbError> {
    tx.execute(
        "UPDATE collections SET state = ?1, degraded = 0,
             copies = (SELECT min(copies) FROM segments WHERE collection = collections.number)
         WHERE state = ?2
           AND copies < (SELECT min(copies) FROM segments WHERE collection = collections.number)
           AND NOT EXISTS (SELECT 1 FROM repair_queue
               WHERE key LIKE 'segments/' || lower(hex(collections.id)) || '/%'
                  OR key LIKE 'seals/' || lower(hex(collections.id)) || '/%'
                  OR key = 'documents/' || lower(hex(collections.manifest)) || '.signed')",
        [Sql(&CollectionState::Stored), Sql(&CollectionState::StoredDegraded)],
    )?;
    tx.execute(
        "UPDATE attempts SET state = ?1 WHERE state = ?2 AND collection IN (SELECT id FROM collections WHERE state = ?3)",
        params![Sql(&AttemptState::Stored), Sql(&AttemptState::StoredDegraded), Sql(&CollectionState::Stored)],
    )?;
    Ok(())
}

/// Counts by outcome: those of the manifest once it is stored; before that, counted from the items.
pub fn outcomes(reader: &Connection, number: u64) -> Result<Vec<(String, u64)>, DbError> {
    let read = |sql: &str| -> Result<Vec<(String, u64)>, DbError> {
        let mut statement = reader.prepare_cached(sql)?;
        let rows = statement.query_map([number], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    };
    let stored = read("SELECT outcome, count FROM outcomes WHERE collection = ?1 ORDER BY outcome")?;
    if !stored.is_empty() {
        return Ok(stored);
    }
    read("SELECT outcome, count(*) FROM items WHERE collection = ?1 GROUP BY outcome ORDER BY outcome")
}

/// One acknowledged segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentRow {
    /// Index in its collection.
    pub index: u64,
    /// Digest of the stored bytes.
    pub sha256: [u8; 32],
    /// Digest of its seal.
    pub seal_sha256: [u8; 32],
    /// Stored length.
    pub stored_len: u64,
    /// Length of the seal.
    pub seal_len: u64,
    /// First plain byte.
    pub plain_start: u64,
    /// Just past the last plain byte.
    pub plain_end: u64,
    /// Records in its seal.
    pub items: u64,
    /// Records up to and including its seal.
    pub items_total: u64,
    /// Last segment of a finished container.
    pub is_final: bool,
    /// Stores that hold it, as last known (LIVE).
    pub copies: u32,
}

const SEGMENT_COLUMNS: &str = "idx, sha256, seal_sha256, stored_len, seal_len, plain_start, plain_end, items, items_total, final, copies";

fn read_segment(row: &Row<'_>) -> rusqlite::Result<SegmentRow> {
    Ok(SegmentRow {
        index: row.get(0)?,
        sha256: row.get(1)?,
        seal_sha256: row.get(2)?,
        stored_len: row.get(3)?,
        seal_len: row.get(4)?,
        plain_start: row.get(5)?,
        plain_end: row.get(6)?,
        items: row.get(7)?,
        items_total: row.get(8)?,
        is_final: row.get(9)?,
        copies: row.get(10)?,
    })
}

/// One item record's index row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemRow {
    /// Ordinal.
    pub n: u64,
    /// Segment whose seal holds the record line.
    pub segment: u64,
    /// Raw path.
    pub path: Vec<u8>,
    pub outcome: String,
    pub kind: String,
    /// Plain offset of the member's first block.
    pub at: Option<u64>,
    /// Plain offset of its content.
    pub data: Option<u64>,
    /// Logical length.
    pub size: Option<u64>,
    /// Content bytes in the tar.
    pub stored: Option<u64>,
}

/// Adds an acknowledged segment with the items of its seal, and counts both. A segment that is already there
/// stays as it is.
///
/// Ingest uses this when it acknowledges, and `rebuild` uses it with the seals in the stores. Both write the
/// same rows.
///
/// # Errors
/// An error of the database, or `Corrupt` if there is no such collection.
pub fn add_segment(
    tx: &Connection,
    collection: &[u8; 32],
    segment: &SegmentRow,
    items: impl IntoIterator<Item = ItemRow>,
) -> Result<(), DbError> {
    let number: Option<u64> = tx
        .prepare_cached("SELECT number FROM collections WHERE id = ?1")?
        .query_row([collection], |row| row.get(0))
        .optional()?;
    let number = number.ok_or(DbError::Corrupt { column: "collections.id" })?;
    let added = tx
        .prepare_cached(&format!(
            "INSERT INTO segments (collection, {SEGMENT_COLUMNS})
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) ON CONFLICT (collection, idx) DO NOTHING"
        ))?
        .execute(params![
            number,
            segment.index,
            segment.sha256,
            segment.seal_sha256,
            segment.stored_len,
            segment.seal_len,
            segment.plain_start,
            segment.plain_end,
            segment.items,
            segment.items_total,
            segment.is_final,
            segment.copies
        ])?;
    if added == 0 {
        return Ok(());
    }
    let mut insert = tx.prepare_cached(
        "INSERT INTO items (collection, n, segment, path, outcome, kind, at, data, size, stored)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    let (mut count, mut not_ok) = (0_u64, 0_u64);
    for item in items {
        count += 1;
        not_ok += u64::from(item.outcome != "ok");
        insert.execute(params![
            number,
            item.n,
            segment.index,
            item.path,
            item.outcome,
            item.kind,
            item.at,
            item.data,
            item.size,
            item.stored
        ])?;
    }
    tx.prepare_cached(
        "UPDATE collections SET items = items + ?2, not_ok = not_ok + ?3, stored_bytes = stored_bytes + ?4,
             segments = segments + 1, plain_bytes = max(plain_bytes, ?5), seal_head = ?6 WHERE number = ?1",
    )?
    .execute(params![
        number,
        count,
        not_ok,
        segment.stored_len,
        segment.plain_end,
        segment.seal_sha256
    ])?;
    Ok(())
}

/// Segments of a collection, in order.
pub fn segments(reader: &Connection, number: u64) -> Result<Vec<SegmentRow>, DbError> {
    let mut statement = reader.prepare_cached(&format!(
        "SELECT {SEGMENT_COLUMNS} FROM segments WHERE collection = ?1 ORDER BY idx"
    ))?;
    let rows = statement.query_map([number], read_segment)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The newest segment: an interrupted upload continues after it.
pub fn newest_segment(reader: &Connection, number: u64) -> Result<Option<SegmentRow>, DbError> {
    let mut statement = reader.prepare_cached(&format!(
        "SELECT {SEGMENT_COLUMNS} FROM segments WHERE collection = ?1 ORDER BY idx DESC LIMIT 1"
    ))?;
    Ok(statement.query_row([number], read_segment).optional()?)
}

fn read_item(row: &Row<'_>) -> rusqlite::Result<ItemRow> {
    Ok(ItemRow {
        n: row.get(0)?,
        segment: row.get(1)?,
        path: row.get(2)?,
        outcome: row.get(3)?,
        kind: row.get(4)?,
        at: row.get(5)?,
        data: row.get(6)?,
        size: row.get(7)?,
        stored: row.get(8)?,
    })
}

const ITEM_COLUMNS: &str = "n, segment, path, outcome, kind, at, data, size, stored";

/// The item of an ordinal.
pub fn item(reader: &Connection, number: u64, n: u64) -> Result<Option<ItemRow>, DbError> {
    let mut statement = reader
        .prepare_cached(&format!("SELECT {ITEM_COLUMNS} FROM items WHERE collection = ?1 AND n = ?2"))?;
    Ok(statement.query_row(params![number, n], read_item).optional()?)
}

/// Items of exactly this raw path, in order, at most `limit`. The parts of an item share a path, and so do
/// repeated looks.
pub fn items_of_path(
    reader: &Connection,
    number: u64,
    path: &[u8],
    limit: u32,
) -> Result<Vec<ItemRow>, DbError> {
    let mut statement = reader.prepare_cached(&format!(
        "SELECT {ITEM_COLUMNS} FROM items WHERE collection = ?1 AND path = ?2 ORDER BY n LIMIT ?3"
    ))?;
    let rows = statement.query_map(params![number, path, limit], read_item)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Items by ordinal from `from` on whose raw path begins with `prefix`, at most `limit`: one page of a listing.
pub fn items_page(
    reader: &Connection,
    number: u64,
    prefix: &[u8],
    not_ok_only: bool,
    from: u64,
    limit: u32,
) -> Result<Vec<ItemRow>, DbError> {
    let condition = if not_ok_only { "AND outcome <> 'ok'" } else { "" };
    let mut statement = reader.prepare_cached(&format!(
        "SELECT {ITEM_COLUMNS} FROM items
         WHERE collection = ?1 AND n >= ?2 AND substr(path, 1, length(?3)) = ?3 {condition} ORDER BY n LIMIT ?4"
    ))?;
    let rows = statement.query_map(params![number, from, prefix, limit], read_item)?;
    Ok(rows.collect::<Result<_, _>>()?)
}
