//! SHA-256 digests: the name of every document, object and item.
//! Guarantee: one digest has one text, 64 lower-case hexadecimal digits. Not here: Merkle trees (crate `ledger`).

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// A SHA-256 digest (FIPS 180-4); text and JSON form are 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// 64 zeros: stands for "nothing before" at the start of a chain.
    pub const ZERO: Self = Self([0; 32]);

    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Reads 64 lower-case hexadecimal digits.
    ///
    /// # Errors
    /// [`DigestError`] for any other text: one value has one spelling.
    pub fn from_hex(text: &str) -> Result<Self, DigestError> {
        let mut bytes = [0; 32];
        let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if lower && hex::decode_to_slice(text, &mut bytes).is_ok() {
            Ok(Self(bytes))
        } else {
            Err(DigestError)
        }
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 64];
        // The buffer has exactly the length that 32 bytes need, so encoding cannot fail.
        match hex::encode_to_slice(self.0, &mut text).map(|()| str::from_utf8(&text)) {
            Ok(Ok(text)) => out.write_str(text),
            _ => Err(fmt::Error),
        }
    }
}

impl From<ledger::Hash> for Digest {
    fn from(hash: ledger::Hash) -> Self {
        Self(hash.0)
    }
}

impl From<Digest> for ledger::Hash {
    fn from(digest: Digest) -> Self {
        Self(digest.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        Self::from_hex(text)
    }
}

crate::text::serde_as_text!(Digest);

/// A text that is not one digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not 64 lower-case hexadecimal digits")]
pub struct DigestError;

/// Digests bytes that arrive in pieces.
#[derive(Clone, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// A hasher that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes taken.
    #[must_use]
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Hasher")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_of_fips_180_4_hold_whole_and_in_pieces() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of(b"abc").to_string(), abc);
        let mut hasher = Hasher::new();
        hasher.update(b"a");
        hasher.update(b"");
        hasher.update(b"bc");
        assert_eq!(hasher.finish(), Digest::from_hex(abc).unwrap());
    }

    #[test]
    fn only_the_one_spelling_is_read() {
        let text = "0f".repeat(32);
        assert_eq!(Digest::from_hex(&text).unwrap().to_string(), text);
        for wrong in
            ["", "0f", &text.to_uppercase(), &format!("{text}0"), &format!(" {text}"), &"0g".repeat(32)]
        {
            assert_eq!(Digest::from_hex(wrong), Err(DigestError), "{wrong:?}");
        }
        assert_eq!(serde_json::to_string(&Digest::ZERO).unwrap(), format!("\"{}\"", "0".repeat(64)));
    }
}
