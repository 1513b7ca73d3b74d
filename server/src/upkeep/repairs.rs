//! Works through the repair queue, on its own and on request.
//!
//! Guarantee: the ledger records damage before it is repaired, and the repair afterwards. One round runs at a time. What cannot
//! be repaired now stays queued, with the reason. Not here: how one replica is replaced (`upkeep::repair`).

use std::sync::Arc;
use std::time::Duration;

use evidence::length::len;
use store::{Key, Replicas, Store, StoreError, StoreErrorClass, Wanting};
use tokio::sync::{Mutex, MutexGuard, Notify};

use crate::blocking::blocking;
use crate::failure::{Failure, OrFailure as _};
use crate::metrics;
use crate::rows::{self, DbError, RepairTask};
use crate::upkeep::Upkeep;
use crate::upkeep::fixity;
use crate::upkeep::repair::{OTHER_BYTES, finish_repairs, repair_due};
use crate::upkeep::wants::can_be_asked;

/// How often to look at the queue when nobody wakes the repairer.
const LOOK: Duration = Duration::from_secs(10);

/// Objects to repair in one round.
const AT_ONCE: usize = 64;

/// Wakes the repairer, and serialises its rounds with callers that must not meet one.
#[derive(Debug, Default)]
pub(crate) struct Repairs {
    due: Notify,
    turn: Mutex<()>,
    /// Callers that wait for the turn: a test sees here that one waits.
    #[cfg(test)]
    pub(crate) waiting: std::sync::atomic::AtomicU32,
}

impl Repairs {
    /// Wakes the repairer, because something may be due.
    pub(crate) fn wake(&self) {
        self.due.notify_one();
    }

    async fn woken(&self) {
        self.due.notified().await;
    }

    /// Waits for the turn: one round of repair, or one caller that must not meet a round, at a time.
    pub(crate) async fn turn(&self) -> MutexGuard<'_, ()> {
        #[cfg(test)]
        self.waiting.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let turn = self.turn.lock().await;
        #[cfg(test)]
        self.waiting.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
        turn
    }
}

/// The result of a round.
#[derive(Debug, Default)]
pub struct Round {
    /// Replicas that were due. 0 means that nothing is left to do.
    pub tried: usize,
    /// Replicas that were repaired.
    pub repaired: u64,
    /// Replicas that stay queued.
    pub waiting: u64,
    /// Why some could not be repaired in this round.
    pub problems: Vec<String>,
}

