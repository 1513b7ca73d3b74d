//! Judges the first message of an upload: whose collection is it, under which order, and may the collector take it?
//!
//! Guarantee: a collection begins with one entry `collection.started`. The delegation is signed by the evidence key that
//! enrolment bound to this endpoint, and names an order that addresses the endpoint. Not here: the segments.

use custody::endpoint::Slot;
use custody::rule::RuleId;
use evidence::digest::Digest;
use evidence::entry::state::{CollectionState, EndpointState, OrderState};
use evidence::entry::{ActObject, EntryType};
use evidence::id::{Chain, EndpointId, Generation};
use evidence::keys::PublicKey;
use evidence::order::{Limits, Order};
use evidence::seal::Identity;
use evidence::seal::delegation::Delegation;
use evidence::signed::Signed;
use proto::status::Class;
use rusqlite::Connection;

use super::child::Begin;
use super::ended::{Ended, Reason};
use crate::failure::Failure;
use crate::rows::condition::{Condition, Denied};
use crate::rows::{self, DbError};
use crate::services::ingest::Ingest;

/// An admitted collection.
#[derive(Debug)]
pub struct Admitted {
    pub collection: Digest,
    /// The collection's number in the database.
    pub number: u64,
    /// Entry of `collection.stored`, if there is one.
    pub stored_index: Option<u64>,
    /// The chain of the incident it belongs to.
    pub chain: Chain,
    pub order: Order,
    /// The order's id.
    pub order_id: Digest,
    pub delegation: Delegation,
    /// Digest of the delegation document.
    pub delegation_id: Digest,
    /// The endpoint's evidence key.
    pub evidence_key: PublicKey,
    /// The identity that every seal repeats.
    pub identity: Identity,
    /// The first message for the caged verifier.
    pub begin: Begin,
}

/// Judges the delegation, and records the collection's start if it is new.
///
/// # Errors
/// [`Ended::Rejected`] if the collection can never be accepted, [`Ended::Failed`] otherwise.
pub async fn admit(
    ingest: &Ingest,
    endpoint: &EndpointId,
    generation: Generation,
    signed: Signed,
) -> Result<Admitted, Ended> {
    let evidence_key = enrolled_key(ingest, endpoint, generation).await?;
    let delegation = Delegation::verify(&signed, &evidence_key)
        .map_err(|error| Ended::rejected(Reason::Malformed, crate::failure::chain(&error)))?;
    let fits = delegation.deployment == ingest.collector.deployment
        && delegation.endpoint == *endpoint
        && delegation.generation == generation;
    if !fits {
        return Err(Ended::rejected(
            Reason::UnknownOrder,
            "the delegation is of another endpoint or deployment",
        ));
    }
    let Some(order) = ingest.collector.order(&delegation.order).await? else {
        return Err(Ended::rejected(Reason::UnknownOrder, "no such order was logged here"));
    };
    let delegation_id = signed.digest();
    let chain = Chain::from(order.order.incident.clone());
    let started = match ingest.collector.collection(&delegation.collection).await? {
        Some(row) if row.delegation == delegation_id => row,
        Some(_) => {
            return Err(Ended::rejected(Reason::Malformed, "another delegation began this collection"));
        }
        None => {
            may_begin(ingest, &order, &delegation, endpoint, generation, &evidence_key).await?;
            record_start(ingest, chain.clone(), &delegation, signed).await?;
            let row = ingest.collector.collection(&delegation.collection).await?;
            row.ok_or_else(|| Failure::internal("begin the collection", "collection.started made no row"))?
        }
    };
    may_go_on(started.state)?;
    if started.stored_index.is_none() {
        not_disposed(ingest, &delegation.collection).await?;
    }
    let is_stored = started.stored_index.is_some();
    if order.row.state == OrderState::Cancelled && !is_stored {
        return Err(Ended::rejected(Reason::Cancelled, "the order was cancelled"));
    }
    let identity = Identity {
        deployment: ingest.collector.deployment.clone(),
        collection: delegation.collection,
        order: delegation.order,
        attempt: u64::from(delegation.attempt),
    };
    Ok(Admitted {
        collection: delegation.collection,
        number: started.number,
        stored_index: started.stored_index,
        chain,
        begin: begin(&identity, &delegation, &order.order.limits),
        identity,
        order_id: delegation.order,
        order: order.order,
        delegation,
        delegation_id,
        evidence_key,
    })
}

/// Judges an admitted collection again when the call's turn comes: the collection may have ended while the call waited.
///
/// # Errors
/// [`Ended::Rejected`] if it ended; [`Ended::Failed`] if the database does not answer.
pub async fn readmit(ingest: &Ingest, admitted: Admitted) -> Result<Admitted, Ended> {
    let row = ingest.collector.collection(&admitted.collection).await?;
    let row = row.ok_or_else(|| Failure::internal("go on with the collection", "its row is gone"))?;
    may_go_on(row.state)?;
    if row.stored_index.is_none() {
        not_disposed(ingest, &admitted.collection).await?;
    }
    Ok(Admitted { stored_index: row.stored_index, ..admitted })
}

/// Refuses a collection that two persons disposed of.
async fn not_disposed(ingest: &Ingest, collection: &Digest) -> Result<(), Ended> {
    let id = *collection;
    let disposed = ingest
        .collector
        .db
        .read_async(move |db| crate::rows::fence::disposal_of(db, &id, crate::clock::now()))
        .await?;
    match disposed {
        None => Ok(()),
        Some(disposed) => {
            Err(Ended::rejected(Reason::UnknownOrder, format!("the collection was {disposed}")))
        }
    }
}

