//! Destroys what approved plans name, one object and store at a time, until all of it is gone.
//!
//! Guarantee: before anything goes, the chain is asked again, behind the brake, the repairs and the uploads of that collection;
//! what is recorded as gone was looked for afterwards. A crash anywhere leaves less than before and no entry too many: the
//! next round goes on. A store that refuses is asked again when its lock has ended, others after a minute.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use evidence::digest::Digest;
use evidence::disposal::{Object, Place, Warrant};
use evidence::entry::EntryType;
use evidence::id::{Chain, IncidentId};
use store::{Disposable, Store, StoreError};

use super::settle::settle;
use super::whole;
use crate::collector::{Collector, blocking};
use crate::db::disposals::{self, WaitRow};
use crate::db::{self, DbError};
use crate::grpc::failure::{Failure, chain};
use crate::ingest::fixity;

/// How often it is looked for work: a retention ends by itself.
const LOOK: Duration = Duration::from_secs(30);
/// How long a store that failed is left alone.
const AGAIN_MS: i64 = 60_000;
/// How long a store is left alone that refuses and does not say until when.
const REFUSED_MS: i64 = 3_600_000;

/// Rounds until the drain.
pub async fn keep(collector: &Collector) {
    let mut finished = BTreeSet::new();
    loop {
        if let Err(failure) = round(collector, &mut finished).await {
            tracing::warn!(cause = %chain(&failure), "Disposal paused; it goes on where it was");
        }
        tokio::select! {
            () = collector.intake.cancelled() => return,
            () = collector.disposal.woken() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// One object of a plan on one store.
struct Step {
    incident: IncidentId,
    plan: Digest,
    object: Object,
    store: Arc<dyn Store>,
    /// The store is recorded as rid of it, or was made later: it is only looked at whether something came back.
    is_gone: bool,
}

/// Does what can be done now. `finished`: plans of which nothing is left, seen by this process.
async fn round(collector: &Collector, finished: &mut BTreeSet<Digest>) -> Result<(), Failure> {
    // Crash between the last entry and this: the rows are settled now.
    settled(collector).await?;
    let plans = collector
        .db
        .read_async(disposals::plans)
        .await
        .map_err(database)?;
    let waits = collector
        .db
        .read_async(disposals::waits)
        .await
        .map_err(database)?;
    let now_ms = i64::try_from(crate::clock::now().unix_ms()).unwrap_or(i64::MAX);
    for (incident, plan) in plans {
        let plan = Digest(plan);
        let incident: IncidentId = incident
            .parse()
            .map_err(|error| Failure::internal("read a plan", error))?;
        if finished.contains(&plan) {
            continue;
        }
        let Some(steps) = steps(collector, &incident, plan).await? else {
            continue;
        };
        let mut is_finished = true;
        for step in steps {
            if collector.intake.is_cancelled() {
                return Ok(());
            }
            let (name, object) = (step.store.identity().store.clone(), step.object.to_string());
            let waits = waits.iter().any(|row| {
                row.store == name && row.object == object && row.plan == plan.0 && row.due_ms > now_ms
            });
            is_finished &= !waits && execute(collector, &step).await?;
        }
        if is_finished {
            finished.insert(plan);
        }
    }
    Ok(())
}

/// What a plan asks of each store; `None` while something keeps the evidence.
async fn steps(
    collector: &Collector,
    incident: &IncidentId,
    plan: Digest,
) -> Result<Option<Vec<Step>>, Failure> {
    let (deployment, id) = (collector.deployment.clone(), incident.clone());
    let course = collector
        .db
        .read_async(move |db| whole(db, &deployment, &id))
        .await
        .map_err(database)?;
    let Ok(warrant) = course.warrant(&plan, crate::clock::now()) else {
        return Ok(None);
    };
    let mut steps = Vec::new();
    let stores = || {
        collector
            .replicas
            .stores()
            .iter()
            .chain(collector.replicas.leaving())
    };
    for object in warrant.plan().objects() {
        for store in stores() {
            let identity = store.identity();
            let place = Place::Store(identity.store.clone());
            let is_gone = course.is_gone(&plan, &object, &place);
            steps.push(Step {
                incident: incident.clone(),
                plan,
                object: object.clone(),
                store: Arc::clone(store),
                is_gone,
            });
        }
    }
    Ok(Some(steps))
}

/// Destroys and records one object on one store. False: it has to be tried again.
async fn execute(collector: &Collector, step: &Step) -> Result<bool, Failure> {
    // A repair under way would write again what is destroyed.
    let _repairs = collector.repairing.lock().await;
    let _upload = match &step.object {
        Object::Collection(id) => Some(collector.uploads.enter(*id).await),
        Object::Details(_) => None,
    };
    // Last, for a hold waits for this one only. Asked again behind all of them: one may have come.
    let _turn = collector.disposal.turn().await;
    let (deployment, incident, plan) = (collector.deployment.clone(), step.incident.clone(), step.plan);
    let asked = collector.db.read_async(move |db| {
        let course = whole(db, &deployment, &incident)?;
        let Ok(warrant) = course.warrant(&plan, crate::clock::now()) else {
            return Ok(None);
        };
        let mut shared = BTreeSet::new();
        for digest in &warrant.plan().details {
            if disposals::is_shared(db, digest.as_bytes(), &incident.to_string())? {
                shared.insert(*digest);
            }
        }
        Ok::<_, DbError>(Some((warrant, shared)))
    });
    let Some((warrant, shared)) = asked.await.map_err(database)? else {
        return Ok(false);
    };
    if let Object::Collection(id) = &step.object {
        collector
            .wants
            .forget(|key| fixity::collection_of(key) == Some(*id));
    }
    let (store, object) = (Arc::clone(&step.store), step.object.clone());
    let (is_free, stop) = (collector.disposal.is_free(), collector.intake.clone());
    let go_on = move || is_free() && !stop.is_cancelled();
    let done = blocking(move || destroy(store.as_ref(), &object, &warrant, &shared, &go_on)).await?;
    let name = step.store.identity().store.clone();
    match done {
        Ok(Some(count)) if step.is_gone => {
            if count > 0 {
                tracing::warn!(store = name, object = %step.object, count, "Disposed evidence had come back and is destroyed again");
            }
            Ok(true)
        }
        Ok(Some(count)) => {
            // Crash now: nothing is left there and no entry says so; the next round looks, finds nothing, and records.
            record(collector, step, &name, count).await?;
            settled(collector).await?;
            Ok(true)
        }
        Ok(None) => Ok(false),
        Err(error) => {
            refused(collector, step, name, &error).await?;
            Ok(false)
        }
    }
}

fn destroy(
    store: &dyn Store,
    object: &Object,
    warrant: &Warrant,
    shared: &BTreeSet<Digest>,
    go_on: &dyn Fn() -> bool,
) -> Result<Option<u64>, StoreError> {
    match object {
        Object::Collection(id) => store.dispose(&Disposable::Collection(id.0), warrant, go_on),
        Object::Details(_) => {
            let mut count = 0_u64;
            for digest in warrant.plan().details.difference(shared) {
                match store.dispose(&Disposable::Detail(digest.0), warrant, go_on)? {
                    None => return Ok(None),
                    Some(one) => count = count.saturating_add(one),
                }
            }
            Ok(Some(count))
        }
    }
}

async fn record(collector: &Collector, step: &Step, store: &str, count: u64) -> Result<(), Failure> {
    let refs = [
        ("count", count.to_string()),
        ("object", step.object.to_string()),
        ("plan", step.plan.to_string()),
        ("store", store.to_owned()),
    ];
    let chain = Chain::from(step.incident.clone());
    collector
        .custody
        .record_own(EntryType::DispositionExecuted, chain, &refs)
        .await?;
    let (name, object, plan) = (store.to_owned(), step.object.to_string(), step.plan.0);
    collector
        .db
        .write_async(move |tx| disposals::wait_over(tx, &name, &object, &plan))
        .await
        .map_err(database)?;
    tracing::info!(incident = %step.incident, object = %step.object, store, count, "Evidence is destroyed");
    Ok(())
}

async fn refused(
    collector: &Collector,
    step: &Step,
    store: String,
    error: &StoreError,
) -> Result<(), Failure> {
    let now_ms = i64::try_from(crate::clock::now().unix_ms()).unwrap_or(i64::MAX);
    let due_ms = match error {
        StoreError::Locked { until, .. } => until
            .and_then(|until| until.duration_since(std::time::SystemTime::UNIX_EPOCH).ok())
            .and_then(|since| i64::try_from(since.as_millis()).ok())
            .unwrap_or(now_ms.saturating_add(REFUSED_MS)),
        _ => now_ms.saturating_add(AGAIN_MS),
    };
    let why = match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    tracing::warn!(store, object = %step.object, why, "A store keeps evidence that is to go");
    let row = WaitRow {
        store,
        object: step.object.to_string(),
        plan: step.plan.0,
        due_ms,
        why,
    };
    collector
        .db
        .write_async(move |tx| disposals::wait(tx, &row))
        .await
        .map_err(database)
}

async fn settled(collector: &Collector) -> Result<(), Failure> {
    let (db, deployment, replicas) = (
        collector.db.clone(),
        collector.deployment.clone(),
        collector.replicas.clone(),
    );
    blocking(move || settle(&db, &deployment, &replicas))
        .await?
        .map_err(database)
}

fn database(error: db::DbError) -> Failure {
    Failure::unavailable("reach its database", error)
}
