//! The last step of a disposal: marks a collection that is gone from every store as `disposed` and empties its index.

use evidence::digest::Digest;
use evidence::disposal::{Object, Place};
use evidence::entry::state::CollectionState;
use evidence::id::DeploymentId;
use rusqlite::Connection;
use store::Replicas;

use crate::rows::disposals::{ApprovedPlan, course_now};
use crate::rows::{Db, DbError, collections, disposals};

/// The stores that must no longer have the object. A store that was added later counts: it may have been filled while a hold stood.
pub(super) fn places(replicas: &Replicas) -> Vec<String> {
    let stores = replicas.stores().iter().chain(replicas.leaving());
    stores.map(|store| store.identity().store.clone()).collect()
}

/// Marks every collection that is gone everywhere as disposed. The chore calls this after each step, and `rebuild` calls it at its end,
/// so that both make the same rows.
pub fn mark_disposed(db: &Db, deployment: &DeploymentId, replicas: &Replicas) -> Result<(), DbError> {
    let places = places(replicas);
    let deployment = deployment.clone();
    let gone = db.read(move |reader| gone(reader, &deployment, &places))?;
    if gone.is_empty() {
        return Ok(());
    }
    db.write(move |tx| gone.iter().try_for_each(|id| disposals::purge(tx, id)))
}

/// Collections that are gone from all places and not marked yet.
fn gone(reader: &Connection, deployment: &DeploymentId, places: &[String]) -> Result<Vec<Digest>, DbError> {
    let mut found = Vec::new();
    for ApprovedPlan { incident, plan } in disposals::plans(reader)? {
        let waiting: Vec<Digest> = collections::of_incident(reader, Some(&incident))?
            .into_iter()
            .filter(|row| row.state != CollectionState::Disposed)
            .map(|row| row.id)
            .collect();
        if waiting.is_empty() {
            continue;
        }
        let course = course_now(reader, deployment, &incident)?;
        let Some(named) = course.approved().find(|named| named.digest() == plan) else {
            continue;
        };
        for id in named.collections.iter().filter(|id| waiting.contains(id)) {
            let object = Object::Collection(*id);
            let is_gone = |store: &String| course.is_gone(&plan, &object, &Place::Store(store.clone()));
            if places.iter().all(is_gone) {
                found.push(*id);
            }
        }
    }
    Ok(found)
}
