//! Decides whether an endpoint obeys an order. Format and sequence: docs/spec/order.md, *Admission on the endpoint*.
//! Guarantee: a pure function of raw bytes and pins; the party that delivers the package decides nothing. The first
//! step that fails is the reason, so that every endpoint gives the same answer to the same package.
//! Not here: the owner's policy, spent attempts and other collections (steps 10 to 12, the agent's warden).

mod checks;
mod package;

pub use package::{Package, Proven};

use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::causes::chain;
use crate::digest::Digest;
use crate::id::{DeploymentId, PersonId};
use crate::keys::PublicKey;
use crate::order::{Order, Target};
use crate::roster::{AdmittedRoster, AuthoritySet, Role, Roster, RosterFloor};
use crate::signed::Signed;
use crate::text::serde_as_text;
use crate::time::Time;

/// How far ahead of the endpoint's clock an order may be issued: 10 minutes. More means that one of the two clocks
/// cannot be used to judge expiry.
pub(crate) const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(600);

/// What the endpoint believes, whoever delivers the order. Enrolment writes it; only the owner changes it.
#[derive(Debug, Clone, Copy)]
pub struct Pins<'a> {
    pub deployment: &'a DeploymentId,
    /// The keys that sign rosters.
    pub authority: &'a AuthoritySet,
    /// The log's key, and a quorum of cosigners if the owner asks for one.
    pub log: &'a ledger::Policy,
    pub target: &'a Target,
}

/// What the endpoint remembers from one order to the next.
#[derive(Debug, Clone, Copy)]
pub struct Memory<'a> {
    /// The roster that it admitted last. Used if the package brings none.
    pub roster: Option<&'a AdmittedRoster>,
    /// Lowest roster version that it accepts: the version of that roster, or of its token.
    pub roster_floor: RosterFloor,
    /// The latest time in the rosters and orders that it has verified.
    pub clock_floor: Time,
    /// The checkpoint it verified last.
    pub checkpoint: Option<&'a ledger::Checkpoint>,
}

/// An order that passed steps 1 to 9. The caller persists `roster`, `checkpoint` and `clock_floor`.
#[derive(Debug, Clone)]
pub struct Admitted {
    pub order: Order,
    pub order_sha256: Digest,
    /// Its bytes with the signature.
    pub signed: Signed,
    /// The roster it was judged by.
    pub roster: AdmittedRoster,
    /// The key its issuer signed with.
    pub issuer_key: PublicKey,
    /// The persons who approved it, sorted.
    pub approvers: Vec<PersonId>,
    /// The key of each approver, in the same order.
    pub approver_keys: Vec<PublicKey>,
    /// The checkpoint that proves that the order was logged.
    pub checkpoint: ledger::Checkpoint,
    /// The cosigners of that checkpoint, with their times (seconds since 1970).
    pub cosigners: Vec<(String, u64)>,
    /// The time used to judge expiry.
    pub judged_at: Time,
    /// New clock floor.
    pub clock_floor: Time,
}

impl Admitted {
    /// Judges persons and rules again under a later roster: an order whose signer was revoked while it waited must not
    /// be obeyed.
    ///
    /// # Errors
    /// [`Refusal`] of steps 4 and 7.
    pub fn holds_under(&self, roster: &Roster) -> Result<(), Refusal> {
        let (issuer, version) = (&self.order.issuer, roster.version);
        if !roster.speaks_for(&self.issuer_key, issuer, &[Role::Responder]) {
            let detail = format!("{issuer} is no responder any more since roster {version}");
            return Err(Refusal::new(Reason::Signature, detail));
        }
        for (approver, key) in self.approvers.iter().zip(&self.approver_keys) {
            if !roster.speaks_for(key, approver, &[Role::Approver]) {
                let detail = format!("{approver} is no approver any more since roster {version}");
                return Err(Refusal::new(Reason::Approvals, detail));
            }
        }
        if roster.needs_approval(self.order.plan.sensitivity()) && self.approvers.is_empty() {
            let detail = format!("roster {version} asks for a second person");
            return Err(Refusal::new(Reason::Approvals, detail));
        }
        Ok(())
    }
}

