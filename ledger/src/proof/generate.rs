//! The proofs that a log or mirror makes from the hashes of complete subtrees.

use crate::hash::Hash;
use crate::tree::{Frontier, SIZE_MAX, TreeError, join, root_of};

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
        let size = self.0.len() as u64;
        range().map(root_of).ok_or(TreeError::OutsideTree { level, index, size })
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
/// Empty when `old_size` is 0 (what c2sp.org/tlog-witness sends to a new witness) or equal to `new_size`.
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
    if size > SIZE_MAX { Err(ProveError::SizeTooLarge { size }) } else { Ok(()) }
}

/// Largest power of two below `length`, which is at least 2 here.
fn split(length: u64) -> u64 {
    (length - 1).checked_ilog2().map_or(1, |level| 1 << level)
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
    use crate::hash::{EMPTY_ROOT, leaf_hash};

    #[test]
    fn impossible_questions_are_refused_before_anything_is_read() {
        let none = Leaves(&[]);
        assert!(matches!(inclusion_proof(&none, 0, 0), Err(ProveError::IndexOutsideTree { .. })));
        assert!(matches!(inclusion_proof(&none, 0, u64::MAX), Err(ProveError::SizeTooLarge { .. })));
        assert!(matches!(consistency_proof(&none, 2, 1), Err(ProveError::SizesReversed { .. })));
        assert!(matches!(consistency_proof(&none, 1, u64::MAX), Err(ProveError::SizeTooLarge { .. })));
        assert!(matches!(root(&none, SIZE_MAX), Err(ProveError::Read(TreeError::OutsideTree { .. }))));
        assert_eq!(root(&none, 0), Ok(EMPTY_ROOT));
        assert_eq!(consistency_proof(&none, 0, 9), Ok(vec![]));
    }

    #[test]
    fn the_edge_read_back_grows_like_the_edge_that_was_kept() {
        let leaves: Vec<Hash> = (0..200_u8).map(|number| leaf_hash(&[number])).collect();
        let mut kept = Frontier::new();
        for (size, leaf) in (0..).zip(&leaves) {
            assert_eq!(frontier(&Leaves(&leaves), size).unwrap(), kept);
            assert_eq!(root(&Leaves(&leaves), size).unwrap(), kept.root());
            kept.push(*leaf);
        }
    }
}
