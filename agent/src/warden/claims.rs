//! Verifies what the collector claims: receipts, checkpoints, cancellations.
//!
//! Guarantee: a receipt counts only under the pinned log key, and only for the manifest that this endpoint
//! signed. Two checkpoints that cannot both be true are a [`Claim::Contradiction`], never an update. Not
//! here: acting on it.

use evidence::causes::chain;
use evidence::digest::Digest;
use evidence::entry::act::Act;
use evidence::entry::{Entry, EntryType};
use evidence::id::Actor;
use evidence::manifest::CollectionResult;
use evidence::roster::Role;
use evidence::signed::Signed;
use ledger::ProofFile;
use proto::convert;
use proto::v1;

use crate::state::endpoint::{EndpointState, log_keys};

/// Why a claim of the collector is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Claim {
    /// It does not verify, or says nothing about this endpoint.
    #[error("{0}")]
    Unproven(String),
    /// It verifies under the log's key and contradicts what the log signed before.
    #[error("{0}")]
    Contradiction(String),
}

/// A verified receipt.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// The collection.
    pub collection: Digest,
    /// Its order.
    pub order: Digest,
    /// Which attempt.
    pub attempt: u32,
    /// `complete` or `limited`, from the manifest.
    pub result: CollectionResult,
    /// Number of copies, as the entry says.
    pub copies: String,
    /// Whether the entry calls it degraded.
    pub is_degraded: bool,
    /// Entry bytes.
    pub entry: Vec<u8>,
    /// Proof file.
    pub proof: Vec<u8>,
    /// Size of the checkpoint inside.
    pub size: u64,
    /// Whether that checkpoint is the one that was last verified to be consistent. A newer one is linked at
    /// the next contact.
    pub is_linked: bool,
}

/// Verifies `collection.stored` for `collection`.
pub fn receipt(
    state: &EndpointState,
    collection: Digest,
    proven: Option<v1::ProvenEntry>,
) -> Result<Receipt, Claim> {
    let unproven = |text: &str| Claim::Unproven(text.to_owned());
    let proven = convert::proven("receipt", proven).map_err(|error| Claim::Unproven(chain(&error)))?;
    let entry = Entry::parse(&proven.entry).map_err(|error| Claim::Unproven(chain(&error)))?;
    let envelope = &entry.envelope;
    let (order, attempt) =
        state.seen.of_collection(collection).ok_or_else(|| unproven("no collection of this endpoint"))?;
    let (manifest, result) =
        attempt.manifest.ok_or_else(|| unproven("its manifest was never signed here"))?;
    let refers = |name: &str, value: &str| envelope.reference(name) == Some(value);
    if envelope.type_ != EntryType::CollectionStored
        || envelope.deployment != state.identity.pins.deployment
        || envelope.event != manifest
        || !refers("collection", &collection.to_string())
        || !refers("manifest", &manifest.to_string())
        || !refers("order", &order.to_string())
    {
        return Err(unproven("the entry does not record the manifest that was signed here"));
    }
    let trust = state.log_trust().map_err(|error| Claim::Unproven(chain(&error)))?;
    let proof = ProofFile::parse(&proven.proof).map_err(|error| Claim::Unproven(chain(&error)))?;
    let leaf = ledger::leaf_hash(&proven.entry);
    let verified = proof.verify(&leaf, &trust).map_err(|error| Claim::Unproven(chain(&error)))?;
    same_origin(state, &verified.checkpoint)?;
    let is_linked = verified.checkpoint.size == state.checkpoint.size;
    if is_linked && verified.checkpoint.root != state.checkpoint.root {
        return Err(fork(&state.checkpoint, &verified.checkpoint));
    }
    Ok(Receipt {
        collection,
        order,
        attempt: attempt.number,
        result,
        // An entry that names no copies claims none.
        copies: envelope.reference("copies").unwrap_or("").to_owned(),
        is_degraded: !refers("degraded", "no"),
        entry: proven.entry.to_vec(),
        proof: proven.proof.to_vec(),
        size: verified.checkpoint.size,
        is_linked,
    })
}

