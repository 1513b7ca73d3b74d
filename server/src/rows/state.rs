//! The states of orders, attempts, collections, endpoints and incidents: one enum for each, used from the
//! wire to the row.
//!
//! Guarantee: each state has one word, the same on the wire and in the database. If a row holds an unknown
//! word, reading it is an error. Not here: which state follows from what ([`super::projection`] writes them;
//! `services::orders::state` derives what people are shown).

use std::fmt;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($(#[$why:meta])* $state:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$why])* $state,)*
        }

        impl $name {
            /// Every state.
            pub const ALL: &[Self] = &[$(Self::$state,)*];

            /// The word on the wire and in the database.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$state => $word,)*
                }
            }

            /// The state that a word names.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|state| state.as_str() == word)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(self.as_str())
            }
        }

        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::from(self.as_str()))
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                Self::from_word(value.as_str()?).ok_or(FromSqlError::InvalidType)
            }
        }
    };
}

states! {
    /// An order as a whole. The first four states are recorded; the others follow from attempts and the
    /// clock.
    OrderState {
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

states! {
    /// One endpoint's attempt under one order. The first two are never recorded: they follow from live connections.
    AttemptState {
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

states! {
    /// What one attempt collected.
    CollectionState {
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

states! {
    /// A generation of an endpoint.
    EndpointState {
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

states! {
    /// An incident.
    IncidentState {
        /// Orders may be issued.
        Open = "open",
        /// No orders until it is reopened.
        Closed = "closed",
    }
}

impl AttemptState {
    /// The state of an attempt, from the state in which its collection ended. A contradiction is about the
    /// collection; its attempt was malformed. A collection's disposal does not change what its attempt was.
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

    /// Evidence of this target is in the ledger: no further attempt is wanted.
    #[must_use]
    pub const fn is_stored(self) -> bool {
        matches!(self, Self::Stored | Self::StoredDegraded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_states_are_one_to_one() {
        for state in AttemptState::ALL {
            assert_eq!(AttemptState::from_word(state.as_str()), Some(*state));
        }
        for state in CollectionState::ALL {
            assert_eq!(CollectionState::from_word(state.as_str()), Some(*state));
        }
        for state in OrderState::ALL {
            assert_eq!(OrderState::from_word(state.as_str()), Some(*state));
        }
        assert_eq!(AttemptState::from_word("lost"), None);
    }
}
