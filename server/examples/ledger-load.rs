//! Load for the ledger of a collector that is not running: many tasks submit at the same time, through the sequencer, the signer process
//! and the stores that `exhibit-server init` made. Prints one JSON object with the measurements. bench/ledger.sh and the suite
//! `strangers` run it.
//!
//!   ledger-load DIRECTORY PROGRAM ENTRIES IN_FLIGHT
//!
//! DIRECTORY: the collector's; PROGRAM: exhibit-server, for its signer process. If its `ledger.policy` names witnesses, they are
//! asked meanwhile, and each task measures how long some of its entries wait for a head with the policy's quorum. It waits for one entry
//! at a time, and the wait delays no other entry.

#![expect(clippy::print_stdout, reason = "a program whose output is its figures")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use evidence::entry::act::{Act, ActNonce, ActType};
use evidence::entry::{ActObject, EntryType};
use evidence::id::{Actor, Chain};
use evidence::text::FixedBytes;
use server::log::cosigning::{Cosigning, rounds};
use server::log::ledger::PendingEntry;
use server::ops::foundation::Foundation;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long an entry is waited for that nobody cosigns.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was measured, each from the submission on.
#[derive(Default)]
struct Latencies {
    /// To the durable index, to the published proof.
    recorded: Vec<(Duration, Duration)>,
    /// To a head with the policy's quorum, of some of the entries.
    cosigned: Vec<Duration>,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, program, entries, in_flight] = arguments.as_slice() else {
        anyhow::bail!("usage: ledger-load DIRECTORY PROGRAM ENTRIES IN_FLIGHT");
    };
    let (entries, in_flight): (u64, u64) = (entries.parse()?, in_flight.parse()?);
    let opening = Instant::now();
    let foundation = Foundation::open(Path::new(directory), Path::new(program))?;
    let opened = opening.elapsed();
    let before = foundation.sequencer.log().published().size;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let begun = Instant::now();
    let log = foundation.sequencer.log().clone();
    let cosigning = Cosigning::open(Path::new(directory), log, foundation.replicas.clone())?;
    let (cosigning, stop) = (Arc::new(cosigning), CancellationToken::new());
    let asked = cosigning.policy().witnesses().iter().any(|witness| witness.url.is_some());
    let witnesses = asked.then(|| Arc::clone(&cosigning));
    let chore = runtime.spawn(rounds(cosigning, stop.clone()));
    let (latencies, elapsed) = runtime.block_on(async {
        let latencies = load(&foundation, witnesses, entries, in_flight).await;
        let elapsed = begun.elapsed();
        stop.cancel();
        chore.await?;
        anyhow::Ok((latencies?, elapsed))
    })?;
    let Latencies { recorded: mut latencies, mut cosigned } = latencies;
    let size = foundation.sequencer.log().published().size;
    let recorded = u64::try_from(latencies.len())?;
    anyhow::ensure!(
        size == before.saturating_add(recorded),
        "{recorded} entries made the log grow from {before} to {size}"
    );
    let indexed = percentiles(&mut latencies, |(indexed, _)| *indexed);
    let proven = percentiles(&mut latencies, |(_, proven)| *proven);
    let witnessed = percentiles(&mut cosigned, |cosigned| *cosigned);
    foundation.sequencer.stop().map_err(anyhow::Error::msg)?;
    let figures = serde_json::json!({
        "entries": recorded, "in_flight": in_flight, "size": size, "stores": foundation.config.stores.len(),
        "open_seconds": opened.as_secs_f64(), "seconds": elapsed.as_secs_f64(),
        "entries_per_second": f64::from(u32::try_from(recorded)?) / elapsed.as_secs_f64(),
        "indexed_ms": {"p50": indexed.0, "p99": indexed.1},
        "proven_ms": {"p50": proven.0, "p99": proven.1},
        "cosigned": cosigned.len(),
        "cosigned_ms": {"p50": witnessed.0, "p99": witnessed.1},
    });
    println!("{figures}");
    Ok(())
}

async fn load(
    foundation: &Foundation,
    witnesses: Option<Arc<Cosigning>>,
    entries: u64,
    in_flight: u64,
) -> Result<Latencies> {
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..in_flight.min(entries) {
        let (next, sequencer, witnesses) =
            (Arc::clone(&next), foundation.sequencer.clone(), witnesses.clone());
        let (deployment, collector) =
            (foundation.config.deployment.clone(), foundation.config.collector.clone());
        tasks.spawn(async move {
            let mut latencies = Latencies::default();
            let mut watched: Option<JoinHandle<Result<Duration>>> = None;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= entries {
                    if let Some(watched) = watched {
                        latencies.cosigned.push(watched.await??);
                    }
                    return anyhow::Ok(latencies);
                }
                // An act that the collector makes by itself, and that is lawful at any time.
                let mut nonce = [0; 16];
                getrandom::fill(&mut nonce).map_err(|error| anyhow::anyhow!("{error}"))?;
                let refs = vec![("size".to_owned(), "0".to_owned())];
                let act = Act {
                    type_: ActType,
                    deployment: deployment.clone(),
                    act: EntryType::RecoveryPerformed,
                    incident: Chain::Deployment,
                    at: server::clock::now(),
                    by: Actor::Collector(collector.clone()),
                    refs: refs.clone(),
                    fields: Vec::new(),
                    detail: None,
                    nonce: ActNonce::Once(FixedBytes(nonce)),
                };
                let begun = Instant::now();
                let receipt = sequencer
                    .submit(PendingEntry {
                        type_: act.act,
                        chain: act.incident.clone(),
                        refs,
                        act: ActObject {
                            document: evidence::json::to_document(&act)?,
                            signatures: Vec::new(),
                        },
                        guard: None,
                    })
                    .await?;
                let indexed = receipt.committed.context("a new entry was committed just now")?;
                latencies.recorded.push((indexed.duration_since(begun), begun.elapsed()));
                if let Some(ended) = watched.take_if(|watched| watched.is_finished()) {
                    latencies.cosigned.push(ended.await??);
                }
                if let (None, Some(witnesses)) = (&watched, witnesses.clone()) {
                    let size = receipt.index.saturating_add(1);
                    watched = Some(tokio::spawn(async move {
                        witnesses.quorum_over(size, PATIENCE).await?;
                        anyhow::Ok(begun.elapsed())
                    }));
                }
            }
        });
    }
    let mut all = Latencies::default();
    while let Some(latencies) = tasks.join_next().await {
        let latencies = latencies??;
        all.recorded.extend(latencies.recorded);
        all.cosigned.extend(latencies.cosigned);
    }
    Ok(all)
}

/// p50 and p99 in milliseconds.
fn percentiles<T>(latencies: &mut [T], which: impl Fn(&T) -> Duration) -> (f64, f64) {
    latencies.sort_by_key(|one| which(one));
    let at = |percent: usize| {
        let place = latencies.len().saturating_mul(percent) / 100;
        let one = latencies.get(place.min(latencies.len().saturating_sub(1)));
        one.map_or(0.0, |one| which(one).as_secs_f64() * 1000.0)
    };
    (at(50), at(99))
}
