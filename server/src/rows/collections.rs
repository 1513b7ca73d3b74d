//! Collections with their segments and items: up to millions of rows, so every query uses a key or an index.

use evidence::digest::Digest;
use evidence::entry::state::{AttemptState, CollectionState};
use evidence::id::{EndpointId, Generation, IncidentId};
use evidence::item::Kind;
use evidence::item::outcome::Outcome;
use evidence::keys::PublicKey;
use evidence::time::Time;
use rusqlite::Connection;

use super::DbError;
use super::column::values;
use super::record::{Record as _, find, find_value, list, record};

record! {
    CollectionRow of "collections" by "id" {
        /// Short number within this database; not stable across rebuilds.
        number: u64 = "number",
        id: Digest = "id",
        incident: IncidentId = "incident",
        order: Digest = "order_id",
        endpoint: EndpointId = "endpoint",
        generation: Generation = "generation",
        attempt: u32 = "attempt",
        /// Event id of `collection.started`: the delegation document's digest.
        delegation: Digest = "delegation",
        sealer: PublicKey = "sealer",
        state: CollectionState = "state",
        /// Digest of the manifest, once stored.
        manifest: Option<Digest> = "manifest",
        /// Digest of the newest seal.
        seal_head: Option<Digest> = "seal_head",
        /// Item records so far.
        items: u64 = "items",
        /// How many of them are not ok.
        not_ok: u64 = "not_ok",
        /// Sum of `size` of members with content; from the manifest once it is stored.
        content_bytes: u64 = "content_bytes",
        /// Plain bytes so far.
        plain_bytes: u64 = "plain_bytes",
        /// Stored bytes so far.
        stored_bytes: u64 = "stored_bytes",
        /// Segments so far.
        segments: u64 = "segments",
        /// Number of copies, as `collection.stored` says. Before that entry, the copies of the segment that has
        /// the fewest.
        copies: u32 = "CASE WHEN stored_idx IS NULL
            THEN (SELECT coalesce(min(s.copies), 0) FROM segments s WHERE s.collection = collections.number)
            ELSE copies END AS copies",
        /// True if there are fewer copies than the policy asks for, as `collection.stored` says.
        degraded: bool = "degraded",
        /// True if the copies are on independent stores, as `collection.stored` says.
        independent: bool = "independent",
        /// Collector's time of `collection.started`.
        begun: Time = "begun",
        /// Collector's time of the last state; `None` while the collection runs.
        ended: Option<Time> = "ended",
        /// Entry `collection.started`.
        started_index: u64 = "started_idx",
        /// Entry `collection.stored`. Its proof is the receipt.
        stored_index: Option<u64> = "stored_idx",
    }
}

/// A new collection, as `collection.started` describes it.
#[derive(Debug, Clone)]
pub(crate) struct NewCollection {
    pub(crate) id: Digest,
    pub(crate) incident: IncidentId,
    pub(crate) order: Digest,
    pub(crate) endpoint: EndpointId,
    pub(crate) generation: Generation,
    pub(crate) attempt: u32,
    /// Event id.
    pub(crate) delegation: Digest,
    pub(crate) sealer: PublicKey,
    /// Entry time.
    pub(crate) begun: Time,
    /// Entry.
    pub(crate) index: u64,
}

/// Starts a collection.
pub(crate) fn insert(tx: &Connection, new: &NewCollection) -> Result<(), DbError> {
    tx.prepare_cached(
        "INSERT INTO collections (id, incident, order_id, endpoint, generation, attempt, delegation, sealer, state, begun,
             ended, started_idx) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?11, ?9, '', ?10)",
    )?
    .execute(values![
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
        CollectionState::Running
    ])?;
    Ok(())
}

pub(crate) fn at(reader: &Connection, id: &Digest) -> Result<Option<CollectionRow>, DbError> {
    find(reader, "FROM collections WHERE id = ?1", values![id])
}

/// Collections whose id begins with these hexadecimal digits, at most two: none, one, or ambiguous.
pub(crate) fn by_prefix(reader: &Connection, prefix: &str) -> Result<Vec<CollectionRow>, DbError> {
    let rest = "FROM collections WHERE substr(lower(hex(id)), 1, length(?1)) = ?1 LIMIT 2";
    list(reader, rest, values![prefix])
}

/// Collections of an incident (`None`: of all), oldest first.
pub(crate) fn of_incident(
    reader: &Connection,
    incident: Option<&IncidentId>,
) -> Result<Vec<CollectionRow>, DbError> {
    match incident {
        Some(incident) => {
            list(reader, "FROM collections WHERE incident = ?1 ORDER BY started_idx", values![incident])
        }
        None => list(reader, "FROM collections ORDER BY started_idx", values![]),
    }
}

/// Collections that are still `running`: the start-up sweep looks at them.
pub(crate) fn running(reader: &Connection) -> Result<Vec<CollectionRow>, DbError> {
    list(reader, "FROM collections WHERE state = ?1 ORDER BY number", values![CollectionState::Running])
}

