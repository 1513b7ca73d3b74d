//! Asks outside witnesses to cosign the heads of the ledger (docs/spec/ledger.md, Cosigners and quorum). With their
//! cosignatures a stranger can prove a fork or a rollback.
//!
//! Guarantee: the collector stores and counts a cosignature only after verifying it under a key of its policy, over a head of
//! this log. Recording an entry never waits for a witness. Not here: the arithmetic of the policy (`ledger::Policy`); what a
//! verifier concludes (`exhibit-verify`); the mirror's own side.
//!
//! # Life of a cosignature
//! 1. `rounds` takes the newest published head: at most one a minute while the log grows, at once when an export waits.
//! 2. `client` shows it to every witness with a URL. *Crash: the next round asks again. A witness that cosigned already answers
//!    409, or cosigns once more.*
//! 3. `accept` verifies the line and writes it to the stores under `ledger/cosigned/`. *Crash: the line stays there; after the
//!    start the collector asks for another.*
//! 4. `heads` counts the line and wakes every caller that waits for a quorum.

mod client;
mod contradiction;
mod heads;
mod lost;
mod rounds;
mod start;
mod unreachable;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use evidence::digest::Digest;
use evidence::log_key::LogKeys;
use ledger::cosignature::COSIGNERS_MAX;
use ledger::policy::PolicyWitness;
use ledger::{Checkpoint, Note, Policy, VerifierKey, verify_consistency};
use store::{Key, ReplicaError, Replicas};
use tokio::sync::{Notify, watch};

pub(crate) use client::{AskError, WitnessClient};
pub(crate) use heads::CosignedHead;
pub(crate) use lost::held_by_witnesses;
pub use rounds::rounds;
pub(crate) use unreachable::Unreachable;

use crate::log::ledger::{Log, LogError};
use crate::metrics;
use heads::Heads;

/// How soon to ask a busy witness again while an export waits.
const BUSY_WAIT: Duration = Duration::from_secs(1);

/// The collector's knowledge of one witness.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WitnessState {
    /// Size of the newest head that the witness cosigned; 0 if it cosigned none since the start.
    pub size: u64,
    /// When the witness cosigned that head, in seconds since 1970, by its own clock.
    pub time: u64,
    /// Why the last request failed. Empty if it brought a cosignature, or if there was no request.
    pub trouble: String,
    /// True if the witness holds another history than this log.
    pub contradicts: bool,
    /// True if the witness said to ask again soon.
    pub is_busy: bool,
    /// True if the policy names a URL for the witness, so the collector asks it. Otherwise it must hand its lines in, as a mirror does.
    pub is_asked: bool,
}

/// The collector's policy and what cosigners said to it.
pub struct Cosigning {
    policy: Policy,
    clients: Clients,
    log_key: VerifierKey,
    log: Log,
    replicas: Replicas,
    /// The folder for notes that contradict each other.
    contradictions: PathBuf,
    state: Mutex<State>,
    /// The newest head that meets the quorum.
    quorum: watch::Sender<Option<CosignedHead>>,
    /// Wakes the rounds when a caller waits for a newer head than any that was shown.
    demand: Notify,
    /// Number of the last round that began. With the last one that ended, it tells a caller when the round it waits for is over.
    begun: AtomicU64,
    ended: watch::Sender<u64>,
}

impl std::fmt::Debug for Cosigning {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Cosigning").field("policy", &self.policy).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct State {
    heads: Heads,
    /// In the order of the policy.
    witnesses: Vec<WitnessState>,
}

impl Cosigning {
    /// Reads `ledger.policy` from the collector's directory. Without the file the collector asks nobody.
    ///
    /// # Errors
    /// If the file is not a policy for this log, or names a witness that cannot be asked.
    pub fn open(directory: &Path, log: Log, replicas: Replicas) -> Result<Self, PolicyFileError> {
        let log_key = log.verifier_key().clone();
        let (policy, clients) = policy_of(directory, log.keys())?;
        let known = |witness: &PolicyWitness| WitnessState {
            is_asked: witness.url.is_some(),
            ..WitnessState::default()
        };
        let state =
            State { heads: Heads::default(), witnesses: policy.witnesses().iter().map(known).collect() };
        Ok(Self {
            policy,
            clients,
            log_key,
            log,
            replicas,
            contradictions: directory.join("contradictions"),
            state: Mutex::new(state),
            quorum: watch::Sender::new(None),
            demand: Notify::new(),
            begun: AtomicU64::new(0),
            ended: watch::Sender::new(0),
        })
    }

    /// The collector's policy.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What the collector knows of each witness, in the order of the policy.
    pub fn witnesses(&self) -> Vec<(String, WitnessState)> {
        let state = self.state();
        let names = self.policy.witnesses().iter().map(|witness| witness.name.clone());
        names.zip(state.witnesses.iter().cloned()).collect()
    }

    /// The newest head that anybody cosigned.
    pub fn newest(&self) -> Option<CosignedHead> {
        self.state().heads.newest()
    }

