//! What goes on in the background: repair, cosignatures, time stamps, ended orders, forgotten verifiers, the watchdog.
//!
//! Guarantee: a chore that fails is logged and comes again; none stops the collector. Each ends with the drain.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::notify;
use crate::collector::Collector;
use crate::failure::{Failure, chain};
use crate::log::tsa::{self, TsaClient};
use crate::rows;
use crate::services::ingest::interrupt;
use crate::services::rosters;
use crate::upkeep::scrub;
use crate::upkeep::{legal_holds, repairs, sweep};

/// How often orders that ended are looked at.
const EXPIRY_LOOK: Duration = Duration::from_secs(60);

/// How often the queue of time stamps is looked at.
const STAMP_LOOK: Duration = Duration::from_secs(5);

/// Starts every chore.
pub fn start(collector: &Arc<Collector>, run_directory: std::path::PathBuf, stamp_every: Vec<Duration>) {
    let spawn = |name: &'static str, work: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
        collector.tasks.spawn(async move {
            work.await;
            tracing::debug!(chore = name, "Chore ended");
        });
    };
    let shared = || Arc::clone(collector);
    let (repairer, expirer, sweeper, publisher, dog) = (shared(), shared(), shared(), shared(), shared());
    let (cosigning, drained) = (Arc::clone(&collector.cosigning), collector.intake.clone());
    spawn("cosigning", Box::pin(crate::log::cosigning::rounds(cosigning, drained)));
    spawn("repair", Box::pin(async move { repairs::keep(&repairer).await }));
    let destroyer = shared();
    spawn("disposal", Box::pin(async move { crate::upkeep::disposal::chore::keep(&destroyer).await }));
    spawn("expiry", Box::pin(async move { expiry(&expirer).await }));
    spawn("rosters", Box::pin(async move { rosters::publish_dropped(&publisher, &run_directory).await }));
    for store in collector.replicas.stores() {
        let (scrubber, store) = (shared(), Arc::clone(store));
        spawn("scrub", Box::pin(async move { scrub::keep(&scrubber, store).await }));
    }
    for store in collector.replicas.stores() {
        let (holder, store) = (shared(), Arc::clone(store));
        spawn("legal holds", Box::pin(async move { legal_holds::keep(&holder, store).await }));
    }
    spawn("sweep", Box::pin(async move { first_sweep(&sweeper).await }));
    for (client, every) in collector.tsas.iter().cloned().zip(stamp_every) {
        let stamper = shared();
        spawn("stamps", Box::pin(async move { stamps(&stamper, &client, every).await }));
    }
    spawn("watchdog", Box::pin(async move { watchdog(&dog).await }));
}

/// Waits; false when the drain began.
pub(crate) async fn pause(collector: &Collector, length: Duration) -> bool {
    tokio::select! {
        () = collector.intake.cancelled() => false,
        () = tokio::time::sleep(length) => true,
    }
}

pub(crate) fn log(chore: &str, failure: &Failure) {
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

async fn expiry(collector: &Collector) {
    while pause(collector, EXPIRY_LOOK).await {
        collector.uploads.sweep(Instant::now());
        if let Err(failure) = interrupt::expired(collector).await {
            log("expiry", &failure);
        }
    }
}

async fn stamps(collector: &Collector, client: &TsaClient, every: Duration) {
    let mut next = Instant::now();
    while pause(collector, STAMP_LOOK.min(every)).await {
        if Instant::now() >= next {
            let published = collector.custody.sequencer().log().published();
            let (tsa, now) = (client.name(), crate::clock::now());
            if let Err(error) = tsa::enqueue_newest(&collector.db, &tsa, published, now).await {
                log("stamps", &Failure::unavailable("queue a time stamp", error));
                continue;
            }
            next = Instant::now() + every;
        }
        let parts = tsa::Parts {
            db: &collector.db,
            replicas: &collector.replicas,
            sequencer: collector.custody.sequencer(),
            deployment: &collector.deployment,
            collector: &collector.id,
        };
        match tsa::stamp_due(client, parts, crate::clock::now()).await {
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
            let answer = db.read_async(|db| rows::log::state(db).map(drop));
            !has_stopped && matches!(tokio::time::timeout(Duration::from_secs(30), answer).await, Ok(Ok(())))
        }
    };
    notify::feed_watchdog(is_alive, collector.intake.clone()).await;
}
