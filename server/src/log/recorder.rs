//! The way into the ledger for services: records acts, proves entries, turns failures into answers.
//!
//! Guarantee: an act that it returns as recorded is durable and proven. It judges a condition in the transaction that records
//! the entry. Not here: who may record what (each service); batching and publishing (`log::ledger`).

use std::sync::{Arc, Mutex, PoisonError};

use custody::rule::{Broken, RuleId};
use evidence::digest::Digest;
use evidence::entry::act::{Act, ActNonce, ActType};
use evidence::entry::{ActObject, EntryType};
use evidence::id::{Actor, Chain, CollectorId, DeploymentId};
use evidence::text::FixedBytes;
use proto::convert::Proven;
use proto::status::Class;
use store::Replicas;
use tokio::time::Instant;

use crate::blocking::blocking;
use crate::failure::{Failure, OrFailure as _, chain};
use crate::log::ledger::{
    Guard, GuardError, Log, LogError, PendingEntry, Published, Receipt, Sequencer, StoreTiles, SubmitError,
};
use crate::rows::ProjectionError;
use crate::rows::condition::{Condition, Denied};

/// How long to wait for the publication of a committed entry before the caller gets an error.
const PUBLISH_DEADLINE: std::time::Duration = std::time::Duration::from_secs(30);

/// An entry that is recorded, durable and proven.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Index in the log.
    pub index: u64,
    /// False if the same act was recorded before.
    pub is_new: bool,
    /// Entry and proof.
    pub proven: Proven,
}

/// Records acts for one collector.
#[derive(Clone)]
pub struct Recorder {
    sequencer: Sequencer,
    deployment: DeploymentId,
    collector: CollectorId,
}

impl Recorder {
    /// Makes a recorder over a running sequencer.
    #[must_use]
    pub const fn new(sequencer: Sequencer, deployment: DeploymentId, collector: CollectorId) -> Self {
        Self { sequencer, deployment, collector }
    }

    /// The sequencer itself.
    #[must_use]
    pub const fn sequencer(&self) -> &Sequencer {
        &self.sequencer
    }

    /// Records an act whose signatures the caller has verified.
    pub async fn record(
        &self,
        type_: EntryType,
        chain: Chain,
        refs: &[(&str, String)],
        act: ActObject,
    ) -> Result<Recorded, Failure> {
        self.submit(type_, chain, owned(refs), act, None).await
    }

    /// As [`Recorder::record`], but only if `condition` holds.
    ///
    /// # Errors
    /// The condition's refusal, or the reason why the ledger cannot record the act.
    pub async fn record_if(
        &self,
        type_: EntryType,
        chain: Chain,
        refs: &[(&str, String)],
        act: ActObject,
        condition: Condition,
    ) -> Result<Recorded, Failure> {
        self.submit(type_, chain, owned(refs), act, Some(condition)).await
    }

    /// Records an act of the collector itself. Only the log vouches for such an act.
    pub async fn record_own(
        &self,
        type_: EntryType,
        chain: Chain,
        refs: &[(&str, String)],
    ) -> Result<Recorded, Failure> {
        self.record_own_with(type_, chain, refs, &[], None).await
    }

    /// As [`Recorder::record_own`], with fields and the digest of a text.
    pub async fn record_own_with(
        &self,
        type_: EntryType,
        chain: Chain,
        refs: &[(&str, String)],
        fields: &[(&str, String)],
        detail: Option<Digest>,
    ) -> Result<Recorded, Failure> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).or_unavailable("draw a nonce")?;
        let act = Act {
            type_: ActType,
            deployment: self.deployment.clone(),
            act: type_,
            incident: chain.clone(),
            at: crate::clock::now(),
            by: Actor::Collector(self.collector.clone()),
            refs: owned(refs),
            fields: owned(fields),
            detail,
            nonce: ActNonce::Once(FixedBytes(nonce)),
        };
        let document = evidence::json::to_document(&act).or_internal("write an act")?;
        let act = ActObject { document, signatures: Vec::new() };
        self.submit(type_, chain, owned(refs), act, None).await
    }

    /// Records an act whose refs are ready.
    ///
    /// # Errors
    /// The condition's refusal, or the reason why the ledger cannot record the act.
    pub async fn submit(
        &self,
        type_: EntryType,
        chain: Chain,
        refs: Vec<(String, String)>,
        act: ActObject,
        condition: Option<Condition>,
    ) -> Result<Recorded, Failure> {
        let refusal = Arc::new(Mutex::new(None));
        let guard = condition.map(|condition| guarded(condition, Arc::clone(&refusal)));
        let begun = Instant::now();
        let submitted = self.sequencer.submit(PendingEntry { type_, chain, refs, act, guard }).await;
        match submitted {
            Ok(receipt) => {
                if receipt.is_new {
                    crate::metrics::entry_written(begun.elapsed());
                }
                Ok(recorded(receipt))
            }
            Err(error) => {
                let refused = refusal.lock().unwrap_or_else(PoisonError::into_inner).take();
                Err(refused.unwrap_or_else(|| failure(error)))
            }
        }
    }
}

