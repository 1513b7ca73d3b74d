//! Orders and attempts as people see them: database rows, what endpoints do now, and the states derived from both.

use std::collections::BTreeMap;

use evidence::digest::Digest;
use evidence::entry::state::{AttemptState, OrderState};
use evidence::id::EndpointId;
use evidence::length::to_u64;
use evidence::time::Time;
use proto::v1;
use rusqlite::Connection;

use super::state::{OrderFacts, Target, is_finished, order_state};
use crate::collector::Collector;
use crate::failure::Failure;
use crate::rows::collections::CollectionRow;
use crate::rows::orders::{AttemptRow, OrderRow, TargetRow};
use crate::rows::{self, DbError};
use crate::services::caller::{self, Filter};
use crate::services::orders::OrderDesk;

/// Everything about one order.
#[derive(Debug)]
pub struct OrderView {
    /// The row as recorded.
    pub row: OrderRow,
    /// The state derived from the records and the clock.
    pub state: OrderState,
    /// Targets with their newest attempts.
    pub targets: Vec<TargetView>,
}

/// One target with its newest attempt.
#[derive(Debug)]
pub struct TargetView {
    pub target: TargetRow,
    /// Newest attempt in the records.
    pub attempt: Option<AttemptRow>,
    pub collection: Option<CollectionRow>,
    /// The state, including what only this process knows now.
    pub state: AttemptState,
}

impl OrderView {
    /// Reads an order with everything about it.
    pub async fn load(desk: &OrderDesk, order: &Digest) -> Result<Option<Self>, Failure> {
        let id = *order;
        let read = desk.collector.db.read_async(move |db| read(db, &id)).await;
        let read = read?;
        Ok(read.map(|read| Self::build(read, &|endpoint| desk.sent.is_sent(order, endpoint.as_str()))))
    }

    fn build(read: Read, is_sent: &dyn Fn(&EndpointId) -> bool) -> Self {
        let Read { row, targets, attempts, collections } = read;
        let mut newest = newest_by_endpoint(attempts);
        let mut by_id: BTreeMap<Digest, CollectionRow> =
            collections.into_iter().map(|row| (row.id, row)).collect();
        let targets: Vec<TargetView> = targets
            .into_iter()
            .map(|target| {
                let attempt = newest.remove(&target.endpoint);
                let collection =
                    attempt.as_ref().and_then(|row| row.collection).and_then(|id| by_id.remove(&id));
                let state = attempt_state(attempt.as_ref(), is_sent(&target.endpoint));
                TargetView { target, attempt, collection, state }
            })
            .collect();
        let states: Vec<Target> = targets.iter().map(TargetView::progress).collect();
        let state = order_state(facts(&row, crate::clock::now()), &states);
        Self { row, state, targets }
    }

    /// The order's row in a list.
    pub fn summary(&self) -> v1::OrderRow {
        let stored = self.targets.iter().filter(|target| target.state.is_stored()).count();
        v1::OrderRow {
            order: self.row.id.to_string(),
            incident: self.row.incident.to_string(),
            issuer: self.row.issuer.to_string(),
            issued: self.row.issued.to_string(),
            expires: self.row.expires.to_string(),
            profile: self.row.profile.clone(),
            sensitivity: self.row.sensitivity.as_str().to_owned(),
            state: self.state.as_str().to_owned(),
            targets: self.row.targets_count,
            stored: to_u64(stored),
        }
    }

    /// One row for each target.
    pub fn attempts(&self) -> Vec<v1::AttemptRow> {
        self.targets.iter().map(TargetView::wire).collect()
    }

    /// True if nothing will change any more.
    pub fn is_finished(&self) -> bool {
        let states: Vec<Target> = self.targets.iter().map(TargetView::progress).collect();
        is_finished(self.state, &states)
    }

    /// The message for a watcher.
    pub fn progress(&self) -> v1::OrderProgress {
        v1::OrderProgress {
            row: Some(self.summary()),
            attempts: self.attempts(),
            finished: self.is_finished(),
        }
    }
}

impl TargetView {
    fn progress(&self) -> Target {
        Target { state: self.state, attempt: self.attempt.as_ref().map_or(0, |row| row.attempt) }
    }

    fn wire(&self) -> v1::AttemptRow {
        let collection = self.collection.as_ref();
        v1::AttemptRow {
            endpoint: self.target.endpoint.to_string(),
            attempt: self.attempt.as_ref().map_or(0, |row| row.attempt),
            // On the wire, an empty text means that there is none.
            collection: collection.map(|row| row.id.to_string()).unwrap_or_default(),
            state: self.state.as_str().to_owned(),
            detail: self.attempt.as_ref().map(|row| row.reason.clone()).unwrap_or_default(),
            items: collection.map_or(0, |row| row.items),
            plain_bytes: collection.map_or(0, |row| row.plain_bytes),
            stored_bytes: collection.map_or(0, |row| row.stored_bytes),
            segments: collection.map_or(0, |row| row.segments),
            updated: self.attempt.as_ref().map(|row| row.time.to_string()).unwrap_or_default(),
        }
    }
}

