//! The list of targets as a Merkle tree: the order signs its root, each endpoint gets its own leaf's proof.
//! Guarantee: an endpoint learns its index and the number of targets, and nothing else about the others.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::{EndpointId, Generation};
use crate::keys::Fingerprint;
use crate::length::{len, to_u64};

/// One addressed endpoint: its name, which enrolment, and the key it signs evidence with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    pub endpoint: EndpointId,
    pub generation: Generation,
    /// Fingerprint of its evidence key.
    pub evidence_key: Fingerprint,
}

impl Target {
    /// The leaf's bytes.
    pub fn leaf(&self) -> Vec<u8> {
        format!("exhibit-target-v1\n{}\n{}\n{}\n", self.endpoint, self.generation, self.evidence_key)
            .into_bytes()
    }
}

/// The targets of an order, sorted by leaf bytes.
#[derive(Debug, Clone)]
pub struct TargetSet {
    targets: Vec<Target>,
    hashes: Vec<ledger::Hash>,
}

impl TargetSet {
    /// Sorts the targets.
    ///
    /// # Errors
    /// [`TargetError::Empty`]; [`TargetError::Duplicate`] when one endpoint is named twice.
    pub fn new(mut targets: Vec<Target>) -> Result<Self, TargetError> {
        if targets.is_empty() {
            return Err(TargetError::Empty);
        }
        targets.sort_by_key(Target::leaf);
        if targets.windows(2).any(|pair| matches!(pair, [one, other] if one.endpoint == other.endpoint)) {
            return Err(TargetError::Duplicate);
        }
        let hashes = targets.iter().map(|target| ledger::leaf_hash(&target.leaf())).collect();
        Ok(Self { targets, hashes })
    }

    /// The targets in the order of their leaves.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The order's `targets_root`.
    pub fn root(&self) -> Digest {
        ledger::root_of(&self.hashes).into()
    }

    /// The order's `targets_count`.
    pub fn count(&self) -> u64 {
        len(&self.targets)
    }

    /// The proof for one endpoint; `None` when it is no target.
    pub fn proof(&self, endpoint: &EndpointId) -> Option<TargetProof> {
        let index = self.targets.iter().position(|target| target.endpoint == *endpoint)?;
        let index = to_u64(index);
        let proof = ledger::inclusion_proof(&ledger::Leaves(&self.hashes), index, self.count()).ok()?;
        Some(TargetProof { index, count: self.count(), proof: proof.into_iter().map(Digest::from).collect() })
    }
}

/// Place of one target in the list, with its inclusion proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetProof {
    /// Index of the leaf.
    pub index: u64,
    /// Number of leaves: the order's `targets_count`.
    pub count: u64,
    /// Hashes from the leaf up.
    pub proof: Vec<Digest>,
}

impl TargetProof {
    /// Checks that `target` stands in the list under `root`.
    pub fn verify(&self, target: &Target, root: &Digest) -> Result<(), TargetError> {
        let leaf = ledger::leaf_hash(&target.leaf());
        let proof: Vec<ledger::Hash> = self.proof.iter().map(|hash| (*hash).into()).collect();
        ledger::verify_inclusion(self.index, self.count, &leaf, &proof, &(*root).into())
            .map_err(|source| TargetError::NotATarget { source })
    }
}

/// Why a list of targets is not valid, or a proof does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// An endpoint named twice.
    #[error("an endpoint stands twice in the list of targets")]
    Duplicate,
    /// The list has no target.
    #[error("an order needs at least one target")]
    Empty,
    /// This endpoint, generation and key are not among the order's targets.
    #[error("not among the order's targets")]
    NotATarget {
        /// The fault of the proof.
        #[source]
        source: ledger::proof::ProofError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(number: u8) -> Target {
        Target {
            endpoint: format!("host-{number}").parse().unwrap(),
            generation: Generation::FIRST,
            evidence_key: Fingerprint([number; 32]),
        }
    }

    #[test]
    fn each_target_is_proven_and_no_other_leaf_is() {
        for count in [1, 2, 3, 7, 64, 200] {
            let set = TargetSet::new((0..count).rev().map(target).collect()).unwrap();
            for number in 0..count {
                let target = target(number);
                let proof = set.proof(&target.endpoint).unwrap();
                assert_eq!(proof.verify(&target, &set.root()), Ok(()));
                let other_key = Target { evidence_key: Fingerprint([255; 32]), ..target.clone() };
                let other_generation = Target { generation: Generation::new(2).unwrap(), ..target.clone() };
                for wrong in [other_key, other_generation] {
                    assert!(proof.verify(&wrong, &set.root()).is_err());
                }
                let moved = TargetProof { index: proof.index ^ 1, ..proof };
                assert!(moved.verify(&target, &set.root()).is_err());
            }
            assert_eq!(set.proof(&"nobody".parse().unwrap()), None);
        }
    }

    #[test]
    fn duplicates_and_empty_lists_are_refused() {
        assert_eq!(TargetSet::new(vec![]).unwrap_err(), TargetError::Empty);
        let twice = vec![target(1), Target { generation: Generation::new(2).unwrap(), ..target(1) }];
        assert_eq!(TargetSet::new(twice).unwrap_err(), TargetError::Duplicate);
    }
}
