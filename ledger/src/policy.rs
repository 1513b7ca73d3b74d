//! Trust files (c2sp.org/tlog-policy): the known logs, the known witnesses, and how many must have cosigned.
//! Guarantee: a checkpoint counts as verified only with a signature of a listed log whose name is its origin.
//! Not here: whether the times of the cosigners are recent (this crate has no clock).
//!
//! ```text
//! # one log, two of three mirrors
//! log ledger.example/one+c2a0b7fe+AYqI49SBbyuvxN…
//! witness m1 m1.example/mirror+3d0f1a22+BIE5dw6o9K…
//! witness m2 m2.example/mirror+97c1e0d4+BKk3qV0tW7…
//! witness m3 m3.example/mirror+51b8aa03+BNn1x9Cq2s… https://m3.example/
//! group mirrors 2 m1 m2 m3
//! quorum mirrors
//! ```

mod parse;
mod quorum;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::note::{KeyType, Note, NoteError, NoteSignature, VerifierKey};
use quorum::{Group, Member};

/// Longest trust file: 64 KiB; the recommended 32 logs, 32 witnesses and 32 groups need a tenth of it.
pub const POLICY_BYTES_MAX: usize = 64 << 10;

/// Most logs, most witnesses and most groups, each.
pub(crate) const POLICY_NAMES_MAX: usize = 256;

/// The logs, witnesses and quorum that make a checkpoint trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<Group>,
    /// `None` for `quorum none`.
    quorum: Option<Member>,
    /// Keys of all logs and witnesses, for one pass over the signature lines.
    keys: Vec<VerifierKey>,
}

/// A log that may be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyLog {
    /// Its key; the key's name is the origin of the log.
    pub key: VerifierKey,
    /// Where it is served, if the file says so.
    pub url: Option<String>,
    /// Smallest size that it may sign; 0 if it comes from a file.
    pub from: u64,
    /// Largest size that it may sign; no limit if it comes from a file.
    pub to: u64,
}

/// Which sizes one key of a log that changed its key may sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogTerm {
    /// The key.
    pub key: VerifierKey,
    /// Smallest size.
    pub from: u64,
    /// Largest size. If it is below `from`, the key may sign nothing.
    pub to: u64,
}

/// A witness whose cosignature may count.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyWitness {
    /// Its name inside the file.
    pub name: String,
    /// Its key.
    pub key: VerifierKey,
    /// Where it is reached, if the file says so.
    pub url: Option<String>,
}

/// A checkpoint that a trusted log signed, with its cosigners.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the quorum may not be met"]
#[non_exhaustive]
pub struct Verified {
    /// The checkpoint that was signed.
    pub checkpoint: Checkpoint,
    /// Witnesses of the policy that cosigned, by their name in the policy and in its order. Each has the earliest
    /// time (seconds since 1970) at which it vouched for this checkpoint.
    pub cosigners: Vec<(String, u64)>,
    /// Whether they are enough.
    pub quorum_met: bool,
}

impl Policy {
    /// Reads a trust file.
    ///
    /// # Errors
    /// `PolicyError` names the line and what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        parse::parse(bytes)
    }

    /// Checks the bytes of a signed checkpoint.
    ///
    /// The answer may say that the quorum is not met; the caller decides whether that is enough.
    ///
    /// # Errors
    /// `PolicyError::Note` when the note is malformed, no listed key signed it, or the signature of a listed key is
    /// wrong; `PolicyError::Checkpoint`; `PolicyError::UnknownLog` unless a log named like the origin signed.
    pub fn verify_checkpoint(&self, note: &[u8]) -> Result<Verified, PolicyError> {
        self.verify_note(&Note::parse(note).map_err(PolicyError::Note)?)
    }

    /// As [`Policy::verify_checkpoint`], for a note already parsed.
    ///
    /// # Errors
    /// The same, without the malformed note.
    pub fn verify_note(&self, note: &Note) -> Result<Verified, PolicyError> {
        let signed = note.verify(&self.keys).map_err(PolicyError::Note)?;
        let checkpoint = Checkpoint::from_text(note.text()).map_err(PolicyError::Checkpoint)?;
        let mut by_log = signed
            .iter()
            .filter(|one| one.key.kind() == KeyType::Ed25519 && one.key.name() == checkpoint.origin)
            .filter_map(|one| self.logs.iter().find(|log| log.key == *one.key))
            .peekable();
        let Some(first) = by_log.peek().copied() else {
            return Err(PolicyError::UnknownLog { origin: checkpoint.origin });
        };
        if !by_log.any(|log| (log.from..=log.to).contains(&checkpoint.size)) {
            return Err(PolicyError::OutsideTerm {
                key: first.key.to_string(),
                size: checkpoint.size,
                from: first.from,
                to: first.to,
            });
        }
        let times: Vec<Option<u64>> = self
            .witnesses
            .iter()
            .map(|witness| {
                signed.iter().filter(|one| *one.key == witness.key).filter_map(|one| one.time).min()
            })
            .collect();
        let quorum_met = quorum::is_met(self.quorum, &self.groups, &times);
        let cosigners = self
            .witnesses
            .iter()
            .zip(&times)
            .filter_map(|(witness, time)| Some((witness.name.clone(), (*time)?)))
            .collect();
        Ok(Verified { checkpoint, cosigners, quorum_met })
    }

    /// True if the line says that it is of a key of this policy. [`Policy::verify_note`] verifies such lines, and ignores all others.
    #[must_use]
    pub fn knows(&self, line: &NoteSignature) -> bool {
        self.keys.iter().any(|key| key.name() == line.name() && key.id() == line.id())
    }

    /// The same policy for a log that changed its key: `terms` replace the line of one of their keys, in their
    /// order. `None` if no log line has one of their keys: this policy is then about another log.
    #[must_use]
    pub fn with_terms(mut self, terms: &[LogTerm]) -> Option<Self> {
        let is_one = |log: &PolicyLog| terms.iter().any(|term| term.key == log.key);
        let place = self.logs.iter().position(is_one)?;
        let url = self.logs.get(place).and_then(|log| log.url.clone());
        let mut rest = self.logs.split_off(place);
        rest.retain(|log| !is_one(log));
        self.logs.extend(terms.iter().map(|term| PolicyLog {
            key: term.key.clone(),
            url: url.clone(),
            from: term.from,
            to: term.to,
        }));
        self.logs.append(&mut rest);
        let logs = self.logs.iter().map(|log| log.key.clone());
        self.keys = logs.chain(self.witnesses.iter().map(|witness| witness.key.clone())).collect();
        Some(self)
    }

    /// The logs, in the order of the file. For a log that changed its key, its terms.
    pub fn logs(&self) -> &[PolicyLog] {
        &self.logs
    }

    /// The witnesses, in the order of the file.
    pub fn witnesses(&self) -> &[PolicyWitness] {
        &self.witnesses
    }

    /// True if the quorum is met when exactly the witnesses that `cosigns` accepts have cosigned.
    pub fn can_be_met_by(&self, cosigns: impl Fn(&PolicyWitness) -> bool) -> bool {
        let times: Vec<Option<u64>> =
            self.witnesses.iter().map(|witness| cosigns(witness).then_some(0)).collect();
        quorum::is_met(self.quorum, &self.groups, &times)
    }

    /// False for `quorum none`: then nobody outside the log vouches for anything.
    pub fn needs_cosigners(&self) -> bool {
        self.quorum.is_some()
    }
}

