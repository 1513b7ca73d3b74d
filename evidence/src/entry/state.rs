//! The states of orders, attempts, collections, endpoints, incidents, disposed objects and stores: one enum for each,
//! used by every room from the wire to the row.
//!
//! Guarantee: each state has one word, the same on the wire, in the database and in reports. Text that is no
//! state is an error. Not here: which entry leads to which state (the collector's projection writes them).

use crate::text::words::words;

words! {
    /// An order as a whole. The first four states are recorded; the others follow from attempts and the
    /// clock.
    OrderState of "a state of an order" {
        /// A second person has not approved yet.
        AwaitingApproval = "awaiting-approval",
        /// In force; no endpoint has begun.
        Issued = "issued",
        /// An approver refused it.
        Rejected = "rejected",
        /// A responder cancelled it.
        Cancelled = "cancelled",
        /// At least one endpoint has answered.
        Running = "running",
        /// Every target is settled.
        Done = "done",
        /// It expired with targets open.
        Expired = "expired",
    }
}

words! {
    /// One endpoint's attempt under one order. The first two are never recorded: they follow from live connections.
    AttemptState of "a state of an attempt" {
        /// Not delivered yet, or to be delivered again.
        Waiting = "waiting",
        /// Delivered; the warden has not answered.
        Sent = "sent",
        /// The warden refused it.
        Refused = "refused",
        /// Admitted; segments may be arriving.
        Running = "running",
        /// Ended before its manifest; another attempt may follow.
        Interrupted = "interrupted",
        /// `collection.stored` on enough independent copies.
        Stored = "stored",
        /// `collection.stored` on fewer copies than the policy asks.
        StoredDegraded = "stored-degraded",
        /// Its bytes failed verification and lie in quarantine.
        Malformed = "malformed",
    }
}

words! {
    /// What one attempt collected.
    CollectionState of "a state of a collection" {
        /// Segments may be arriving.
        Running = "running",
        /// Ended before its manifest; its chain head is in the ledger.
        Interrupted = "interrupted",
        /// Its bytes failed verification and lie in quarantine.
        Malformed = "malformed",
        /// The endpoint sealed two different segments under one index.
        Contradicted = "contradicted",
        /// `collection.stored` on enough independent copies.
        Stored = "stored",
        /// `collection.stored` on fewer copies than the policy asks.
        StoredDegraded = "stored-degraded",
        /// Destroyed on every store under a plan that two persons approved.
        Disposed = "disposed",
    }
}

words! {
    /// A generation of an endpoint.
    EndpointState of "a state of an endpoint" {
        /// A token is registered; nobody used it yet.
        Admitted = "admitted",
        /// Its keys are known.
        Enrolled = "enrolled",
        /// A later generation took its place.
        Superseded = "superseded",
        /// An endpoint-admin took it out of service.
        Retired = "retired",
    }
}

words! {
    /// An incident.
    IncidentState of "a state of an incident" {
        /// Orders may be issued.
        Open = "open",
        /// No orders until it is reopened.
        Closed = "closed",
    }
}

words! {
    /// The state, on one store or mirror, of an object that an approved plan destroys.
    DisposalState of "a state of a disposed object" {
        /// Destroyed there.
        Gone = "gone",
        /// The incident is open, held or retained.
        Kept = "kept",
        /// The mirror was retired before it confirmed the destruction.
        NotConfirmed = "not confirmed",
        /// Not destroyed there yet.
        Waiting = "waiting",
    }
}

words! {
    /// A store of the collector.
    StoreState of "a state of a store" {
        /// It answers.
        Ok = "ok",
        /// A flush failed: the collector writes nothing there until it is restarted.
        Failed = "failed",
        /// It does not answer.
        Away = "away",
        /// The operator takes it out of service.
        Leaving = "leaving",
    }
}

impl AttemptState {
    /// The state of an attempt, from the state in which its collection ended. A contradiction belongs to the
    /// collection; its attempt counts as malformed. A collection's disposal does not change its attempt's state.
    #[must_use]
    pub const fn of_collection(state: CollectionState) -> Option<Self> {
        match state {
            CollectionState::Running => Some(Self::Running),
            CollectionState::Interrupted => Some(Self::Interrupted),
            CollectionState::Malformed | CollectionState::Contradicted => Some(Self::Malformed),
            CollectionState::Stored => Some(Self::Stored),
            CollectionState::StoredDegraded => Some(Self::StoredDegraded),
            CollectionState::Disposed => None,
        }
    }

    /// True if evidence of this target is in the ledger. No further attempt is wanted then.
    #[must_use]
    pub const fn is_stored(self) -> bool {
        matches!(self, Self::Stored | Self::StoredDegraded)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;
    use std::str::FromStr;

    use super::*;

    #[test]
    fn words_and_states_are_one_to_one() {
        fn round<S: Copy + FromStr + fmt::Display + fmt::Debug + PartialEq>(all: &[S]) {
            for state in all {
                assert_eq!(state.to_string().parse().ok(), Some(*state));
            }
            assert!("lost".parse::<S>().is_err());
        }
        round(OrderState::ALL);
        round(AttemptState::ALL);
        round(CollectionState::ALL);
        round(EndpointState::ALL);
        round(IncidentState::ALL);
        round(DisposalState::ALL);
        round(StoreState::ALL);
        let unknown = "lost".parse::<AttemptState>().unwrap_err();
        assert_eq!(unknown.to_string(), "not a state of an attempt that this version knows");
    }
}
