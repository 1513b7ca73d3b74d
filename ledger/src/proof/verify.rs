//! The check that a stranger makes: a handful of hashes against roots that the stranger already trusts.

use crate::hash::{Hash, node_hash};

/// Most hashes in an inclusion or consistency proof over at most 2^63 - 1 leaves.
pub const PROOF_HASHES_MAX: usize = 64;

/// Checks that `leaf` is entry `index` of the tree with `size` leaves and `root`.
///
/// # Errors
/// A [`ProofError`] that says what is wrong. No variant means success.
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf: &Hash,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::IndexOutsideTree { index, size });
    }
    let mut climb = Climb { node: index, last: size - 1 };
    let mut actual = *leaf;
    for sibling in proof {
        actual = match climb.step()? {
            Sibling::Left => node_hash(sibling, &actual),
            Sibling::Right => node_hash(&actual, sibling),
        };
    }
    climb.finish()?;
    same_root(root, &actual)
}

/// Checks that the tree of `new_size` begins with the tree of `old_size`.
///
/// An old size of 0 is refused: everything begins with nothing, so the proof would prove nothing. A caller without an
/// earlier checkpoint must say so, and cannot slip into first trust through lost state.
///
/// # Errors
/// A [`ProofError`] that says what is wrong. No variant means success.
pub fn verify_consistency(
    old_size: u64,
    old_root: &Hash,
    new_size: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old_size > new_size {
        return Err(ProofError::SizesReversed { old_size, new_size });
    }
    if old_size == 0 {
        return Err(ProofError::EmptyOldTree);
    }
    if old_size == new_size {
        if !proof.is_empty() {
            return Err(ProofError::TooLong);
        }
        return same_root(new_root, old_root);
    }
    let mut climb = Climb { node: old_size - 1, last: new_size - 1 };
    climb.skip_right_children();
    // An old tree that is one complete subtree is itself the first node, and the proof leaves it out.
    let (first, rest) = if old_size.is_power_of_two() {
        (old_root, proof)
    } else {
        proof.split_first().ok_or(ProofError::TooShort)?
    };
    let (mut old, mut new) = (*first, *first);
    for sibling in rest {
        match climb.step()? {
            Sibling::Left => {
                old = node_hash(sibling, &old);
                new = node_hash(sibling, &new);
            }
            Sibling::Right => new = node_hash(&new, sibling),
        }
    }
    climb.finish()?;
    same_root(old_root, &old)?;
    same_root(new_root, &new)
}

/// The walk from a node to the root: its index and the index of the last node of the same level.
struct Climb {
    node: u64,
    last: u64,
}

enum Sibling {
    Left,
    Right,
}

impl Climb {
    /// Goes up to the next level that has a sibling, and says on which side it is.
    fn step(&mut self) -> Result<Sibling, ProofError> {
        if self.last == 0 {
            return Err(ProofError::TooLong);
        }
        let side = if self.node & 1 == 1 || self.node == self.last {
            // The last node of a level without a right sibling moves up unchanged.
            while self.node & 1 == 0 && self.node != 0 {
                self.up();
            }
            Sibling::Left
        } else {
            Sibling::Right
        };
        self.up();
        Ok(side)
    }

    fn skip_right_children(&mut self) {
        while self.node & 1 == 1 {
            self.up();
        }
    }

    fn up(&mut self) {
        self.node >>= 1;
        self.last >>= 1;
    }

    fn finish(&self) -> Result<(), ProofError> {
        if self.last == 0 { Ok(()) } else { Err(ProofError::TooShort) }
    }
}

fn same_root(expected: &Hash, actual: &Hash) -> Result<(), ProofError> {
    if expected == actual {
        Ok(())
    } else {
        Err(ProofError::RootMismatch { expected: *expected, actual: *actual })
    }
}

