//! A running mirror: notes come in, rounds are made, collections copied, statements sent, the own copy read again.
//!
//! Guarantee: three threads that block (ledger, evidence, scrub) and one runtime for sockets; each stops at the next object or
//! bundle when asked; nothing that one of them loses in memory is needed after a restart. Not here: what is checked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use certs::certificate::Leaf;
use certs::identity::Credentials;
use evidence::act::{Act, ActNonce, ActType};
use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::id::{Actor, MirrorId};
use evidence::signed::Signed;
use evidence::time::Time;
use store::{DirectoryStore, Replicas};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

use crate::chain;
use crate::config::{Card, Config, ConfigError, Layout, open_stores};
use crate::copy::{CopyError, copy};
use crate::cosign::{CosignError, Cosigner, LogNote, Role};
use crate::keys::{KeyError, Keys};
use crate::objects::ObjectError;
use crate::pull::{Follower, Parts, PullError, Round};
use crate::remote::{Remote, RemoteError, certify, said};
use crate::rules::{Job, Wanted};
use crate::scrub;
use crate::source::{Source, SourceError, StoreSource};
use crate::state::{StateError, replace};
use crate::status::Board;
use crate::throttle::{Throttle, parse_rate};
use crate::witness::Witness;

/// A round is made at least so often, for what could not be had the last time.
const LOOK: Duration = Duration::from_secs(30);
/// Waits between tries to reach the collector.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// A collection that failed is tried again after this.
const RETRY: Duration = Duration::from_secs(60);

/// What all threads share.
struct Shared {
    layout: Layout,
    mirror: MirrorId,
    cosigner: Arc<Cosigner>,
    own: Replicas,
    /// Where bytes come from.
    source: Box<dyn Source>,
    remote: Arc<Remote>,
    board: Arc<Board>,
    repaired: AtomicU64,
    stop: AtomicBool,
    throttle: Arc<Throttle>,
    scrub_throttle: Throttle,
    scrub_every: Duration,
    /// Collections as of the newest round.
    jobs: Mutex<Jobs>,
    held: watch::Sender<u64>,
    /// The newest note of the collector, as it came.
    newest: Mutex<Option<Vec<u8>>>,
    /// Told to whoever waits for the collector.
    ending: watch::Sender<bool>,
    /// The scrub asks for every collection: they are many, and copied for it only.
    wants_all: AtomicBool,
}

#[derive(Default)]
struct Jobs {
    waiting: Arc<Vec<Job>>,
    /// Every collection, when the scrub asked.
    all: Option<Arc<Vec<Job>>>,
}

/// A running mirror.
pub struct Running {
    shared: Arc<Shared>,
    runtime: tokio::runtime::Runtime,
    threads: Vec<std::thread::JoinHandle<()>>,
    /// Where the witness answers.
    pub witness: Option<SocketAddr>,
    /// Where metrics are.
    pub metrics: Option<SocketAddr>,
}

