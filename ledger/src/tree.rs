//! The Merkle tree of RFC 6962 section 2.1, as whole and as a growing compact range.
//! Guarantee: `Frontier` over the same leaves has the root of `root_of`, in O(log n) memory.
//! Not here: where hashes are stored (`tile`), proofs (`proof`).

use crate::hash::{EMPTY_ROOT, Hash, node_hash};

/// Largest tree size any decoder accepts: 2^63 - 1, so that sizes fit the signed columns and the
/// `int64` of other implementations. At 10,000 entries a second it lasts 29 million years.
pub(crate) const SIZE_MAX: u64 = (1 << 63) - 1;

/// The right edge of a tree: the roots of its complete subtrees, largest (leftmost) first.
///
/// One hash for each bit set in `size`; enough to append leaves and to know every root on the way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    hashes: Vec<Hash>,
}

impl Frontier {
    /// The edge of the empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Restores an edge that `size()` and `hashes()` described.
    ///
    /// # Errors
    /// `TreeError::SizeTooLarge` above [`SIZE_MAX`]; `TreeError::FrontierLength` unless there is one hash for
    /// each bit set in `size`.
    pub fn from_parts(size: u64, hashes: Vec<Hash>) -> Result<Self, TreeError> {
        if size > SIZE_MAX {
            return Err(TreeError::SizeTooLarge { size });
        }
        // At most 63 bits, so the conversion cannot fail; an impossible length is refused all the same.
        if usize::try_from(size.count_ones()) != Ok(hashes.len()) {
            return Err(TreeError::FrontierLength { size, hashes: hashes.len() });
        }
        Ok(Self { size, hashes })
    }

    /// Appends a leaf hash.
    pub fn push(&mut self, leaf: Hash) {
        // Each one-bit at the low end of `size` is a complete subtree that the new leaf completes further.
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.hashes.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.hashes.push(node);
        // `from_parts` starts below 2^63, and 2^63 pushes take centuries.
        self.size += 1;
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Root of the tree at this size.
    pub fn root(&self) -> Hash {
        join(&self.hashes)
    }

    /// Roots of the complete subtrees, largest first.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }
}

/// Root of the tree over `leaves` (leaf hashes), by the recursive definition of RFC 6962 section 2.1.
pub fn root_of(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => EMPTY_ROOT,
        [leaf] => *leaf,
        _ => {
            let half = leaves.len().next_power_of_two() / 2;
            let (left, right) = leaves.split_at_checked(half).unwrap_or((leaves, &[]));
            node_hash(&root_of(left), &root_of(right))
        }
    }
}

/// Root over adjacent complete subtrees of falling size.
pub(crate) fn join(subtrees: &[Hash]) -> Hash {
    let mut from_right = subtrees.iter().rev();
    let Some(last) = from_right.next() else {
        return EMPTY_ROOT;
    };
    from_right.fold(*last, |right, left| node_hash(left, &right))
}

/// Why parts do not make a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// A compact range needs one hash for each bit set in its size.
    #[error("frontier of size {size} has {hashes} hashes")]
    FrontierLength {
        /// Leaves the frontier claims.
        size: u64,
        /// Hashes it came with.
        hashes: usize,
    },
    /// The tree has no complete subtree there.
    #[error("no complete node at level {level}, index {index} in a tree of size {size}")]
    OutsideTree {
        /// Height of the wanted node; leaves are at 0.
        level: u8,
        /// Index of the wanted node within its level.
        index: u64,
        /// Leaves of the tree.
        size: u64,
    },
    /// The size is above [`SIZE_MAX`].
    #[error("tree size {size} is above 2^63 - 1")]
    SizeTooLarge {
        /// The refused size.
        size: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::leaf_hash;

    #[test]
    fn a_frontier_has_the_root_of_its_leaves_at_every_size_up_to_1100() {
        let mut frontier = Frontier::new();
        let mut leaves = Vec::new();
        for number in 0..1100_u32 {
            assert_eq!(frontier.root(), root_of(&leaves), "size {number}");
            let restored = Frontier::from_parts(frontier.size(), frontier.hashes().to_vec()).unwrap();
            assert_eq!(restored, frontier);
            let leaf = leaf_hash(&number.to_be_bytes());
            frontier.push(leaf);
            leaves.push(leaf);
        }
        assert_eq!(frontier.size(), 1100);
    }

    #[test]
    fn a_frontier_with_a_missing_hash_or_an_absurd_size_is_refused() {
        assert_eq!(
            Frontier::from_parts(3, vec![EMPTY_ROOT]),
            Err(TreeError::FrontierLength { size: 3, hashes: 1 })
        );
        assert_eq!(
            Frontier::from_parts(u64::MAX, vec![EMPTY_ROOT; 64]),
            Err(TreeError::SizeTooLarge { size: u64::MAX })
        );
        let mut largest = Frontier::from_parts(SIZE_MAX, vec![EMPTY_ROOT; 63]).unwrap();
        largest.push(EMPTY_ROOT);
        assert_eq!((largest.size(), largest.hashes().len()), (1 << 63, 1));
    }
}
