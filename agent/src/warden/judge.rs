//! Decides on an order: raw bytes in, a reason out.
//!
//! Guarantee: every step of docs/spec/order.md, *Admission*, runs here, in the one process without network,
//! on the bytes as they arrived. Nothing that the link says about them counts. What is verified on the way (a
//! newer roster, a newer checkpoint, times) is durable before the answer. Not here: step 12, `busy`, which is
//! the warden's own state.

use std::path::Path;

use evidence::admission::{self, Admitted, Memory, Package, Pins, Proven, Reason, Refusal};
use evidence::causes::chain;
use evidence::digest::Digest;
use evidence::order::{Limits, TargetProof};
use evidence::signed::Signed;
use ledger::ProofFile;
use proto::convert;
use proto::v1;

use crate::policy::Policy;
use crate::state::clock::Reading;
use crate::state::endpoint::EndpointState;

/// An order that this endpoint obeys.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The result of admission.
    pub admitted: Admitted,
    /// The owner's policy that it passed.
    pub policy: Policy,
    /// In each field, the smaller of the order's and the owner's limit.
    pub limits: Limits,
}

/// The id of an order that may be malformed: the digest of its bytes.
#[must_use]
pub(crate) fn order_digest(package: &v1::OrderPackage) -> Digest {
    package.order.as_ref().map_or(Digest::ZERO, |order| Digest::of(&order.document))
}

/// Judges a package.
///
/// # Errors
/// [`Refusal`] with the first step that failed.
pub fn judge(
    state: &mut EndpointState,
    package: &v1::OrderPackage,
    policy: Option<&Path>,
    now: Reading,
) -> Result<Judged, Refusal> {
    // Load the policy first, because the owner may ask for cosigners. The policy's own objections come in
    // their place, as step 10.
    let policy = Policy::load(policy).map_err(|error| forbidden(&error))?;
    let trust = policy.trust(&state.log_keys).map_err(|error| forbidden(&error))?;
    let parts = Parts::of(package)?;
    let time = state.clock.time(now);
    let pins = Pins {
        deployment: &state.identity.pins.deployment,
        authority: &state.authority,
        log: &trust,
        target: &state.target,
    };
    let memory = Memory {
        roster: Some(&state.roster),
        roster_floor: state.roster.floor(),
        clock_floor: state.clock.floor(),
        checkpoint: Some(&state.checkpoint),
    };
    let admitted = match admission::admit(&parts.package()?, &pins, &memory, time) {
        Ok(admitted) => admitted,
        Err(refusal) => {
            if let Some(roster) = &refusal.learned {
                learn_roster(state, roster, &parts, now)?;
            }
            return Err(refusal);
        }
    };
    learn_roster(state, &admitted.roster, &parts, now)?;
    state.clock.raise(admitted.clock_floor, now).map_err(|error| unkept(&error))?;
    for (_, seconds) in &admitted.cosigners {
        let time = seconds.checked_mul(1000).and_then(evidence::time::Time::from_unix_ms);
        if let Some(time) = time {
            state.clock.raise(time, now).map_err(|error| unkept(&error))?;
        }
    }
    let note = parts.note()?;
    state.learn_checkpoint(&admitted.checkpoint, note.as_bytes()).map_err(|error| unkept(&error))?;
    recheck(
        state,
        Judged { limits: admitted.order.limits.min(&policy.rules.limits.as_order()), admitted, policy },
    )
}

/// Judges again what may have changed since admission: time, persons, policy, attempts. For orders that have
/// waited.
pub(crate) fn judge_again(
    state: &EndpointState,
    judged: Judged,
    policy: Option<&Path>,
    now: Reading,
) -> Result<Judged, Refusal> {
    let policy = Policy::load(policy).map_err(|error| forbidden(&error))?;
    let time = state.clock.time(now);
    state.roster.in_force(time).map_err(|error| Refusal::new(Reason::Roster, error.to_string()))?;
    judged.admitted.holds_under(state.roster.roster())?;
    if time >= judged.admitted.order.expires {
        let detail = format!("expired at {} while it waited, it is {time}", judged.admitted.order.expires);
        return Err(Refusal::new(Reason::Expired, detail));
    }
    let limits = judged.admitted.order.limits.min(&policy.rules.limits.as_order());
    recheck(state, Judged { policy, limits, ..judged })
}

