//! The keys of one log, in the order in which they followed each other.

use ledger::{LogTerm, Policy, ProofFile, VerifierKey, leaf_hash};

use super::{LOG_KEY_CHANGES_MAX, LogKeyChange, LogKeyError, Reason};
use crate::digest::Digest;
use crate::entry::Entry;
use crate::id::DeploymentId;
use crate::roster::AuthoritySet;
use crate::signed::Signed;

/// The largest size of the newest key's term: it has no end yet.
const NO_END: u64 = u64::MAX;

/// A change and where the log records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    pub change: LogKeyChange,
    /// Digest of its document.
    pub digest: Digest,
    /// Index of its entry; `None` while only the authority's word is known. The new key may then sign sizes beyond
    /// `size`, and so may the old one, because its end is not known yet.
    pub index: Option<u64>,
}

/// All keys that a log had, as far as the reader knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogKeys {
    first: VerifierKey,
    changes: Vec<Placed>,
}

impl LogKeys {
    /// A log whose key never changed, as far as is known.
    pub fn unchanged(key: VerifierKey) -> Self {
        Self { first: key, changes: Vec::new() }
    }

    /// The keys up to the end of `entries`, each an entry with its `.tlog-proof`, all under one head that the newest key
    /// signed, from change 1 on without gap. `pinned` is any key of the line: the authority's signature holds in both
    /// directions.
    ///
    /// # Errors
    /// [`LogKeyError`] with the first fault. Nothing is believed then.
    pub fn proven(
        deployment: &DeploymentId,
        authority: &AuthoritySet,
        pinned: &VerifierKey,
        entries: &[(&[u8], &[u8])],
    ) -> Result<Self, LogKeyError> {
        if entries.len() > LOG_KEY_CHANGES_MAX {
            return Err(LogKeyError::TooMany);
        }
        let mut keys: Option<Self> = None;
        let mut proofs = Vec::with_capacity(entries.len());
        for (number, (bytes, proof)) in (1..).zip(entries) {
            let entry = Entry::parse(bytes).map_err(|source| LogKeyError::Entry { source })?;
            let (change, signed) = LogKeyChange::of_entry(&entry, deployment, authority)?;
            let proof = ProofFile::parse(proof).map_err(|source| LogKeyError::Proof { number, source })?;
            let index = Some(proof.index());
            keys.get_or_insert_with(|| Self::unchanged(change.old.key().clone())).append(
                change,
                signed.digest(),
                index,
            )?;
            proofs.push((number, leaf_hash(bytes), proof));
        }
        let Some(keys) = keys else {
            return Ok(Self::unchanged(pinned.clone()));
        };
        if !keys.has(pinned) {
            return Err(keys.not_pinned(pinned.to_string()));
        }
        // Verify under the newest key alone: a head of an older key cannot have the newest change in its tree.
        let newest: Vec<LogTerm> = keys.terms().into_iter().take(1).collect();
        let head = alone(keys.current())
            .and_then(|policy| policy.with_terms(&newest))
            .ok_or_else(|| keys.not_pinned(pinned.to_string()))?;
        let text = proofs.last().map(|(_, _, proof)| proof.checkpoint().text().to_owned());
        for (number, leaf, proof) in proofs {
            if Some(proof.checkpoint().text()) != text.as_deref() {
                return Err(LogKeyError::NotNext {
                    number,
                    why: "it is proven in another tree than the newest change",
                });
            }
            // The line of keys needs no quorum. Statements under these keys do.
            let _verified =
                proof.verify(&leaf, &head).map_err(|source| LogKeyError::Proof { number, source })?;
        }
        Ok(keys)
    }

    /// The keys up to the end of `documents`, from change 1 on without gap. Where the log records them is not known. `pinned`
    /// is as for [`Self::proven`].
    ///
    /// # Errors
    /// [`LogKeyError`] with the first thing that does not hold.
    pub fn signed(
        deployment: &DeploymentId,
        authority: &AuthoritySet,
        pinned: &VerifierKey,
        documents: &[Signed],
    ) -> Result<Self, LogKeyError> {
        let mut keys: Option<Self> = None;
        for signed in documents {
            let change = LogKeyChange::verify(signed, deployment, authority)?;
            keys.get_or_insert_with(|| Self::unchanged(change.old.key().clone())).append(
                change,
                signed.digest(),
                None,
            )?;
        }
        let keys = keys.unwrap_or_else(|| Self::unchanged(pinned.clone()));
        if keys.has(pinned) { Ok(keys) } else { Err(keys.not_pinned(pinned.to_string())) }
    }

    /// Adds the next change, which must follow. Its document must have been verified.
    ///
    /// # Errors
    /// [`LogKeyError::NotNext`], [`LogKeyError::TooMany`]. Nothing is added then.
    pub fn append(
        &mut self,
        change: LogKeyChange,
        digest: Digest,
        index: Option<u64>,
    ) -> Result<(), LogKeyError> {
        if self.changes.len() >= LOG_KEY_CHANGES_MAX {
            return Err(LogKeyError::TooMany);
        }
        let number = change.number;
        let refuse = |why| Err(LogKeyError::NotNext { number, why });
        if number != self.number() + 1 {
            return refuse("another number is next");
        }
        if change.old.key() != self.current() {
            return refuse("its old key is not the one in force");
        }
        if self.has(change.new.key()) {
            return refuse("its new key was the log's before");
        }
        let floor =
            self.changes.last().map_or(0, |last| last.index.map_or(last.change.size, |index| index + 1));
        if change.size < floor {
            return refuse("its size is below the change before it");
        }
        if index.is_some_and(|index| !may_stand(&change, index)) {
            return refuse(
                "it is recorded below its own size, or not right at it although the old key was stolen",
            );
        }
        self.changes.push(Placed { change, digest, index });
        Ok(())
    }

