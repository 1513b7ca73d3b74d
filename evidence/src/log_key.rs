//! The succession of log keys: the document with which the authority lets a new log key replace the old one.
//! Format: docs/spec/ledger.md, *Change of the log key*.
//! Guarantee: a key is believed only at the end of an unbroken line of such documents, each signed by the pinned authority and
//! recorded in the ledger. The places of these records alone decide which sizes each key may sign.

mod key;
mod keys;

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::document::{Document, document_type};
use crate::entry::{Entry, EntryError, EntryType};
use crate::id::DeploymentId;
use crate::json::INTEGER_MAX;
use crate::roster::{AuthoritySet, RosterError};
use crate::signed::{Signed, SignedError};
use crate::text::serde_as_text;
use crate::time::Time;

pub use key::LogKey;
pub use keys::{LogKeys, Placed};

document_type! {
    /// `exhibit-log-key-v1`.
    LogKeyChangeType, "exhibit-log-key-v1"
}

/// Most changes that a reader follows: with a key a year, 64 years.
pub const LOG_KEY_CHANGES_MAX: usize = 64;

/// Why a key is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A planned change: the old key is at hand and nobody else has it.
    Planned,
    /// The old key is gone.
    Lost,
    /// Somebody else may have the old key. Whatever it signs beyond `size` counts for nothing, so the change is recorded right there.
    Compromised,
}

impl Reason {
    /// The frozen name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Lost => "lost",
            Self::Compromised => "compromised",
        }
    }

    /// The type of the entry that records a change for this reason.
    pub fn entry_type(self) -> EntryType {
        match self {
            Self::Planned => EntryType::KeyRotated,
            Self::Lost | Self::Compromised => EntryType::LogSuccession,
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        [Self::Planned, Self::Lost, Self::Compromised]
            .into_iter()
            .find(|reason| reason.as_str() == text)
            .ok_or(UnknownReason)
    }
}
serde_as_text!(Reason);

/// A text that is no reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("reason is none of planned, lost, compromised")]
pub struct UnknownReason;

/// One log key takes the place of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogKeyChange {
    /// `exhibit-log-key-v1`
    #[serde(rename = "type")]
    pub type_: LogKeyChangeType,
    pub deployment: DeploymentId,
    /// 1 for the first change, then one more for each.
    pub number: u64,
    pub reason: Reason,
    /// The key in force so far.
    pub old: LogKey,
    /// The key from now on.
    pub new: LogKey,
    /// The history that the authority vouches for: the number of entries before the change, at least.
    pub size: u64,
    /// Root of the tree of `size` entries.
    pub root: Digest,
    /// When it was drawn up.
    pub issued: Time,
}

impl Document for LogKeyChange {
    const TYPE: &'static str = LogKeyChangeType::TEXT;

    fn validate(&self) -> Result<(), &'static str> {
        if self.number == 0 || self.number > INTEGER_MAX.unsigned_abs() {
            return Err("number is not 1 or more");
        }
        if self.size == 0 || self.size > INTEGER_MAX.unsigned_abs() {
            return Err("size is not 1 or more");
        }
        let origin = format!("exhibit/{}", self.deployment);
        for key in [&self.old, &self.new] {
            if key.key().name() != origin || key.key().kind() != ledger::KeyType::Ed25519 {
                return Err("old and new are not Ed25519 keys named exhibit/<deployment>");
            }
        }
        if self.old.key().public_key() == self.new.key().public_key() {
            return Err("old and new are one key");
        }
        Ok(())
    }
}

impl LogKeyChange {
    /// Reads a change and checks that the authority of this deployment signed it.
    pub fn verify(
        signed: &Signed,
        deployment: &DeploymentId,
        authority: &AuthoritySet,
    ) -> Result<Self, LogKeyError> {
        let (change, signers) = signed.open::<Self>().map_err(|source| LogKeyError::Document { source })?;
        if change.deployment != *deployment {
            return Err(LogKeyError::Foreign { deployment: change.deployment });
        }
        authority.check(&signers).map_err(|source| LogKeyError::Authority { source })?;
        Ok(change)
    }

    /// Reads the change that an entry records. Returns it with its signed form.
    ///
    /// # Errors
    /// If the entry is of another type, or differs from its document.
    pub(crate) fn of_entry(
        entry: &Entry,
        deployment: &DeploymentId,
        authority: &AuthoritySet,
    ) -> Result<(Self, Signed), LogKeyError> {
        let envelope = &entry.envelope;
        let act = entry.act.as_ref().ok_or(LogKeyError::NoChange)?;
        let signed = act.signed().map_err(|source| LogKeyError::Document { source })?;
        let change = Self::verify(&signed, deployment, authority)?;
        let says = |name: &str, value: String| envelope.reference(name) == Some(value.as_str());
        if envelope.type_ != change.reason.entry_type()
            || envelope.deployment != *deployment
            || envelope.event != signed.digest()
            || !says("log", change.new.to_string())
            || !says("size", change.size.to_string())
        {
            return Err(LogKeyError::NoChange);
        }
        Ok((change, signed))
    }

    /// The refs of the entry that records it.
    pub fn refs(&self) -> Vec<(String, String)> {
        crate::entry::pairs::sorted([("log", self.new.to_string()), ("size", self.size.to_string())])
    }
}

/// Why a change of the log key is not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogKeyError {
    /// Too few keys of the pinned authority signed it.
    #[error("change of the log key")]
    Authority {
        #[source]
        source: RosterError,
    },
    /// The bytes are not a signed document of its type.
    #[error("change of the log key")]
    Document {
        #[source]
        source: SignedError,
    },
    /// The bytes are not an entry.
    #[error("entry that records a change of the log key")]
    Entry {
        #[source]
        source: EntryError,
    },
    /// The change is of another deployment.
    #[error("the change of the log key is of deployment {deployment}")]
    Foreign {
        /// The deployment that it names.
        deployment: DeploymentId,
    },
    /// An entry differs from its document.
    #[error("the entry does not record the change of the log key that it holds")]
    NoChange,
    /// The change does not follow the one before.
    #[error("change {number} of the log key does not follow: {why}")]
    NotNext {
        number: u64,
        /// What is wrong.
        why: &'static str,
    },
    /// The pinned key is not in the line.
    #[error(
        "the pinned log key {pinned} is none of those that led to {current}: this is another log, or its changes are not all here"
    )]
    NotPinned {
        pinned: String,
        /// The key at the end of the line.
        current: String,
    },
    /// A change that was accepted before is missing or differs now.
    #[error(
        "the authority signed another change {number} of the log key than the one accepted before, or it is held back"
    )]
    Other { number: u64 },
    /// The entry is not proven to be in the log.
    #[error("proof of change {number} of the log key")]
    Proof {
        number: u64,
        #[source]
        source: ledger::proof_file::ProofFileError,
    },
    /// There are more changes than any log has.
    #[error("more than {LOG_KEY_CHANGES_MAX} changes of the log key")]
    TooMany,
}
