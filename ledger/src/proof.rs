//! Inclusion and consistency proofs: RFC 6962 section 2.1, verified as RFC 9162 section 2.1 writes it down.
//! Guarantee: a proof longer or shorter than the sizes demand is refused, so each proof has one form.
//! Not here: where hashes come from (`HashReader`; `tile` has two), files that carry proofs (`proof_file`).

use crate::hash::{EMPTY_ROOT, Hash, node_hash};
use crate::tree::{Frontier, SIZE_MAX, TreeError, join, root_of};

/// Most hashes in an inclusion or consistency proof over at most 2^63 - 1 leaves.
pub const PROOF_HASHES_MAX: usize = 64;

/// Checks that `leaf` is entry `index` of the tree with `size` leaves and `root`.
///
/// # Errors
/// A [`ProofError`] that says what is wrong; no variant may be taken for success.
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
    let mut climb = Climb {
        node: index,
        last: size - 1,
    };
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
/// The empty tree begins every tree; its proof is empty and its root is [`EMPTY_ROOT`].
///
/// # Errors
/// A [`ProofError`] that says what is wrong; no variant may be taken for success.
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
    if old_size == 0 || old_size == new_size {
        if !proof.is_empty() {
            return Err(ProofError::TooLong);
        }
        return same_root(if old_size == 0 { &EMPTY_ROOT } else { new_root }, old_root);
    }
    let mut climb = Climb {
        node: old_size - 1,
        last: new_size - 1,
    };
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
        if self.last == 0 {
            Ok(())
        } else {
            Err(ProofError::TooShort)
        }
    }
}

fn same_root(expected: &Hash, actual: &Hash) -> Result<(), ProofError> {
    if expected == actual {
        Ok(())
    } else {
        Err(ProofError::RootMismatch {
            expected: *expected,
            actual: *actual,
        })
    }
}

/// Gives the hash of complete subtrees.
///
/// Contract: `node(level, index)` is the root over leaves `index * 2^level .. (index + 1) * 2^level`; it is asked
/// only for nodes that are complete in the tree, and the same question always has the same answer.
pub trait HashReader {
    /// Why a node could not be read.
    type Error;

    /// The hash of the node at `level` (leaves are 0) and `index`.
    ///
    /// # Errors
    /// When the node is missing or cannot be trusted; the proof under construction is abandoned.
    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

/// Leaf hashes in memory as a [`HashReader`]: for small trees (target lists, item records, tests).
///
/// Each node is recomputed, so a proof costs one pass over the leaves.
#[derive(Debug, Clone, Copy)]
pub struct Leaves<'leaves>(pub &'leaves [Hash]);

impl HashReader for Leaves<'_> {
    type Error = TreeError;

    fn node(&self, level: u8, index: u64) -> Result<Hash, TreeError> {
        let range = || {
            let width = 1_usize.checked_shl(u32::from(level))?;
            let start = usize::try_from(index).ok()?.checked_mul(width)?;
            self.0.get(start..start.checked_add(width)?)
        };
        let size = u64::try_from(self.0.len()).unwrap_or(u64::MAX);
        range()
            .map(root_of)
            .ok_or(TreeError::OutsideTree { level, index, size })
    }
}

