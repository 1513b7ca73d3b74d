//! Works off the repair queue: by itself, and when somebody asks.
//!
//! Guarantee: damage is in the ledger before it is mended, and that it was mended after; one round at a time. What cannot
//! be mended now stays queued, with its reason. Not here: how one replica is made (`crate::repair`).

use std::time::Duration;

use store::{Key, Wanting};

use crate::collector::{Collector, blocking};
use crate::db::{self, DbError};
use crate::grpc::failure::Failure;
use crate::ingest::fixity;
use crate::metrics;
use crate::repair::{OTHER_BYTES, repair_due, settled};

/// How often the queue is looked at without being told.
const LOOK: Duration = Duration::from_secs(10);

/// Objects repaired in one round.
const AT_ONCE: u32 = 64;

/// What a round did.
#[derive(Debug, Default)]
pub struct Round {
    /// Replicas that were looked at; 0: nothing is due.
    pub tried: usize,
    /// Replicas that are right now.
    pub repaired: u64,
    /// Replicas that wait.
    pub waiting: u64,
    /// Why some of them could not be made in this round.
    pub problems: Vec<String>,
}

/// Rounds until the drain.
pub async fn keep(collector: &Collector) {
    loop {
        tokio::select! {
            () = collector.intake.cancelled() => return,
            () = collector.repair.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
        loop {
            match round(collector).await {
                Ok(done) if done.tried > 0 && !collector.intake.is_cancelled() => {
                    tracing::info!(
                        objects = done.repaired,
                        waiting = done.waiting,
                        "Replicas were repaired"
                    );
                }
                Ok(_) => break,
                Err(failure) => {
                    super::chores::log("repair", &failure);
                    break;
                }
            }
        }
    }
}

/// One round over what is due.
///
/// # Errors
/// When database or ledger do not answer.
pub async fn round(collector: &Collector) -> Result<Round, Failure> {
    let _turn = collector.repairing.lock().await;
    let now_ms = i64::try_from(crate::clock::now().unix_ms()).unwrap_or(i64::MAX);
    let due = collector
        .db
        .read_async(move |db| db::repairs_due(db, now_ms, AT_ONCE))
        .await
        .map_err(database)?;
    let due = still_wanted(collector, due).await?;
    // A read that fell over to another store queued what it met.
    for task in due.iter().filter(|task| task.wanting == "damaged") {
        if let Ok(key) = Key::parse(&task.key) {
            fixity::failed(collector, &key, &task.store).await?;
        }
    }
    let (replicas, db) = (collector.replicas.clone(), collector.db.clone());
    let tried = due.len();
    let report = blocking(move || repair_due(&replicas, &db, due, now_ms))
        .await?
        .map_err(|error| Failure::unavailable("work off the repair queue", error))?;
    let mut problems = Vec::new();
    for (task, reason) in &report.failed {
        tracing::warn!(
            store = task.store,
            key = task.key,
            reason,
            "Replica could not be made; it stays queued"
        );
        problems.push(format!("{} on {}: {reason}", task.key, task.store));
        if reason == OTHER_BYTES {
            let task = task.clone();
            let again =
                move |tx: &rusqlite::Connection| db::want(tx, &task.store, &task.key, Wanting::Damaged);
            collector.db.write_async(again).await.map_err(database)?;
        }
    }
    let repaired = u64::try_from(report.repaired.len()).unwrap_or(u64::MAX);
    let keys = report
        .repaired
        .iter()
        .filter_map(|task| Some((task.store.clone(), Key::parse(&task.key).ok()?)));
    fixity::repaired(collector, keys.collect()).await?;
    let (replicas, db, done) = (collector.replicas.clone(), collector.db.clone(), report.repaired);
    blocking(move || settled(&replicas, &db, &done))
        .await?
        .map_err(|error| Failure::unavailable("work off the repair queue", error))?;
    let waiting = collector
        .db
        .read_async(db::repairs_waiting)
        .await
        .map_err(database)?;
    let waiting = u64::try_from(waiting).unwrap_or(0);
    metrics::repairs_pending(usize::try_from(waiting).unwrap_or(usize::MAX));
    Ok(Round {
        tried,
        repaired,
        waiting,
        problems,
    })
}

/// Forgets what goes by an approved plan: it would be written again while it is destroyed.
async fn still_wanted(
    collector: &Collector,
    due: Vec<db::RepairTask>,
) -> Result<Vec<db::RepairTask>, Failure> {
    let sorted = collector.db.write_async(move |tx| {
        let now = crate::clock::now();
        let mut wanted = Vec::with_capacity(due.len());
        for task in due {
            let key = Key::parse(&task.key).ok();
            let is_fenced = match &key {
                Some(key) => crate::disposal::fenced(tx, key, Some(&task.store), now)?,
                None => false,
            };
            if is_fenced {
                db::repair_done(tx, &task, None)?;
            } else {
                wanted.push(task);
            }
        }
        Ok::<_, DbError>(wanted)
    });
    sorted.await.map_err(database)
}

fn database(error: DbError) -> Failure {
    Failure::unavailable("reach its database", error)
}