/// Why a trust file or checkpoint is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The signed text is no checkpoint.
    #[error("signed text is not a checkpoint")]
    Checkpoint(#[source] CheckpointError),
    /// A character that a trust file may not hold, or no newline at the end.
    #[error("line {line} holds a forbidden character or does not end in a newline")]
    Character {
        /// Line of the file, from 1.
        line: usize,
    },
    /// The same public key twice.
    #[error("line {line} repeats a public key")]
    DuplicateKey {
        /// Line of the file, from 1.
        line: usize,
    },
    /// A name that is taken, or `none`.
    #[error("line {line} defines a name that is taken")]
    DuplicateName {
        /// Line of the file, from 1.
        line: usize,
    },
    /// A member that already counts in a group.
    #[error("line {line} uses a member that is already in a group")]
    DuplicateMember {
        /// Line of the file, from 1.
        line: usize,
    },
    /// A verifier key that is malformed or of the wrong type for a log or witness.
    #[error("line {line} holds a key that cannot be used there")]
    Key {
        /// Line of the file, from 1.
        line: usize,
        /// What is wrong with it; `None` if only its type is.
        #[source]
        source: Option<NoteError>,
    },
    /// The number of items on a line is wrong; comments stand on their own lines.
    #[error("line {line} has too few or too many items")]
    Items {
        /// Line of the file, from 1.
        line: usize,
    },
    /// The checkpoint is not a signed note that a listed key signed.
    #[error("checkpoint is not signed by a known key")]
    Note(#[source] NoteError),
    /// A key of the log signed a size that it may not sign: it came later, or another has replaced it.
    #[error(
        "{key} may sign sizes {from} to {to}, not {size}: the log's key was changed. Whoever signed this has a key that is \
         no longer, or not yet, the log's"
    )]
    OutsideTerm {
        /// The key.
        key: String,
        /// The size it signed.
        size: u64,
        /// Smallest it may sign.
        from: u64,
        /// Largest it may sign.
        to: u64,
    },
    /// There is not exactly one quorum line.
    #[error("policy does not have exactly one quorum line")]
    Quorum,
    /// A threshold outside 1 to the number of members.
    #[error("line {line} has a threshold that is not `any`, `all` or 1 to the number of members")]
    Threshold {
        /// Line of the file, from 1.
        line: usize,
    },
    /// The file has more bytes, logs, witnesses or groups than allowed.
    #[error("policy is larger than allowed")]
    TooLarge,
    /// A keyword this version does not know.
    #[error("line {line} begins with an unknown keyword")]
    UnknownKeyword {
        /// Line of the file, from 1.
        line: usize,
    },
    /// No listed log with the name of the origin signed.
    #[error("no trusted log signed the checkpoint of {origin}")]
    UnknownLog {
        /// Origin of the checkpoint.
        origin: String,
    },
    /// A name not defined on a line above.
    #[error("line {line} uses a name that no line above defines")]
    UnknownName {
        /// Line of the file, from 1.
        line: usize,
    },
}
