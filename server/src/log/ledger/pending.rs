//! The sequencer's input and output.

use std::time::Instant;

use custody::rule::Broken;
use evidence::entry::{ActObject, EntryError, EntryType, Envelope};
use evidence::id::Chain;
use evidence::signed::SignedError;
use ledger::Hash;
use rusqlite::Connection;
use store::ReplicaError;

use crate::rows::DbError;

/// Checks a condition, and writes the caller's rows, in the transaction that records the entry.
///
/// It runs on the database writer's thread before the entry is inserted: it must be quick and must not touch stores. It
/// does not run if the event is recorded already.
pub type Guard = Box<dyn FnOnce(&Connection) -> Result<(), GuardError> + Send>;

/// Why a guard refuses.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// The database failed.
    #[error("check the entry's condition")]
    Db(#[from] DbError),
    /// The condition does not hold. The text is for the caller.
    #[error("{0}")]
    Refused(String),
}

impl From<rusqlite::Error> for GuardError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Db(error.into())
    }
}

/// An act to record. The sequencer adds sequence number, previous hash and time.
pub struct PendingEntry {
    /// Entry type.
    pub type_: EntryType,
    /// Chain.
    pub chain: Chain,
    /// Names and ids, sorted by name: exactly the refs that the type requires.
    pub refs: Vec<(String, String)>,
    /// The act with its signatures, which the caller has verified.
    pub act: ActObject,
    /// Runs in the transaction that records the entry.
    pub guard: Option<Guard>,
}

impl std::fmt::Debug for PendingEntry {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("PendingEntry")
            .field("type", &self.type_)
            .field("chain", &self.chain)
            .field("event", &self.act.event())
            .finish_non_exhaustive()
    }
}

/// An entry that is recorded, durable and proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Index in the log.
    pub index: u64,
    /// The leaf's bytes.
    pub entry: Vec<u8>,
    /// The decoded entry.
    pub envelope: Envelope,
    /// Leaf hash.
    pub leaf: Hash,
    /// The `.tlog-proof` file.
    pub proof: Vec<u8>,
    /// False when the event was recorded before this submission.
    pub is_new: bool,
    /// When its index became durable; `None` unless this submission recorded it.
    pub committed: Option<Instant>,
}

/// Why an act was not recorded, or is not proven yet.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The event is already recorded, as another type or in another chain.
    #[error("this act is recorded already as {type_} in chain \"{chain}\", entry {index}")]
    Contradiction {
        /// Recorded type.
        type_: EntryType,
        /// Recorded chain.
        chain: Chain,
        /// Recorded index.
        index: u64,
    },
    /// The database failed. Nobody knows whether the act is recorded; submitting it again is safe.
    #[error("record the act")]
    Db(#[from] DbError),
    /// The entry breaks a rule of its type.
    #[error("make the entry")]
    Entry(#[from] EntryError),
    /// The act breaks a rule of custody by itself. Nothing was recorded.
    #[error("{0}")]
    Form(Broken),
    /// The guard refused. Nothing was recorded.
    #[error("{0}")]
    Guard(String),
    /// The act is not one document with canonical signatures.
    #[error("read the act")]
    Malformed(#[source] SignedError),
    /// The act's document cannot be turned into rows.
    #[error("the act does not fit the records so far")]
    Projection(#[from] crate::rows::ProjectionError),
    /// The act breaks a rule of custody where the log is now. Nothing was recorded.
    #[error("{0}")]
    Rule(Broken),
    /// The stores do not have the act's object, or an object that it needs.
    #[error("store the act")]
    Store(#[from] ReplicaError),
    /// The sequencer ended first. The act may be recorded; submitting it again is safe.
    #[error("the ledger does not take entries: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
    /// The act is recorded, but its proof cannot be made now. Submitting it again gives the receipt.
    #[error("recorded as entry {index}, but its proof cannot be made now")]
    Unproven {
        /// Index.
        index: u64,
        /// Why.
        #[source]
        source: Box<super::LogError>,
    },
}
