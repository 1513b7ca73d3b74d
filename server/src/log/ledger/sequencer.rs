//! The entrance to the ledger: a bounded queue in front of one thread.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use custody::Pins;
use custody::act::Act;
use evidence::digest::Digest;
use evidence::entry::{ActLocation, Entry, EntryVersion, Envelope};
use evidence::id::DeploymentId;
use evidence::roster::AuthoritySet;
use evidence::time::Time;
use store::{Key, KeyKind, Replicas, StoreErrorClass};
use tokio::sync::{mpsc, oneshot, watch};

use super::book;
use super::commit::Prepared;
use super::log::Log;
use super::pending::{PendingEntry, Receipt, SubmitError};
use super::recovery::{self, StartError};
use super::signer::CheckpointSigner;
use super::worker::{Stopping, Submission, Waits, Worker};
use crate::rows::Db;
use crate::rows::projection::{self, Objects};

/// Most submissions that may wait: 4096, or 16 batches. With more, `submit` waits and so slows the senders down.
const QUEUE_JOBS: usize = 4096;

/// The channel on which the submitter of an entry waits.
pub(super) type Answered = oneshot::Receiver<Result<Receipt, SubmitError>>;

/// The parts of a sequencer.
pub struct SequencerParts {
    /// Deployment.
    pub deployment: DeploymentId,
    /// The authority, which signs rosters and changes of the log key.
    pub authority: AuthoritySet,
    /// SHA-256 of the CA certificate.
    pub ca_sha256: Digest,
    /// Database.
    pub db: Db,
    /// Stores.
    pub replicas: Replicas,
    /// Holder of the log key.
    pub signer: Arc<dyn CheckpointSigner>,
    /// The collector's clock.
    pub clock: fn() -> Time,
}

/// A handle on the sequencer; clones share it. Each database has one sequencer: a second one stops itself.
#[derive(Clone)]
pub struct Sequencer {
    shared: Arc<Shared>,
}

struct Shared {
    queue: mpsc::Sender<Submission>,
    log: Log,
    deployment: DeploymentId,
    db: Db,
    replicas: Replicas,
    stopping: Arc<Stopping>,
    thread: Mutex<Option<JoinHandle<Result<(), String>>>>,
    #[cfg(test)]
    fault: Arc<Mutex<Option<store::fault::Fault>>>,
}

impl Sequencer {
    /// Compares database and stores, finishes what a crash left, and starts. Blocks on disks.
    ///
    /// # Errors
    /// `StartError` names the contradiction. Nothing was signed then.
    pub fn start(parts: SequencerParts) -> Result<Self, StartError> {
        let (sequencer, worker) = Self::assemble(parts)?;
        sequencer.run(worker)
    }

    /// As `start`, for tests of rows, whose acts are not all lawful.
    #[cfg(test)]
    pub(crate) fn start_without_rules(parts: SequencerParts) -> Result<Self, StartError> {
        let (sequencer, mut worker) = Self::assemble(parts)?;
        worker.book.as_mut().unwrap().takes_all = true;
        sequencer.run(worker)
    }

    fn run(self, worker: Worker) -> Result<Self, StartError> {
        let thread = std::thread::Builder::new().name("sequencer".to_owned()).spawn(move || worker.run());
        let thread = thread.map_err(StartError::Thread)?;
        self.shared.thread.lock().unwrap_or_else(PoisonError::into_inner).replace(thread);
        Ok(self)
    }

    /// Recovers and builds both ends of the queue. `start` gives the worker a thread; the model test calls its turns itself.
    pub(super) fn assemble(parts: SequencerParts) -> Result<(Self, Worker), StartError> {
        let SequencerParts { deployment, authority, ca_sha256, db, replicas, signer, clock } = parts;
        let (publisher, edge) = recovery::recover(&db, &replicas, &signer)?;
        let (newest, receiver) = watch::channel(publisher.published.clone());
        let log = Log::new(replicas.clone(), receiver, signer.keys());
        let pins = Pins { deployment: deployment.clone(), authority, ca_sha256, log_keys: signer.keys() };
        let book = book::rebuild(&pins, &log, &replicas, &db)?;
        let (queue, jobs) = mpsc::channel(QUEUE_JOBS);
        let stopping = Arc::new(Stopping::default());
        #[cfg(test)]
        let fault = Arc::new(Mutex::new(None));
        let worker = Worker {
            pins,
            book: Some(book),
            publisher,
            edge: Arc::new(edge),
            clock,
            waits: Waits::default(),
            log: log.clone(),
            newest,
            jobs,
            stopping: Arc::clone(&stopping),
            timer: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .map_err(StartError::Thread)?,
            #[cfg(test)]
            fault: Arc::clone(&fault),
        };
        let shared = Shared {
            queue,
            log,
            deployment,
            db,
            replicas,
            stopping,
            thread: Mutex::new(None),
            #[cfg(test)]
            fault,
        };
        Ok((Self { shared: Arc::new(shared) }, worker))
    }