    /// Asks the witnesses at once, and waits for a head with the policy's quorum that covers `size` entries.
    ///
    /// # Errors
    /// Names the cosigners that are missing and why: every witness was asked without success, or `patience` is over. A busy witness is
    /// asked again until then.
    pub async fn quorum_over(&self, size: u64, patience: Duration) -> Result<CosignedHead, Shortage> {
        let mut quorum = self.quorum.subscribe();
        // A witness can only see what is published, so a round that began before publication would be in vain.
        let published = self.log.wait_until_covered(size);
        if tokio::time::timeout(patience, published).await.is_err() {
            return Err(Shortage { witnesses: Vec::new() });
        }
        let covers =
            |head: &Option<CosignedHead>| head.as_ref().is_some_and(|head| head.published.size >= size);
        // A mirror that pulls hands in its line when it likes. Only `patience` ends the wait for it.
        let mut witnesses = self.policy.witnesses().iter();
        let all_are_asked = witnesses.all(|witness| witness.url.is_some());
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let (mut ended, begun) = (self.ended.subscribe(), self.begun.load(Ordering::SeqCst));
            self.demand.notify_one();
            let in_vain = async {
                if !all_are_asked || ended.wait_for(|round| *round > begun).await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                biased;
                Ok(head) = quorum.wait_for(covers) => if let Some(head) = head.clone() {
                    return Ok(head);
                },
                () = in_vain => {}
                () = tokio::time::sleep_until(deadline) => break,
            }
            let is_busy = |(_, state): &(String, WitnessState)| state.size < size && state.is_busy;
            if !self.witnesses().iter().any(is_busy) || tokio::time::Instant::now() + BUSY_WAIT > deadline {
                break;
            }
            tokio::time::sleep(BUSY_WAIT).await;
        }
        let missing = self.witnesses().into_iter().filter(|(_, state)| state.size < size);
        Err(Shortage { witnesses: missing.collect() })
    }

    /// Accepts a checkpoint that others cosigned. Verifies, stores and counts the lines of the policy's keys, and drops other lines.
    /// Returns the names of the cosigners whose line was new. Blocks on disks.
    ///
    /// # Errors
    /// If the checkpoint is not a head of this log, if a line of a known key is wrong, or if the stores cannot take it.
    pub fn accept(&self, note: &Note) -> Result<Vec<String>, AcceptError> {
        let verified = self.policy.verify_note(note).map_err(|source| AcceptError::Policy { source })?;
        self.check_is_ours(&verified.checkpoint)?;
        let (size, text) = (verified.checkpoint.size, note.text());
        let keys: Vec<&VerifierKey> = self.policy.witnesses().iter().map(|witness| &witness.key).collect();
        let is_known = |line: &&ledger::NoteSignature| {
            keys.iter().any(|key| key.name() == line.name() && key.id() == line.id())
        };
        let of_log = |line: &&ledger::NoteSignature| {
            let mut keys = self.policy.logs().iter().map(|log| &log.key);
            keys.any(|key| line.name() == key.name() && line.id() == key.id())
        };
        let new: Vec<_> = {
            let state = self.state();
            let new = note.signatures().iter().filter(is_known);
            new.filter(|line| !state.heads.has(size, line)).cloned().collect()
        };
        let Some(log_line) = note.signatures().iter().find(of_log).cloned() else {
            return Err(AcceptError::NotThisLog { size });
        };
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let mut lines = vec![log_line];
        lines.extend(new);
        let kept = Note::new(text, lines).map_err(|source| AcceptError::Note { source })?;
        let bytes = kept.to_string().into_bytes();
        self.replicas
            .create(&Key::cosigned(size, &Digest::of(&bytes).0), &bytes)
            .map_err(|source| AcceptError::Store { source })?;
        Ok(self.count(&kept, &verified.checkpoint))
    }

    /// Counts lines that are durable already.
    fn count(&self, kept: &Note, checkpoint: &Checkpoint) -> Vec<String> {
        let mut state = self.state();
        let Some(head) = state.heads.add(kept, checkpoint, &self.policy) else {
            return Vec::new();
        };
        let mut new = Vec::new();
        for (witness, known) in self.policy.witnesses().iter().zip(&mut state.witnesses) {
            let line = kept
                .signatures()
                .iter()
                .filter(|line| line.name() == witness.key.name() && line.id() == witness.key.id());
            let time = line
                .filter_map(|line| ledger::cosignature::verify(&witness.key, kept.text(), line).ok())
                .max();
            let Some(time) = time else { continue };
            new.push(witness.name.clone());
            metrics::cosigned();
            if checkpoint.size >= known.size {
                known.size = checkpoint.size;
                known.time = time;
            }
            known.trouble.clear();
            (known.contradicts, known.is_busy) = (false, false);
        }
        drop(state);
        if head.quorum_met {
            self.quorum.send_if_modified(|newest| {
                let is_newer =
                    newest.as_ref().is_none_or(|newest| newest.published.size <= head.published.size);
                if is_newer {
                    *newest = Some(head);
                }
                is_newer
            });
        }
        new
    }

    /// The log's own key may be stolen: its signature alone does not make a head ours.
    fn check_is_ours(&self, checkpoint: &Checkpoint) -> Result<(), AcceptError> {
        let published = self.log.published();
        let size = checkpoint.size;
        if size == 0 || size > published.size {
            return Err(AcceptError::NotThisLog { size });
        }
        let proof = self
            .log
            .consistency_between(size, published.size)
            .map_err(|source| AcceptError::Log { source })?;
        verify_consistency(size, &checkpoint.root, published.size, &published.root, &proof)
            .map_err(|_another_root| AcceptError::NotThisLog { size })
    }

    fn trouble(&self, place: usize, error: &AskError) {
        let mut state = self.state();
        if let Some(known) = state.witnesses.get_mut(place) {
            known.trouble = error.to_string();
            known.contradicts = matches!(error, AskError::Contradiction { .. });
            known.is_busy = error.is_busy();
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fewer cosigners signed than the policy asks for.
#[derive(Debug, thiserror::Error)]
#[error("the policy's quorum of cosigners is not met: {}", describe_missing(witnesses))]
pub struct Shortage {
    /// The witnesses that did not cosign, and what the collector knows of them.
    pub witnesses: Vec<(String, WitnessState)>,
}

fn describe_missing(witnesses: &[(String, WitnessState)]) -> String {
    if witnesses.is_empty() {
        return "the log does not reach that far yet".to_owned();
    }
    let one = |(name, state): &(String, WitnessState)| {
        if state.contradicts {
            format!("{name} holds another history of this log")
        } else if !state.is_asked {
            format!("{name} has not cosigned, and `ledger.policy` gives no URL at which to ask it")
        } else if state.trouble.is_empty() {
            format!("{name} has not cosigned")
        } else {
            format!("{name}: {}", state.trouble)
        }
    };
    witnesses.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// Why `ledger.policy` cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyFileError {
    /// The file is not a policy of this log.
    #[error("{}: {reason}. Correct the file, or remove it: without it nobody is asked to cosign", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file cannot be read, or the collector cannot store what its witnesses showed.
    #[error("read the ledger's policy, or keep what its witnesses show")]
    Read {
        /// Cause, naming the file.
        #[source]
        source: std::io::Error,
    },
}

/// The client for each witness, in the order of the policy; `None` for a witness that hands its lines in.
type Clients = Vec<Option<WitnessClient>>;

/// Reads `ledger.policy` from the collector's directory. Without the file the collector asks nobody.
fn policy_of(directory: &Path, keys: &LogKeys) -> Result<(Policy, Clients), PolicyFileError> {
    let path = directory.join("ledger.policy");
    let refused = |reason: String| PolicyFileError::Content { path: path.clone(), reason };
    let log_key = keys.current();
    let bytes = match fs_err::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            format!("log {log_key}\nquorum none\n").into_bytes()
        }
        Err(source) => return Err(PolicyFileError::Read { source }),
    };
    let policy = Policy::parse(&bytes).map_err(|error| refused(crate::failure::chain(&error)))?;
    // A policy from an older backup may name a key before the present one.
    let is_of_line = policy.logs().first().is_some_and(|log| keys.has(&log.key));
    if policy.logs().len() != 1 || !is_of_line {
        return Err(refused(format!("it must have one log line, `log {log_key}`")));
    }
    // Heads that were cosigned under a key before this one are heads of this log.
    let policy = keys.extend(policy).map_err(|error| refused(crate::failure::chain(&error)))?;
    // A verifier takes no more lines of cosigners whom it does not know (note-2).
    let count = policy.witnesses().len();
    if count > COSIGNERS_MAX {
        return Err(refused(format!("it names {count} witnesses, and a bundle takes {COSIGNERS_MAX}")));
    }
    let mut clients = Vec::new();
    for witness in policy.witnesses() {
        let client = witness.url.as_deref().map(WitnessClient::new).transpose();
        clients.push(client.map_err(|reason| refused(format!("witness {}: {reason}", witness.name)))?);
    }
    Ok((policy, clients))
}

/// Why a cosigned checkpoint was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The log could not be read.
    #[error("compare it with the log")]
    Log {
        /// Why.
        #[source]
        source: LogError,
    },
    /// The checkpoint is of another history, or of a size that is not published.
    #[error("a checkpoint of size {size} that this log does not have")]
    NotThisLog {
        /// Its size.
        size: u64,
    },
    /// The note would have too many lines.
    #[error("put the lines together")]
    Note {
        /// Why.
        #[source]
        source: ledger::note::NoteError,
    },
    /// The log did not sign the checkpoint, or a line of a known key is wrong.
    #[error("verify the checkpoint")]
    Policy {
        /// Why.
        #[source]
        source: ledger::policy::PolicyError,
    },
    /// The stores did not take the lines.
    #[error("store the cosignatures")]
    Store {
        /// Why.
        #[source]
        source: ReplicaError,
    },
}

#[cfg(test)]
mod tests;
