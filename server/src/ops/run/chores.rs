//! Starts the background work: repair, cosignatures, time stamps, expired orders, idle verifiers, the watchdog.
//!
//! Guarantee: a chore that fails logs the failure and tries again; no failure stops the collector. Each chore ends with the drain.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::notify;
use crate::collector::Collector;
use crate::failure::Failure;
use crate::log::tsa::{self, TsaClient};
use crate::rows;
use crate::services::Services;
use crate::services::ingest::{Ingest, interrupt, resume};
use crate::services::rosters;
use crate::upkeep::{Upkeep, disposal, legal_holds, repairs, scrub, sweep};

/// How often to look for orders that expired.
const EXPIRY_LOOK: Duration = Duration::from_secs(60);

/// How often to check the queue of time stamps.
const STAMP_LOOK: Duration = Duration::from_secs(5);

/// Starts every chore.
pub fn start(services: &Services, run_directory: std::path::PathBuf, tsas: Vec<(TsaClient, Duration)>) {
    let collector = &services.collector;
    let spawn = |name: &'static str, work: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
        collector.tasks.spawn(async move {
            work.await;
            tracing::debug!(chore = name, "Chore ended");
        });
    };
    let shared = || Arc::clone(collector);
    let upkeep = || Arc::clone(&services.upkeep);
    let ingest = || Arc::clone(&services.ingest);
    let (repairer, publisher, dog) = (upkeep(), shared(), shared());
    let (cosigning, drained) = (Arc::clone(&collector.cosigning), collector.intake.clone());
    spawn("cosigning", Box::pin(crate::log::cosigning::rounds(cosigning, drained)));
    spawn("repair", Box::pin(async move { repairs::work_off_queue(&repairer).await }));
    let (destroyer, uploads) = (upkeep(), Arc::clone(&services.ingest.uploads));
    spawn("disposal", Box::pin(async move { disposal::chore::carry_out_plans(&destroyer, &uploads).await }));
    let expirer = ingest();
    spawn("expiry", Box::pin(async move { expiry(&expirer).await }));
    spawn("rosters", Box::pin(async move { rosters::publish_dropped(&publisher, &run_directory).await }));
    for store in collector.replicas.stores() {
        let (scrubber, store) = (upkeep(), Arc::clone(store));
        spawn("scrub", Box::pin(async move { scrub::scrub_store(&scrubber, store).await }));
    }
    for store in collector.replicas.stores() {
        let (holder, store) = (upkeep(), Arc::clone(store));
        spawn("legal holds", Box::pin(async move { legal_holds::keep_holds_set(&holder, store).await }));
    }
    let (finisher, sweeper) = (ingest(), upkeep());
    spawn("sweep", Box::pin(async move { first_sweep(&finisher, &sweeper).await }));
    for (client, every) in tsas {
        let stamper = shared();
        spawn("stamps", Box::pin(async move { stamps(&stamper, &client, every).await }));
    }
    spawn("watchdog", Box::pin(async move { watchdog(&dog).await }));
}

/// Repeats the start-up sweep until it has worked once.
async fn first_sweep(ingest: &Ingest, upkeep: &Upkeep) {
    let collector = &upkeep.collector;
    loop {
        let swept = tokio::select! {
            () = collector.intake.cancelled() => return,
            swept = look_around(ingest, upkeep) => swept,
        };
        match swept {
            Ok(()) => return,
            Err(failure) => failure.log_for_chore("sweep"),
        }
        if !collector.pause(Duration::from_secs(60)).await {
            return;
        }
    }
}

async fn look_around(ingest: &Ingest, upkeep: &Upkeep) -> Result<(), Failure> {
    let finished = resume::finish_complete(ingest).await?;
    if finished > 0 {
        tracing::info!(finished, "Collections that were complete before the start have their entries");
    }
    sweep::sweep(upkeep).await.map(drop)
}

async fn expiry(ingest: &Ingest) {
    while ingest.collector.pause(EXPIRY_LOOK).await {
        ingest.uploads.sweep(Instant::now());
        if let Err(failure) = interrupt::expired(ingest).await {
            failure.log_for_chore("expiry");
        }
    }
}

async fn stamps(collector: &Collector, client: &TsaClient, every: Duration) {
    let mut next = Instant::now();
    while collector.pause(STAMP_LOOK.min(every)).await {
        if Instant::now() >= next {
            let published = collector.recorder.sequencer().log().published();
            let (tsa, now) = (client.name(), crate::clock::now());
            if let Err(error) = tsa::enqueue_newest(&collector.db, &tsa, published, now).await {
                Failure::unavailable("queue a time stamp", error).log_for_chore("stamps");
                continue;
            }
            next = Instant::now() + every;
        }
        let parts = tsa::Parts {
            db: &collector.db,
            replicas: &collector.replicas,
            sequencer: collector.recorder.sequencer(),
            deployment: &collector.deployment,
            collector: &collector.id,
        };
        match tsa::stamp_due(client, parts, crate::clock::now()).await {
            Ok(Some(stamped)) => {
                tracing::info!(size = stamped.size, stamp = %stamped.stamp, "Checkpoint is stamped")
            }
            Ok(None) => {}
            Err(error) => Failure::unavailable("keep a time stamp", error).log_for_chore("stamps"),
        }
    }
}

/// True if the collector is alive: the sequencer runs and the database answers.
async fn watchdog(collector: &Collector) {
    let is_alive = || {
        let (db, has_stopped) = (collector.db.clone(), collector.recorder.sequencer().has_stopped());
        async move {
            let answer = db.read_async(|db| rows::log::state(db).map(drop));
            !has_stopped && matches!(tokio::time::timeout(Duration::from_secs(30), answer).await, Ok(Ok(())))
        }
    };
    notify::feed_watchdog(is_alive, collector.intake.clone()).await;
}
