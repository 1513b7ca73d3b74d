//! The thread that appends: it takes batches, commits, publishes and answers.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use custody::Pins;
use evidence::causes::chain;
use evidence::entry::Envelope;
use evidence::time::Time;
use ledger::{Hash, leaf_hash};
use proto::backoff::Backoff;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::book::{self, Book};
use super::commit::{self, CommitError, Committed, Outcome, Prepared};
use super::edge::Edge;
use super::log::{Log, LogError, Published};
use super::pending::{Receipt, SubmitError};
use super::publish::Publisher;
use super::recovery;
use crate::rows::DbError;

/// Entries in one batch: 256, one full bundle.
const BATCH_ENTRIES: usize = 256;
/// How long a batch that is not full waits for more: 5 ms. Under load, batches gather on their own while the previous one
/// is flushed (tens of ms). This wait only joins entries that arrive at the same moment.
const LINGER: Duration = Duration::from_millis(5);
/// First wait after too few stores took a publication; doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(100);
/// Longest wait: 5 s.
const RETRY_MAX: Duration = Duration::from_secs(5);
/// How often an idle worker checks for stores that lag: 30 s.
const IDLE: Duration = Duration::from_secs(30);

/// How the worker waits. The model test never waits.
pub(super) struct Waits {
    /// How long a batch that is not full waits for more.
    pub(super) linger: Duration,
    /// Sleeps between two attempts to publish.
    pub(super) before_retry: Box<dyn Fn(Duration) + Send>,
}

impl Default for Waits {
    fn default() -> Self {
        Self { linger: LINGER, before_retry: Box::new(std::thread::sleep) }
    }
}

/// Asks the worker to end.
#[derive(Default)]
pub(super) struct Stopping {
    is_asked: AtomicBool,
    asked: Notify,
}

impl Stopping {
    pub(super) fn ask(&self) {
        self.is_asked.store(true, Ordering::SeqCst);
        self.asked.notify_one();
    }

    fn is_asked(&self) -> bool {
        self.is_asked.load(Ordering::SeqCst)
    }
}

/// One submission and the channel to its submitter.
pub(super) struct Submission {
    pub(super) prepared: Prepared,
    pub(super) answer: oneshot::Sender<Result<Receipt, SubmitError>>,
}

pub(super) struct Worker {
    pub(super) pins: Pins,
    /// The rule book at the end of the log. `None` from a failed commit until the log was read again.
    pub(super) book: Option<Book>,
    pub(super) publisher: Publisher,
    pub(super) edge: Arc<Edge>,
    pub(super) clock: fn() -> Time,
    pub(super) waits: Waits,
    pub(super) log: Log,
    pub(super) newest: watch::Sender<Published>,
    pub(super) jobs: mpsc::Receiver<Submission>,
    pub(super) stopping: Arc<Stopping>,
    /// Waits on the queue with a deadline; nothing else runs on it.
    pub(super) timer: tokio::runtime::Runtime,
    #[cfg(test)]
    pub(super) fault: Arc<std::sync::Mutex<Option<store::fault::Fault>>>,
}

/// The answers that are still due, each with its outcome.
type Waiting = Vec<(oneshot::Sender<Result<Receipt, SubmitError>>, Outcome)>;

impl Worker {
    /// Runs until the queue is closed. An error says why the worker had to stop.
    pub(super) fn run(mut self) -> Result<(), String> {
        loop {
            if let ControlFlow::Break(end) = self.turn() {
                return end;
            }
        }
    }

    /// Takes one batch from the queue to its receipts. Breaks when the queue is closed and empty, or when the worker had to
    /// stop.
    pub(super) fn turn(&mut self) -> ControlFlow<Result<(), String>> {
        let batch = self.next_batch();
        if batch.is_empty() {
            if self.jobs.is_closed() && self.jobs.is_empty() {
                self.remember_published();
                return ControlFlow::Break(Ok(()));
            }
            // A failure here hurts nobody: the next batch reports it to its submitters.
            drop(self.publish_once());
            return ControlFlow::Continue(());
        }
        if let Err(reason) = self.process(batch) {
            tracing::error!(reason, "The ledger has stopped");
            self.jobs.close();
            self.refuse_rest(&reason);
            return ControlFlow::Break(Err(reason));
        }
        ControlFlow::Continue(())
    }

