//! Disposal on the collector: planned, approved by two persons, executed store by store, said everywhere.
//!
//! Guarantee: nothing is destroyed but on a [`store::Warrant`], which only a chain with two approvals and nothing that keeps
//! the evidence makes; a hold waits for at most one object under destruction. Not here: what an approval must be
//! (`evidence::disposal`), how a store destroys (`store`).

mod brake;
pub mod chore;
mod fence;
mod plans;
mod settle;
mod texts;

use evidence::digest::Digest;
use evidence::disposal::{Course, Object};
use evidence::entry::EntryType;
use evidence::id::{Chain, DeploymentId, IncidentId};
use proto::status::Class;
use rusqlite::Connection;

use crate::acts::Weighed;
use crate::collector::Collector;
use crate::failure::Failure;
use crate::log::recorder::{Condition, Denied, Recorded};
use crate::rows::retention::Standing;
use crate::rows::{DbError, disposals};
use crate::services::incidents::submit;

pub use brake::Brake;
pub use fence::{Disposed, fenced, of_collection};
pub use plans::{plan, show};
pub use settle::settle;
pub use texts::text_stays;

/// By how much the time of an entry may lie before the look at the clock that let it through.
const ENTRY_LAG: std::time::Duration = std::time::Duration::from_secs(5);

/// Records a person's approval of a plan.
///
/// # Errors
/// A refusal that says what keeps the evidence, or what is wrong with the plan.
pub async fn approve(collector: &Collector, weighed: Weighed) -> Result<Recorded, Failure> {
    let Chain::Incident(incident) = weighed.act.incident.clone() else {
        return Err(Failure::malformed("the act names no incident"));
    };
    if !weighed.act.fields.is_empty() {
        return Err(Failure::malformed("disposition.approved has no fields"));
    }
    let (deployment, act) = (collector.deployment.clone(), weighed.act.clone());
    let is_approver = collector
        .people
        .newest()
        .roster()
        .person(&weighed.person)
        .is_some_and(|person| person.has(evidence::roster::Role::Approver));
    let condition: Condition = Box::new(move |tx| {
        let now = crate::clock::now();
        let now = now.checked_sub(ENTRY_LAG).unwrap_or(now);
        free(tx, &incident, now)?;
        let course = whole(tx, &deployment, &incident)?;
        not_running(tx, &incident)?;
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
    let recorded = submit(collector, weighed, Some(condition)).await?;
    collector.disposal.wake();
    Ok(recorded)
}

/// The course of an incident's whole chain.
///
/// # Errors
/// Of the database.
pub fn whole(
    reader: &Connection,
    deployment: &DeploymentId,
    incident: &IncidentId,
) -> Result<Course, DbError> {
    disposals::course(reader, deployment, incident, u64::from(u32::MAX))
}

/// Refuses while something keeps the evidence.
fn free(tx: &Connection, incident: &IncidentId, now: evidence::time::Time) -> Result<(), Denied> {
    let Some(standing) = Standing::of(tx, &incident.to_string())? else {
        return Err(Denied::no(Class::Missing, format!("there is no incident {incident}")));
    };
    standing
        .may_dispose(now)
        .map_err(|kept| Denied::no(Class::Precondition, format!("evidence of {incident} is kept: {kept}")))
}

/// Refuses while a collection still arrives: a plan names all there is.
fn not_running(tx: &Connection, incident: &IncidentId) -> Result<(), Denied> {
    let rows = crate::rows::collections::of_incident(tx, Some(&incident.to_string()))?;
    match rows.iter().find(|row| row.state == "running") {
        None => Ok(()),
        Some(row) => Err(Denied::no(
            Class::Precondition,
            format!(
                "collection {} is still running; wait for its end, or cancel its order: exhibit order cancel {}",
                Digest(row.id),
                Digest(row.order)
            ),
        )),
    }
}

/// The digest under which the database knows an object of a store.
fn id_of(object: &store::Disposable) -> [u8; 32] {
    match object {
        store::Disposable::Collection(id) | store::Disposable::Detail(id) => *id,
    }
}

/// An object of a store as entries name it.
fn named(object: &store::Disposable, incident: &str) -> String {
    match object {
        store::Disposable::Collection(id) => Object::Collection(Digest(*id)).to_string(),
        store::Disposable::Detail(_) => format!("{incident}/details"),
    }
}