/// Steps 10 and 11.
fn recheck(state: &EndpointState, judged: Judged) -> Result<Judged, Refusal> {
    let (order, approvals) = (&judged.admitted.order, judged.admitted.approvers.len());
    if let Some(objection) = judged.policy.objection(order, approvals) {
        return Err(Refusal::new(Reason::Policy, objection));
    }
    match state.seen.may_try(judged.admitted.order_sha256, order.attempts) {
        // `Running` belongs to the warden's own state. The warden answers `busy` or repeats its answer.
        Ok(_) => Ok(judged),
        Err(replay) => Err(Refusal::new(Reason::Replay, replay.to_string())),
    }
}

fn learn_roster(
    state: &mut EndpointState,
    roster: &evidence::roster::AdmittedRoster,
    parts: &Parts,
    now: Reading,
) -> Result<(), Refusal> {
    let signed = parts.rosters_signed.iter().find(|signed| signed.digest() == roster.digest());
    match signed {
        Some(signed) => state.learn_roster(roster, signed, now).map_err(|error| unkept(&error)),
        // It is already the one that was kept.
        None => Ok(()),
    }
}

/// A package's parts as bytes.
struct Parts {
    order: Vec<u8>,
    rosters: Vec<Vec<u8>>,
    rosters_signed: Vec<Signed>,
    approvals: Vec<Vec<u8>>,
    target: (u64, Vec<ledger::Hash>),
    issued: convert::Proven,
    approved: Vec<convert::Proven>,
    consistency: Vec<ledger::Hash>,
}

impl Parts {
    fn of(package: &v1::OrderPackage) -> Result<Self, Refusal> {
        let malformed = |error: convert::WireError| Refusal::new(Reason::Malformed, chain(&error));
        let order = convert::signed("order", package.order.clone()).map_err(malformed)?;
        let rosters = convert::signed_list("rosters", package.rosters.clone(), 64).map_err(malformed)?;
        let approvals =
            convert::signed_list("approvals", package.approvals.clone(), 16).map_err(malformed)?;
        let approved = convert::bounded_list("approved", package.approved.clone(), 16).map_err(malformed)?;
        Ok(Self {
            order: order.encode(),
            rosters: rosters.iter().map(Signed::encode).collect(),
            rosters_signed: rosters,
            approvals: approvals.iter().map(Signed::encode).collect(),
            target: (
                package.target_index,
                convert::hashes("target_proof", &package.target_proof).map_err(malformed)?,
            ),
            issued: convert::proven("issued", package.issued.clone()).map_err(malformed)?,
            approved: approved
                .into_iter()
                .map(convert::Proven::try_from)
                .collect::<Result<_, _>>()
                .map_err(malformed)?,
            consistency: convert::hashes("consistency", &package.consistency).map_err(malformed)?,
        })
    }

    fn package(&self) -> Result<Package<'_>, Refusal> {
        // The proof's tree has as many leaves as the order says. The wire does not repeat the number.
        let signed =
            Signed::parse(&self.order).map_err(|error| Refusal::new(Reason::Malformed, chain(&error)))?;
        let order: evidence::order::Order =
            signed.read().map_err(|error| Refusal::new(Reason::Malformed, chain(&error)))?;
        let proof = self.target.1.iter().map(|hash| Digest::from(*hash)).collect();
        Ok(Package {
            order: &self.order,
            rosters: self.rosters.iter().map(Vec::as_slice).collect(),
            approvals: self.approvals.iter().map(Vec::as_slice).collect(),
            target: TargetProof { index: self.target.0, count: order.targets_count, proof },
            issued: Proven { entry: &self.issued.entry, proof: &self.issued.proof },
            approved: self
                .approved
                .iter()
                .map(|one| Proven { entry: &one.entry, proof: &one.proof })
                .collect(),
            consistency: self.consistency.clone(),
        })
    }

    /// The checkpoint inside the proof, as a signed note.
    fn note(&self) -> Result<String, Refusal> {
        let proof = ProofFile::parse(&self.issued.proof);
        proof
            .map(|proof| proof.checkpoint().to_string())
            .map_err(|error| Refusal::new(Reason::Malformed, chain(&error)))
    }
}

fn forbidden(error: &crate::policy::PolicyError) -> Refusal {
    Refusal::new(Reason::Policy, chain(error))
}

/// What cannot be kept must not be acted on: a crash would forget it.
fn unkept(error: &std::io::Error) -> Refusal {
    Refusal::new(Reason::Busy, format!("the endpoint's state directory does not take writes: {error}"))
}
