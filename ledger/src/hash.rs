//! SHA-256 with the domain separation of RFC 6962 section 2.1: the only hash in a tree.
//! Guarantee: nobody can pass off a leaf as an inner node (0x00 and 0x01 prefixes). Not here: trees (`tree`).

use std::fmt;

use sha2::{Digest, Sha256};

use crate::encoding;

/// Bytes of one hash; a full tile holds 256 of them (8,192 bytes).
pub(crate) const HASH_BYTES: usize = 32;

/// Root of the tree without leaves: SHA-256 of the empty string (RFC 6962 section 2.1).
pub const EMPTY_ROOT: Hash = Hash([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
    0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

/// One node of the tree: a leaf hash, an inner node or a root.
///
/// Shown in lower-case hex; notes, checkpoints and proofs carry it in base64 (`to_base64`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ::core::hash::Hash)]
pub struct Hash(pub [u8; HASH_BYTES]);

impl Hash {
    /// Reads 64 lower-case hexadecimal digits, nothing else.
    ///
    /// # Errors
    /// `HashError::Hex` for any other text, upper case included: one value has one spelling.
    pub fn from_hex(text: &str) -> Result<Self, HashError> {
        let mut bytes = [0; HASH_BYTES];
        let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if lower && hex::decode_to_slice(text, &mut bytes).is_ok() {
            Ok(Self(bytes))
        } else {
            Err(HashError::Hex)
        }
    }

    /// Standard base64 with padding (RFC 4648 section 4): 44 characters.
    pub fn to_base64(&self) -> String {
        encoding::encode(&self.0)
    }

    /// Reads canonical base64 of exactly 32 bytes.
    ///
    /// # Errors
    /// `HashError::Base64` when a character, the padding, a spare bit or the length is wrong.
    pub fn from_base64(text: &str) -> Result<Self, HashError> {
        // Check the length first, so that a line of a megabyte costs no decoding.
        if text.len() != 44 {
            return Err(HashError::Base64);
        }
        let bytes = encoding::decode(text).ok_or(HashError::Base64)?;
        bytes
            .first_chunk()
            .filter(|_| bytes.len() == HASH_BYTES)
            .map(|bytes| Self(*bytes))
            .ok_or(HashError::Base64)
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// Hash of a leaf: SHA-256(0x00 || entry).
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Hash(Sha256::new().chain_update([0x00]).chain_update(entry).finalize().into())
}

/// Hash of an inner node: SHA-256(0x01 || left || right).
pub(crate) fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Hash(Sha256::new().chain_update([0x01]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// Why a text is not one hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// The text is not canonical base64 of 32 bytes.
    #[error("hash is not canonical base64 of 32 bytes")]
    Base64,
    /// The text is not 64 lower-case hexadecimal digits.
    #[error("hash is not 64 lower-case hexadecimal digits")]
    Hex,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_root_is_sha256_of_nothing() {
        assert_eq!(EMPTY_ROOT, Hash(Sha256::digest(b"").into()));
        assert_eq!(EMPTY_ROOT.to_base64(), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }

    #[test]
    fn leaf_and_node_hashes_are_what_sha256sum_says() {
        // printf '\000' | sha256sum; printf '\000L123456' | sha256sum; the node against its definition.
        assert_eq!(
            leaf_hash(b"").to_string(),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
        assert_eq!(
            leaf_hash(b"L123456").to_string(),
            "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"
        );
        let (left, right) = (leaf_hash(b"l"), leaf_hash(b"r"));
        let joined = [&[1][..], &left.0, &right.0].concat();
        assert_eq!(node_hash(&left, &right), Hash(Sha256::digest(joined).into()));
    }

    #[test]
    fn every_hash_has_one_spelling() {
        let hash = leaf_hash(b"entry");
        assert_eq!(Hash::from_hex(&hash.to_string()), Ok(hash));
        assert_eq!(Hash::from_base64(&hash.to_base64()), Ok(hash));
        assert_eq!(Hash::from_hex(&hash.to_string().to_uppercase()), Err(HashError::Hex));
        assert_eq!(Hash::from_hex("é"), Err(HashError::Hex));
        // The last character carries two spare bits; V instead of U sets one of them.
        assert_eq!(Hash::from_base64("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV="), Err(HashError::Base64));
        assert_eq!(Hash::from_base64("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"), Err(HashError::Base64));
        assert_eq!(Hash::from_base64("47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU="), Err(HashError::Base64));
    }
}