/// True if a collection acknowledged a segment or seal of this digest.
pub(crate) fn names_object(reader: &Connection, id: &Digest, digest: &Digest) -> Result<bool, DbError> {
    let mut statement = reader.prepare_cached(
        "SELECT 1 FROM segments WHERE collection = (SELECT number FROM collections WHERE id = ?1)
             AND (sha256 = ?2 OR seal_sha256 = ?2)",
    )?;
    Ok(statement.exists(values![id, digest])?)
}

/// Whether a collection accepts segments. This is asked for every segment, so it reads one column of one row.
pub(crate) fn is_running(tx: &Connection, id: &Digest) -> Result<bool, DbError> {
    let mut statement = tx.prepare_cached("SELECT 1 FROM collections WHERE id = ?1 AND state = ?2")?;
    Ok(statement.exists(values![id, CollectionState::Running])?)
}

/// Ends a collection, and the attempt that made it.
pub(crate) fn set_state(
    tx: &Connection,
    id: &Digest,
    state: CollectionState,
    time: Time,
) -> Result<(), DbError> {
    tx.prepare_cached("UPDATE collections SET state = ?2, ended = ?3 WHERE id = ?1")?
        .execute(values![id, state, time])?;
    if let Some(attempt) = AttemptState::of_collection(state) {
        tx.prepare_cached("UPDATE attempts SET state = ?2, time = ?3 WHERE collection = ?1")?
            .execute(values![id, attempt, time])?;
    }
    Ok(())
}

/// A stored collection, as `collection.stored` and its manifest describe it.
#[derive(Debug, Clone)]
pub(crate) struct StoredCollection {
    pub(crate) id: Digest,
    /// Digest of the manifest document.
    pub(crate) manifest: Digest,
    /// Sum of `size` of members with content.
    pub(crate) content_bytes: u64,
    pub(crate) outcomes: Vec<OutcomeRow>,
    pub(crate) copies: u32,
    /// True if there are fewer copies than the policy asks for.
    pub(crate) degraded: bool,
    /// True if the copies are on independent stores.
    pub(crate) independent: bool,
    /// Entry time.
    pub(crate) time: Time,
    /// Entry.
    pub(crate) index: u64,
}

record! {
    /// How many items of a collection had an outcome.
    OutcomeRow of "outcomes" by "collection", "outcome" {
        outcome: Outcome = "outcome",
        count: u64 = "count",
    }
}

/// Marks a collection as stored.
pub(crate) fn set_stored(tx: &Connection, stored: &StoredCollection) -> Result<(), DbError> {
    let state = if stored.degraded { CollectionState::StoredDegraded } else { CollectionState::Stored };
    set_state(tx, &stored.id, state, stored.time)?;
    tx.prepare_cached(
        "UPDATE collections SET manifest = ?2, content_bytes = ?3, copies = ?4, degraded = ?5, independent = ?6,
             stored_idx = ?7 WHERE id = ?1",
    )?
    .execute(values![
        stored.id,
        stored.manifest,
        stored.content_bytes,
        stored.copies,
        stored.degraded,
        stored.independent,
        stored.index
    ])?;
    for row in &stored.outcomes {
        tx.prepare_cached(
            "INSERT INTO outcomes (collection, outcome, count)
             VALUES ((SELECT number FROM collections WHERE id = ?1), ?2, ?3)",
        )?
        .execute(values![stored.id, row.outcome, row.count])?;
    }
    Ok(())
}

/// Changes collections from stored degraded to `stored` if they now have all their copies: each segment has
/// more copies than the entry said, and no part of the collection waits for repair. The entry itself does not
/// change.
pub(crate) fn mark_repaired(tx: &Connection) -> Result<(), DbError> {
    tx.execute(
        "UPDATE collections SET state = ?1, degraded = 0,
             copies = (SELECT min(copies) FROM segments WHERE collection = collections.number)
         WHERE state = ?2
           AND copies < (SELECT min(copies) FROM segments WHERE collection = collections.number)
           AND NOT EXISTS (SELECT 1 FROM repair_queue
               WHERE key LIKE 'segments/' || lower(hex(collections.id)) || '/%'
                  OR key LIKE 'seals/' || lower(hex(collections.id)) || '/%'
                  OR key = 'documents/' || lower(hex(collections.manifest)) || '.signed')",
        values![CollectionState::Stored, CollectionState::StoredDegraded],
    )?;
    tx.execute(
        "UPDATE attempts SET state = ?1 WHERE state = ?2 AND collection IN (SELECT id FROM collections WHERE state = ?3)",
        values![AttemptState::Stored, AttemptState::StoredDegraded, CollectionState::Stored],
    )?;
    Ok(())
}

