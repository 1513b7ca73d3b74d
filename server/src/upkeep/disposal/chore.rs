//! Destroys what approved plans name, one object and one store at a time, in batches so that repairs and holds get their turn.
//!
//! Guarantee: before each batch the chore takes the brake, the repairer's turn and the uploads of that collection, and then checks the
//! chain again. It looks for an object after destroying it, and only then records that it is gone. A crash leaves fewer objects than
//! before and no entry too many; the next round continues. If a store refuses, the chore asks again when the store's lock has ended.
//! After any other failure it asks again after a minute.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use evidence::digest::Digest;
use evidence::disposal::{Object, Place, Warrant};
use evidence::entry::EntryType;
use evidence::id::{Chain, IncidentId};
use evidence::time::Time;
use store::{Disposable, Store, StoreError};

use super::finished::mark_disposed;
use crate::blocking::blocking;
use crate::clock::end_of_wait;
use crate::failure::{Failure, chain};
use crate::rows::column::Millis;
use crate::rows::disposals::course_now;
use crate::rows::disposals::{self, ApprovedPlan, WaitRow};
use crate::rows::texts::text_stays;
use crate::rows::{self, DbError};
use crate::upkeep::Upkeep;
use crate::upkeep::fixity;

/// How often to look for expired retention periods. Nothing else wakes the chore when one expires.
const LOOK: Duration = Duration::from_secs(30);
/// Stored objects to destroy before repairs and holds get their turn: as many as a round of repairs writes.
const BATCH: usize = 64;
/// How long to wait before asking a store again after it failed.
const AGAIN: Duration = Duration::from_secs(60);
/// How long to wait before asking a store again after it refused without naming an end.
const REFUSED: Duration = Duration::from_secs(3600);

/// The service that receives evidence. It can be made to wait.
pub trait Uploads: Send + Sync {
    /// Waits until no upload of `collection` is running. No other begins until the returned value is dropped.
    fn keep_out(&self, collection: Digest) -> Pin<Box<dyn Future<Output = Box<dyn Send>> + Send + '_>>;
}