    /// Sets the place of a change that was known only by the authority's word. False if it is not the known change,
    /// or cannot be recorded there.
    #[must_use]
    pub fn place(&mut self, number: u64, digest: &Digest, index: u64) -> bool {
        let mut before = None;
        for placed in &mut self.changes {
            if placed.change.number == number && placed.digest == *digest {
                let behind = before.is_none_or(|before| before < index);
                let same = placed.index.is_none_or(|known| known == index);
                if behind && same && may_stand(&placed.change, index) {
                    placed.index = Some(index);
                    return true;
                }
                return false;
            }
            // A change after one whose place is unknown has no known place either.
            let Some(known) = placed.index else { return false };
            before = Some(known);
        }
        false
    }

    /// The key in force.
    pub fn current(&self) -> &VerifierKey {
        self.changes.last().map_or(&self.first, |placed| placed.change.new.key())
    }

    /// The key that `log.genesis` names, as far as is known.
    pub fn first(&self) -> &VerifierKey {
        &self.first
    }

    /// How many changes there were.
    pub fn number(&self) -> u64 {
        self.changes.last().map_or(0, |placed| placed.change.number)
    }

    /// The changes, oldest first.
    pub fn changes(&self) -> &[Placed] {
        &self.changes
    }

    /// True if the log ever had this key.
    pub fn has(&self, key: &VerifierKey) -> bool {
        let mut later = self.changes.iter().map(|placed| placed.change.new.key());
        self.first == *key || later.any(|one| one == key)
    }

    /// The sizes that each key may sign, newest key first.
    pub fn terms(&self) -> Vec<LogTerm> {
        let starts = self.changes.iter().map(|placed| {
            let before = placed.index.unwrap_or(placed.change.size);
            (placed.change.new.key(), before + 1)
        });
        let ends = self.changes.iter().map(|placed| {
            match placed.change.reason {
                // A thief may have signed anything beyond the history that the authority vouches for.
                Reason::Compromised => placed.change.size,
                Reason::Planned | Reason::Lost => placed.index.unwrap_or(NO_END),
            }
        });
        let mut terms: Vec<LogTerm> = std::iter::once((&self.first, 0))
            .chain(starts)
            .zip(ends.chain(std::iter::once(NO_END)))
            .map(|((key, from), to)| LogTerm { key: key.clone(), from, to })
            .collect();
        terms.reverse();
        terms
    }

    /// Extends a policy that pins any key of this log to all of its keys.
    pub fn extend(&self, pinned: Policy) -> Result<Policy, LogKeyError> {
        let pinned_key = pinned.logs().first().map(|log| log.key.to_string());
        // A policy without a log does not pin this log either. The error then shows no key.
        pinned.with_terms(&self.terms()).ok_or_else(|| self.not_pinned(pinned_key.unwrap_or_default()))
    }

    /// A policy of this log alone, without cosigners.
    ///
    /// # Errors
    /// [`LogKeyError::NotPinned`], which no Ed25519 key gives.
    pub fn policy(&self) -> Result<Policy, LogKeyError> {
        let policy = alone(self.current()).ok_or_else(|| self.not_pinned(self.current().to_string()))?;
        self.extend(policy)
    }

    /// As [`Self::policy`], for notes whose sizes were judged before they were kept.
    pub fn policy_of_any_size(&self) -> Result<Policy, LogKeyError> {
        let policy = alone(self.current()).ok_or_else(|| self.not_pinned(self.current().to_string()))?;
        let any = |term: LogTerm| LogTerm { from: 0, to: u64::MAX, ..term };
        let terms: Vec<LogTerm> = self.terms().into_iter().map(any).collect();
        policy.with_terms(&terms).ok_or_else(|| self.not_pinned(self.current().to_string()))
    }

    /// Checks that these keys continue the accepted ones: no change is missing, different, or elsewhere.
    pub fn continues(&self, before: &Self) -> Result<(), LogKeyError> {
        for (place, known) in before.changes.iter().enumerate() {
            let same = self.changes.get(place).is_some_and(|now| {
                now.digest == known.digest && (known.index.is_none() || now.index == known.index)
            });
            if !same {
                return Err(LogKeyError::Other { number: known.change.number });
            }
        }
        Ok(())
    }

    fn not_pinned(&self, pinned: String) -> LogKeyError {
        LogKeyError::NotPinned { pinned, current: self.current().to_string() }
    }
}

fn may_stand(change: &LogKeyChange, index: u64) -> bool {
    match change.reason {
        Reason::Compromised => index == change.size,
        Reason::Planned | Reason::Lost => index >= change.size,
    }
}

fn alone(key: &VerifierKey) -> Option<Policy> {
    Policy::parse(format!("log {key}\nquorum none\n").as_bytes()).ok()
}