/// Starts a mirror. With no certificate yet it waits until an endpoint-admin admitted it.
///
/// # Errors
/// `RunError`, in words for the operator.
pub fn start(directory: &Path) -> Result<Running, RunError> {
    let layout = Layout(directory.to_owned());
    let config = layout.config()?;
    let (pins, card) = layout.pins(&config.deployment)?;
    let keys = Keys::load(&layout.keys(), &config.mirror)?;
    let cosigner = Arc::new(Cosigner::open(directory, pins, keys)?);
    fs_err::create_dir_all(layout.run())?;
    fs_err::create_dir_all(layout.replicated())?;
    let own = open_stores(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let board = Arc::new(Board::default());
    board.update(|status| {
        status.mirror = config.mirror.to_string();
        status.deployment = config.deployment.to_string();
    });
    let credentials = credentials(&runtime, &layout, &config, &card, &board)?;
    let (ending, end) = watch::channel(false);
    // Checked by `config` before.
    let rate = |text: &str| parse_rate(text).unwrap_or(0);
    let throttle = Arc::new(Throttle::new(rate(&config.bandwidth)));
    let remote = Arc::new(Remote::new(
        runtime.handle().clone(),
        &config,
        &card,
        &credentials,
        Arc::clone(&throttle),
        end,
    )?);
    let source: Box<dyn Source> = match &config.source {
        Some(path) => Box::new(StoreSource(Arc::new(
            DirectoryStore::open(path).map_err(ConfigError::from)?,
        ))),
        None => Box::new(Arc::clone(&remote)),
    };
    let size = cosigner
        .last(Role::Mirror)
        .map_or(0, |held| held.log.checkpoint.size);
    let (held, held_receiver) = watch::channel(size);
    let wake = Arc::new(Notify::new());
    let (witness, metrics) = listen(&runtime, &config, &cosigner, &own, &held_receiver, &wake, &board)?;
    write_addresses(&layout, witness, metrics)?;
    let shared = Arc::new(Shared {
        layout,
        mirror: config.mirror.clone(),
        cosigner,
        own,
        source,
        remote,
        board,
        repaired: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        throttle,
        scrub_throttle: Throttle::new(rate(&config.scrub_bandwidth)),
        scrub_every: Duration::from_secs(u64::from(config.scrub_days) * 86_400),
        jobs: Mutex::default(),
        held,
        newest: Mutex::default(),
        ending,
        wants_all: AtomicBool::new(false),
    });
    let (notes, rounds) = sync_channel(1);
    runtime.spawn(follow(Arc::clone(&shared), notes, wake));
    runtime.spawn(renew(Arc::clone(&shared), config, card, credentials));
    let thread = |name: &str, work: fn(&Shared)| {
        let shared = Arc::clone(&shared);
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(&shared))
    };
    let mut threads = vec![
        thread("evidence", evidence_thread)?,
        thread("scrub", scrub_thread)?,
    ];
    let ledger = Arc::clone(&shared);
    threads.push(
        std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || ledger_thread(&ledger, &rounds))?,
    );
    Ok(Running {
        shared,
        runtime,
        threads,
        witness,
        metrics,
    })
}

impl Running {
    /// Runs until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// When signals cannot be waited for.
    pub fn until_signalled(self) -> Result<(), RunError> {
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
        Ok(signalled?)
    }

    /// Stops: every thread ends at its next object or bundle.
    pub fn stop(self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.throttle.end();
        self.shared.scrub_throttle.end();
        self.shared.ending.send_replace(true);
        for thread in self.threads {
            drop(thread.join());
        }
        self.runtime.shutdown_timeout(Duration::from_secs(2));
        drop(fs_err::remove_file(
            self.shared.layout.run().join("addresses.json"),
        ));
        self.shared.board.write(&self.shared.layout.run());
    }
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    fn newest(&self) -> std::sync::MutexGuard<'_, Option<Vec<u8>>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn jobs(&self) -> std::sync::MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pause(&self, whole: Duration) {
        let step = Duration::from_millis(200);
        let mut left = whole;
        while self.goes_on() && !left.is_zero() {
            std::thread::sleep(step.min(left));
            left = left.saturating_sub(step);
        }
    }
}

/// Reads the TLS key; without a certificate asks for one until it is there.
fn credentials(
    runtime: &tokio::runtime::Runtime,
    layout: &Layout,
    config: &Config,
    card: &Card,
    board: &Board,
) -> Result<Credentials, RunError> {
    let tls = |error: certs::identity::IdentityError| RunError::Tls(chain(&error));
    let mut credentials = Credentials::load(&layout.tls()).map_err(tls)?;
    let mut wait = BACKOFF_MIN;
    while credentials.chain.is_empty() {
        match runtime.block_on(certify(config, card, &credentials.key)) {
            Ok(chain) => {
                Credentials::replace(&layout.tls(), &credentials.key, &chain).map_err(tls)?;
                credentials.chain = chain;
            }
            Err(error) => {
                let why = chain(&error);
                tracing::warn!(cause = %why, "No certificate yet; give admission.json to an endpoint-admin: exhibit mirror admit");
                board.update(|status| status.waiting = why);
                board.write(&layout.run());
                std::thread::sleep(wait);
                wait = (wait * 2).min(BACKOFF_MAX);
            }
        }
    }
    Ok(credentials)
}