impl Recorder {
    /// Waits until a committed entry is published. Its rows are committed first; the checkpoint that covers it follows. A
    /// reader who asks for the index in between would find it outside the log.
    ///
    /// # Errors
    /// `Unavailable` if the checkpoint does not follow in time, because stores are away.
    pub async fn wait_until_published(&self, index: u64) -> Result<(), Failure> {
        let late = |what: &'static str| Failure::unavailable("publish the ledger", what);
        match tokio::time::timeout(PUBLISH_DEADLINE, self.sequencer.log().wait_for_growth(index)).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(late("the sequencer has ended")),
            Err(_elapsed) => Err(late("a committed entry is not published")),
        }
    }

    /// An entry with its proof under the newest checkpoint.
    pub async fn prove(&self, index: u64) -> Result<Proven, Failure> {
        let log = self.sequencer.log().clone();
        let (entry, proof) = blocking(move || log.entry_with_proof(index)).await?.map_err(log_failure)?;
        Ok(Proven { entry: entry.into(), proof: proof.into() })
    }

    /// Entries with their proofs, all under one checkpoint, and that checkpoint.
    pub async fn prove_all(
        &self,
        replicas: &Replicas,
        indices: Vec<u64>,
    ) -> Result<(Published, Vec<Proven>), Failure> {
        let (log, replicas) = (self.sequencer.log().clone(), replicas.clone());
        blocking(move || prove_under(&log, &replicas, log.published(), &indices)).await?
    }

    /// As [`Recorder::prove_all`], under a checkpoint that the caller took before.
    pub async fn prove_under(
        &self,
        replicas: &Replicas,
        published: Published,
        indices: Vec<u64>,
    ) -> Result<Vec<Proven>, Failure> {
        let (log, replicas) = (self.sequencer.log().clone(), replicas.clone());
        Ok(blocking(move || prove_under(&log, &replicas, published, &indices)).await??.1)
    }

    /// The proof that the log of `to` entries continues the log of `from` entries.
    ///
    /// # Errors
    /// `OverLimit` if a size is not published; another failure if no store proves it.
    pub async fn consistency(&self, from: u64, to: u64) -> Result<Vec<ledger::Hash>, Failure> {
        let log = self.sequencer.log().clone();
        blocking(move || log.consistency_between(from, to)).await?.map_err(log_failure)
    }
}

fn prove_under(
    log: &Log,
    replicas: &Replicas,
    published: Published,
    indices: &[u64],
) -> Result<(Published, Vec<Proven>), Failure> {
    let unprovable = |what: String| Failure::unavailable("prove entries of the ledger", what);
    let note = ledger::Note::parse(&published.note).map_err(|error| unprovable(error.to_string()))?;
    let entries: Vec<Vec<u8>> =
        indices.iter().map(|index| log.entry(*index)).collect::<Result<_, _>>().map_err(log_failure)?;
    let mut failures = Vec::new();
    'stores: for store in replicas.stores() {
        let tiles = StoreTiles::new(store.as_ref());
        let reader = ledger::TileReader::new(&tiles, published.size);
        let mut proven = Vec::with_capacity(indices.len());
        for (index, entry) in indices.iter().zip(&entries) {
            let leaf = ledger::leaf_hash(entry);
            let hashes = match ledger::inclusion_proof(&reader, *index, published.size) {
                Ok(hashes) => hashes,
                Err(error) => {
                    failures.push(format!("store {}: {error}", store.identity().store));
                    continue 'stores;
                }
            };
            // Check against the published root: a proof from a damaged tile proves nothing.
            let holds = ledger::verify_inclusion(*index, published.size, &leaf, &hashes, &published.root);
            let file = holds.map_err(|error| error.to_string()).and_then(|()| {
                ledger::ProofFile::new(*index, hashes, note.clone(), None).map_err(|e| e.to_string())
            });
            match file {
                Ok(file) => proven
                    .push(Proven { entry: entry.clone().into(), proof: file.encode().into_bytes().into() }),
                Err(error) => {
                    failures.push(format!("store {}: {error}", store.identity().store));
                    continue 'stores;
                }
            }
        }
        return Ok((published, proven));
    }
    Err(unprovable(failures.join("; ")))
}