fn may_go_on(state: CollectionState) -> Result<(), Ended> {
    let (reason, detail) = match state {
        CollectionState::Malformed => (Reason::Malformed, "its bytes failed verification earlier"),
        // The head of its seal chain is in the ledger: more segments behind it would contradict the record.
        CollectionState::Interrupted => {
            (Reason::UnknownOrder, "it was recorded as interrupted; another attempt may follow")
        }
        CollectionState::Contradicted => (Reason::Contradiction, "it contradicted itself earlier"),
        _ => return Ok(()),
    };
    Err(Ended::rejected(reason, detail))
}

async fn enrolled_key(
    ingest: &Ingest,
    endpoint: &EndpointId,
    generation: Generation,
) -> Result<PublicKey, Ended> {
    let id = endpoint.clone();
    let row = ingest.collector.db.read_async(move |db| rows::endpoints::at(db, &id, generation)).await?;
    match row {
        Some(row) if row.state == EndpointState::Enrolled => row.evidence_key.ok_or_else(|| {
            Failure::internal("read the endpoint's key", "an enrolled endpoint has no key").into()
        }),
        _ => Err(Failure::forbidden(format!("{endpoint}#{generation} is not enrolled here")).into()),
    }
}

/// Checks what concerns the first message only. Later calls find the collection begun.
async fn may_begin(
    ingest: &Ingest,
    order: &crate::collector::OpenOrder,
    delegation: &Delegation,
    endpoint: &EndpointId,
    generation: Generation,
    evidence_key: &PublicKey,
) -> Result<(), Ended> {
    let refuse = |detail: String| Err(Ended::rejected(Reason::UnknownOrder, detail));
    match order.row.state {
        OrderState::Issued => {}
        OrderState::Cancelled => return Err(Ended::rejected(Reason::Cancelled, "the order was cancelled")),
        other => return refuse(format!("the order is {other}")),
    }
    if delegation.attempt > order.order.attempts {
        return refuse(format!("attempt {} of {}", delegation.attempt, order.order.attempts));
    }
    // The endpoint admitted the order in time by its own, floor-corrected clock. The network decides when the bytes arrive.
    if delegation.at >= order.order.expires {
        return refuse(format!("the order expired at {}", order.order.expires));
    }
    let id = delegation.order;
    let (name, fingerprint) = (endpoint.clone(), evidence_key.fingerprint());
    let (attempt, own) = (delegation.attempt, delegation.collection);
    let (addressed, used) = ingest
        .collector
        .db
        .read_async(move |db| {
            let addressed = rows::orders::targets(db, &id)?.into_iter().any(|target| {
                target.endpoint == name
                    && target.generation == generation
                    && target.fingerprint == fingerprint
            });
            let used = rows::orders::attempts(db, &id)?.into_iter().any(|row| {
                // The same delegation arrives twice at once: with the endpoint's answer and with its upload.
                let is_other = row.collection.is_some_and(|found| found != own);
                row.endpoint == name && row.attempt >= attempt && is_other
            });
            Ok::<_, DbError>((addressed, used))
        })
        .await?;
    if !addressed {
        return refuse("the order does not address this endpoint".to_owned());
    }
    // Two collections under one attempt number would tell two stories about one attempt.
    if used {
        return refuse(format!("attempt {attempt} or a later one began before"));
    }
    Ok(())
}

async fn record_start(
    ingest: &Ingest,
    chain: Chain,
    delegation: &Delegation,
    signed: Signed,
) -> Result<(), Ended> {
    // If an earlier attempt never said how it ended, the next attempt ends it.
    super::interrupt::earlier_attempts(ingest, delegation).await?;
    ingest.collector.store_document(&signed).await?;
    let refs = [
        ("attempt", delegation.attempt.to_string()),
        ("collection", delegation.collection.to_string()),
        ("endpoint", delegation.endpoint.to_string()),
        ("order", delegation.order.to_string()),
    ];
    // The rule book judges the rest with the entry: the endpoint may be retired by now, and the order cancelled.
    let slot = (delegation.endpoint.clone(), delegation.generation);
    let is_newest: Condition = Box::new(move |tx| newest(tx, &slot));
    ingest
        .collector
        .recorder
        .record_if(EntryType::CollectionStarted, chain, &refs, ActObject::from(signed), is_newest)
        .await?;
    ingest.watches.changed(&delegation.order);
    Ok(())
}

/// `collection-5`: no later generation of the endpoint has enrolled.
pub(crate) fn newest(tx: &Connection, slot: &Slot) -> Result<(), Denied> {
    let (endpoint, generation) = slot;
    match rows::endpoints::at(tx, endpoint, *generation)? {
        Some(row) if row.state == EndpointState::Superseded => {
            let text = format!("{}: a later generation of {endpoint} enrolled before", RuleId::Collection5);
            Err(Denied::no(Class::Precondition, text))
        }
        _ => Ok(()),
    }
}

fn begin(identity: &Identity, delegation: &Delegation, limits: &Limits) -> Begin {
    let limits = evidence::container::Limits::of_order(limits);
    Begin {
        deployment: identity.deployment.to_string(),
        collection: identity.collection,
        order: identity.order,
        attempt: identity.attempt,
        sealer: delegation.sealer.to_string(),
        stored_bytes: limits.stored_bytes,
        plain_bytes: limits.plain_bytes,
        item_bytes: limits.item_bytes,
        logical_bytes: limits.logical_bytes,
        items: limits.items,
        cpu_s: Begin::cpu_s(limits.logical_bytes),
    }
}
