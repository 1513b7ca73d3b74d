//! Orders, their targets and approvals, and what endpoints did with them.

use evidence::digest::Digest;
use evidence::entry::state::{AttemptState, OrderState};
use evidence::id::{EndpointId, Generation, IncidentId, PersonId};
use evidence::keys::Fingerprint;
use evidence::order::{Decision, Sensitivity};
use evidence::time::Time;
use rusqlite::Connection;

use super::DbError;
use super::column::values;
use super::record::{find, insert as insert_row, list, record};

record! {
    OrderRow of "orders" by "id" {
        /// Digest of the order document.
        id: Digest = "id",
        incident: IncidentId = "incident",
        issuer: PersonId = "issuer",
        /// When it was signed, as the order says.
        issued: Time = "issued",
        /// Until when endpoints may obey it.
        expires: Time = "expires",
        /// Attempts per endpoint.
        attempts_max: u32 = "attempts_max",
        /// The roster under which it was made.
        roster_version: u64 = "roster_version",
        /// Root over the target leaves.
        targets_root: Digest = "targets_root",
        targets_count: u64 = "targets_count",
        /// Name of the profile.
        profile: String = "profile",
        sensitivity: Sensitivity = "sensitivity",
        /// State as recorded: never running, done or expired.
        state: OrderState = "state",
        /// Event id of `order.issued` (the order document's digest: equal to `id`).
        event: Digest = "event",
        /// Entry `order.issued`.
        index: u64 = "idx",
    }
}

record! {
    TargetRow of "targets" by "order_id", "position" {
        /// Index of its leaf in the order's tree.
        position: u64 = "position",
        endpoint: EndpointId = "endpoint",
        generation: Generation = "generation",
        /// Fingerprint of the evidence key.
        fingerprint: Fingerprint = "fingerprint",
    }
}

record! {
    /// One approval or rejection.
    ApprovalRow of "approvals" by "event" {
        /// Event id: digest of the approval document.
        event: Digest = "event",
        order: Digest = "order_id",
        approver: PersonId = "approver",
        decision: Decision = "decision",
        /// Entry time.
        time: Time = "time",
        /// Entry.
        index: u64 = "idx",
    }
}

record! {
    /// One attempt of an endpoint under an order, or its refusal.
    AttemptRow of "attempts" by "order_id", "endpoint", "attempt" {
        order: Digest = "order_id",
        endpoint: EndpointId = "endpoint",
        /// Number of the attempt, from 1; 0 if the order was refused before any attempt.
        attempt: u32 = "attempt",
        /// The collection that it started.
        collection: Option<Digest> = "collection",
        /// State as recorded: never waiting or sent.
        state: AttemptState = "state",
        /// Reason of a refusal.
        reason: String = "reason",
        /// Entry time of the last change.
        time: Time = "time",
    }
}

/// Adds an order.
pub(crate) fn insert(tx: &Connection, row: &OrderRow) -> Result<(), DbError> {
    insert_row(tx, row)
}

/// Adds a target.
pub(crate) fn insert_target(tx: &Connection, order: &Digest, target: &TargetRow) -> Result<(), DbError> {
    tx.prepare_cached(
        "INSERT INTO targets (order_id, position, endpoint, generation, fingerprint) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(values![order, target.position, target.endpoint, target.generation, target.fingerprint])?;
    Ok(())
}

/// Adds an approval.
pub(crate) fn insert_approval(tx: &Connection, row: &ApprovalRow) -> Result<(), DbError> {
    insert_row(tx, row)
}

/// Moves an order out of the given state. An order that has already left that state stays where it is.
pub(crate) fn advance(
    tx: &Connection,
    order: &Digest,
    from: &[OrderState],
    to: OrderState,
) -> Result<(), DbError> {
    for state in from {
        tx.prepare_cached("UPDATE orders SET state = ?3 WHERE id = ?1 AND state = ?2")?
            .execute(values![order, state, to])?;
    }
    Ok(())
}

/// Adds or changes what an endpoint did.
pub(crate) fn set_attempt(tx: &Connection, row: &AttemptRow) -> Result<(), DbError> {
    tx.prepare_cached(
        "INSERT INTO attempts (order_id, endpoint, attempt, collection, state, reason, time)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (order_id, endpoint, attempt) DO UPDATE SET collection = excluded.collection,
             state = excluded.state, reason = excluded.reason, time = excluded.time",
    )?
    .execute(values![
        row.order,
        row.endpoint,
        row.attempt,
        row.collection,
        row.state,
        row.reason,
        row.time
    ])?;
    Ok(())
}

pub(crate) fn at(reader: &Connection, order: &Digest) -> Result<Option<OrderRow>, DbError> {
    find(reader, "FROM orders WHERE id = ?1", values![order])
}

/// Orders whose id begins with these hexadecimal digits, at most two: none, one, or ambiguous.
pub(crate) fn by_prefix(reader: &Connection, prefix: &str) -> Result<Vec<OrderRow>, DbError> {
    let rest = "FROM orders WHERE substr(lower(hex(id)), 1, length(?1)) = ?1 LIMIT 2";
    list(reader, rest, values![prefix])
}

/// Orders of an incident (`None`: of all), oldest first.
pub(crate) fn of_incident(
    reader: &Connection,
    incident: Option<&IncidentId>,
) -> Result<Vec<OrderRow>, DbError> {
    match incident {
        Some(incident) => list(reader, "FROM orders WHERE incident = ?1 ORDER BY idx", values![incident]),
        None => list(reader, "FROM orders ORDER BY idx", values![]),
    }
}

/// Orders in state `issued`, not expired at `now`, that have this endpoint generation among their targets.
pub(crate) fn open_for(
    reader: &Connection,
    endpoint: &EndpointId,
    generation: Generation,
    now: Time,
) -> Result<Vec<OrderRow>, DbError> {
    let rest = "FROM orders WHERE state = ?4 AND expires > ?3 AND id IN (
             SELECT order_id FROM targets WHERE endpoint = ?1 AND generation = ?2) ORDER BY idx";
    list(reader, rest, values![endpoint, generation, now, OrderState::Issued])
}

/// Targets of an order, in the order of its tree.
pub(crate) fn targets(reader: &Connection, order: &Digest) -> Result<Vec<TargetRow>, DbError> {
    list(reader, "FROM targets WHERE order_id = ?1 ORDER BY position", values![order])
}

/// The target of an order that is this endpoint.
pub(crate) fn target(
    reader: &Connection,
    order: &Digest,
    endpoint: &EndpointId,
) -> Result<Option<TargetRow>, DbError> {
    // By the index on endpoints: an order may have ten thousand targets, and an endpoint is in few orders.
    let rest = "FROM targets INDEXED BY targets_by_endpoint WHERE endpoint = ?2 AND order_id = ?1";
    find(reader, rest, values![order, endpoint])
}

/// Approvals and rejections of an order, oldest first.
pub(crate) fn approvals(reader: &Connection, order: &Digest) -> Result<Vec<ApprovalRow>, DbError> {
    list(reader, "FROM approvals WHERE order_id = ?1 ORDER BY idx", values![order])
}

/// The attempts and refusals of the endpoints under an order.
pub(crate) fn attempts(reader: &Connection, order: &Digest) -> Result<Vec<AttemptRow>, DbError> {
    list(reader, "FROM attempts WHERE order_id = ?1 ORDER BY endpoint, attempt", values![order])
}