fn log_failure(error: LogError) -> Failure {
    match error {
        LogError::OutsideLog { index } => {
            Failure::new(Class::OverLimit, format!("the published log does not reach {index}"))
        }
        other => Failure::unavailable("read the ledger", other),
    }
}

/// The ledger's guard carries only text, so the refusal with its class travels beside it.
fn guarded(condition: Condition, refusal: Arc<Mutex<Option<Failure>>>) -> Guard {
    Box::new(move |tx| match condition(tx) {
        Ok(()) => Ok(()),
        Err(Denied::Db(error)) => Err(GuardError::Db(error)),
        Err(Denied::No(failure)) => {
            let text = failure.text().to_owned();
            *refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
            Err(GuardError::Refused(text))
        }
    })
}

fn owned(pairs: &[(&str, String)]) -> Vec<(String, String)> {
    let mut pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    pairs.sort();
    pairs
}

fn recorded(receipt: Receipt) -> Recorded {
    Recorded {
        index: receipt.index,
        is_new: receipt.is_new,
        proven: Proven { entry: receipt.entry.into(), proof: receipt.proof.into() },
    }
}

fn failure(error: SubmitError) -> Failure {
    match error {
        SubmitError::Contradiction { .. } => Failure::new(Class::Exists, error.to_string()),
        SubmitError::Guard(text) => Failure::precondition(text),
        SubmitError::Form(broken) => Failure::malformed(broken.to_string()),
        SubmitError::Rule(broken) => refused(&broken),
        SubmitError::Malformed(_) | SubmitError::Entry(_) => Failure::malformed(chain(&error)),
        SubmitError::Projection(ProjectionError::Disposal(refusal)) => {
            Failure::precondition(refusal.to_string())
        }
        SubmitError::Projection(_) => Failure::internal("record the act", error),
        SubmitError::Db(_)
        | SubmitError::Store(_)
        | SubmitError::Stopped { .. }
        | SubmitError::Unproven { .. } => Failure::unavailable("record the act in the ledger", error),
    }
}

/// A rule of custody that an act breaks where the log is now. The caller gets the code that a check before the transaction gives.
fn refused(broken: &Broken) -> Failure {
    let (class, next) = match broken.rule {
        RuleId::Login1 => (Class::Unidentified, "log in with a key of the newest roster"),
        RuleId::Entry17 | RuleId::Order2 | RuleId::Order15 | RuleId::Endpoint2 => {
            (Class::Forbidden, "a person who holds that role in the newest roster may sign it")
        }
        RuleId::Order18 | RuleId::Order19 => (Class::Forbidden, "another person must decide"),
        RuleId::Mirror7 | RuleId::Mirror8 => (Class::Forbidden, "an endpoint-admin admits mirrors"),
        RuleId::Endpoint8 | RuleId::Mirror4 | RuleId::Order16 | RuleId::Order23 => {
            (Class::Missing, "check what the document names")
        }
        RuleId::Endpoint9 | RuleId::Endpoint15 => (Class::Exists, "ask for a new token"),
        RuleId::Endpoint25 => (Class::Exists, "make a new key and a new request"),
        RuleId::Mirror2 | RuleId::Mirror11 | RuleId::Collection12 | RuleId::Incident2 => {
            (Class::Exists, "it is recorded already")
        }
        _ => (Class::Precondition, "look at the present state, then make and sign it anew"),
    };
    Failure::new(class, format!("{broken}; {next}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_rule_is_answered_with_its_number_its_cause_and_the_next_step() {
        let broken = custody::rule::must(RuleId::Endpoint9, false, "its token was used before").unwrap_err();
        let answer = failure(SubmitError::Rule(broken.clone()));
        assert_eq!(answer.class(), Class::Exists);
        assert_eq!(answer.text(), "endpoint-9: its token was used before; ask for a new token");
        let answer = failure(SubmitError::Form(broken));
        assert_eq!(answer.class(), Class::Malformed);
        assert_eq!(answer.text(), "endpoint-9: its token was used before");
    }
}
