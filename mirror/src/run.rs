//! A running mirror: it takes notes, makes rounds, copies collections, sends statements, and reads its own copy again.
//!
//! Guarantee: three threads block (ledger, evidence, scrub), and one runtime serves sockets. Each stops at
//! the next object or bundle when asked. A restart needs nothing that they kept in memory. Not here: what is
//! checked.

mod collections;
mod contact;
mod destroying;
mod giving;
mod rounds;
mod scrubbing;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use evidence::digest::Digest;
use evidence::disposal::Object;
use evidence::id::MirrorId;
use store::Replicas;
use store::scrub::Throttle;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

use self::collections::evidence_thread;
use self::contact::{credentials, follow, look, renew};
use self::rounds::ledger_thread;
use self::scrubbing::scrub_thread;
use crate::config::{CONFIG_FILE, Config, Layout, open_source, open_stores};
use crate::cosign::{Cosigner, Role};
use crate::dispose;
use crate::keys::Keys;
use crate::rate::parse_rate;
use crate::remote::Remote;
use crate::replicate::judge::Judges;
use crate::rules::CollectionToCopy;
use crate::source::{Source, StoreSource};
use crate::status::Board;
use crate::witness::Witness;

/// Longest time between two rounds, so that objects that could not be fetched are tried again.
const LOOK: Duration = Duration::from_secs(30);
/// How long to wait before a failed collection is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// The parts that all threads share.
struct Context {
    layout: Layout,
    mirror: MirrorId,
    cosigner: Arc<Cosigner>,
    own: Replicas,
    /// The source of bytes.
    source: Box<dyn Source>,
    remote: Arc<Remote>,
    /// Verifies containers in a process that has no keys.
    judges: Box<dyn Judges>,
    board: Arc<Board>,
    repaired: AtomicU64,
    stop: AtomicBool,
    throttle: Arc<Throttle>,
    scrub_throttle: Throttle,
    scrub_every: Duration,
    /// Collections as of the newest round.
    worklist: Mutex<Worklist>,
    held: watch::Sender<u64>,
    /// The newest note of the collector, unverified.
    newest: Mutex<Option<Vec<u8>>>,
    /// Wakes the task that waits for the collector.
    ending: watch::Sender<bool>,
    /// True while objects are being destroyed. The scrub stops then, because it would put them back.
    cut: AtomicBool,
    /// The scrub holds this while it reads, and the evidence thread holds it while it destroys.
    quiet: Mutex<()>,
    /// The scrub sets this to ask for the list of all collections. The list is long, and nothing else needs
    /// it.
    wants_all: AtomicBool,
}

#[derive(Default)]
struct Worklist {
    waiting: Arc<Vec<CollectionToCopy>>,
    /// Every collection, if the scrub asked for them.
    all: Option<Arc<Vec<CollectionToCopy>>>,
    /// The destructions that are due.
    destructions: Arc<Vec<dispose::Destruction>>,
    /// Objects that the ledger does not yet record as destroyed here.
    unconfirmed: Arc<BTreeSet<(Digest, Object)>>,
    /// Collections whose own copy is destroyed or about to be.
    disposed: Arc<BTreeSet<Digest>>,
}

/// A running mirror.
pub struct Running {
    context: Arc<Context>,
    runtime: tokio::runtime::Runtime,
    threads: Vec<std::thread::JoinHandle<()>>,
    /// Address where the witness listens.
    pub witness: Option<SocketAddr>,
    /// Address where the metrics listen.
    pub metrics: Option<SocketAddr>,
}

