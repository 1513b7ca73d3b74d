//! The proof file beside an item's record: its place among the items of its collection.
//! Guarantee: one spelling. Every byte is either compared with something or hashed on the way to the root.

use ledger::{Hash, leaf_hash, verify_inclusion};

use crate::digest::Digest;
use crate::text::decimal;

/// First line.
const VERSION: &str = "exhibit-item-proof-v1";

/// Most hashes: a tree has at most 64 levels.
const HASHES_MAX: usize = 64;

/// Where an item stands in the tree under `items_root`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemProof {
    pub collection: Digest,
    /// The item's ordinal.
    pub index: u64,
    /// Items in all.
    pub count: u64,
    /// RFC 6962 inclusion proof, the leaf's sibling first.
    pub hashes: Vec<Hash>,
}

impl ItemProof {
    /// The file's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let head = format!(
            "{VERSION}\ncollection {}\nindex {}\nitems {}\n",
            self.collection, self.index, self.count
        );
        self.hashes.iter().fold(head, |text, hash| text + &hash.to_base64() + "\n").into_bytes()
    }

    /// Parses the file. Accepts only the spelling that [`ItemProof::encode`] writes.
    ///
    /// # Errors
    /// [`ItemProofError::Form`] for any other spelling.
    pub fn parse(bytes: &[u8]) -> Result<Self, ItemProofError> {
        let text = str::from_utf8(bytes).map_err(|_not_text| ItemProofError::Form)?;
        let mut lines = text
            .strip_suffix('\n')
            .ok_or(ItemProofError::Form)?
            .split('\n')
            .map(Some)
            .chain(std::iter::repeat_n(None, 4));
        let mut value = |name: &str| -> Result<&str, ItemProofError> {
            lines.next().flatten().and_then(|line| line.strip_prefix(name)).ok_or(ItemProofError::Form)
        };
        if !value(VERSION)?.is_empty() {
            return Err(ItemProofError::Form);
        }
        let collection = Digest::from_hex(value("collection ")?).map_err(|_not_hex| ItemProofError::Form)?;
        let index = decimal(value("index ")?).ok_or(ItemProofError::Form)?;
        let count = decimal(value("items ")?).ok_or(ItemProofError::Form)?;
        let hashes: Vec<Hash> = lines
            .flatten()
            .take(HASHES_MAX + 1)
            .map(Hash::from_base64)
            .collect::<Result<_, _>>()
            .map_err(|_not_a_hash| ItemProofError::Form)?;
        if hashes.len() > HASHES_MAX {
            return Err(ItemProofError::Form);
        }
        Ok(Self { collection, index, count, hashes })
    }

    /// Checks that `record`, the line without LF, stands at its index under `items_root`.
    ///
    /// # Errors
    /// [`ItemProofError::NotIncluded`] if it does not.
    pub fn verify(&self, record: &[u8], items_root: &Digest) -> Result<(), ItemProofError> {
        let leaf = leaf_hash(record);
        verify_inclusion(self.index, self.count, &leaf, &self.hashes, &Hash(items_root.0))
            .map_err(|_any| ItemProofError::NotIncluded)
    }
}

/// A proof that proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ItemProofError {
    /// The bytes are not in the one form.
    #[error("is no proof in the one form of docs/spec/bundle.md")]
    Form,
    /// The path of hashes does not lead to the root.
    #[error("does not lead to the manifest's items_root")]
    NotIncluded,
}

#[cfg(test)]
mod tests {
    use ledger::{Leaves, inclusion_proof, root_of};

    use super::*;

    fn proof(index: u64, lines: &[Vec<u8>]) -> (ItemProof, Digest) {
        let leaves: Vec<Hash> = lines.iter().map(|line| leaf_hash(line)).collect();
        let count = u64::try_from(leaves.len()).unwrap();
        let proof = ItemProof {
            collection: Digest([7; 32]),
            index,
            count,
            hashes: inclusion_proof(&Leaves(&leaves), index, count).unwrap(),
        };
        (proof, root_of(&leaves).into())
    }

    #[test]
    fn every_item_of_trees_of_all_small_sizes_is_proven_and_no_other() {
        for size in 1..20_u8 {
            let lines: Vec<Vec<u8>> = (0..size).map(|n| vec![b'{', n]).collect();
            for (index, line) in lines.iter().enumerate() {
                let (proof, root) = proof(u64::try_from(index).unwrap(), &lines);
                let parsed = ItemProof::parse(&proof.encode()).unwrap();
                assert_eq!(parsed, proof);
                parsed.verify(line, &root).unwrap();
                for other in lines.iter().filter(|other| *other != line) {
                    assert_eq!(parsed.verify(other, &root), Err(ItemProofError::NotIncluded));
                }
            }
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_another_proof_or_none() {
        let lines: Vec<Vec<u8>> = (0..13).map(|n| vec![n]).collect();
        let (proof, root) = proof(6, &lines);
        let good = proof.encode();
        let passes = |bytes: &[u8]| {
            ItemProof::parse(bytes).is_ok_and(|parsed| {
                parsed.collection == proof.collection
                    && parsed.index == 6
                    && parsed.count == 13
                    && parsed.verify(&lines[6], &root).is_ok()
            })
        };
        assert!(passes(&good));
        for at in 0..good.len() {
            assert!(!passes(&good[..at]), "cut at {at}");
            for bit in 0..8 {
                let mut flipped = good.clone();
                flipped[at] ^= 1 << bit;
                assert!(!passes(&flipped), "byte {at} bit {bit}");
            }
        }
        assert!(!passes(&[good.as_slice(), b"\n"].concat()));
        assert!(!passes(b"") && !passes(b"\n"));
    }
}
