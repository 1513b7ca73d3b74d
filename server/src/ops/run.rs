//! The collector as a process: it opens, serves and drains.
//!
//! Guarantee: it creates nothing. If database and stores contradict each other, it does not start. When it stops, it finishes
//! open segments up to a deadline; what it could not finish was not acknowledged. Not here: making a collector (`init`).
//!
//! In reading order: [`start`] opens and serves; [`chores`] run beside; [`Running::stop`] drains.

pub(crate) mod addresses;
pub(crate) mod chores;
pub(crate) mod listeners;
pub(crate) mod notify;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use certs::name::Subject;
use certs::revocation::{Registry, Revocation};
use evidence::entry::state::EndpointState;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::collector::Collector;
use crate::config::Config;
use crate::config::layout::Layout;
use crate::endpoints::LiveEndpoints;
use crate::log::cosigning::{Cosigning, Unreachable};
use crate::log::recorder::Recorder;
use crate::log::tsa::TsaClient;
use crate::metrics;
use crate::ops::foundation::Foundation;
use crate::people::People;
use crate::rows::{self, DbError};
use crate::services::Services;
use crate::services::ingest::Ingest;
use crate::services::ingest::verifier::Program;
use crate::upkeep::Upkeep;
use addresses::{Addresses, Published};

/// Most connections at the same time: 10,000 endpoints, their uploads and people, below the unit's
/// LimitNOFILE.
const CONNECTIONS_MAX: usize = 20_000;

/// How long a drain may take. The unit's TimeoutStopSec is longer.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(60);

/// How long tasks may take to notice the stop, after the deadline.
const LAST_MOMENT: Duration = Duration::from_secs(5);

const DATABASE: &str = "read the database";
const FILES: &str = "write the run directory";

/// A running collector.
pub struct Running {
    collector: Arc<Collector>,
    ingest: Arc<Ingest>,
    published: Published,
    servers: Vec<JoinHandle<()>>,
}

/// Opens a collector. Blocks on disks, so it must not run on an async thread.
pub fn open(directory: &Path, program: &Program) -> Result<Opened> {
    if crate::ops::restored::read_mark(directory).context(FILES)?.is_some() {
        bail!("`exhibit-server restore` was not finished: its first entry is not recorded. Run it again");
    }
    attend(Foundation::open(directory, &program.path).context("open the collector")?, program)
}

/// Reads persons and connections from the database.
fn attend(foundation: Foundation, program: &Program) -> Result<Opened> {
    let newest = foundation.db.read(rows::rosters::newest).context(DATABASE)?.context(
        "the database holds no roster: `exhibit-server init` was not finished, or `rebuild` is needed",
    )?;
    let (deployment, authority) = (foundation.config.deployment.clone(), foundation.authority.clone());
    let people = People::open(deployment, authority, &newest.signed.encode()).context("open the roster")?;
    let registry = Registry::new(CONNECTIONS_MAX);
    let live = LiveEndpoints::default();
    foundation.db.read(|db| remember(db, &registry, &live)).context(DATABASE)?;
    Ok(Opened { foundation, people, registry, live, program: program.clone() })
}

/// An opened collector that does not serve yet.
pub struct Opened {
    foundation: Foundation,
    people: People,
    registry: Arc<Registry>,
    live: LiveEndpoints,
    program: Program,
}

/// Fills the deny list and the counts of starts from the rows.
fn remember(db: &rusqlite::Connection, registry: &Registry, live: &LiveEndpoints) -> Result<(), DbError> {
    crate::services::mirrors::remember(db, registry)?;
    for row in rows::endpoints::all(db)? {
        let (id, generation) = (row.endpoint.clone(), row.generation);
        match row.state {
            EndpointState::Enrolled => {
                registry.revoke(Revocation::EndpointBefore(id, generation));
            }
            EndpointState::Retired => {
                registry.revoke(Revocation::Subject(Subject::Endpoint { id, generation }));
            }
            EndpointState::Admitted | EndpointState::Superseded => {}
        }
        if let Some(seen) = rows::endpoints::live(db, &row.endpoint)? {
            let generation = u64::from(seen.generation.number());
            live.remember(seen.endpoint.as_str(), generation, &seen.boot_id, seen.state_generation);
        }
    }
    Ok(())
}

/// Puts a collector together.
fn assemble(opened: Opened) -> Result<(Services, Vec<TsaClient>, Config, Layout)> {
    let Opened { foundation, people, registry, live, program } = opened;
    let Foundation { config, layout, db, replicas, sequencer, certificates, .. } = foundation;
    let tsas = config
        .tsas
        .iter()
        .map(|tsa| TsaClient::new(&tsa.url, Duration::from_secs(tsa.timeout_s)))
        .collect::<Result<Vec<_>, _>>()
        .context("set up time stamps")?;
    let cosigning = Cosigning::open(&layout.directory, sequencer.log().clone(), replicas.clone());
    let cosigning = Arc::new(cosigning.context("set up cosigning")?);
    let log_key = sequencer.log().verifier_key().to_string();
    let collector = Collector {
        deployment: config.deployment.clone(),
        id: config.collector.clone(),
        log_key,
        addresses: (config.reach.main.to_string(), config.reach.enrol.to_string()),
        cosigning,
        recorder: Recorder::new(sequencer, config.deployment.clone(), config.collector.clone()),
        db,
        replicas,
        people,
        authority: certificates,
        registry,
        live,
        intake: CancellationToken::new(),
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
    };
    // Settings without a section `[scrub]` mean its defaults.
    let upkeep = Upkeep::new(Arc::new(collector), config.scrub.unwrap_or_default().into());
    let services = Services::new(upkeep, &program, tsas.clone());
    Ok((services, tsas, config, layout))
}

