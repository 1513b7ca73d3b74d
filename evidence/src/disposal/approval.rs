//! One person's approval of a plan, in the form of the chain and in the form that a certificate prints.

use serde::Serialize;

use crate::id::PersonId;
use crate::time::Time;

/// One person's approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Approval {
    pub(super) person: PersonId,
    pub(super) is_approver: bool,
    pub(super) time: Time,
    pub(super) index: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Approved {
    pub person: PersonId,
    /// In the role approver.
    pub approver: bool,
    pub time: Time,
    pub index: u64,
}

impl From<&Approval> for Approved {
    fn from(one: &Approval) -> Self {
        Self { person: one.person.clone(), approver: one.is_approver, time: one.time, index: one.index }
    }
}
