//! The decision of a second person on an order.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::document::{Document, document_type};
use crate::id::{DeploymentId, PersonId};
use crate::time::Time;

document_type! {
    /// `exhibit-approval-v1`.
    ApprovalType, "exhibit-approval-v1"
}

/// An approval or rejection of one order, by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Names the document type.
    #[serde(rename = "type")]
    pub type_: ApprovalType,
    /// The deployment in which it is valid.
    pub deployment: DeploymentId,
    pub order: Digest,
    /// Who decides; holds the role `approver` and is not the issuer.
    pub approver: PersonId,
    pub at: Time,
    /// The decision.
    pub decision: Decision,
}

/// An approver's decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// The order may run.
    Approve,
    /// It may not.
    Reject,
}

impl Document for Approval {
    const TYPE: &'static str = ApprovalType::TEXT;

    fn validate(&self) -> Result<(), &'static str> {
        Ok(())
    }
}
