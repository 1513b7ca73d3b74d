//! The rules by which one seal follows another.

use super::{Seal, SealHeader};
use crate::digest::Digest;
use crate::id::DeploymentId;

/// The fields that every seal of one collection repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub deployment: DeploymentId,
    pub collection: Digest,
    /// Order document.
    pub order: Digest,
    pub attempt: u64,
}

/// How a seal breaks the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The seal is of another deployment, collection, order or attempt.
    #[error("seal is of another {0}")]
    Foreign(&'static str),
    /// The seal does not have the next index.
    #[error("seal has index {stated}, {expected} expected")]
    Index {
        /// In the header.
        stated: u64,
        expected: u64,
    },
    /// `prev` is not the digest of the seal before.
    #[error("seal {index} names another previous seal")]
    Prev { index: u64 },
    /// The plain range does not continue.
    #[error("seal {index} does not continue the plain stream")]
    PlainStart { index: u64 },
    /// `items_total` does not continue.
    #[error("seal {index} does not continue the number of items")]
    ItemsTotal { index: u64 },
    /// Something follows the final seal.
    #[error("seal {index} follows the final seal")]
    AfterFinal { index: u64 },
}

/// Head of a seal chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainState {
    identity: Identity,
    next_index: u64,
    head: Digest,
    plain_end: u64,
    items_total: u64,
    is_final: bool,
}

impl ChainState {
    /// The state before the first seal.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self { identity, next_index: 0, head: Digest::ZERO, plain_end: 0, items_total: 0, is_final: false }
    }

    /// Takes the next seal, whose signature the caller has verified.
    ///
    /// # Errors
    /// [`ChainError`]; the state is then unchanged.
    pub fn push(&mut self, seal: &Seal<'_>) -> Result<(), ChainError> {
        self.push_header(&seal.header, seal.digest)
    }

    /// As [`Self::push`] for a header and the digest of its whole seal.
    ///
    /// # Errors
    /// [`ChainError`]; the state is then unchanged.
    pub(crate) fn push_header(&mut self, header: &SealHeader, digest: Digest) -> Result<(), ChainError> {
        let index = header.index;
        if header.deployment != self.identity.deployment {
            return Err(ChainError::Foreign("deployment"));
        }
        if header.collection != self.identity.collection {
            return Err(ChainError::Foreign("collection"));
        }
        if header.order != self.identity.order {
            return Err(ChainError::Foreign("order"));
        }
        if header.attempt != self.identity.attempt {
            return Err(ChainError::Foreign("attempt"));
        }
        if self.is_final {
            return Err(ChainError::AfterFinal { index });
        }
        if index != self.next_index {
            return Err(ChainError::Index { stated: index, expected: self.next_index });
        }
        if header.prev != self.head {
            return Err(ChainError::Prev { index });
        }
        if header.plain_start != self.plain_end {
            return Err(ChainError::PlainStart { index });
        }
        if self.items_total.checked_add(header.items) != Some(header.items_total) {
            return Err(ChainError::ItemsTotal { index });
        }
        self.next_index += 1;
        self.head = digest;
        self.plain_end = header.plain_end;
        self.items_total = header.items_total;
        self.is_final = header.is_final;
        Ok(())
    }

    /// Digest of the last seal; zeros before the first.
    #[must_use]
    pub fn head(&self) -> Digest {
        self.head
    }

    /// Index the next seal must have: the number of seals so far.
    #[must_use]
    pub fn next_index(&self) -> u64 {
        self.next_index
    }

    /// Plain length so far.
    #[must_use]
    pub fn plain_end(&self) -> u64 {
        self.plain_end
    }

    /// Records so far.
    #[must_use]
    pub fn items_total(&self) -> u64 {
        self.items_total
    }

    /// True behind the final seal.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.is_final
    }
}