    /// Takes up to 256 jobs. Empty after an idle while, at a request to stop, and when the queue is closed.
    fn next_batch(&mut self) -> Vec<Submission> {
        if self.stopping.is_asked() {
            // The worker still records what is in the queue; the queue accepts nothing more.
            self.jobs.close();
        }
        let (jobs, stopping, linger) = (&mut self.jobs, &self.stopping, self.waits.linger);
        self.timer.block_on(async {
            let mut batch = Vec::new();
            let idle = sleep_until(Instant::now() + IDLE);
            // Receiving is cancel-safe: a job is either in the batch or still in the queue.
            tokio::select! {
                biased;
                job = jobs.recv() => batch.extend(job),
                () = stopping.asked.notified() => {}
                () = idle => {}
            }
            if batch.is_empty() {
                return batch;
            }
            let deadline = Instant::now() + linger;
            while batch.len() < BATCH_ENTRIES {
                tokio::select! {
                    biased;
                    job = jobs.recv() => match job {
                        Some(job) => batch.push(job),
                        None => break,
                    },
                    () = sleep_until(deadline) => break,
                }
            }
            batch
        })
    }

    fn process(&mut self, batch: Vec<Submission>) -> Result<(), String> {
        let (prepared, answers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|job| (job.prepared, job.answer)).unzip();
        let events: Vec<_> = prepared.iter().map(|prepared| prepared.draft.envelope.event).collect();
        let outcomes = match self.commit(prepared) {
            Ok(Committed { edge, book, outcomes }) => {
                (self.edge, self.book) = (Arc::new(edge), Some(book));
                outcomes
            }
            Err(CommitError::Db(error)) => {
                // Nobody knows whether the commit took effect. Check as a start would, and tell each submitter what is true.
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "A commit failed; reading what is there"
                );
                self.reload()?;
                let db = &self.publisher.db;
                let known = |event: &evidence::digest::Digest| -> Outcome {
                    match db.read(|reader| crate::rows::entries::by_event(reader, event)) {
                        Ok(Some(row)) => Outcome::Known { index: row.index },
                        Ok(None) => Outcome::Refused(SubmitError::Db(DbError::Closed)),
                        Err(error) => Outcome::Refused(SubmitError::Db(error)),
                    }
                };
                events.iter().map(known).collect()
            }
            Err(other) => {
                let reason = chain(&other);
                for answer in answers {
                    drop(answer.send(Err(SubmitError::Stopped { reason: reason.clone() })));
                }
                return Err(reason);
            }
        };
        let committed = Instant::now().into_std();
        let waiting = answers.into_iter().zip(outcomes).collect();
        match self.publish() {
            Ok(()) => {
                self.answer(waiting, committed);
                Ok(())
            }
            Err(reason) => {
                for (answer, _) in waiting {
                    drop(answer.send(Err(SubmitError::Stopped { reason: reason.clone() })));
                }
                Err(reason)
            }
        }
    }

    fn commit(&mut self, batch: Vec<Prepared>) -> Result<Committed, CommitError> {
        #[cfg(test)]
        let fault = self.fault.lock().unwrap().take();
        #[cfg(test)]
        if fault == Some(store::fault::Fault::Failed) {
            return Err(DbError::Closed.into());
        }
        // The transaction takes the book along. It comes back with a commit that is known to hold, and is made anew otherwise.
        let book = self.book.take().ok_or(DbError::Closed)?;
        let (edge, now) = (Arc::clone(&self.edge), (self.clock)());
        let published = self.publisher.published.clone();
        let committed = self
            .publisher
            .db
            .write(move |tx| commit::commit(tx, &edge, book, batch, now, (published.size, &published.note)));
        #[cfg(test)]
        if fault == Some(store::fault::Fault::FailedButTookEffect) {
            committed?;
            return Err(DbError::Closed.into());
        }
        committed
    }

    /// Publishes, and waits for stores as long as it takes: the worker never gives up committed entries.
    fn publish(&mut self) -> Result<(), String> {
        let mut waits = Backoff::new(RETRY_MIN, RETRY_MAX);
        loop {
            match self.publish_once() {
                Ok(()) => return Ok(()),
                Err(error) if error.is_transient() && !self.stopping.is_asked() => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "Entries wait for stores");
                    (self.waits.before_retry)(waits.next_wait());
                }
                Err(error) => return Err(chain(&error)),
            }
        }
    }

    fn publish_once(&mut self) -> Result<(), super::PublishError> {
        self.publisher.publish()?;
        if *self.newest.borrow() != self.publisher.published {
            self.newest.send_replace(self.publisher.published.clone());
        }
        Ok(())
    }

    /// Recovers, as a start does, after a commit whose outcome is unknown.
    fn reload(&mut self) -> Result<(), String> {
        self.publish()?;
        self.edge = Arc::new(recovery::load_edge(&self.publisher).map_err(|error| chain(&error))?);
        let Publisher { db, replicas, .. } = &self.publisher;
        let book = book::rebuild(&self.pins, &self.log, replicas, db).map_err(|error| chain(&error))?;
        self.book = Some(book);
        Ok(())
    }

    fn answer(&self, waiting: Waiting, committed: std::time::Instant) {
        let published = &self.publisher.published;
        let leaves: Vec<(u64, Hash)> = waiting
            .iter()
            .filter_map(|(_, outcome)| match outcome {
                Outcome::Recorded { index, leaf, .. } => Some((*index, *leaf)),
                Outcome::Known { .. } | Outcome::Refused(_) => None,
            })
            .collect();
        let mut proofs = self.log.proofs(published, &leaves).map(Vec::into_iter);
        for (answer, outcome) in waiting {
            let result = match outcome {
                Outcome::Refused(error) => Err(error),
                Outcome::Known { index } => self.receipt_of_known(index),
                Outcome::Recorded { index, entry, envelope, leaf } => match &mut proofs {
                    Ok(proofs) => match proofs.next() {
                        Some(proof) => Ok(Receipt {
                            index,
                            entry,
                            envelope: *envelope,
                            leaf,
                            proof,
                            is_new: true,
                            committed: Some(committed),
                        }),
                        None => Err(SubmitError::Unproven {
                            index,
                            source: Box::new(LogError::OutsideLog { index }),
                        }),
                    },
                    Err(error) => Err(SubmitError::Unproven { index, source: Box::new(error.clone()) }),
                },
            };
            // The submitter no longer waits. The entry is recorded in any case.
            drop(answer.send(result));
        }
    }

    fn receipt_of_known(&self, index: u64) -> Result<Receipt, SubmitError> {
        let unproven = |source| SubmitError::Unproven { index, source: Box::new(source) };
        let (entry, proof) = self.log.entry_with_proof(index).map_err(unproven)?;
        let envelope: Envelope = evidence::entry::Entry::parse(&entry)?.envelope;
        let leaf = leaf_hash(&entry);
        Ok(Receipt { index, entry, envelope, leaf, proof, is_new: false, committed: None })
    }

    /// Saves the next start some work. Correctness does not need it.
    fn remember_published(&self) {
        let published = self.publisher.published.clone();
        if published.size == 0 {
            return;
        }
        let recorded = self.publisher.db.write::<(), DbError>(move |tx| {
            crate::rows::log::record_published(tx, published.size, &published.note)
        });
        if let Err(error) = recorded {
            tracing::warn!(error = &error as &dyn std::error::Error, "The published size was not recorded");
        }
    }

    fn refuse_rest(&mut self, reason: &str) {
        while let Ok(job) = self.jobs.try_recv() {
            drop(job.answer.send(Err(SubmitError::Stopped { reason: reason.to_owned() })));
        }
    }
}