/// The attempt that counts for each endpoint. A refusal has no attempt number: it counts if there is no attempt, or
/// if it came after an attempt that ended without evidence.
pub fn newest_by_endpoint(attempts: Vec<AttemptRow>) -> BTreeMap<EndpointId, AttemptRow> {
    let mut newest: BTreeMap<EndpointId, AttemptRow> = BTreeMap::new();
    let mut refusals: BTreeMap<EndpointId, AttemptRow> = BTreeMap::new();
    for attempt in attempts {
        if attempt.attempt == 0 {
            refusals.insert(attempt.endpoint.clone(), attempt);
        } else if newest.get(&attempt.endpoint).is_none_or(|known| attempt.attempt > known.attempt) {
            newest.insert(attempt.endpoint.clone(), attempt);
        }
    }
    for (endpoint, refusal) in refusals {
        let counts = newest.get(&endpoint).is_none_or(|known| {
            matches!(known.state, AttemptState::Interrupted | AttemptState::Malformed)
                && refusal.time >= known.time
        });
        if counts {
            newest.insert(endpoint, refusal);
        }
    }
    newest
}

/// The state of a target, as recorded. Only this process knows whether an order was sent.
pub fn attempt_state(attempt: Option<&AttemptRow>, is_sent: bool) -> AttemptState {
    let unbegun = if is_sent { AttemptState::Sent } else { AttemptState::Waiting };
    attempt.map_or(unbegun, |row| row.state)
}

/// The facts of a row at the time `now`.
pub fn facts(row: &OrderRow, now: Time) -> OrderFacts {
    OrderFacts {
        needs_approval: row.state == OrderState::AwaitingApproval,
        approved: false,
        rejected: row.state == OrderState::Rejected,
        cancelled: row.state == OrderState::Cancelled,
        expired: row.expires <= now,
        attempts_max: row.attempts_max,
    }
}

struct Read {
    row: OrderRow,
    targets: Vec<TargetRow>,
    attempts: Vec<AttemptRow>,
    collections: Vec<CollectionRow>,
}

fn read(db: &Connection, id: &Digest) -> Result<Option<Read>, DbError> {
    let Some(row) = rows::orders::at(db, id)? else {
        return Ok(None);
    };
    let targets = rows::orders::targets(db, id)?;
    let attempts = rows::orders::attempts(db, id)?;
    let mut collections = Vec::new();
    for collection in attempts.iter().filter_map(|row| row.collection) {
        collections.extend(rows::collections::at(db, &collection)?);
    }
    Ok(Some(Read { row, targets, attempts, collections }))
}

/// Orders of an incident (empty: of all), oldest first.
pub async fn list(desk: &OrderDesk, incident: &str) -> Result<Vec<v1::OrderRow>, Failure> {
    let wanted = match caller::incident_filter(incident) {
        Filter::Nothing => return Ok(Vec::new()),
        Filter::All => None,
        Filter::One(incident) => Some(incident),
    };
    let orders = desk
        .collector
        .db
        .read_async(move |db| {
            let rows = rows::orders::of_incident(db, wanted.as_ref())?;
            rows.into_iter().map(|row| read(db, &row.id)).collect::<Result<Vec<_>, DbError>>()
        })
        .await?;
    Ok(orders
        .into_iter()
        .flatten()
        .map(|read| {
            let id = read.row.id;
            OrderView::build(read, &|endpoint| desk.sent.is_sent(&id, endpoint.as_str())).summary()
        })
        .collect())
}

/// Finds the order that a person means, by its id or a unique prefix of at least eight digits.
///
/// # Errors
/// `Missing`, or `Malformed` for a prefix that is too short or not unique.
pub async fn resolve(collector: &Collector, text: &str) -> Result<Digest, Failure> {
    check_prefix(text, "order")?;
    let prefix = text.to_owned();
    let found = collector.db.read_async(move |db| rows::orders::by_prefix(db, &prefix)).await?;
    one(found.into_iter().map(|row| row.id), "order", text)
}

/// Refuses a text that cannot be a prefix of a digest.
pub fn check_prefix(text: &str, what: &str) -> Result<(), Failure> {
    let is_hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_hex && (8..=64).contains(&text.len()) {
        return Ok(());
    }
    Err(Failure::malformed(format!("{what} {text:?} is not 8 to 64 lower-case hex digits")))
}

/// The only match of a prefix.
///
/// # Errors
/// `Missing` if there is none, `Malformed` if there are more.
pub fn one<T>(mut found: impl Iterator<Item = T>, what: &str, text: &str) -> Result<T, Failure> {
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(Failure::missing(format!("there is no {what} {text}"))),
        (Some(_), Some(_)) => {
            Err(Failure::malformed(format!("more than one {what} begins with {text}; give more digits")))
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn the_longest_order_fits_into_one_message() {
        let attempt = v1::AttemptRow {
            endpoint: "e".repeat(evidence::id::NAME_BYTES_MAX),
            attempt: u32::MAX,
            collection: Digest::ZERO.to_string(),
            state: AttemptState::StoredDegraded.as_str().to_owned(),
            // The longest value of a ref.
            detail: "r".repeat(160),
            items: u64::MAX,
            plain_bytes: u64::MAX,
            stored_bytes: u64::MAX,
            segments: u64::MAX,
            updated: Time::EPOCH.to_string(),
        };
        let attempts = vec![attempt; proto::limits::TARGETS_MAX];
        let progress = v1::OrderProgress { row: None, attempts, finished: false };
        assert!(2 * progress.encoded_len() < proto::limits::RESPONSE_BYTES_MAX, "{}", progress.encoded_len());
    }
}