/// Starts a mirror. If it has no certificate yet, it waits until an endpoint-admin has admitted it.
///
/// # Errors
/// If a file, key or store of the mirror cannot be used, or an address is taken. The error says which, and what to do.
pub fn start(directory: &Path, judges: Box<dyn Judges>) -> anyhow::Result<Running> {
    let layout = Layout(directory.to_owned());
    let config = layout.config()?;
    let (pins, card) = layout.pins(&config.deployment)?;
    let keys = Keys::load(&layout.keys(), &config.mirror)?;
    let cosigner = Arc::new(Cosigner::open(directory, pins, keys)?);
    durable::create_private_folder(&layout.run())?;
    durable::create_private_folder(&layout.replicated())?;
    let own = open_stores(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let board = Arc::new(Board::default());
    board.update(|status| {
        status.mirror = config.mirror.to_string();
        status.deployment = config.deployment.to_string();
    });
    let credentials = credentials(&runtime, &layout, &config, &card, &board)?;
    let (ending, end) = watch::channel(false);
    let rate = |text: &str| parse_rate(text).map_err(anyhow::Error::msg);
    let throttle = Arc::new(Throttle::new(rate(&config.bandwidth)?));
    let remote = Arc::new(Remote::new(
        runtime.handle().clone(),
        &config,
        &card,
        &credentials,
        Arc::clone(&throttle),
        end,
    )?);
    let place = open_source(&config)?;
    let source: Box<dyn Source> = match &place {
        Some(store) => Box::new(StoreSource(Arc::clone(store))),
        None => Box::new(Arc::clone(&remote)),
    };
    let size = cosigner.last(Role::Mirror).map_or(0, |held| held.log.checkpoint.size);
    let (held, held_receiver) = watch::channel(size);
    let wake = Arc::new(Notify::new());
    let (witness, metrics) = listen(&runtime, &config, &cosigner, &own, &held_receiver, &wake, &board)?;
    write_addresses(&layout, witness, metrics)?;
    let context = Arc::new(Context {
        layout,
        mirror: config.mirror.clone(),
        cosigner,
        own,
        source,
        remote,
        judges,
        board,
        repaired: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        throttle,
        scrub_throttle: Throttle::new(rate(&config.scrub_bandwidth)?),
        scrub_every: Duration::from_secs(u64::from(config.scrub_days) * 86_400),
        worklist: Mutex::default(),
        held,
        newest: Mutex::default(),
        ending,
        cut: AtomicBool::new(false),
        quiet: Mutex::default(),
        wants_all: AtomicBool::new(false),
    });
    let (notes, rounds) = sync_channel(1);
    if let Some(place) = place {
        runtime.spawn(look(Arc::clone(&context), place, notes.clone()));
    }
    runtime.spawn(follow(Arc::clone(&context), notes, wake));
    runtime.spawn(giving::give(Arc::clone(&context)));
    runtime.spawn(renew(Arc::clone(&context), config, card, credentials));
    let thread = |name: &str, work: fn(&Context)| {
        let context = Arc::clone(&context);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || work(&context))
    };
    let mut threads = vec![thread("evidence", evidence_thread)?, thread("scrub", scrub_thread)?];
    let ledger = Arc::clone(&context);
    threads.push(
        std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || ledger_thread(&ledger, &rounds))?,
    );
    Ok(Running { context, runtime, threads, witness, metrics })
}

impl Running {
    /// Runs until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// If it cannot wait for signals.
    pub fn until_signalled(self) -> anyhow::Result<()> {
        let signalled = self.runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let mut term = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            tokio::select! {
                _ = term.recv() => {}
                _ = interrupt.recv() => {}
            }
            Ok::<_, std::io::Error>(())
        });
        self.stop();
        signalled.context("wait for a signal")
    }

    /// Stops the mirror: every thread ends at its next object or bundle.
    pub fn stop(self) {
        self.context.stop.store(true, Ordering::SeqCst);
        self.context.throttle.end();
        self.context.scrub_throttle.end();
        self.context.ending.send_replace(true);
        for thread in self.threads {
            drop(thread.join());
        }
        self.runtime.shutdown_timeout(Duration::from_secs(2));
        drop(fs_err::remove_file(self.context.layout.run().join("addresses.json")));
        self.context.board.write(&self.context.layout.run());
    }
}

impl Context {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    fn newest(&self) -> std::sync::MutexGuard<'_, Option<Vec<u8>>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn worklist(&self) -> std::sync::MutexGuard<'_, Worklist> {
        self.worklist.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pause(&self, whole: Duration) {
        let step = Duration::from_millis(200);
        let mut left = whole;
        while self.goes_on() && !left.is_zero() {
            std::thread::sleep(step.min(left));
            // Saturating is the meaning: the last step may be longer than what is left.
            left = left.saturating_sub(step);
        }
    }
}

fn listen(
    runtime: &tokio::runtime::Runtime,
    config: &Config,
    cosigner: &Arc<Cosigner>,
    own: &Replicas,
    held: &watch::Receiver<u64>,
    wake: &Arc<Notify>,
    board: &Arc<Board>,
) -> anyhow::Result<(Option<SocketAddr>, Option<SocketAddr>)> {
    let serve = |setting, address: Option<SocketAddr>, router: axum::Router| {
        let Some(address) = address else {
            return anyhow::Ok(None);
        };
        let listener = runtime.block_on(TcpListener::bind(address)).with_context(|| {
            format!(
                "listen on {address}. Stop the program that has this address, or change `{setting}` in {CONFIG_FILE}"
            )
        })?;
        let bound = listener.local_addr()?;
        runtime.spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "A listener ended");
            }
        });
        Ok(Some(bound))
    };
    let witness = Witness {
        cosigner: Arc::clone(cosigner),
        own: own.clone(),
        held: held.clone(),
        wake: Arc::clone(wake),
        board: Arc::clone(board),
    };
    let bound = serve("listen", config.listen, witness.router())?;
    Ok((bound, serve("metrics", config.metrics, Witness::metrics_router(Arc::clone(board)))?))
}

fn write_addresses(
    layout: &Layout,
    witness: Option<SocketAddr>,
    metrics: Option<SocketAddr>,
) -> anyhow::Result<()> {
    let text = serde_json::json!({"witness": witness, "metrics": metrics}).to_string();
    Ok(durable::replace(&layout.run().join("addresses.json"), text.as_bytes(), 0o644)?)
}
