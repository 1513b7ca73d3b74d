//! The entrance to the ledger: a bounded queue in front of one thread.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use evidence::entry::{ActLocation, Entry};
use evidence::id::DeploymentId;
use evidence::time::Time;
use store::{Key, KeyKind, Replicas, StoreErrorClass};
use tokio::sync::{mpsc, oneshot, watch};

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
        let thread = std::thread::Builder::new().name("sequencer".to_owned()).spawn(move || worker.run());
        let thread = thread.map_err(StartError::Thread)?;
        sequencer.shared.thread.lock().unwrap_or_else(PoisonError::into_inner).replace(thread);
        Ok(sequencer)
    }

    /// Recovers and builds both ends of the queue. `start` gives the worker a thread; the model test calls its turns itself.
    pub(super) fn assemble(parts: SequencerParts) -> Result<(Self, Worker), StartError> {
        let SequencerParts { deployment, db, replicas, signer, clock } = parts;
        let (publisher, edge) = recovery::recover(&db, &replicas, &signer)?;
        let (newest, receiver) = watch::channel(publisher.published.clone());
        let log = Log::new(replicas.clone(), receiver, signer.keys());
        let (queue, jobs) = mpsc::channel(QUEUE_JOBS);
        let stopping = Arc::new(Stopping::default());
        #[cfg(test)]
        let fault = Arc::new(Mutex::new(None));
        let worker = Worker {
            deployment,
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
        let replicas = self.shared.replicas.clone();
        let prepared = tokio::task::spawn_blocking(move || prepare(&replicas, pending)).await;
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
        let prepared = prepare(&self.shared.replicas, pending)?;
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

/// Stores what does not travel in the leaf, and fetches the objects that the projection will need.
fn prepare(replicas: &Replicas, mut pending: PendingEntry) -> Result<Prepared, SubmitError> {
    let event = pending.act.event();
    let act_location = Entry::act_location(pending.type_, &pending.act);
    if act_location == ActLocation::Digest {
        // Before the commit, because an entry must never name an absent object. First signatures win.
        let (_, stored) = replicas.create_signed(&Key::document(event.as_bytes()), &pending.act.encode())?;
        pending.act = evidence::entry::ActObject::parse(&stored).map_err(SubmitError::Malformed)?;
    }
    let mut objects = Objects::new();
    for key in projection::objects_of(pending.type_, &pending.act)? {
        match replicas.read(&key) {
            Ok(bytes) => {
                objects.insert(key, bytes);
            }
            // Either the detail was erased, or the caller stored none; then there is no text to lose.
            Err(error) if key.kind() == KeyKind::Detail && error.class() == StoreErrorClass::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Prepared { pending, event, act_location, objects })
}
