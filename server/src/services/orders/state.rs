//! What state an order and each of its targets is in, as pure functions of the facts.
//!
//! Guarantee: terminal states stay terminal; nothing here reads a clock or keeps a state of its own, so that a rebuilt
//! database and a running collector agree. Not here: delivery (`orders::delivery`), the facts themselves (`db`).

use std::fmt;

/// One endpoint's newest attempt under one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttemptState {
    /// Not delivered yet, or to be delivered again.
    Waiting,
    /// Delivered; the warden has not answered.
    Sent,
    /// The warden refused it.
    Refused,
    /// Admitted; segments may be arriving.
    Running,
    /// Ended before its manifest; another attempt may follow.
    Interrupted,
    /// Every segment and the manifest are here; the entry is not written yet.
    Uploaded,
    /// `collection.stored` on enough independent copies.
    Stored,
    /// `collection.stored` on fewer copies than the policy asks.
    StoredDegraded,
    /// Its bytes failed verification and lie in quarantine.
    Malformed,
}

/// What happens to an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptEvent {
    /// The package went out on a live connection.
    Delivered,
    /// The connection ended before an answer.
    Disconnected,
    /// The warden admitted it.
    Admitted,
    /// The warden refused it; `busy` may change, every other reason is final.
    Refused {
        /// The warden was only occupied.
        busy: bool,
    },
    /// The endpoint, an expiry or a new attempt ended it without a manifest.
    Interrupted,
    /// A new attempt began.
    Restarted,
    /// The manifest arrived and fits the chain.
    Uploaded,
    /// `collection.stored` is in the ledger.
    Stored {
        /// On fewer copies than the policy asks.
        degraded: bool,
    },
    /// Missing copies were made.
    Repaired,
    /// Verification failed.
    Malformed,
}

impl AttemptState {
    /// Every state, in the order an attempt may pass them.
    pub const ALL: [Self; 9] = [
        Self::Waiting,
        Self::Sent,
        Self::Refused,
        Self::Running,
        Self::Interrupted,
        Self::Uploaded,
        Self::Stored,
        Self::StoredDegraded,
        Self::Malformed,
    ];

    /// The word on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sent => "sent",
            Self::Refused => "refused",
            Self::Running => "running",
            Self::Interrupted => "interrupted",
            Self::Uploaded => "uploaded",
            Self::Stored => "stored",
            Self::StoredDegraded => "stored-degraded",
            Self::Malformed => "malformed",
        }
    }

    /// The state a word names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Evidence of this target is in the ledger: no other attempt is wanted.
    #[must_use]
    pub const fn is_stored(self) -> bool {
        matches!(self, Self::Stored | Self::StoredDegraded)
    }

    /// The state after `event`, or `None` when the event cannot follow (a late or repeated message: ignore it).
    #[must_use]
    pub const fn after(self, event: AttemptEvent) -> Option<Self> {
        use AttemptEvent as E;
        match (self, event) {
            (Self::Waiting | Self::Sent | Self::Interrupted | Self::Malformed, E::Delivered) => {
                Some(Self::Sent)
            }
            (Self::Sent, E::Disconnected) => Some(Self::Waiting),
            (Self::Waiting | Self::Sent | Self::Interrupted, E::Admitted) => Some(Self::Running),
            (Self::Waiting | Self::Sent, E::Refused { busy: true }) => Some(Self::Waiting),
            (Self::Waiting | Self::Sent, E::Refused { busy: false }) => Some(Self::Refused),
            (Self::Running | Self::Uploaded, E::Interrupted) => Some(Self::Interrupted),
            (Self::Running | Self::Interrupted | Self::Malformed, E::Restarted) => Some(Self::Running),
            (Self::Running | Self::Interrupted, E::Uploaded) => Some(Self::Uploaded),
            (Self::Running | Self::Uploaded, E::Stored { degraded: false }) => Some(Self::Stored),
            (Self::Running | Self::Uploaded, E::Stored { degraded: true }) => Some(Self::StoredDegraded),
            (Self::StoredDegraded, E::Repaired) => Some(Self::Stored),
            (Self::Running | Self::Uploaded, E::Malformed) => Some(Self::Malformed),
            _ => None,
        }
    }
}

impl fmt::Display for AttemptState {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// One target of an order: its newest attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The newest attempt's state.
    pub state: AttemptState,
    /// Its number; 0 before the first.
    pub attempt: u32,
}