fn listen(
    runtime: &tokio::runtime::Runtime,
    config: &Config,
    cosigner: &Arc<Cosigner>,
    own: &Replicas,
    held: &watch::Receiver<u64>,
    wake: &Arc<Notify>,
    board: &Arc<Board>,
) -> Result<(Option<SocketAddr>, Option<SocketAddr>), RunError> {
    let serve = |address: Option<SocketAddr>, router: axum::Router| -> Result<Option<SocketAddr>, RunError> {
        let Some(address) = address else {
            return Ok(None);
        };
        let listener = runtime
            .block_on(TcpListener::bind(address))
            .map_err(|source| RunError::Listen { address, source })?;
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
    let bound = serve(config.listen, witness.router())?;
    Ok((
        bound,
        serve(config.metrics, Witness::metrics_router(Arc::clone(board)))?,
    ))
}

fn write_addresses(
    layout: &Layout,
    witness: Option<SocketAddr>,
    metrics: Option<SocketAddr>,
) -> Result<(), RunError> {
    let text = serde_json::json!({"witness": witness, "metrics": metrics}).to_string();
    Ok(replace(&layout.run(), "addresses.json", text.as_bytes())?)
}

/// Hands each note to the ledger thread; without the collector, tries again.
async fn follow(shared: Arc<Shared>, notes: SyncSender<()>, wake: Arc<Notify>) {
    let mut wait = BACKOFF_MIN;
    loop {
        match shared.remote.follow().await {
            Err(status) => away(&shared, &said(&status)),
            Ok(mut stream) => loop {
                let next = tokio::select! {
                    next = stream.message() => next,
                    // Somebody asks for what is not held yet: a round that failed is not waited out.
                    () = wake.notified() => {
                        notes.try_send(()).unwrap_or_default();
                        continue;
                    }
                };
                match next {
                    Ok(Some(note)) => {
                        wait = BACKOFF_MIN;
                        shared.board.update(|status| {
                            status.last_contact = crate::now().to_string();
                            status.waiting.clear();
                        });
                        *shared.newest() = Some(note.note.to_vec());
                        // Full: the thread has not seen the one before, and will look here.
                        notes.try_send(()).unwrap_or_default();
                    }
                    Ok(None) => break,
                    Err(status) => {
                        away(&shared, &said(&status));
                        break;
                    }
                }
            },
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(BACKOFF_MAX),
            () = wake.notified() => wait = BACKOFF_MIN,
        }
    }
}

fn away(shared: &Shared, why: &str) {
    tracing::warn!(cause = why, "The collector does not answer; it is tried again");
    shared
        .board
        .update(|status| status.waiting = format!("the collector is away: {why}"));
}

/// Renews the certificate at half its life.
async fn renew(shared: Arc<Shared>, config: Config, card: Card, mut credentials: Credentials) {
    loop {
        let due = credentials
            .chain
            .first()
            .and_then(|leaf| Leaf::parse(leaf).ok())
            .is_none_or(|leaf| {
                crate::now().since(leaf.not_before) * 2 > leaf.not_after.since(leaf.not_before)
            });
        if due {
            match certify(&config, &card, &credentials.key).await {
                Ok(chain) => {
                    let written = Credentials::replace(&shared.layout.tls(), &credentials.key, &chain);
                    credentials.chain = chain;
                    let used = shared.remote.replace(&card, &credentials);
                    match (written, used) {
                        (Ok(()), Ok(())) => tracing::info!("The certificate is renewed"),
                        _ => tracing::error!("The renewed certificate could not be kept or used"),
                    }
                }
                Err(error) => tracing::warn!(cause = %chain(&error), "The certificate could not be renewed"),
            }
        }
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
}

/// Makes rounds.
fn ledger_thread(shared: &Shared, notes: &Receiver<()>) {
    let repaired = &shared.repaired;
    let progress = |done, _wanted| {
        shared.board.update(|status| status.done = done);
        shared.goes_on()
    };
    let parts = Parts {
        cosigner: &shared.cosigner,
        own: &shared.own,
        source: Some(shared.source.as_ref()),
        repaired,
        progress: &progress,
    };
    let mut follower = loop {
        match Follower::open(&parts) {
            Ok(follower) => break follower,
            Err(error) => {
                tell(shared, &error);
                shared.pause(LOOK);
                if !shared.goes_on() {
                    return;
                }
            }
        }
    };
    publish(shared, &follower);
    let mut last = std::time::Instant::now();
    while shared.goes_on() {
        match notes.recv_timeout(Duration::from_millis(500)) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) if last.elapsed() < LOOK => {
                if shared.wants_all.load(Ordering::SeqCst) {
                    publish(shared, &follower);
                }
                continue;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        last = std::time::Instant::now();
        let Some(note) = shared.newest().clone() else {
            continue;
        };
        offered(shared, &note);
        match follower.round(&parts, &note) {
            Ok(Round::RolledBack { offered, held }) => {
                let text = format!(
                    "the collector's log went back from {held} to {offered} entries: it was restored from an old copy. Nothing it signs from there on can be cosigned"
                );
                tracing::error!("{text}");
                shared.board.update(|status| status.alarm = text);
            }
            Ok(Round::Current) => shared.board.update(|status| status.alarm.clear()),
            Ok(Round::Grew(size)) => {
                tracing::info!(size, "Ledger checked, held and cosigned");
                shared.board.update(|status| status.alarm.clear());
            }
            Err(error) => tell(shared, &error),
        }
        publish(shared, &follower);
    }
}

fn offered(shared: &Shared, note: &[u8]) {
    let pins = shared.cosigner.pins();
    if let Ok(note) = LogNote::read(note, &pins.origin(), &pins.log_keys.keys()) {
        shared
            .board
            .update(|status| status.offered = note.checkpoint.size);
    }
}

/// Shows what the newest round came to, and hands out its collections.
fn publish(shared: &Shared, follower: &Follower) {
    let size = |role| {
        shared
            .cosigner
            .last(role)
            .map_or(0, |last| last.log.checkpoint.size)
    };
    let (held, witnessed) = (size(Role::Mirror), size(Role::Witness));
    let rules = follower.rules();
    // Statements are about what is held: collections beyond wait for the next round.
    let mut waiting = rules.jobs(&shared.mirror);
    waiting.retain(|job| match job.wanted {
        Wanted::Stored { index, .. } => index < held,
        Wanted::Interrupted { .. } => true,
    });
    let all = shared
        .wants_all
        .swap(false, Ordering::SeqCst)
        .then(|| Arc::new(rules.all_jobs()));
    let stated = rules
        .collections()
        .values()
        .filter(|collection| collection.held_by.contains(&shared.mirror))
        .count();
    shared.board.update(|status| {
        (status.held, status.witnessed) = (held, witnessed);
        status.fraud = shared.cosigner.fraud();
        status.details_missing = rules.details_missing();
        status.collections_held = u64::try_from(stated).unwrap_or(u64::MAX);
        status.collections_waiting = u64::try_from(waiting.len()).unwrap_or(u64::MAX);
        status.repaired = shared.repaired.load(Ordering::Relaxed);
    });
    let mut jobs = shared.jobs();
    jobs.waiting = Arc::new(waiting);
    if all.is_some() {
        jobs.all = all;
    }
    drop(jobs);
    shared.held.send_replace(held);
    shared.board.write(&shared.layout.run());
}

/// Sorts an error of a round into alarms and waits.
fn tell(shared: &Shared, error: &PullError) {
    let text = chain(error);
    match error {
        PullError::Stopped => {}
        PullError::Object(ObjectError::Source(SourceError::Away { .. })) => {
            tracing::warn!(cause = %text, "A round waits for the collector");
            shared.board.update(|status| status.waiting = text);
        }
        PullError::Cosign(CosignError::Stopped { .. }) | PullError::Fraud { .. } => {
            shared
                .board
                .update(|status| status.fraud = shared.cosigner.fraud());
        }
        _ => {
            tracing::error!(cause = %text, "The ledger is not held beyond this point");
            shared.board.update(|status| status.alarm = text);
        }
    }
    shared.board.write(&shared.layout.run());
}

/// Copies collections and states them.
fn evidence_thread(shared: &Shared) {
    // Statements that were sent and not seen in the ledger yet, and when.
    let mut sent: BTreeMap<Digest, std::time::Instant> = BTreeMap::new();
    while shared.goes_on() {
        let jobs = Arc::clone(&shared.jobs().waiting);
        sent.retain(|id, at| at.elapsed() < RETRY && jobs.iter().any(|job| job.id == *id));
        let mut failed = false;
        for job in jobs.iter() {
            if sent.contains_key(&job.id) {
                continue;
            }
            if !shared.goes_on() || shared.cosigner.fraud().is_some() {
                break;
            }
            let id = job.id.to_string();
            match one(shared, job) {
                Ok(()) => {
                    shared.board.collection(&id, None);
                    sent.insert(job.id, std::time::Instant::now());
                }
                Err(CopyFailure::Later(why)) => {
                    tracing::warn!(collection = %id, cause = %why, "A collection waits");
                    failed = true;
                }
                Err(CopyFailure::Alarm(why)) => {
                    tracing::error!(collection = %id, cause = %why, "A collection is not replicated");
                    shared.board.collection(&id, Some(why));
                    failed = true;
                }
                Err(CopyFailure::Stopped) => break,
            }
        }
        shared.board.write(&shared.layout.run());
        // New jobs come with a round; a moment is short beside the copying of any collection.
        shared.pause(if failed {
            RETRY.min(LOOK)
        } else {
            Duration::from_millis(500)
        });
    }
}

enum CopyFailure {
    Alarm(String),
    Later(String),
    Stopped,
}

/// Copies one collection if it was not, and sends its statement.
fn one(shared: &Shared, job: &Job) -> Result<(), CopyFailure> {
    let folder = shared.layout.replicated();
    let io = |error: std::io::Error| CopyFailure::Alarm(format!("the mirror's directory: {error}"));
    let (name, mark) = match &job.wanted {
        Wanted::Stored { .. } => (format!("{}.signed", job.id), None),
        Wanted::Interrupted { seal, .. } => (format!("{}.interrupted", job.id), Some(format!("{seal}\n"))),
    };
    let kept = fs_err::read(folder.join(&name)).ok();
    match (&mark, &kept) {
        (Some(mark), Some(kept)) if mark.as_bytes() == kept.as_slice() => return Ok(()),
        (None, Some(kept)) => {
            let act = Signed::parse(kept)
                .map_err(|error| CopyFailure::Alarm(format!("{name}: {}", chain(&error))))?;
            return send(shared, &act);
        }
        _ => {}
    }
    let go_on = || shared.goes_on();
    let copied = copy(
        job,
        &shared.own,
        Some(shared.source.as_ref()),
        &shared.repaired,
        &go_on,
    );
    let copied = copied.map_err(|error| match error {
        CopyError::Stopped => CopyFailure::Stopped,
        CopyError::Object(ObjectError::Source(SourceError::Away { .. })) => CopyFailure::Later(chain(&error)),
        _ => CopyFailure::Alarm(chain(&error)),
    })?;
    shared
        .board
        .update(|status| status.bytes_copied = status.bytes_copied.saturating_add(copied.bytes));
    tracing::info!(collection = %job.id, segments = copied.segments, bytes = copied.bytes, "Collection copied and verified");
    if let Some(mark) = mark {
        return replace(&folder, &name, mark.as_bytes()).map_err(io);
    }
    let Wanted::Stored { manifest, .. } = &job.wanted else {
        return Ok(());
    };
    let Some(held) = shared.cosigner.last(Role::Mirror) else {
        return Err(CopyFailure::Later("nothing is held yet".to_owned()));
    };
    let statement = Statement {
        mirror: &shared.mirror,
        job,
        manifest,
        held: &held.log,
        segments: copied.segments,
        bytes: copied.bytes,
        at: crate::now(),
    };
    let act = statement
        .sign(shared.cosigner.keys())
        .map_err(|error| CopyFailure::Alarm(chain(&error)))?;
    // Kept before it is sent: the same bytes are sent again until the ledger has them.
    replace(&folder, &name, &act.encode()).map_err(io)?;
    send(shared, &act)
}

fn send(shared: &Shared, act: &Signed) -> Result<(), CopyFailure> {
    if let Err(status) = shared.remote.replicated(act) {
        return Err(match status.code() {
            tonic::Code::Unavailable
            | tonic::Code::DeadlineExceeded
            | tonic::Code::Unknown
            | tonic::Code::Cancelled
            | tonic::Code::ResourceExhausted
            | tonic::Code::Internal => CopyFailure::Later(said(&status)),
            // Recorded before under other bytes, or about to be seen in the ledger.
            tonic::Code::AlreadyExists => return Ok(()),
            _ => CopyFailure::Alarm(format!("the collector refuses the statement: {}", said(&status))),
        });
    }
    Ok(())
}

/// What `evidence.replicated` says.
pub struct Statement<'a> {
    /// Who.
    pub mirror: &'a MirrorId,
    /// Which collection.
    pub job: &'a Job,
    /// Its manifest.
    pub manifest: &'a Digest,
    /// The checkpoint held when it was verified.
    pub held: &'a LogNote,
    /// Segments.
    pub segments: u64,
    /// Their stored bytes.
    pub bytes: u64,
    /// When.
    pub at: Time,
}

impl Statement<'_> {
    /// The act, signed by the act key.
    ///
    /// # Errors
    /// When it is no valid act.
    pub fn sign(&self, keys: &Keys) -> Result<Signed, evidence::signed::SignedError> {
        let act = Act {
            type_: ActType,
            deployment: self.job.delegation.deployment.clone(),
            act: EntryType::EvidenceReplicated,
            incident: self.job.incident.clone(),
            at: self.at,
            by: Actor::Mirror(self.mirror.clone()),
            refs: evidence::pairs::sorted([
                ("collection", self.job.id.to_string()),
                ("manifest", self.manifest.to_string()),
                ("mirror", self.mirror.to_string()),
                ("root", self.held.checkpoint.root.to_string()),
                ("size", self.held.checkpoint.size.to_string()),
            ]),
            fields: evidence::pairs::sorted([
                ("bytes", self.bytes.to_string()),
                ("segments", self.segments.to_string()),
            ]),
            detail: None,
            nonce: ActNonce::ByContent,
        };
        Signed::sign(&act, &[&keys.act])
    }
}