/// Judges a package at `now`, the endpoint's own clock.
///
/// # Errors
/// [`Refusal`] with the first step that failed.
pub fn admit(
    package: &Package<'_>,
    pins: &Pins<'_>,
    memory: &Memory<'_>,
    now: Time,
) -> Result<Admitted, Refusal> {
    let parsed = package::parse(package)?;
    parsed.check_deployment(pins.deployment)?;
    let roster = checks::roster(&parsed, pins, memory, now)?;
    let judged_at = now.max(memory.clock_floor).max(roster.roster().issued);
    // Even if the order is refused from here on, the endpoint has learned a newer roster, which must not be lost.
    match checks::order(&parsed, &roster, pins, memory, judged_at) {
        Ok(proof) => Ok(Admitted {
            order_sha256: parsed.order_signed.digest(),
            clock_floor: memory.clock_floor.max(roster.roster().issued).max(parsed.order.issued),
            order: parsed.order,
            signed: parsed.order_signed,
            roster,
            issuer_key: proof.issuer_key,
            approvers: proof.approvers.keys().cloned().collect(),
            approver_keys: proof.approvers.into_values().collect(),
            checkpoint: proof.checkpoint,
            cosigners: proof.cosigners,
            judged_at,
        }),
        Err(refusal) => Err(Refusal { learned: Some(Box::new(roster)), ..refusal }),
    }
}

/// Why an order is refused: the frozen names of docs/spec/order.md, in the sequence of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Bytes that are not an order, roster, approval, entry or proof.
    Malformed,
    /// The order is of another deployment.
    Foreign,
    /// There is no roster in force.
    Roster,
    /// The order's issuer did not sign it, or the issuer is not a responder.
    Signature,
    /// Outside its time.
    Expired,
    /// Addressed to others.
    Target,
    /// The second person is missing.
    Approvals,
    /// Labelled otherwise than its plan.
    Sensitivity,
    /// The order is not proven to be logged.
    Ledger,
    /// The endpoint's owner forbids it.
    Policy,
    /// No attempt is left, or the order is done.
    Replay,
    /// Another collection runs.
    Busy,
}

impl Reason {
    /// All reasons, in the sequence of the checks.
    pub const ALL: [Self; 12] = [
        Self::Malformed,
        Self::Foreign,
        Self::Roster,
        Self::Signature,
        Self::Expired,
        Self::Target,
        Self::Approvals,
        Self::Sensitivity,
        Self::Ledger,
        Self::Policy,
        Self::Replay,
        Self::Busy,
    ];

    /// True for the name of a reason with which the ledger records a refusal: a busy endpoint is asked again.
    #[must_use]
    pub fn is_recorded(name: &str) -> bool {
        Self::ALL.iter().any(|reason| *reason != Self::Busy && reason.as_str() == name)
    }

    /// The frozen name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Foreign => "foreign",
            Self::Roster => "roster",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::Target => "target",
            Self::Approvals => "approvals",
            Self::Sensitivity => "sensitivity",
            Self::Ledger => "ledger",
            Self::Policy => "policy",
            Self::Replay => "replay",
            Self::Busy => "busy",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text).ok_or(UnknownReason)
    }
}
serde_as_text!(Reason);

/// A text that is no reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown reason")]
pub struct UnknownReason;

/// An order that is not obeyed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Refusal {
    /// The first step that failed.
    pub reason: Reason,
    /// The exact fault, for people.
    pub detail: String,
    /// A roster that was verified on the way and is in force. Keep it, although the order is refused.
    pub learned: Option<Box<AdmittedRoster>>,
}

impl Refusal {
    /// A refusal with its detail.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), learned: None }
    }

    /// A refusal whose detail is an error with all its causes.
    fn because(reason: Reason, error: &dyn Error) -> Self {
        Self::new(reason, chain(error))
    }
}