/// Verifies a newer checkpoint and keeps it.
pub fn checkpoint(state: &mut EndpointState, update: &v1::CheckpointUpdate) -> Result<(), Claim> {
    let trust = state.log_trust().map_err(|error| Claim::Unproven(chain(&error)))?;
    let new = trust
        .verify_checkpoint(&update.checkpoint)
        .map_err(|error| Claim::Unproven(chain(&error)))?
        .checkpoint;
    same_origin(state, &new)?;
    let last = &state.checkpoint;
    if new.size == last.size && new.root != last.root {
        return Err(fork(last, &new));
    }
    if new.size <= last.size {
        return Ok(());
    }
    if update.consistency_from != last.size {
        return Err(Claim::Unproven(format!(
            "consistency is shown from {}, kept is {}",
            update.consistency_from, last.size
        )));
    }
    let proof = convert::hashes("consistency", &update.consistency)
        .map_err(|error| Claim::Unproven(chain(&error)))?;
    // A failed proof does not show a fork: whoever carried it may have damaged it. Two different signed notes
    // of one size show a fork.
    ledger::verify_consistency(last.size, &last.root, new.size, &new.root, &proof)
        .map_err(|error| Claim::Unproven(chain(&error)))?;
    state.learn_checkpoint(&new, &update.checkpoint).map_err(|error| Claim::Unproven(error.to_string()))
}

/// Verifies a list of log keys under the pins. Keeps it if it is longer than the known one, and then returns
/// true.
///
/// # Errors
/// [`Claim`]. A list that is shorter than the accepted one, or differs from it, is unproven: without the
/// authority's keys nobody can make one.
pub(crate) fn log_key_changes(state: &mut EndpointState, shown: &v1::LogKeyChanges) -> Result<bool, Claim> {
    let unproven = |error: &dyn std::error::Error| Claim::Unproven(chain(error));
    let keys = log_keys(&state.identity.pins, &state.authority, shown).map_err(|error| unproven(&error))?;
    keys.continues(&state.log_keys).map_err(|error| unproven(&error))?;
    if keys.number() == state.log_keys.number() {
        return Ok(false);
    }
    let policy = keys.policy().map_err(|error| unproven(&error))?;
    let kept = state.identity.checkpoint().map_err(|error| unproven(&error))?;
    state.learn_log_keys(keys, shown).map_err(|error| unproven(&error))?;
    // Somebody with the replaced key showed this endpoint a false history. The endpoint keeps that
    // checkpoint. No proof leads from it into the log, so the endpoint obeys nothing until a person has
    // looked.
    match policy.verify_checkpoint(&kept) {
        Ok(_) => Ok(true),
        Err(error) => Err(Claim::Contradiction(format!(
            "the checkpoint kept here was signed by a log key that was replaced before; no order is obeyed until this endpoint is enrolled anew: {}",
            chain(&error)
        ))),
    }
}

fn same_origin(state: &EndpointState, checkpoint: &ledger::Checkpoint) -> Result<(), Claim> {
    if checkpoint.origin == state.checkpoint.origin {
        return Ok(());
    }
    Err(Claim::Unproven(format!("the checkpoint is of {}", checkpoint.origin)))
}

fn fork(last: &ledger::Checkpoint, new: &ledger::Checkpoint) -> Claim {
    Claim::Contradiction(format!(
        "the ledger signed two roots for size {}: {} and {}",
        last.size,
        last.root.to_base64(),
        new.root.to_base64()
    ))
}

/// Verifies that a responder cancelled `order`. An expired roster is good enough, because stopping harms
/// nobody.
pub fn cancellation(state: &EndpointState, cancel: &v1::CancelOrder) -> Result<Digest, Claim> {
    let unproven = |text: &str| Claim::Unproven(text.to_owned());
    let order: Digest = cancel.order.parse().or(Err(unproven("no order id")))?;
    let signed: Signed =
        convert::signed("act", cancel.act.clone()).map_err(|error| Claim::Unproven(chain(&error)))?;
    let (act, signers) = signed.open::<Act>().map_err(|error| Claim::Unproven(chain(&error)))?;
    let [key] = signers.as_slice() else {
        return Err(unproven("not exactly one signature"));
    };
    let Actor::Person(person) = &act.by else {
        return Err(unproven("not the act of a person"));
    };
    if act.act != EntryType::OrderCancelled
        || act.deployment != state.identity.pins.deployment
        || act.reference("order") != Some(order.to_string().as_str())
    {
        return Err(unproven("the act does not cancel this order"));
    }
    if !state.roster.roster().speaks_for(key, person, &[Role::Responder]) {
        return Err(unproven("not signed by a responder of the roster"));
    }
    Ok(order)
}