impl Target {
    /// Whether nothing more can come from this target under an order of `attempts_max` attempts that is still open.
    #[must_use]
    pub const fn is_settled(self, attempts_max: u32) -> bool {
        match self.state {
            AttemptState::Stored | AttemptState::StoredDegraded | AttemptState::Refused => true,
            AttemptState::Interrupted | AttemptState::Malformed => self.attempt >= attempts_max,
            AttemptState::Waiting | AttemptState::Sent | AttemptState::Running | AttemptState::Uploaded => {
                false
            }
        }
    }

    /// Whether bytes may still be on their way, whatever became of the order.
    #[must_use]
    pub const fn is_under_way(self) -> bool {
        matches!(self.state, AttemptState::Running | AttemptState::Uploaded)
    }

    /// Whether the order's package should go to this endpoint when it is connected.
    #[must_use]
    pub const fn wants_delivery(self, attempts_max: u32) -> bool {
        match self.state {
            AttemptState::Waiting | AttemptState::Sent => true,
            AttemptState::Interrupted | AttemptState::Malformed => self.attempt < attempts_max,
            AttemptState::Refused
            | AttemptState::Running
            | AttemptState::Uploaded
            | AttemptState::Stored
            | AttemptState::StoredDegraded => false,
        }
    }
}

/// An order as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OrderState {
    /// A second person has not approved yet.
    AwaitingApproval,
    /// In force; no endpoint has begun.
    Issued,
    /// At least one endpoint has answered.
    Running,
    /// Every target is settled.
    Done,
    /// A responder took it back.
    Cancelled,
    /// Its time passed with targets open.
    Expired,
    /// An approver refused it.
    Rejected,
}

impl OrderState {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AwaitingApproval => "awaiting-approval",
            Self::Issued => "issued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
        }
    }

    /// Whether its package may go out to endpoints now.
    #[must_use]
    pub const fn is_deliverable(self) -> bool {
        matches!(self, Self::Issued | Self::Running)
    }
}

impl fmt::Display for OrderState {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// The facts about one order that decide its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderFacts {
    /// The roster's rule asks for a second person.
    pub needs_approval: bool,
    /// A second person approved.
    pub approved: bool,
    /// An approver rejected, before enough approvals.
    pub rejected: bool,
    /// `order.cancelled` is in the ledger.
    pub cancelled: bool,
    /// Its `expires` has passed.
    pub expired: bool,
    /// Attempts each endpoint may make.
    pub attempts_max: u32,
}

/// The order's state. Cancellation wins over all but completion; a rejection is final.
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
    // What was admitted in time is still taken: an expired order with a running upload is running.
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

/// Whether [`OrderState`] will not change any more: the end of a watch.
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
    fn words_and_states_are_one_to_one() {
        for state in AttemptState::ALL {
            assert_eq!(AttemptState::from_word(state.as_str()), Some(state));
        }
        assert_eq!(AttemptState::from_word("lost"), None);
    }

    #[test]
    fn a_stored_attempt_never_moves_but_to_full_copies() {
        use AttemptEvent as E;
        let events = [
            E::Delivered,
            E::Disconnected,
            E::Admitted,
            E::Refused { busy: true },
            E::Refused { busy: false },
            E::Interrupted,
            E::Restarted,
            E::Uploaded,
            E::Stored { degraded: false },
            E::Stored { degraded: true },
            E::Malformed,
        ];
        for event in events {
            assert_eq!(AttemptState::Stored.after(event), None, "{event:?}");
            assert_eq!(AttemptState::StoredDegraded.after(event), None, "{event:?}");
            assert_eq!(AttemptState::Refused.after(event), None, "{event:?}");
        }
        assert_eq!(AttemptState::StoredDegraded.after(E::Repaired), Some(AttemptState::Stored));
    }

    #[test]
    fn a_busy_endpoint_gets_the_order_again_and_a_refusal_is_final() {
        let busy = AttemptState::Sent.after(AttemptEvent::Refused { busy: true }).unwrap();
        assert!(target(busy, 0).wants_delivery(3));
        let refused = AttemptState::Sent.after(AttemptEvent::Refused { busy: false }).unwrap();
        assert!(!target(refused, 0).wants_delivery(3));
        assert!(target(refused, 0).is_settled(3));
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
        assert!(!order_state(facts, &waiting).is_deliverable());
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
