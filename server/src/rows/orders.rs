//! Orders, their targets and approvals, and what endpoints did with them.

use evidence::entry::state::{AttemptState, OrderState};

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::DbError;
use super::column::{self, Sql};

/// One order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRow {
    /// Digest of the order document.
    pub id: [u8; 32],
    pub incident: String,
    /// Issuer's person id.
    pub issuer: String,
    /// When it was signed, as the order says.
    pub issued: String,
    /// Until when endpoints may obey it.
    pub expires: String,
    /// Attempts per endpoint.
    pub attempts_max: u32,
    /// The roster under which it was made.
    pub roster_version: u64,
    /// Root over the target leaves.
    pub targets_root: [u8; 32],
    /// Number of targets.
    pub targets_count: u64,
    /// Name of the profile.
    pub profile: String,
    /// `normal` or `sensitive`.
    pub sensitivity: String,
    /// State as recorded: never running, done or expired.
    pub state: OrderState,
    /// Event id of `order.issued` (the order document's digest: equal to `id`).
    pub event: [u8; 32],
    /// Entry `order.issued`.
    pub index: u64,
}

const COLUMNS: &str =
    "id, incident, issuer, issued, expires, attempts_max, roster_version, targets_root, targets_count,
    profile, sensitivity, state, event, idx";

fn read_row(row: &Row<'_>) -> rusqlite::Result<OrderRow> {
    Ok(OrderRow {
        id: row.get(0)?,
        incident: row.get(1)?,
        issuer: row.get(2)?,
        issued: row.get(3)?,
        expires: row.get(4)?,
        attempts_max: row.get(5)?,
        roster_version: row.get(6)?,
        targets_root: row.get(7)?,
        targets_count: row.get(8)?,
        profile: row.get(9)?,
        sensitivity: row.get(10)?,
        state: column::get(row, 11)?,
        event: row.get(12)?,
        index: row.get(13)?,
    })
}

/// One target of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRow {
    /// Index of its leaf in the order's tree.
    pub position: u64,
    pub endpoint: String,
    pub generation: u32,
    /// Fingerprint of the evidence key.
    pub fingerprint: String,
}

/// One approval or rejection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalRow {
    /// Event id: digest of the approval document.
    pub event: [u8; 32],
    pub order: [u8; 32],
    /// Approver's person id.
    pub approver: String,
    /// `approve` or `reject`.
    pub decision: String,
    /// Entry time.
    pub time: String,
    /// Entry.
    pub index: u64,
}

/// What an endpoint did with an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRow {
    pub order: [u8; 32],
    pub endpoint: String,
    /// Number of the attempt, from 1; 0 if the order was refused before any attempt.
    pub attempt: u32,
    /// The collection that it started.
    pub collection: Option<[u8; 32]>,
    /// State as recorded: never waiting or sent.
    pub state: AttemptState,
    /// Reason of a refusal.
    pub reason: String,
    /// Entry time of the last change.
    pub time: String,
}

/// Adds an order.
pub fn insert(tx: &Connection, row: &OrderRow) -> Result<(), DbError> {
    tx.prepare_cached(&format!(
        "INSERT INTO orders ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
    ))?
    .execute(params![
        row.id,
        row.incident,
        row.issuer,
        row.issued,
        row.expires,
        row.attempts_max,
        row.roster_version,
        row.targets_root,
        row.targets_count,
        row.profile,
        row.sensitivity,
        Sql(&row.state),
        row.event,
        row.index
    ])?;
    Ok(())
}