/// A proof that proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The old tree is empty, so there is nothing to be consistent with.
    #[error("consistency with an empty tree proves nothing")]
    EmptyOldTree,
    /// The entry is not in the tree at all.
    #[error("index {index} is outside a tree of size {size}")]
    IndexOutsideTree {
        /// Entry asked for.
        index: u64,
        /// Leaves of the tree.
        size: u64,
    },
    /// The proof leads to another root.
    #[error("proof leads to root {actual}, not to {expected}")]
    RootMismatch {
        /// Root the caller trusts.
        expected: Hash,
        /// Root the proof leads to.
        actual: Hash,
    },
    /// The old tree is larger than the new one.
    #[error("old size {old_size} is above new size {new_size}")]
    SizesReversed {
        /// Size of the tree that should come first.
        old_size: u64,
        /// Size of the tree that should come later.
        new_size: u64,
    },
    /// The proof has more hashes than the sizes demand.
    #[error("proof has more hashes than the tree has levels")]
    TooLong,
    /// Fewer hashes than the sizes demand.
    #[error("proof has too few hashes for the tree")]
    TooShort,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{EMPTY_ROOT, leaf_hash};
    use crate::proof::{HashReader, consistency_proof, inclusion_proof, root};
    use crate::tree::root_of;
    use std::convert::Infallible;

    /// Every complete node of a tree, level by level, so that tens of thousands of proofs cost look-ups only.
    struct Nodes(Vec<Vec<Hash>>);

    impl Nodes {
        fn new(leaves: &[Hash]) -> Self {
            let above = |below: &Vec<Hash>| {
                let pairs = below.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1]));
                Some(pairs.collect::<Vec<_>>()).filter(|level| !level.is_empty())
            };
            Self(std::iter::successors(Some(leaves.to_vec()), above).collect())
        }
    }

    impl HashReader for Nodes {
        type Error = Infallible;

        fn node(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
            Ok(self.0[usize::from(level)][place(index)])
        }
    }

    fn leaves() -> Vec<Hash> {
        (0..300_u32).map(|number| leaf_hash(&number.to_be_bytes())).collect()
    }

    fn place(number: u64) -> usize {
        usize::try_from(number).unwrap()
    }

    #[test]
    fn every_inclusion_proof_up_to_size_300_verifies_and_no_longer_or_shorter_one_does() {
        let leaves = leaves();
        let nodes = Nodes::new(&leaves);
        for size in 1..=300 {
            let root = root(&nodes, size).unwrap();
            assert_eq!(root, root_of(&leaves[..place(size)]));
            for index in 0..size {
                let leaf = &leaves[place(index)];
                let mut proof = inclusion_proof(&nodes, index, size).unwrap();
                let check = |proof: &[Hash]| verify_inclusion(index, size, leaf, proof, &root);
                assert_eq!(check(&proof), Ok(()), "{index} of {size}");
                proof.push(*leaf);
                assert_eq!(check(&proof), Err(ProofError::TooLong));
                proof.pop();
                if proof.pop().is_some() {
                    assert_eq!(check(&proof), Err(ProofError::TooShort));
                }
            }
        }
    }

    #[test]
    fn every_consistency_proof_up_to_size_300_verifies_and_no_other_root_does() {
        let leaves = leaves();
        let nodes = Nodes::new(&leaves);
        let roots: Vec<Hash> = (0..=300).map(|size| root_of(&leaves[..size])).collect();
        for new_size in 1..=300 {
            for old_size in 1..=new_size {
                let (old, new) = (&roots[place(old_size)], &roots[place(new_size)]);
                let mut proof = consistency_proof(&nodes, old_size, new_size).unwrap();
                let check = |proof: &[Hash], old: &Hash, new: &Hash| {
                    verify_consistency(old_size, old, new_size, new, proof)
                };
                assert_eq!(check(&proof, old, new), Ok(()), "{old_size} to {new_size}");
                assert!(check(&proof, &EMPTY_ROOT, new).is_err());
                assert!(check(&proof, old, &EMPTY_ROOT).is_err());
                proof.push(*new);
                assert_eq!(check(&proof, old, new), Err(ProofError::TooLong));
            }
        }
    }

    #[test]
    fn impossible_sizes_are_refused_before_any_hash_is_computed() {
        assert_eq!(
            verify_inclusion(u64::MAX - 1, u64::MAX, &EMPTY_ROOT, &[EMPTY_ROOT; 70], &EMPTY_ROOT),
            Err(ProofError::TooLong)
        );
        assert_eq!(
            verify_inclusion(3, 3, &EMPTY_ROOT, &[], &EMPTY_ROOT),
            Err(ProofError::IndexOutsideTree { index: 3, size: 3 })
        );
        assert_eq!(
            verify_consistency(2, &EMPTY_ROOT, 1, &EMPTY_ROOT, &[]),
            Err(ProofError::SizesReversed { old_size: 2, new_size: 1 })
        );
        let from_nothing = verify_consistency(0, &EMPTY_ROOT, 9, &EMPTY_ROOT, &[]);
        assert_eq!(from_nothing, Err(ProofError::EmptyOldTree));
    }
}