/// Reads everything again, once in a while.
fn scrub_thread(shared: &Shared) {
    let mark = shared.layout.0.join("scrubbed");
    while shared.goes_on() {
        let finished: Option<Time> = fs_err::read_to_string(&mark)
            .ok()
            .and_then(|text| text.trim().parse().ok());
        shared.board.update(|status| {
            status.scrub_finished = finished.map(|at| at.to_string()).unwrap_or_default();
        });
        let due = finished.is_none_or(|at| crate::now().since(at) >= shared.scrub_every);
        let held = shared.cosigner.last(Role::Mirror);
        let (Some(held), true) = (held, due) else {
            shared.pause(LOOK);
            continue;
        };
        let Some(all) = shared.jobs().all.take() else {
            shared.wants_all.store(true, Ordering::SeqCst);
            shared.pause(Duration::from_secs(1));
            continue;
        };
        // Only what was copied: a collection that still waits is no loss.
        let copied = |job: &Job| {
            let name = |suffix| shared.layout.replicated().join(format!("{}.{suffix}", job.id));
            match job.wanted {
                Wanted::Stored { .. } => name("signed").exists(),
                Wanted::Interrupted { .. } => name("interrupted").exists(),
            }
        };
        let all: Vec<Job> = all.iter().filter(|job| copied(job)).cloned().collect();
        let show = |found: &scrub::Scrubbed| {
            shared.board.update(|status| {
                status.scrub_objects = found.objects;
                status.scrub_damaged = found.damaged;
                status.repaired = shared.repaired.load(Ordering::Relaxed);
                status.scrub_lost = u64::try_from(found.lost.len()).unwrap_or(u64::MAX);
            });
            shared.board.write(&shared.layout.run());
        };
        let go_on = || shared.goes_on();
        let parts = scrub::Parts {
            own: &shared.own,
            source: Some(shared.source.as_ref()),
            repaired: &shared.repaired,
            throttle: &shared.scrub_throttle,
            go_on: &go_on,
            progress: &show,
        };
        if let Some(found) = scrub::scrub(&parts, &held.log, &all) {
            show(&found);
            tracing::info!(
                objects = found.objects,
                damaged = found.damaged,
                lost = found.lost.len(),
                "Scrub ended"
            );
            if found.lost.is_empty() {
                let now = format!("{}\n", crate::now());
                if let Err(error) = replace(&shared.layout.0, "scrubbed", now.as_bytes()) {
                    tracing::warn!(%error, "The end of the scrub could not be noted");
                }
            } else {
                shared.pause(RETRY);
            }
        }
    }
}

/// Why a mirror does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Settings, pins or stores.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file or thread.
    #[error("run the mirror")]
    Io(#[from] std::io::Error),
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// An address.
    #[error("listen on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The collector.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The state.
    #[error(transparent)]
    State(#[from] StateError),
    /// TLS key and certificate.
    #[error("the mirror's TLS key: {0}")]
    Tls(String),
}
