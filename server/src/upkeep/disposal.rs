//! Disposal on the collector: a plan, two approvals, destruction store by store, and the ledger's entries about it.
//!
//! Guarantee: the collector destroys nothing without a [`store::Warrant`]. Only a chain with two approvals, and with nothing that
//! keeps the evidence, yields one. A hold waits for the destruction of at most one object. Not here: the rules for an approval
//! (`evidence::disposal`); how a store destroys (`store`).

mod brake;
pub(crate) mod chore;
mod finished;
mod plans;

use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::entry::state::CollectionState;
use evidence::id::{Chain, IncidentId};
use proto::status::Class;
use rusqlite::Connection;

use crate::acts::Weighed;
use crate::acts::submit;
use crate::failure::Failure;
use crate::log::recorder::Recorded;
use crate::rows::condition::{Condition, Denied};
use crate::rows::disposals::course_now;
use crate::rows::retention::Standing;
use crate::upkeep::Upkeep;

pub use brake::Brake;
pub use finished::mark_disposed;
pub use plans::{plan, show};

/// How far an entry's time may lie before the moment when the collector checked the clock for it.
const ENTRY_LAG: std::time::Duration = std::time::Duration::from_secs(5);

/// Records a person's approval of a plan.
///
/// # Errors
/// A refusal that says what keeps the evidence, or what is wrong with the plan.
pub async fn approve(upkeep: &Upkeep, weighed: Weighed) -> Result<Recorded, Failure> {
    let Chain::Incident(incident) = weighed.act.incident.clone() else {
        return Err(Failure::malformed("the act names no incident"));
    };
    let (deployment, act) = (upkeep.collector.deployment.clone(), weighed.act.clone());
    let is_approver = upkeep
        .collector
        .people
        .newest()
        .roster()
        .person(&weighed.person)
        .is_some_and(|person| person.has(evidence::roster::Role::Approver));
    let condition: Condition = Box::new(move |tx| {
        let now = crate::clock::now();
        let now = now.checked_sub(ENTRY_LAG).unwrap_or(now);
        refuse_if_kept(tx, &incident, now)?;
        let course = course_now(tx, &deployment, &incident)?;
        refuse_while_running(tx, &incident)?;
        let fact = evidence::disposal::Fact {
            index: u64::MAX,
            time: now,
            type_: EntryType::DispositionApproved,
            event: Digest::ZERO,
            refs: &act.refs,
            by: Some(&act.by),
            detail: act.detail,
            is_approver,
        };
        course.judge(&fact).map_err(|refusal| Denied::no(Class::Precondition, refusal.to_string()))
    });
    let recorded = submit(&upkeep.collector, weighed, Some(condition)).await?;
    upkeep.brake.wake();
    Ok(recorded)
}

/// Refuses while something keeps the evidence.
fn refuse_if_kept(tx: &Connection, incident: &IncidentId, now: evidence::time::Time) -> Result<(), Denied> {
    let Some(standing) = Standing::of(tx, incident)? else {
        return Err(Denied::no(Class::Missing, format!("there is no incident {incident}")));
    };
    standing
        .may_dispose(now)
        .map_err(|kept| Denied::no(Class::Precondition, format!("evidence of {incident} is kept: {kept}")))
}

/// Refuses while a collection still arrives, because a plan names everything there is.
fn refuse_while_running(tx: &Connection, incident: &IncidentId) -> Result<(), Denied> {
    let rows = crate::rows::collections::of_incident(tx, Some(incident))?;
    match rows.iter().find(|row| row.state == CollectionState::Running) {
        None => Ok(()),
        Some(row) => Err(Denied::no(
            Class::Precondition,
            format!(
                "collection {} is still running; wait for its end, or cancel its order: exhibit order cancel {}",
                row.id, row.order
            ),
        )),
    }
}