/// Runs rounds until the drain.
pub async fn carry_out_plans(upkeep: &Upkeep, uploads: &dyn Uploads) {
    let mut finished = BTreeMap::new();
    loop {
        if let Err(failure) = round(upkeep, uploads, &mut finished).await {
            tracing::warn!(cause = %chain(&failure), "Disposal paused; it goes on where it was");
        }
        tokio::select! {
            () = upkeep.collector.intake.cancelled() => return,
            () = upkeep.brake.woken() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// One object of a plan on one store.
struct Destruction {
    incident: IncidentId,
    plan: Digest,
    object: Object,
    store: Arc<dyn Store>,
    /// True if the ledger says that the store no longer has it. The chore then only checks whether something came back, or whether a
    /// text that had to stay may be destroyed now.
    is_gone: bool,
}

/// Does what can be done now. `finished` holds the plans that this process saw completed, each with the texts that had to stay.
async fn round(
    upkeep: &Upkeep,
    uploads: &dyn Uploads,
    finished: &mut BTreeMap<Digest, BTreeSet<Digest>>,
) -> Result<(), Failure> {
    // Crash between the last entry and this call: mark the rows now.
    mark_disposed_now(upkeep).await?;
    let plans = upkeep.collector.db.read_async(disposals::plans).await?;
    let waits = upkeep.collector.db.read_async(disposals::waits).await?;
    let now = crate::clock::now();
    for ApprovedPlan { incident, plan } in plans {
        if let Some(stayed) = finished.get(&plan)
            && all_stay(upkeep, stayed).await?
        {
            continue;
        }
        let Some(destructions) = destructions(upkeep, &incident, plan).await? else {
            continue;
        };
        let (mut is_finished, mut stayed) = (true, BTreeSet::new());
        for step in destructions {
            if upkeep.collector.intake.is_cancelled() {
                return Ok(());
            }
            let name = &step.store.identity().store;
            let waits = waits.iter().any(|row| {
                let is_due = row.due.is_none_or(|due| due.0 <= now);
                row.store == *name && row.object == step.object && row.plan == plan && !is_due
            });
            if waits {
                is_finished = false;
                continue;
            }
            match execute(upkeep, uploads, &step).await? {
                Done::Not => is_finished = false,
                Done::All(some) => stayed.extend(some),
            }
        }
        if is_finished {
            finished.insert(plan, stayed);
        }
    }
    Ok(())
}

/// True if another chain still keeps each of these texts.
async fn all_stay(upkeep: &Upkeep, texts: &BTreeSet<Digest>) -> Result<bool, Failure> {
    if texts.is_empty() {
        return Ok(true);
    }
    let texts = texts.clone();
    let asked = upkeep.collector.db.read_async(move |db| {
        let now = crate::clock::now();
        for text in &texts {
            if !text_stays(db, text, now)? {
                return Ok(false);
            }
        }
        Ok::<_, DbError>(true)
    });
    asked.await.map_err(Failure::from)
}

/// The destructions that a plan asks of each store, or `None` while something keeps the evidence.
async fn destructions(
    upkeep: &Upkeep,
    incident: &IncidentId,
    plan: Digest,
) -> Result<Option<Vec<Destruction>>, Failure> {
    let (deployment, id) = (upkeep.collector.deployment.clone(), incident.clone());
    let course = upkeep.collector.db.read_async(move |db| course_now(db, &deployment, &id)).await?;
    let Ok(warrant) = course.warrant(&plan, crate::clock::now()) else {
        return Ok(None);
    };
    let mut destructions = Vec::new();
    let stores = || upkeep.collector.replicas.stores().iter().chain(upkeep.collector.replicas.leaving());
    for object in warrant.plan().objects() {
        for store in stores() {
            let identity = store.identity();
            let place = Place::Store(identity.store.clone());
            let is_gone = course.is_gone(&plan, &object, &place);
            destructions.push(Destruction {
                incident: incident.clone(),
                plan,
                object: object.clone(),
                store: Arc::clone(store),
                is_gone,
            });
        }
    }
    Ok(Some(destructions))
}

/// The result of one destruction.
enum Done {
    /// Try again: it failed, or something keeps the evidence now.
    Not,
    /// Nothing is left there except these texts, which another chain keeps.
    All(BTreeSet<Digest>),
}

/// The result so far of the batches of one destruction.
#[derive(Default)]
struct Progress {
    count: u64,
    texts: BTreeSet<Digest>,
}

/// Destroys and records one object on one store, in batches. Repairs and holds get their turn in between.
async fn execute(upkeep: &Upkeep, uploads: &dyn Uploads, step: &Destruction) -> Result<Done, Failure> {
    let mut progress = Progress::default();
    while !upkeep.collector.intake.is_cancelled() {
        if let Some(done) = batch(upkeep, uploads, step, &mut progress).await? {
            return Ok(done);
        }
    }
    Ok(Done::Not)
}

/// Destroys one batch. `None` means that more is left.
async fn batch(
    upkeep: &Upkeep,
    uploads: &dyn Uploads,
    step: &Destruction,
    progress: &mut Progress,
) -> Result<Option<Done>, Failure> {
    // A repair under way would write again what is being destroyed.
    let _repairs = upkeep.repairs.turn().await;
    let _upload = match &step.object {
        Object::Collection(id) => Some(uploads.keep_out(*id).await),
        Object::Details(_) => None,
    };
    // Take the brake last: it is the only one of the three that a hold waits for. Then check again: a hold may have come meanwhile.
    let _turn = upkeep.brake.turn().await;
    let Some((warrant, stays)) = warrant(upkeep, step).await? else {
        return Ok(Some(Done::Not));
    };
    if let Object::Collection(id) = &step.object {
        upkeep.wants.forget(|key| fixity::collection_of(key) == Some(*id));
    }
    let objects: Vec<Disposable> = match &step.object {
        Object::Collection(id) => vec![Disposable::Collection(id.0)],
        Object::Details(_) => {
            let texts = warrant.plan().details.difference(&stays);
            let texts = texts.filter(|text| !progress.texts.contains(text));
            texts.map(|text| Disposable::Detail(text.0)).collect()
        }
    };
    let store = Arc::clone(&step.store);
    let (is_free, stop) = (upkeep.brake.is_free(), upkeep.collector.intake.clone());
    let left = AtomicUsize::new(BATCH);
    let take = move || left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
    let go_on = move || is_free() && !stop.is_cancelled() && take();
    let (some, result) = blocking(move || destroy(store.as_ref(), objects, &warrant, &go_on)).await?;
    progress.count += some.count;
    progress.texts.extend(some.texts);
    let (name, count) = (step.store.identity().store.clone(), progress.count);
    match result {
        Ok(false) => Ok(None),
        Ok(true) if step.is_gone => {
            if count > 0 {
                tracing::warn!(store = name, object = %step.object, count, "Disposed evidence that was there again, or had stayed, is destroyed");
            }
            // Do this even if nothing was left: an earlier round may have ended between the store and the database.
            forget(upkeep, std::mem::take(&mut progress.texts)).await?;
            Ok(Some(Done::All(stays)))
        }
        Ok(true) => {
            // Crash now: nothing is left there, and no entry says so. The next round looks, finds nothing, and records.
            record(upkeep, step, &name, count).await?;
            mark_disposed_now(upkeep).await?;
            Ok(Some(Done::All(stays)))
        }
        Err(error) => {
            note_refusal(upkeep, step, name, &error).await?;
            Ok(Some(Done::Not))
        }
    }
}

/// The warrant for a destruction, if it may happen now, with the texts of its plan that must stay.
async fn warrant(
    upkeep: &Upkeep,
    step: &Destruction,
) -> Result<Option<(Warrant, BTreeSet<Digest>)>, Failure> {
    let (deployment, incident, plan) =
        (upkeep.collector.deployment.clone(), step.incident.clone(), step.plan);
    let is_texts = matches!(step.object, Object::Details(_));
    let asked = upkeep.collector.db.read_async(move |db| {
        let now = crate::clock::now();
        let Ok(warrant) = course_now(db, &deployment, &incident)?.warrant(&plan, now) else {
            return Ok(None);
        };
        let mut stays = BTreeSet::new();
        for text in warrant.plan().details.iter().filter(|_| is_texts) {
            if text_stays(db, text, now)? {
                stays.insert(*text);
            }
        }
        Ok::<_, DbError>(Some((warrant, stays)))
    });
    asked.await.map_err(Failure::from)
}

/// Destroys objects one after another. Returns what it destroyed, and whether that is all.
fn destroy(
    store: &dyn Store,
    objects: Vec<Disposable>,
    warrant: &Warrant,
    go_on: &dyn Fn() -> bool,
) -> (Progress, Result<bool, StoreError>) {
    let mut some = Progress::default();
    for object in objects {
        match store.dispose(&object, warrant, go_on) {
            Ok(done) => {
                some.count += done.count;
                if !done.is_all {
                    return (some, Ok(false));
                }
                if let Disposable::Detail(text) = object {
                    some.texts.insert(Digest(text));
                }
            }
            Err(error) => return (some, Err(error)),
        }
    }
    (some, Ok(true))
}

/// Erases the database copies of texts that were destroyed without an entry of their own. The entry of their plan had left them
/// to another chain.
async fn forget(upkeep: &Upkeep, texts: BTreeSet<Digest>) -> Result<(), Failure> {
    let emptied = upkeep
        .collector
        .db
        .write_async(move |tx| texts.iter().try_for_each(|text| rows::incidents::erase_detail(tx, text)));
    emptied.await.map_err(Failure::from)
}

async fn record(upkeep: &Upkeep, step: &Destruction, store: &str, count: u64) -> Result<(), Failure> {
    let refs = [
        ("count", count.to_string()),
        ("object", step.object.to_string()),
        ("plan", step.plan.to_string()),
        ("store", store.to_owned()),
    ];
    let chain = Chain::from(step.incident.clone());
    upkeep.collector.recorder.record_own(EntryType::DispositionExecuted, chain, &refs).await?;
    let (name, object, plan) = (store.to_owned(), step.object.clone(), step.plan);
    upkeep.collector.db.write_async(move |tx| disposals::wait_over(tx, &name, &object, &plan)).await?;
    tracing::info!(incident = %step.incident, object = %step.object, store, count, "Evidence is destroyed");
    Ok(())
}

async fn note_refusal(
    upkeep: &Upkeep,
    step: &Destruction,
    store: String,
    error: &StoreError,
) -> Result<(), Failure> {
    let now = crate::clock::now();
    let due = match error {
        // The bucket says until when. If no document can hold the date, treat the answer as one without a date.
        StoreError::Locked { until, .. } => until
            .and_then(|until| until.duration_since(std::time::SystemTime::UNIX_EPOCH).ok())
            .and_then(|since| Time::EPOCH.checked_add(since))
            .unwrap_or_else(|| end_of_wait(now, REFUSED)),
        _ => end_of_wait(now, AGAIN),
    };
    let why = match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    tracing::warn!(store, object = %step.object, why, "A store keeps evidence that is to go");
    let row = WaitRow { store, object: step.object.clone(), plan: step.plan, due: Some(Millis(due)), why };
    upkeep.collector.db.write_async(move |tx| disposals::wait(tx, &row)).await.map_err(Failure::from)
}

async fn mark_disposed_now(upkeep: &Upkeep) -> Result<(), Failure> {
    let (db, deployment, replicas) =
        (upkeep.collector.db.clone(), upkeep.collector.deployment.clone(), upkeep.collector.replicas.clone());
    blocking(move || mark_disposed(&db, &deployment, &replicas)).await?.map_err(Failure::from)
}

#[cfg(test)]
pub(crate) mod tests;
