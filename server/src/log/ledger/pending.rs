//! The sequencer's input and output.

use std::time::Instant;

use evidence::entry::{ActObject, EntryError, EntryType, Envelope};
use evidence::id::Chain;
use evidence::signed::SignedError;
use ledger::Hash;
use rusqlite::Connection;
use store::ReplicaError;

use crate::rows::DbError;

/// A condition checked, and rows of one's own written, in the transaction that records the entry.
///
/// It runs on the database writer's thread before the entry is inserted: it must be quick and must not touch stores. It
/// does not run when the event is recorded already.
pub type Guard = Box<dyn FnOnce(&Connection) -> Result<(), GuardError> + Send>;

/// Why a guard says no.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// The database failed.
    #[error("check the entry's condition")]
    Db(#[from] DbError),
    /// The condition does not hold; the words are for the caller.
    #[error("{0}")]
    Refused(String),
}

impl From<rusqlite::Error> for GuardError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Db(error.into())
    }
}

/// An act to be recorded. Sequence number, previous hash and time are the sequencer's.
pub struct PendingEntry {
    /// Entry type.
    pub type_: EntryType,
    /// Chain.
    pub chain: Chain,
    /// Ids, sorted by name: exactly those that the type's row names.
    pub refs: Vec<(String, String)>,
    /// The act with its signatures, verified by the caller.
    pub act: ActObject,
    /// Checked in the same transaction.
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
    /// What they say.
    pub envelope: Envelope,
    /// Leaf hash.
    pub leaf: Hash,
    /// The `.tlog-proof` file.
    pub proof: Vec<u8>,
    /// False when the event was recorded before this submission.
    pub is_new: bool,
    /// When its index was durable; `None` unless this submission recorded it.
    pub committed: Option<Instant>,
}

/// An act that was not recorded, or not yet proven.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The event is recorded, as another type or in another chain.
    #[error("this act is recorded already as {type_} in chain \"{chain}\", entry {index}")]
    Contradiction {
        /// Recorded type.
        type_: EntryType,
        /// Recorded chain.
        chain: Chain,
        /// Recorded index.
        index: u64,
    },
    /// The database failed; whether the act is recorded is unknown, and submitting it again is safe.
    #[error("record the act")]
    Db(#[from] DbError),
    /// The entry breaks a rule of its type.
    #[error("make the entry")]
    Entry(#[from] EntryError),
    /// The guard said no; nothing was recorded.
    #[error("{0}")]
    Guard(String),
    /// The act is not one document with canonical signatures.
    #[error("read the act")]
    Malformed(#[source] SignedError),
    /// Its document cannot be turned into rows.
    #[error("the act does not fit the records so far")]
    Projection(#[from] crate::rows::ProjectionError),
    /// The act's object, or one it needs, is not on the stores.
    #[error("store the act")]
    Store(#[from] ReplicaError),
    /// The sequencer ended first; the act may be recorded, and submitting it again is safe.
    #[error("the ledger does not take entries: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
    /// Recorded, but the proof could not be made now; submitting it again gives the receipt.
    #[error("recorded as entry {index}, but its proof cannot be made now")]
    Unproven {
        /// Index.
        index: u64,
        /// Why.
        #[source]
        source: Box<super::LogError>,
    },
}
