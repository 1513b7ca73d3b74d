//! Takes a second person's approval or rejection of an order, and cancellations.
//!
//! Guarantee: an approval counts only from a person other than the issuer who holds `approver` today. An order is decided once.
//! After a cancellation the collector does not deliver the order again and ends its running uploads. Not here: what an endpoint
//! counts.

use evidence::digest::Digest;
use evidence::entry::state::{AttemptState, OrderState};
use evidence::entry::{ActObject, EntryType};
use evidence::id::Chain;
use evidence::order::{Approval, Decision};
use evidence::roster::Role;
use evidence::signed::Signed;
use proto::status::Class;
use proto::v1;
use rusqlite::Connection;

use crate::acts::{self, Weighed, required_ref};
use crate::failure::{Failure, chain};
use crate::log::recorder::Recorded;
use crate::rows::condition::{Condition, Denied};
use crate::rows::{self, DbError};
use crate::services::ingest::interrupt;
use crate::services::orders::OrderDesk;

/// Records an approval or rejection.
///
/// # Errors
/// A refusal that says why it does not count.
pub async fn approve(desk: &OrderDesk, signed: Signed) -> Result<Recorded, Failure> {
    let collector = &*desk.collector;
    let (approval, signers) = signed.open::<Approval>().map_err(|error| Failure::malformed(chain(&error)))?;
    if approval.deployment != collector.deployment {
        return Err(Failure::malformed(format!("the approval is of deployment {}", approval.deployment)));
    }
    let now = crate::clock::now();
    acts::check_time("the approval", approval.at, now)?;
    let published = collector.people.in_force(now)?;
    let [key] = signers.as_slice() else {
        return Err(Failure::malformed("an approval has exactly one signature"));
    };
    published.speaks_for(key, &approval.approver, &[Role::Approver])?;
    let Some(order) = collector.order(&approval.order).await? else {
        return Err(Failure::missing("there is no such order"));
    };
    if order.order.issuer == approval.approver {
        return Err(Failure::forbidden("an order is approved by another person than its issuer"));
    }
    if order.order.expires <= now {
        return Err(Failure::precondition(format!("the order expired at {}", order.order.expires)));
    }
    let type_ = match approval.decision {
        Decision::Approve => EntryType::OrderApproved,
        Decision::Reject => EntryType::OrderRejected,
    };
    let id = approval.order;
    let condition: Condition = Box::new(move |tx| must_be(tx, &id, &[OrderState::AwaitingApproval]));
    let refs = [("order", approval.order.to_string())];
    let chain = Chain::from(order.order.incident);
    let recorded =
        collector.recorder.record_if(type_, chain, &refs, ActObject::from(signed), condition).await?;
    if approval.decision == Decision::Approve {
        collector.wake_targets(&approval.order).await?;
    }
    desk.watches.changed(&approval.order);
    Ok(recorded)
}

/// Records `order.cancelled`, tells the connected endpoints, and ends the order's uploads.
///
/// # Errors
/// A refusal if the order is not open.
pub async fn cancel(desk: &OrderDesk, weighed: Weighed) -> Result<Recorded, Failure> {
    let collector = &*desk.collector;
    let id: Digest = required_ref(&weighed.act, "order")?
        .parse()
        .map_err(|_other_form| Failure::malformed("the act's ref order is no digest"))?;
    let Some(order) = collector.order(&id).await? else {
        return Err(Failure::missing("there is no such order"));
    };
    if weighed.act.incident != Chain::from(order.order.incident) {
        return Err(Failure::malformed("the order is of another incident than the act"));
    }
    let key = id;
    let condition: Condition =
        Box::new(move |tx| must_be(tx, &key, &[OrderState::AwaitingApproval, OrderState::Issued]));
    let act = weighed.object.signed().map_err(|error| Failure::malformed(chain(&error)))?;
    let recorded = crate::acts::submit(collector, weighed, Some(condition)).await?;
    spread(desk, &id, &act).await?;
    desk.watches.changed(&id);
    Ok(recorded)
}

/// Carries out a recorded cancellation. Whatever this misses, `begin` and `attend` find in the database.
async fn spread(desk: &OrderDesk, order: &Digest, act: &Signed) -> Result<(), Failure> {
    let collector = &*desk.collector;
    let id = *order;
    let (targets, attempts) = collector
        .db
        .read_async(move |db| {
            Ok::<_, DbError>((rows::orders::targets(db, &id)?, rows::orders::attempts(db, &id)?))
        })
        .await?;
    for target in targets {
        let cancel = v1::CancelOrder { order: order.to_string(), act: Some(act.into()) };
        let message = v1::AttendResponse { message: Some(v1::attend_response::Message::Cancel(cancel)) };
        // An absent endpoint learns of it when it asks to upload, or when it reconnects.
        collector.live.send(target.endpoint.as_str(), u64::from(target.generation.number()), message);
    }
    for collection in
        attempts.iter().filter(|row| row.state == AttemptState::Running).filter_map(|row| row.collection)
    {
        interrupt::end(&desk.ingest, &collection).await?;
    }
    Ok(())
}

fn must_be(tx: &Connection, order: &Digest, states: &[OrderState]) -> Result<(), Denied> {
    match rows::orders::at(tx, order)? {
        Some(row) if states.contains(&row.state) => Ok(()),
        Some(row) => Err(Denied::no(Class::Precondition, format!("the order is {} already", row.state))),
        None => Err(Denied::no(Class::Missing, "there is no such order")),
    }
}