/// Runs rounds until the drain.
pub async fn work_off_queue(upkeep: &Upkeep) {
    loop {
        tokio::select! {
            () = upkeep.collector.intake.cancelled() => return,
            () = upkeep.repairs.woken() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
        loop {
            match round(upkeep).await {
                Ok(done) if done.tried > 0 && !upkeep.collector.intake.is_cancelled() => {
                    tracing::info!(objects = done.repaired, waiting = done.waiting, "Replicas were repaired");
                }
                Ok(_) => break,
                Err(failure) => {
                    failure.log_for_chore("repair");
                    break;
                }
            }
        }
    }
}

/// One round over what is due.
pub async fn round(upkeep: &Upkeep) -> Result<Round, Failure> {
    let _turn = upkeep.repairs.turn().await;
    let now = crate::clock::now();
    let due = upkeep.collector.db.read_async(move |db| rows::repairs_due(db, now.unix_ms(), AT_ONCE)).await?;
    let due = still_wanted(upkeep, due).await?;
    // A read that had to use another store queued the damaged replica that it met.
    for task in due.iter().filter(|task| task.wanting == Wanting::Damaged) {
        fixity::failed(upkeep, &task.key, &task.store).await?;
    }
    let (replicas, db) = (upkeep.collector.replicas.clone(), upkeep.collector.db.clone());
    let tried = due.len();
    let report = blocking(move || repair_due(&replicas, &db, due, now))
        .await?
        .or_unavailable("work off the repair queue")?;
    let mut problems = Vec::new();
    for (task, reason) in &report.failed {
        tracing::warn!(
            store = task.store,
            key = %task.key,
            reason,
            "Replica could not be made; it stays queued"
        );
        problems.push(format!("{} on {}: {reason}", task.key, task.store));
        ask_mirrors(upkeep, &task.key).await?;
        if reason == OTHER_BYTES {
            let task = task.clone();
            let again =
                move |tx: &rusqlite::Connection| rows::want(tx, &task.store, &task.key, Wanting::Damaged);
            upkeep.collector.db.write_async(again).await?;
        }
    }
    let repaired = len(&report.repaired);
    let keys = report.repaired.iter().map(|task| (task.store.clone(), task.key.clone()));
    let keys: Vec<(String, Key)> = keys.collect();
    for (_, key) in &keys {
        // A whole copy exists, because a store came back or a scrub mended it. No mirror needs to send one.
        upkeep.wants.remove(key);
    }
    fixity::repaired(upkeep, keys).await?;
    let (replicas, db, done) =
        (upkeep.collector.replicas.clone(), upkeep.collector.db.clone(), report.repaired);
    blocking(move || finish_repairs(&replicas, &db, &done))
        .await?
        .or_unavailable("work off the repair queue")?;
    let waiting = upkeep.collector.db.read_async(rows::repairs_waiting).await?;
    metrics::repairs_pending(waiting);
    Ok(Round { tried, repaired, waiting, problems })
}

/// Asks mirrors for an object that no store has whole.
async fn ask_mirrors(upkeep: &Upkeep, key: &Key) -> Result<(), Failure> {
    if upkeep.wants.has(key) || !can_be_asked(key) {
        return Ok(());
    }
    let (replicas, looked) = (upkeep.collector.replicas.clone(), key.clone());
    let read = blocking(move || replicas.read(&looked)).await?;
    // A store that is away may have the object. Do not fetch it from a mirror for that alone.
    if read.is_err_and(|error| error.class() != StoreErrorClass::Transient) {
        tracing::warn!(%key, "No store has it whole; mirrors are asked for it");
        upkeep.wants.ask(key);
    }
    Ok(())
}

/// Stores an object from a mirror wherever it is missing, and records the repair. Its bytes must have the digest of its key.
///
/// # Errors
/// `Unavailable` if no store took it. The object stays wanted, and the mirror may offer it again.
pub async fn accept_given(upkeep: &Upkeep, key: Key, bytes: Vec<u8>) -> Result<(), Failure> {
    let _turn = upkeep.repairs.turn().await;
    if !upkeep.wants.has(&key) {
        // Another mirror came first.
        return Ok(());
    }
    // Its disposal was approved after the request. Storing it would bring it back.
    if fixity::is_disposed(upkeep, &key, fixity::ALL).await? {
        upkeep.wants.remove(&key);
        return Ok(());
    }
    let (replicas, object) = (upkeep.collector.replicas.clone(), key.clone());
    let mut closed = Vec::new();
    for store in replicas.stores() {
        let name = &store.identity().store;
        if fixity::is_disposed(upkeep, &key, name).await? {
            closed.push(name.clone());
        }
    }
    let (made, failed) = blocking(move || place(&replicas, &object, &bytes, &closed)).await?;
    if let Some(why) = failed.filter(|_| made.is_empty()) {
        return Err(Failure::unavailable("store what a mirror gave", why));
    }
    let mut pairs: Vec<(String, Key)> = made.iter().map(|store| (store.clone(), key.clone())).collect();
    if fixity::is_failed(upkeep, &key, fixity::ALL).await? {
        pairs.push((fixity::ALL.to_owned(), key.clone()));
    }
    fixity::repaired(upkeep, pairs).await?;
    let tasks: Vec<RepairTask> = made
        .into_iter()
        .map(|store| RepairTask { store, key: key.clone(), wanting: Wanting::Missing, attempts: 0 })
        .collect();
    let (replicas, db) = (upkeep.collector.replicas.clone(), upkeep.collector.db.clone());
    blocking(move || finish_repairs(&replicas, &db, &tasks))
        .await?
        .or_unavailable("work off the repair queue")?;
    // Crash before this line: the collector asks for it again, and finds it whole.
    upkeep.wants.remove(&key);
    tracing::info!(%key, "Repaired from a mirror");
    Ok(())
}

/// Writes the object to every store that lacks it, except those that destroyed it under a plan (`closed`). Moves damaged bytes
/// aside. Returns the stores that have it now, and why another one does not.
fn place(
    replicas: &Replicas,
    key: &Key,
    bytes: &[u8],
    closed: &[String],
) -> (Vec<String>, Option<StoreError>) {
    let (mut made, mut failed) = (Vec::new(), None);
    let open = |store: &&Arc<dyn Store>| !closed.contains(&store.identity().store);
    for store in replicas.stores().iter().filter(open) {
        let written = match store.create(key, bytes) {
            Err(error) if error.class() == StoreErrorClass::Conflict => {
                store.displace(key).and_then(|()| store.create(key, bytes))
            }
            result => result,
        };
        match written {
            Ok(()) => made.push(store.identity().store.clone()),
            Err(error) => failed = Some(error),
        }
    }
    (made, failed)
}

/// Drops tasks whose object an approved plan destroys: a repair would write it again.
async fn still_wanted(upkeep: &Upkeep, due: Vec<rows::RepairTask>) -> Result<Vec<rows::RepairTask>, Failure> {
    let sorted = upkeep.collector.db.write_async(move |tx| {
        let now = crate::clock::now();
        let mut wanted = Vec::with_capacity(due.len());
        for task in due {
            if crate::rows::fence::is_disposed_of(tx, &task.key, Some(&task.store), now)? {
                rows::repair_done(tx, &task, None)?;
            } else {
                wanted.push(task);
            }
        }
        Ok::<_, DbError>(wanted)
    });
    sorted.await.map_err(Failure::from)
}
