//! The signed request to collect: what, from whom, by whom, until when. Format: docs/spec/order.md.
//! Guarantee: a plan's sensitivity is computed from its steps, never believed. An endpoint learns only its own leaf
//! of the target list. Not here: whether an endpoint obeys (`admission`).

mod approval;
mod glob;
mod limits;
mod pattern;
mod plan;
mod sensitivity;
mod target;

pub use approval::{Approval, ApprovalType, Decision};
pub use glob::Glob;
pub use limits::Limits;
pub use pattern::{Component, GlobError, PATTERNS_MAX, Pattern};
pub use plan::{FilesStep, JournalStep, OnLarger, Plan, ProcessesStep, Step};
pub use sensitivity::Sensitivity;
pub use target::{Target, TargetError, TargetProof, TargetSet};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::document::{Document, document_type};
use crate::id::{DeploymentId, IncidentId, PersonId};
use crate::text::Nonce;
use crate::time::Time;

/// Most attempts an order may grant to each endpoint.
pub(crate) const ATTEMPTS_MAX: u32 = 10;

/// Longest purpose: 1000 bytes.
pub const PURPOSE_BYTES_MAX: usize = 1000;

document_type! {
    /// `exhibit-order-v1`.
    OrderType, "exhibit-order-v1"
}

/// An order. Its id is the digest of its document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Names the document type.
    #[serde(rename = "type")]
    pub type_: OrderType,
    /// The deployment in which it is valid.
    pub deployment: DeploymentId,
    /// What it is for.
    pub incident: IncidentId,
    /// Two equal requests are two orders.
    pub nonce: Nonce,
    /// The person who orders; holds the role `responder`.
    pub issuer: PersonId,
    /// When it was signed.
    pub issued: Time,
    /// From when on it is void.
    pub expires: Time,
    /// How many attempts each endpoint may make, 1 to 10.
    pub attempts: u32,
    /// Version of the roster that the issuer saw.
    pub roster_version: u64,
    /// Digest of that roster.
    pub roster_sha256: Digest,
    /// Number of target leaves, at least 1.
    pub targets_count: u64,
    /// Merkle root over the target leaves.
    pub targets_root: Digest,
    /// The profile from which the plan was made; informative.
    pub profile: ProfileRef,
    /// Why, in the issuer's words.
    pub purpose: String,
    /// The sensitivity that follows from the plan.
    pub sensitivity: Sensitivity,
    /// The limits that the collection may not exceed.
    pub limits: Limits,
    /// The steps to run, most volatile first.
    pub plan: Plan,
}

/// The profile a plan was compiled from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileRef {
    pub name: String,
    pub version: String,
    /// SHA-256 of its file.
    pub sha256: Digest,
}

impl Order {
    /// How long the order lives.
    pub fn lifetime(&self) -> std::time::Duration {
        self.expires.since(self.issued)
    }
}

impl Document for Order {
    const TYPE: &'static str = OrderType::TEXT;

    fn validate(&self) -> Result<(), &'static str> {
        if self.expires <= self.issued {
            return Err("an order expires after it is issued");
        }
        if !(1..=ATTEMPTS_MAX).contains(&self.attempts) {
            return Err("attempts are 1 to 10");
        }
        if self.roster_version == 0 {
            return Err("roster versions begin at 1");
        }
        if self.targets_count == 0 {
            return Err("an order has at least one target");
        }
        let profile = [&self.profile.name, &self.profile.version];
        if profile.iter().any(|text| text.is_empty() || text.len() > 100) {
            return Err("name and version of a profile have 1 to 100 bytes");
        }
        if self.purpose.len() > PURPOSE_BYTES_MAX {
            return Err("a purpose has at most 1000 bytes");
        }
        self.limits.validate()?;
        self.plan.validate()
    }
}
