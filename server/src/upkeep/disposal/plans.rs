//! Shows the persons who decide what a plan would destroy, and the state of approved plans.

use evidence::disposal::{Object, Place, Plan};
use evidence::entry::state::DisposalState;
use evidence::id::IncidentId;
use proto::parts::split;
use proto::v1;

use super::finished::places;
use crate::collector::Collector;
use crate::failure::Failure;
use crate::rows::disposals::course_now;
use crate::rows::retention::Standing;
use crate::rows::{DbError, collections, disposals};

/// The plan of everything that an incident holds now, with its collections, as the messages of one answer.
///
/// # Errors
/// `Missing` if there is no such incident; a refusal if there is nothing to destroy.
pub async fn plan(
    collector: &Collector,
    incident: &str,
) -> Result<Vec<v1::PlanDispositionResponse>, Failure> {
    let id = parse(incident)?;
    let (deployment, wanted) = (collector.deployment.clone(), id.clone());
    let found = collector.db.read_async(move |db| {
        let Some(standing) = Standing::of(db, &wanted)? else {
            return Ok(None);
        };
        let course = course_now(db, &deployment, &id)?;
        let plan = course.plan(course.len());
        let rows = collections::of_incident(db, Some(&wanted))?;
        Ok::<_, DbError>(Some((standing, plan, rows)))
    });
    let Some((standing, plan, rows)) = found.await? else {
        return Err(Failure::missing(format!("there is no incident {incident}")));
    };
    let to_destroy = rows.iter().filter(|row| plan.collections.contains(&row.id));
    let to_destroy = to_destroy.map(|row| v1::DispositionCollection {
        collection: row.id.to_string(),
        endpoint: row.endpoint.to_string(),
        state: row.state.to_string(),
        segments: row.segments,
        stored_bytes: row.stored_bytes,
    });
    let head = v1::PlanDispositionResponse {
        plan: plan.text().into_bytes().into(),
        kept: why_kept(&standing),
        ..Default::default()
    };
    Ok(split(head, to_destroy, |part| &mut part.collections))
}

/// Every plan of an incident that somebody approved. For each object of an approved plan, the stores where it is gone. The messages
/// are those of one answer.
pub async fn show(
    collector: &Collector,
    incident: &str,
) -> Result<Vec<v1::ShowDispositionResponse>, Failure> {
    let id = parse(incident)?;
    let (deployment, wanted) = (collector.deployment.clone(), id.clone());
    let found = collector.db.read_async(move |db| {
        let Some(standing) = Standing::of(db, &wanted)? else {
            return Ok(None);
        };
        let retired = crate::rows::mirrors::retired(db)?;
        Ok::<_, DbError>(Some((standing, course_now(db, &deployment, &id)?, disposals::waits(db)?, retired)))
    });
    let Some((standing, course, waits, retired)) = found.await? else {
        return Err(Failure::missing(format!("there is no incident {incident}")));
    };
    let stores = places(&collector.replicas);
    let kept = why_kept(&standing);
    let (mut plans, mut places) = (Vec::new(), Vec::new());
    for (plan, approvals) in course.proposed() {
        let digest = plan.digest();
        let mut add = |object: &Object, kind: &str, id: &str, state: DisposalState, why: String| {
            places.push(v1::DispositionPlace {
                object: object.to_string(),
                kind: kind.to_owned(),
                id: id.to_owned(),
                state: state.to_string(),
                why,
                plan: digest.to_string(),
            });
        };
        if course.approved_at(&digest).is_some() {
            for object in plan.objects() {
                for store in &stores {
                    let is_gone = course.is_gone(&digest, &object, &Place::Store(store.clone()));
                    let wait = waits
                        .iter()
                        .find(|row| row.store == *store && row.object == object && row.plan == digest);
                    let (state, why) = match (is_gone, wait) {
                        (true, _) => (DisposalState::Gone, String::new()),
                        (false, _) if !kept.is_empty() => (DisposalState::Kept, kept.clone()),
                        (false, Some(wait)) => (DisposalState::Waiting, wait.why.clone()),
                        (false, None) => (DisposalState::Waiting, String::new()),
                    };
                    add(&object, "store", store, state, why);
                }
            }
            let objects = plan.objects();
            for object in &objects {
                for from in course.gone_from(object) {
                    if let Place::Mirror(mirror) = from
                        && course.is_gone(&digest, object, from)
                    {
                        add(object, "mirror", mirror.as_str(), DisposalState::Gone, String::new());
                    }
                }
            }
            for (object, mirror) in course.unconfirmed(&digest, &objects) {
                let (state, why) = if retired.contains(&mirror) {
                    (DisposalState::NotConfirmed, "the mirror was retired; ask its operator".to_owned())
                } else {
                    (DisposalState::Waiting, "the mirror has not confirmed".to_owned())
                };
                add(&object, "mirror", mirror.as_str(), state, why);
            }
        }
        plans.push(wire(plan, approvals));
    }
    let head = v1::ShowDispositionResponse { kept, ..Default::default() };
    let mut answer = split(head, plans, |part| &mut part.plans);
    answer.extend(split(v1::ShowDispositionResponse::default(), places, |part| &mut part.places));
    Ok(answer)
}

fn wire(plan: &Plan, approvals: Vec<evidence::disposal::Approved>) -> v1::DispositionPlan {
    v1::DispositionPlan {
        plan: plan.digest().to_string(),
        text: plan.text().into_bytes().into(),
        approvals: approvals
            .into_iter()
            .map(|one| v1::DispositionApproval {
                person: one.person.to_string(),
                approver: one.approver,
                time: one.time.to_string(),
                index: one.index,
            })
            .collect(),
    }
}

fn why_kept(standing: &Standing) -> String {
    match standing.may_dispose(crate::clock::now()) {
        Ok(()) => String::new(),
        Err(kept) => kept.to_string(),
    }
}

fn parse(incident: &str) -> Result<IncidentId, Failure> {
    incident.parse().map_err(|error| Failure::malformed(format!("incident: {error}")))
}