/// The audit path of entry `index` in the tree of `size` leaves, leaf's sibling first.
///
/// # Errors
/// `ProveError::IndexOutsideTree`, `ProveError::SizeTooLarge`, or what the reader said.
pub fn inclusion_proof<R: HashReader>(
    reader: &R,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, ProveError<R::Error>> {
    if index >= size {
        return Err(ProveError::IndexOutsideTree { index, size });
    }
    check_size(size)?;
    let (mut start, mut end) = (0, size);
    let mut proof = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            proof.push(range_root(reader, middle, end)?);
            end = middle;
        } else {
            proof.push(range_root(reader, start, middle)?);
            start = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the tree of `new_size` leaves begins with the tree of `old_size`.
///
/// Empty when `old_size` is 0 or equal to `new_size`.
///
/// # Errors
/// `ProveError::SizesReversed`, `ProveError::SizeTooLarge`, or what the reader said.
pub fn consistency_proof<R: HashReader>(
    reader: &R,
    old_size: u64,
    new_size: u64,
) -> Result<Vec<Hash>, ProveError<R::Error>> {
    if old_size > new_size {
        return Err(ProveError::SizesReversed { old_size, new_size });
    }
    check_size(new_size)?;
    let mut proof = Vec::new();
    if old_size == 0 || old_size == new_size {
        return Ok(proof);
    }
    let (mut start, mut end) = (0, new_size);
    while end != old_size {
        let middle = start + split(end - start);
        if old_size <= middle {
            proof.push(range_root(reader, middle, end)?);
            end = middle;
        } else {
            proof.push(range_root(reader, start, middle)?);
            start = middle;
        }
    }
    // A verifier that still stands on the left edge knows this node: it is the old root.
    if start != 0 {
        proof.push(range_root(reader, start, end)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The root of the tree of `size` leaves.
///
/// # Errors
/// `ProveError::SizeTooLarge`, or what the reader said.
pub fn root<R: HashReader>(reader: &R, size: u64) -> Result<Hash, ProveError<R::Error>> {
    Ok(join(&range(reader, 0, size)?))
}

/// The right edge of the tree of `size` leaves, ready to grow.
///
/// # Errors
/// `ProveError::SizeTooLarge`, or what the reader said.
pub fn frontier<R: HashReader>(reader: &R, size: u64) -> Result<Frontier, ProveError<R::Error>> {
    let hashes = range(reader, 0, size)?;
    // `range` gives one hash for each bit and has refused a larger size, so this is the same refusal again.
    Frontier::from_parts(size, hashes).or(Err(ProveError::SizeTooLarge { size }))
}

fn range_root<R: HashReader>(reader: &R, start: u64, end: u64) -> Result<Hash, ProveError<R::Error>> {
    Ok(join(&range(reader, start, end)?))
}

/// Complete subtrees over `start..end`, largest first; `start` is aligned at least as the range is long.
fn range<R: HashReader>(reader: &R, start: u64, end: u64) -> Result<Vec<Hash>, ProveError<R::Error>> {
    check_size(end)?;
    let length = end - start;
    let mut position = start;
    let mut subtrees = Vec::new();
    for level in (0..63_u8).rev().filter(|level| (length >> level) & 1 == 1) {
        subtrees.push(reader.node(level, position >> level).map_err(ProveError::Read)?);
        position += 1 << level;
    }
    Ok(subtrees)
}

fn check_size<E>(size: u64) -> Result<(), ProveError<E>> {
    if size > SIZE_MAX {
        Err(ProveError::SizeTooLarge { size })
    } else {
        Ok(())
    }
}

/// Largest power of two below `length`, which is at least 2 here.
fn split(length: u64) -> u64 {
    (length - 1).checked_ilog2().map_or(1, |level| 1 << level)
}

/// A proof that proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
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
    /// More hashes than the sizes demand.
    #[error("proof has more hashes than the tree has levels")]
    TooLong,
    /// Fewer hashes than the sizes demand.
    #[error("proof has too few hashes for the tree")]
    TooShort,
}

/// A proof that could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError<E> {
    /// The entry is not in the tree.
    #[error("index {index} is outside a tree of size {size}")]
    IndexOutsideTree {
        /// Entry asked for.
        index: u64,
        /// Leaves of the tree.
        size: u64,
    },
    /// The reader failed.
    #[error("read a node of the tree")]
    Read(#[source] E),
    /// The size is above [`SIZE_MAX`].
    #[error("tree size {size} is above 2^63 - 1")]
    SizeTooLarge {
        /// The refused size.
        size: u64,
    },
    /// The old tree is larger than the new one.
    #[error("old size {old_size} is above new size {new_size}")]
    SizesReversed {
        /// Size of the tree that should come first.
        old_size: u64,
        /// Size of the tree that should come later.
        new_size: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::leaf_hash;

    fn leaves(count: u32) -> Vec<Hash> {
        (0..count)
            .map(|number| leaf_hash(&number.to_be_bytes()))
            .collect()
    }

    #[test]
    fn every_inclusion_proof_up_to_size_300_verifies_and_no_longer_or_shorter_one_does() {
        let leaves = leaves(300);
        for size in 1..=300_u64 {
            let tree = Leaves(&leaves[..size as usize]);
            let root = root(&tree, size).unwrap();
            assert_eq!(root, root_of(tree.0));
            for index in 0..size {
                let leaf = &leaves[index as usize];
                let mut proof = inclusion_proof(&tree, index, size).unwrap();
                assert_eq!(
                    verify_inclusion(index, size, leaf, &proof, &root),
                    Ok(()),
                    "{index} of {size}"
                );
                proof.push(*leaf);
                assert_eq!(
                    verify_inclusion(index, size, leaf, &proof, &root),
                    Err(ProofError::TooLong)
                );
                proof.pop();
                if proof.pop().is_some() {
                    assert_eq!(
                        verify_inclusion(index, size, leaf, &proof, &root),
                        Err(ProofError::TooShort)
                    );
                }
            }
        }
    }

    #[test]
    fn every_consistency_proof_up_to_size_128_verifies_and_no_other_root_does() {
        let leaves = leaves(300);
        let sizes = (0..=128).chain([255, 256, 257, 299, 300]);
        for new_size in sizes {
            let tree = Leaves(&leaves[..new_size as usize]);
            let new_root = root_of(tree.0);
            for old_size in 0..=new_size {
                let old_root = root_of(&leaves[..old_size as usize]);
                let mut proof = consistency_proof(&tree, old_size, new_size).unwrap();
                let check = |proof: &[Hash], old_root: &Hash, new_root: &Hash| {
                    verify_consistency(old_size, old_root, new_size, new_root, proof)
                };
                assert_eq!(
                    check(&proof, &old_root, &new_root),
                    Ok(()),
                    "{old_size} to {new_size}"
                );
                assert!(check(&proof, &leaves[0], &new_root).is_err() || old_root == leaves[0]);
                if old_size != 0 {
                    assert!(check(&proof, &old_root, &leaves[1]).is_err());
                }
                proof.push(new_root);
                assert_eq!(check(&proof, &old_root, &new_root), Err(ProofError::TooLong));
            }
        }
    }

    #[test]
    fn impossible_questions_are_refused_before_anything_is_read() {
        let none = Leaves(&[]);
        assert!(matches!(
            inclusion_proof(&none, 0, 0),
            Err(ProveError::IndexOutsideTree { .. })
        ));
        assert!(matches!(
            inclusion_proof(&none, 0, u64::MAX),
            Err(ProveError::SizeTooLarge { .. })
        ));
        assert!(matches!(
            consistency_proof(&none, 2, 1),
            Err(ProveError::SizesReversed { .. })
        ));
        assert!(matches!(
            consistency_proof(&none, 1, u64::MAX),
            Err(ProveError::SizeTooLarge { .. })
        ));
        assert!(matches!(
            root(&none, SIZE_MAX),
            Err(ProveError::Read(TreeError::OutsideTree { .. }))
        ));
        assert_eq!(root(&none, 0), Ok(EMPTY_ROOT));
        assert_eq!(
            verify_inclusion(
                u64::MAX - 1,
                u64::MAX,
                &EMPTY_ROOT,
                &[EMPTY_ROOT; 70],
                &EMPTY_ROOT
            ),
            Err(ProofError::TooLong)
        );
    }

    #[test]
    fn the_edge_read_back_grows_like_the_edge_that_was_kept() {
        let leaves = leaves(200);
        let mut kept = Frontier::new();
        for (size, leaf) in (0_u64..).zip(&leaves) {
            assert_eq!(frontier(&Leaves(&leaves), size).unwrap(), kept);
            kept.push(*leaf);
        }
    }
}