/// A collector of these parts. It serves nobody and does nothing by itself.
#[cfg(test)]
pub(crate) fn unserved(foundation: Foundation, program: &Program) -> Result<Services> {
    Ok(assemble(attend(foundation, program)?)?.0)
}

/// Starts to serve.
pub async fn start(opened: Opened) -> Result<Running> {
    let page = metrics::install().context("set up metrics")?;
    metrics::capabilities_lost(opened.foundation.capabilities_lost);
    let (services, tsas, config, layout) = assemble(opened)?;
    let collector = Arc::clone(&services.collector);
    // Nobody has submitted anything yet, so whatever is signed from here on is new.
    let witnessed = collector.cosigning.check_at_start().await;
    witnessed.context("compare the ledger with what its witnesses hold")?;
    if !collector.cosigning.policy().needs_cosigners() {
        tracing::info!("No quorum of cosigners is asked for: nobody outside vouches for the ledger");
    }
    let mirror_keys = collector.db.read_async(rows::mirrors::witness_keys).await.context(DATABASE)?;
    if let Some(unreachable) = Unreachable::of(collector.cosigning.policy(), &mirror_keys) {
        tracing::warn!("{unreachable}");
    }
    if !collector.replicas.at_best().independent {
        tracing::warn!("The stores are not independent: one failure can take all copies");
    }
    let stamp_every: Vec<Duration> = config.tsas.iter().map(|tsa| Duration::from_secs(tsa.every_s)).collect();
    let bound = listeners::bind(&collector, &config.listen)?;
    let metrics_listener = match config.listen.metrics {
        Some(address) => {
            let bound = TcpListener::bind(address).await;
            Some(bound.with_context(|| format!("listen on {address}"))?)
        }
        None => None,
    };
    let addresses = Addresses {
        collector: bound.main.local_addr(),
        enrol: bound.enrol.local_addr(),
        metrics: metrics_listener.as_ref().and_then(|listener| listener.local_addr().ok()),
    };
    let published = addresses.publish(&layout.run()).context(FILES)?;
    let (main, enrol) = listeners::serve(&services, bound.main, bound.enrol).await;
    let mut servers = vec![main, enrol];
    if let Some(listener) = metrics_listener {
        servers.push(serve_metrics(&collector, listener, page));
    }
    let renewer = Arc::clone(&collector);
    collector.tasks.spawn(async move { listeners::renew(&renewer, bound.tls).await });
    chores::start(&services, layout.run(), tsas.into_iter().zip(stamp_every).collect());
    tracing::info!(collector = %addresses.collector, enrol = %addresses.enrol, "Collector serves");
    Ok(Running { collector, ingest: services.ingest, published, servers })
}

fn serve_metrics(collector: &Arc<Collector>, listener: TcpListener, page: metrics::Page) -> JoinHandle<()> {
    let stop = collector.intake.clone();
    tokio::spawn(async move {
        let served =
            axum::serve(listener, page.router()).with_graceful_shutdown(stop.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::error!(%error, "The metrics listener failed");
        }
    })
}

impl Running {
    /// Drains: accepts nothing new, finishes open segments up to `deadline`, stops the ledger, and ends.
    pub async fn stop(self, deadline: Duration) -> Result<()> {
        let Self { collector, ingest, published, servers, .. } = self;
        tracing::info!(deadline_s = deadline.as_secs(), "Collector drains");
        notify::stopping(deadline + LAST_MOMENT);
        collector.intake.cancel();
        ingest.close();
        collector.tasks.close();
        if tokio::time::timeout(deadline, collector.tasks.wait()).await.is_err() {
            // Whatever is still open was not acknowledged, so the endpoints send it again.
            tracing::warn!(tasks = collector.tasks.len(), "The drain's deadline passed with work open");
        }
        collector.stop.cancel();
        drop(tokio::time::timeout(LAST_MOMENT, collector.tasks.wait()).await);
        // The last answers are still being sent. To cut a connection now would lose them.
        let mut servers = servers;
        let flushed = async {
            for server in &mut servers {
                drop(server.await);
            }
        };
        if tokio::time::timeout(LAST_MOMENT, flushed).await.is_err() {
            collector.registry.cut_all();
            for server in &servers {
                server.abort();
            }
        }
        drop(published);
        let sequencer = collector.recorder.sequencer().clone();
        let stopped = tokio::task::spawn_blocking(move || sequencer.stop()).await;
        match stopped {
            Ok(Ok(())) => {
                tracing::info!("Collector stopped");
                Ok(())
            }
            Ok(Err(reason)) => bail!("stop the ledger: {reason}"),
            Err(error) => bail!("stop the ledger: {error}"),
        }
    }
}

/// Runs a collector until SIGTERM or SIGINT, or until its ledger stops.
pub fn run(directory: &Path) -> Result<()> {
    let program = Program::own().context(FILES)?;
    let opened = open(directory, &program)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context(FILES)?;
    let result = runtime.block_on(async {
        let running = start(opened).await?;
        notify::ready();
        let cause = wait_for_end(&running.collector).await;
        tracing::info!(cause, "Collector is to stop");
        running.stop(DRAIN_DEADLINE).await
    });
    // Threads that wait for a dead disk must not keep the process alive.
    runtime.shutdown_timeout(LAST_MOMENT);
    result
}

async fn wait_for_end(collector: &Collector) -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return "signals cannot be received";
    };
    let ledger_ended = async {
        while !collector.recorder.sequencer().has_stopped() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        () = ledger_ended => "the ledger stopped by itself",
    }
}