    /// The published log.
    pub fn log(&self) -> &Log {
        &self.shared.log
    }

    /// Records an act. Resolves when a checkpoint that covers it is durable on as many stores as the policy asks for. Safe to
    /// repeat: the same act gives the same entry. Dropping the future does not take the act back.
    pub async fn submit(&self, pending: PendingEntry) -> Result<Receipt, SubmitError> {
        let shared = Arc::clone(&self.shared);
        let prepared = tokio::task::spawn_blocking(move || prepare(&shared, pending)).await;
        let prepared = prepared.or(Err(self.stopped()))??;
        let (answer, receipt) = oneshot::channel();
        self.shared.queue.send(Submission { prepared, answer }).await.or(Err(self.stopped()))?;
        receipt.await.or(Err(self.stopped()))?
    }

    /// As `submit`, for blocking threads.
    pub fn submit_blocking(&self, pending: PendingEntry) -> Result<Receipt, SubmitError> {
        self.enqueue(pending)?.blocking_recv().or(Err(self.stopped()))?
    }

    /// Stores the objects that the entry names and puts the act into the queue. The receiver gets the result.
    pub(super) fn enqueue(&self, pending: PendingEntry) -> Result<Answered, SubmitError> {
        let prepared = prepare(&self.shared, pending)?;
        let (answer, answered) = oneshot::channel();
        self.shared.queue.blocking_send(Submission { prepared, answer }).or(Err(self.stopped()))?;
        Ok(answered)
    }

    /// True if the worker had to stop by itself. The collector should then end and start again.
    pub fn has_stopped(&self) -> bool {
        self.shared.queue.is_closed()
    }

    /// Accepts nothing more, finishes the queue as far as the stores allow, and ends. Blocks.
    pub fn stop(&self) -> Result<(), String> {
        self.shared.stopping.ask();
        let thread = self.shared.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        thread.map_or(Ok(()), |thread| {
            thread.join().unwrap_or_else(|_| Err("the sequencer panicked".to_owned()))
        })
    }

    fn stopped(&self) -> SubmitError {
        SubmitError::Stopped { reason: "the sequencer has ended; see the log".to_owned() }
    }

    /// Makes the next commit fail.
    #[cfg(test)]
    pub(super) fn fail_next_commit(&self, fault: store::fault::Fault) {
        *self.shared.fault.lock().unwrap() = Some(fault);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stopping.ask();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            drop(thread.join());
        }
    }
}

/// Stores what does not travel in the leaf, fetches the objects that the projection will need, and reads the act: all that costs time.
fn prepare(shared: &Shared, pending: PendingEntry) -> Result<Prepared, SubmitError> {
    let Shared { deployment, db, replicas, .. } = shared;
    let PendingEntry { type_, chain, refs, act: mut object, guard } = pending;
    let event = object.event();
    let location = Entry::act_location(type_, &object);
    if location == ActLocation::Digest {
        // Before the commit, because an entry must never name an absent object. First signatures win.
        let (_, stored) = replicas.create_signed(&Key::document(event.as_bytes()), &object.encode())?;
        object = evidence::entry::ActObject::parse(&stored).map_err(SubmitError::Malformed)?;
    }
    let mut objects = Objects::new();
    for key in projection::objects_of(type_, &object)? {
        match replicas.read(&key) {
            Ok(bytes) => {
                objects.insert(key, bytes);
            }
            // Either the detail was erased, or the caller stored none; then there is no text to lose.
            Err(error) if key.kind() == KeyKind::Detail && error.class() == StoreErrorClass::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    let envelope = Envelope {
        entry: EntryVersion,
        deployment: deployment.clone(),
        type_,
        incident: chain,
        seq: 0,
        prev: Digest::ZERO,
        time: Time::EPOCH,
        event,
        refs,
        act: location,
    };
    let inline = (location == ActLocation::Inline).then(|| object.clone());
    let draft = Entry { envelope, act: inline };
    let act = Act::read(&draft, &object, book::beside(db, type_, &object)?);
    Ok(Prepared { draft, object, act, guard, objects })
}