/// Counts by outcome: those of the manifest once it is stored; before that, counted from the items.
pub(crate) fn outcomes(reader: &Connection, number: u64) -> Result<Vec<OutcomeRow>, DbError> {
    let stored = list(reader, "FROM outcomes WHERE collection = ?1 ORDER BY outcome", values![number])?;
    if !stored.is_empty() {
        return Ok(stored);
    }
    let counted = "FROM (SELECT collection, outcome, count(*) AS count FROM items WHERE collection = ?1
             GROUP BY collection, outcome) ORDER BY outcome";
    list(reader, counted, values![number])
}

record! {
    /// One acknowledged segment.
    SegmentRow of "segments" by "collection", "idx" {
        /// Index in its collection.
        index: u64 = "idx",
        /// Digest of the stored bytes.
        sha256: Digest = "sha256",
        /// Digest of its seal.
        seal_sha256: Digest = "seal_sha256",
        /// Stored length.
        stored_len: u64 = "stored_len",
        /// Length of the seal.
        seal_len: u64 = "seal_len",
        /// First plain byte.
        plain_start: u64 = "plain_start",
        /// Just past the last plain byte.
        plain_end: u64 = "plain_end",
        /// Records in its seal.
        items: u64 = "items",
        /// Records up to and including its seal.
        items_total: u64 = "items_total",
        /// Last segment of a finished container.
        is_final: bool = "final",
        /// Stores that hold it, as last known (LIVE).
        copies: u32 = "copies",
    }
}

record! {
    /// One item record's index row.
    ItemRow of "items" by "collection", "n" {
        /// Ordinal.
        n: u64 = "n",
        /// Segment whose seal holds the record line.
        segment: u64 = "segment",
        /// Raw path.
        path: Vec<u8> = "path",
        outcome: Outcome = "outcome",
        kind: Kind = "kind",
        /// Plain offset of the member's first block.
        at: Option<u64> = "at",
        /// Plain offset of its content.
        data: Option<u64> = "data",
        /// Logical length.
        size: Option<u64> = "size",
        /// Content bytes in the tar.
        stored: Option<u64> = "stored",
    }
}

/// Adds an acknowledged segment with the items of its seal, and counts both. A segment that is already there
/// stays as it is.
///
/// Ingest uses this when it acknowledges, and `rebuild` uses it with the seals in the stores. Both write the
/// same rows.
///
/// # Errors
/// An error of the database, or `Absent` if there is no such collection.
pub(crate) fn add_segment(
    tx: &Connection,
    collection: &Digest,
    segment: &SegmentRow,
    items: impl IntoIterator<Item = ItemRow>,
) -> Result<(), DbError> {
    let sql = "SELECT number, id FROM collections WHERE id = ?1";
    let number: u64 = find_value(tx, "collections", sql, values![collection])?
        .ok_or_else(|| DbError::Absent { table: "collections", key: format!("id {collection}") })?;
    let added = tx
        .prepare_cached(&format!(
            "INSERT INTO segments (collection, {})
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) ON CONFLICT (collection, idx) DO NOTHING",
            SegmentRow::COLUMNS.join(", ")
        ))?
        .execute(values![
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
        not_ok += u64::from(!item.outcome.is_ok());
        insert.execute(values![
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
    .execute(values![
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
pub(crate) fn segments(reader: &Connection, number: u64) -> Result<Vec<SegmentRow>, DbError> {
    list(reader, "FROM segments WHERE collection = ?1 ORDER BY idx", values![number])
}

/// The newest segment: an interrupted upload continues after it.
pub(crate) fn newest_segment(reader: &Connection, number: u64) -> Result<Option<SegmentRow>, DbError> {
    find(reader, "FROM segments WHERE collection = ?1 ORDER BY idx DESC LIMIT 1", values![number])
}

/// The item of an ordinal.
pub(crate) fn item(reader: &Connection, number: u64, n: u64) -> Result<Option<ItemRow>, DbError> {
    find(reader, "FROM items WHERE collection = ?1 AND n = ?2", values![number, n])
}

/// Items of exactly this raw path, in order, at most `limit`. The parts of an item share a path, and so do
/// repeated looks.
pub(crate) fn items_of_path(
    reader: &Connection,
    number: u64,
    path: &[u8],
    limit: u32,
) -> Result<Vec<ItemRow>, DbError> {
    let rest = "FROM items WHERE collection = ?1 AND path = ?2 ORDER BY n LIMIT ?3";
    list(reader, rest, values![number, path, limit])
}

/// Items by ordinal from `from` on whose raw path begins with `prefix`, at most `limit`: one page of a listing.
pub(crate) fn items_page(
    reader: &Connection,
    number: u64,
    prefix: &[u8],
    not_ok_only: bool,
    from: u64,
    limit: u32,
) -> Result<Vec<ItemRow>, DbError> {
    let condition = if not_ok_only { "AND outcome <> 'ok'" } else { "" };
    let rest = format!(
        "FROM items WHERE collection = ?1 AND n >= ?2 AND substr(path, 1, length(?3)) = ?3 {condition}
         ORDER BY n LIMIT ?4"
    );
    list(reader, &rest, values![number, from, prefix, limit])
}