/// Adds a target.
pub fn insert_target(tx: &Connection, order: &[u8; 32], target: &TargetRow) -> Result<(), DbError> {
    tx.prepare_cached(
        "INSERT INTO targets (order_id, position, endpoint, generation, fingerprint) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![order, target.position, target.endpoint, target.generation, target.fingerprint])?;
    Ok(())
}

/// Adds an approval.
pub fn insert_approval(tx: &Connection, row: &ApprovalRow) -> Result<(), DbError> {
    tx.prepare_cached(
        "INSERT INTO approvals (event, order_id, approver, decision, time, idx) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![row.event, row.order, row.approver, row.decision, row.time, row.index])?;
    Ok(())
}

/// Moves an order out of the given state. An order that has already left that state stays where it is.
pub fn advance(
    tx: &Connection,
    order: &[u8; 32],
    from: &[OrderState],
    to: OrderState,
) -> Result<(), DbError> {
    for state in from {
        tx.prepare_cached("UPDATE orders SET state = ?3 WHERE id = ?1 AND state = ?2")?.execute(params![
            order,
            Sql(state),
            Sql(&to)
        ])?;
    }
    Ok(())
}

/// Adds or changes what an endpoint did.
pub fn set_attempt(tx: &Connection, row: &AttemptRow) -> Result<(), DbError> {
    tx.prepare_cached(
        "INSERT INTO attempts (order_id, endpoint, attempt, collection, state, reason, time)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (order_id, endpoint, attempt) DO UPDATE SET collection = excluded.collection,
             state = excluded.state, reason = excluded.reason, time = excluded.time",
    )?
    .execute(params![
        row.order,
        row.endpoint,
        row.attempt,
        row.collection,
        Sql(&row.state),
        row.reason,
        row.time
    ])?;
    Ok(())
}

/// One order.
pub fn at(reader: &Connection, order: &[u8; 32]) -> Result<Option<OrderRow>, DbError> {
    let mut statement = reader.prepare_cached(&format!("SELECT {COLUMNS} FROM orders WHERE id = ?1"))?;
    Ok(statement.query_row([order], read_row).optional()?)
}

/// Orders whose id begins with these hexadecimal digits, at most two: none, one, or ambiguous.
pub fn by_prefix(reader: &Connection, prefix: &str) -> Result<Vec<OrderRow>, DbError> {
    let mut statement = reader.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM orders WHERE substr(lower(hex(id)), 1, length(?1)) = ?1 LIMIT 2"
    ))?;
    let rows = statement.query_map([prefix], read_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Orders of an incident (`None`: of all), oldest first.
pub fn of_incident(reader: &Connection, incident: Option<&str>) -> Result<Vec<OrderRow>, DbError> {
    let mut statement = reader.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM orders WHERE ?1 IS NULL OR incident = ?1 ORDER BY idx"
    ))?;
    let rows = statement.query_map([incident], read_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Orders in state `issued`, not expired at `now`, that have this endpoint generation among their targets.
pub fn open_for(
    reader: &Connection,
    endpoint: &str,
    generation: u32,
    now: &str,
) -> Result<Vec<OrderRow>, DbError> {
    let mut statement = reader.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM orders WHERE state = ?4 AND expires > ?3 AND id IN (
             SELECT order_id FROM targets WHERE endpoint = ?1 AND generation = ?2) ORDER BY idx"
    ))?;
    let rows = statement.query_map(params![endpoint, generation, now, Sql(&OrderState::Issued)], read_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Targets of an order, in the order of its tree.
pub fn targets(reader: &Connection, order: &[u8; 32]) -> Result<Vec<TargetRow>, DbError> {
    let mut statement = reader.prepare_cached(
        "SELECT position, endpoint, generation, fingerprint FROM targets WHERE order_id = ?1 ORDER BY position",
    )?;
    let rows = statement.query_map([order], |row| {
        Ok(TargetRow {
            position: row.get(0)?,
            endpoint: row.get(1)?,
            generation: row.get(2)?,
            fingerprint: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Approvals and rejections of an order, oldest first.
pub fn approvals(reader: &Connection, order: &[u8; 32]) -> Result<Vec<ApprovalRow>, DbError> {
    let mut statement = reader.prepare_cached(
        "SELECT event, order_id, approver, decision, time, idx FROM approvals WHERE order_id = ?1 ORDER BY idx",
    )?;
    let rows = statement.query_map([order], |row| {
        Ok(ApprovalRow {
            event: row.get(0)?,
            order: row.get(1)?,
            approver: row.get(2)?,
            decision: row.get(3)?,
            time: row.get(4)?,
            index: row.get(5)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What the endpoints did with an order.
pub fn attempts(reader: &Connection, order: &[u8; 32]) -> Result<Vec<AttemptRow>, DbError> {
    let mut statement = reader.prepare_cached(
        "SELECT order_id, endpoint, attempt, collection, state, reason, time FROM attempts
         WHERE order_id = ?1 ORDER BY endpoint, attempt",
    )?;
    let rows = statement.query_map([order], |row| {
        Ok(AttemptRow {
            order: row.get(0)?,
            endpoint: row.get(1)?,
            attempt: row.get(2)?,
            collection: row.get(3)?,
            state: column::get(row, 4)?,
            reason: row.get(5)?,
            time: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
