//! What goes on in the background: repair, cosignatures, time stamps, ended orders, forgotten verifiers, the watchdog.
//!
//! Guarantee: a chore that fails is logged and comes again; none stops the collector. Each ends with the drain.

use std::sync::Arc;
use std::time::Duration;

use store::Key;
use tokio::time::Instant;

use super::{notify, rosters, sweep};
use crate::collector::{Collector, blocking};
use crate::db;
use crate::grpc::failure::{Failure, chain};
use crate::ingest::{fixity, interrupt};
use crate::metrics;
use crate::repair::repair_due;

/// How often the repair queue is looked at without being told.
const REPAIR_LOOK: Duration = Duration::from_secs(10);

/// Objects repaired in one round.
const REPAIRS_AT_ONCE: u32 = 64;

/// How often orders that ended are looked at.
const EXPIRY_LOOK: Duration = Duration::from_secs(60);

/// How often the queue of time stamps is looked at.
const STAMP_LOOK: Duration = Duration::from_secs(5);

/// Starts every chore.
pub fn start(collector: &Arc<Collector>, run_directory: std::path::PathBuf, stamp_every: Option<Duration>) {
    let spawn = |name: &'static str, work: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
        collector.tasks.spawn(async move {
            work.await;
            tracing::debug!(chore = name, "Chore ended");
        });
    };
    let shared = || Arc::clone(collector);
    let (repairer, expirer, stamper, sweeper, publisher, dog) =
        (shared(), shared(), shared(), shared(), shared(), shared());
    let (cosigning, drained) = (Arc::clone(&collector.cosigning), collector.intake.clone());
    spawn(
        "cosigning",
        Box::pin(crate::cosigning::rounds(cosigning, drained)),
    );
    spawn("repair", Box::pin(async move { repair(&repairer).await }));
    spawn("expiry", Box::pin(async move { expiry(&expirer).await }));
    spawn(
        "rosters",
        Box::pin(async move { rosters::publish_dropped(&publisher, &run_directory).await }),
    );
    spawn("sweep", Box::pin(async move { first_sweep(&sweeper).await }));
    if let Some(every) = stamp_every {
        spawn("stamps", Box::pin(async move { stamps(&stamper, every).await }));
    }
    spawn("watchdog", Box::pin(async move { watchdog(&dog).await }));
}

/// Waits; false when the drain began.
async fn pause(collector: &Collector, length: Duration) -> bool {
    tokio::select! {
        () = collector.intake.cancelled() => false,
        () = tokio::time::sleep(length) => true,
    }
}

fn log(chore: &str, failure: &Failure) {
    tracing::warn!(chore, cause = %chain(failure), "Chore failed; it comes again");
}

async fn first_sweep(collector: &Collector) {
    loop {
        let swept = tokio::select! {
            () = collector.intake.cancelled() => return,
            swept = sweep::sweep(collector) => swept,
        };
        match swept {
            Ok(_) => return,
            Err(failure) => log("sweep", &failure),
        }
        if !pause(collector, Duration::from_secs(60)).await {
            return;
        }
    }
}

async fn repair(collector: &Collector) {
    loop {
        tokio::select! {
            () = collector.intake.cancelled() => return,
            () = collector.repair.notified() => {}
            () = tokio::time::sleep(REPAIR_LOOK) => {}
        }
        if let Err(failure) = repair_round(collector).await {
            log("repair", &failure);
        }
    }
}

async fn repair_round(collector: &Collector) -> Result<(), Failure> {
    loop {
        let (replicas, db) = (collector.replicas.clone(), collector.db.clone());
        let now_ms = i64::try_from(crate::clock::now().unix_ms()).unwrap_or(i64::MAX);
        let report = blocking(move || repair_due(&replicas, &db, now_ms, REPAIRS_AT_ONCE))
            .await?
            .map_err(|error| Failure::unavailable("work off the repair queue", error))?;
        for (task, reason) in &report.failed {
            tracing::warn!(
                store = task.store,
                key = task.key,
                reason,
                "Replica could not be made; it stays queued"
            );
        }
        let done = report.repaired.len();
        let keys = report
            .repaired
            .into_iter()
            .filter_map(|task| Some((task.store, Key::parse(&task.key).ok()?)));
        fixity::repaired(collector, keys.collect()).await?;
        let waiting = collector
            .db
            .read_async(db::repairs_waiting)
            .await
            .map_err(|error: db::DbError| Failure::unavailable("reach its database", error))?;
        metrics::repairs_pending(usize::try_from(waiting).unwrap_or(usize::MAX));
        if done == 0 || collector.intake.is_cancelled() {
            return Ok(());
        }
        tracing::info!(objects = done, waiting, "Replicas were repaired");
    }
}

async fn expiry(collector: &Collector) {
    while pause(collector, EXPIRY_LOOK).await {
        collector.uploads.sweep(Instant::now());
        if let Err(failure) = interrupt::expired(collector).await {
            log("expiry", &failure);
        }
    }
}

async fn stamps(collector: &Collector, every: Duration) {
    let Some(client) = collector.tsa.clone() else {
        return;
    };
    let mut next = Instant::now();
    while pause(collector, STAMP_LOOK.min(every)).await {
        if Instant::now() >= next {
            let published = collector.custody.sequencer().log().published();
            if let Err(error) = crate::tsa::enqueue_newest(&collector.db, published).await {
                log("stamps", &Failure::unavailable("queue a time stamp", error));
                continue;
            }
            next = Instant::now() + every;
        }
        let who = (&collector.deployment, &collector.id);
        let sequencer = collector.custody.sequencer();
        let now = crate::clock::now();
        let stamped =
            crate::tsa::stamp_due(&client, &collector.db, &collector.replicas, sequencer, who, now).await;
        match stamped {
            Ok(Some(stamped)) => {
                tracing::info!(size = stamped.size, stamp = %stamped.stamp, "Checkpoint is stamped")
            }
            Ok(None) => {}
            Err(error) => log("stamps", &Failure::unavailable("keep a time stamp", error)),
        }
    }
}

/// Alive: the sequencer runs and the database answers.
async fn watchdog(collector: &Collector) {
    let is_alive = || {
        let (db, has_stopped) = (collector.db.clone(), collector.custody.sequencer().has_stopped());
        async move {
            let answer = db.read_async(|db| db::log::state(db).map(drop));
            !has_stopped
                && matches!(
                    tokio::time::timeout(Duration::from_secs(30), answer).await,
                    Ok(Ok(()))
                )
        }
    };
    notify::feed_watchdog(is_alive, collector.intake.clone()).await;
}
