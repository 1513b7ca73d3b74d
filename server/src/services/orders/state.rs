//! Derives the state of an order and of its targets from the recorded facts.
//!
//! Guarantee: pure functions. Nothing here reads a clock or keeps a state of its own, so that a rebuilt database and a running
//! collector agree. Not here: delivery (`orders::attend`); the facts and the words of states (`evidence::entry::state`).

use evidence::entry::state::{AttemptState, OrderState};

/// One target of an order: its newest attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The newest attempt's state.
    pub state: AttemptState,
    /// Its number; 0 before the first.
    pub attempt: u32,
}

impl Target {
    /// True if nothing more can come from this target under an open order of `attempts_max` attempts.
    #[must_use]
    pub const fn is_settled(self, attempts_max: u32) -> bool {
        match self.state {
            AttemptState::Stored | AttemptState::StoredDegraded | AttemptState::Refused => true,
            AttemptState::Interrupted | AttemptState::Malformed => self.attempt >= attempts_max,
            AttemptState::Waiting | AttemptState::Sent | AttemptState::Running => false,
        }
    }

    /// True if bytes may still be on their way, whatever the state of the order.
    #[must_use]
    pub const fn is_under_way(self) -> bool {
        matches!(self.state, AttemptState::Running)
    }

    /// True if the order's package should go to this endpoint when it connects.
    #[must_use]
    pub const fn wants_delivery(self, attempts_max: u32) -> bool {
        match self.state {
            AttemptState::Waiting | AttemptState::Sent => true,
            AttemptState::Interrupted | AttemptState::Malformed => self.attempt < attempts_max,
            AttemptState::Refused
            | AttemptState::Running
            | AttemptState::Stored
            | AttemptState::StoredDegraded => false,
        }
    }
}

/// The facts about one order that decide its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderFacts {
    /// The roster's rule requires a second person.
    pub needs_approval: bool,
    /// A second person approved.
    pub approved: bool,
    /// An approver rejected, before enough approvals.
    pub rejected: bool,
    /// `order.cancelled` is in the ledger.
    pub cancelled: bool,
    /// The order has expired.
    pub expired: bool,
    /// Attempts each endpoint may make.
    pub attempts_max: u32,
}

/// Derives the order's state. Cancellation wins over everything except completion; a rejection is final.
#[must_use]
pub fn order_state(facts: OrderFacts, targets: &[Target]) -> OrderState {
    let settled = !targets.is_empty() && targets.iter().all(|target| target.is_settled(facts.attempts_max));
    if settled {
        return OrderState::Done;
    }
    if facts.rejected {
        return OrderState::Rejected;
    }
    if facts.cancelled {
        return OrderState::Cancelled;
    }
    // The collector still accepts what was admitted in time: an expired order with a running upload is running.
    if facts.expired && !targets.iter().any(|target| target.is_under_way()) {
        return OrderState::Expired;
    }
    if facts.needs_approval && !facts.approved {
        return OrderState::AwaitingApproval;
    }
    let begun =
        targets.iter().any(|target| !matches!(target.state, AttemptState::Waiting | AttemptState::Sent));
    if begun { OrderState::Running } else { OrderState::Issued }
}

/// True if [`OrderState`] will not change any more. A watch then ends.
#[must_use]
pub fn is_finished(state: OrderState, targets: &[Target]) -> bool {
    match state {
        OrderState::Done | OrderState::Rejected | OrderState::Expired => true,
        OrderState::Cancelled => !targets.iter().any(|target| target.is_under_way()),
        OrderState::AwaitingApproval | OrderState::Issued | OrderState::Running => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: OrderFacts = OrderFacts {
        needs_approval: false,
        approved: false,
        rejected: false,
        cancelled: false,
        expired: false,
        attempts_max: 3,
    };

    fn target(state: AttemptState, attempt: u32) -> Target {
        Target { state, attempt }
    }

    #[test]
    fn a_refusal_is_final() {
        let refused = target(AttemptState::Refused, 0);
        assert!(!refused.wants_delivery(3));
        assert!(refused.is_settled(3));
    }

    #[test]
    fn an_order_that_was_sent_and_not_answered_goes_out_again() {
        assert!(target(AttemptState::Sent, 0).wants_delivery(3));
        assert!(target(AttemptState::Waiting, 0).wants_delivery(3));
    }

    #[test]
    fn an_interrupted_target_is_open_until_its_attempts_are_used() {
        assert!(target(AttemptState::Interrupted, 2).wants_delivery(3));
        assert!(!target(AttemptState::Interrupted, 3).wants_delivery(3));
        assert_eq!(order_state(OPEN, &[target(AttemptState::Interrupted, 2)]), OrderState::Running);
        assert_eq!(order_state(OPEN, &[target(AttemptState::Interrupted, 3)]), OrderState::Done);
    }

    #[test]
    fn an_order_waits_for_its_second_person_and_a_rejection_ends_it() {
        let waiting = [target(AttemptState::Waiting, 0)];
        let facts = OrderFacts { needs_approval: true, ..OPEN };
        assert_eq!(order_state(facts, &waiting), OrderState::AwaitingApproval);
        assert_eq!(order_state(OrderFacts { approved: true, ..facts }, &waiting), OrderState::Issued);
        assert_eq!(order_state(OrderFacts { rejected: true, ..facts }, &waiting), OrderState::Rejected);
    }

    #[test]
    fn what_was_admitted_in_time_is_still_taken_after_expiry() {
        let facts = OrderFacts { expired: true, ..OPEN };
        let running = [target(AttemptState::Running, 1), target(AttemptState::Waiting, 0)];
        assert_eq!(order_state(facts, &running), OrderState::Running);
        let left = [target(AttemptState::Stored, 1), target(AttemptState::Waiting, 0)];
        assert_eq!(order_state(facts, &left), OrderState::Expired);
        assert!(is_finished(OrderState::Expired, &left));
    }

    #[test]
    fn a_cancelled_order_is_finished_when_nothing_is_under_way() {
        let facts = OrderFacts { cancelled: true, ..OPEN };
        let running = [target(AttemptState::Running, 1)];
        assert_eq!(order_state(facts, &running), OrderState::Cancelled);
        assert!(!is_finished(OrderState::Cancelled, &running));
        assert!(is_finished(OrderState::Cancelled, &[target(AttemptState::Interrupted, 1)]));
    }
}
