//! Verifier keys: `name+key id+base64(type || public key)`.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

use super::NoteError;
use crate::{cosignature, encoding};

/// Longest key name: 255 bytes, what the length byte of newer signature types can carry.
pub const NAME_BYTES_MAX: usize = 255;

/// Longest verifier key read: name, 2 plus signs, 8 digits, 44 characters of base64.
const VKEY_BYTES_MAX: usize = NAME_BYTES_MAX + 54;

/// The kind of text that a key signs, by the type byte of c2sp.org/signed-note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyType {
    /// 0x04: time and note text, c2sp.org/tlog-cosignature version 1.
    CosignatureV1,
    /// 0x01: the note text itself.
    Ed25519,
}

impl KeyType {
    /// The byte that stands for the type in key ids and verifier keys.
    pub fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::CosignatureV1 => 0x04,
        }
    }
}

/// A trusted public key with its name. It is never weak, and its id is always right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    kind: KeyType,
    id: [u8; 4],
    key: VerifyingKey,
}

impl VerifierKey {
    /// A key from its parts.
    ///
    /// # Errors
    /// `NoteError::Name`, or `NoteError::WeakKey` for a point of small order or no point at all.
    pub fn new(name: &str, kind: KeyType, public_key: &[u8; 32]) -> Result<Self, NoteError> {
        check_name(name)?;
        let weak = || NoteError::WeakKey { name: name.to_owned() };
        let key = VerifyingKey::from_bytes(public_key).ok().filter(|key| !key.is_weak()).ok_or_else(weak)?;
        let digest = Sha256::new()
            .chain_update(name)
            .chain_update([b'\n', kind.byte()])
            .chain_update(public_key)
            .finalize();
        let digest: [u8; 32] = digest.into();
        let [a, b, c, d, ..] = digest;
        Ok(Self { name: name.to_owned(), kind, id: [a, b, c, d], key })
    }

    /// Reads a verifier key such as `example.com/log+0a1b2c3d+AS…`.
    ///
    /// # Errors
    /// `NoteError::VerifierKey` or `NoteError::Name` when malformed, `NoteError::UnsupportedType`,
    /// `NoteError::WeakKey`, `NoteError::KeyId` when the id is not the one of this key.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        if text.len() > VKEY_BYTES_MAX {
            return Err(NoteError::VerifierKey);
        }
        // The key itself may hold plus signs (base64), the name and the id may not.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::VerifierKey);
        };
        check_name(name)?;
        let bytes = encoding::decode(key).ok_or(NoteError::VerifierKey)?;
        let (kind, public_key) = bytes.split_first().ok_or(NoteError::VerifierKey)?;
        let kind = match kind {
            0x01 => KeyType::Ed25519,
            0x04 => KeyType::CosignatureV1,
            _ => {
                return Err(NoteError::UnsupportedType { name: name.to_owned() });
            }
        };
        let public_key = public_key.try_into().ok().ok_or(NoteError::VerifierKey)?;
        let parsed = Self::new(name, kind, public_key)?;
        if hex::encode(parsed.id) == id {
            Ok(parsed)
        } else {
            Err(NoteError::KeyId { name: name.to_owned() })
        }
    }

    /// Name of the key: the log's origin, or the cosigner.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of SHA-256(name || 0x0A || type || public key).
    pub fn id(&self) -> [u8; 4] {
        self.id
    }

    /// The kind of text that the key signs.
    pub fn kind(&self) -> KeyType {
        self.kind
    }

    /// The Ed25519 public key as RFC 8032 encodes it.
    pub fn public_key(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// Checks the bytes after the key id of a signature line over `text`. For a cosignature, returns its time.
    pub(super) fn verify(&self, text: &str, signature: &[u8]) -> Result<Option<u64>, NoteError> {
        let bad = || NoteError::BadSignature { name: self.name.clone() };
        match self.kind {
            KeyType::Ed25519 => {
                self.verify_message(text.as_bytes(), signature.try_into().ok().ok_or_else(bad)?)?;
                Ok(None)
            }
            KeyType::CosignatureV1 => {
                let signed = cosignature::Cosignature::decode(signature).ok().ok_or_else(bad)?;
                self.verify_message(&cosignature::message(signed.time, text), &signed.signature)?;
                Ok(Some(signed.time))
            }
        }
    }

    /// Checks a plain Ed25519 signature over `message`, refusing what RFC 8032 leaves open (`verify_strict`).
    pub(crate) fn verify_message(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), NoteError> {
        let verified = self.key.verify_strict(message, &Signature::from_bytes(signature));
        verified.ok().ok_or_else(|| NoteError::BadSignature { name: self.name.clone() })
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.kind.byte()][..], self.key.as_bytes()].concat();
        write!(out, "{}+{}+{}", self.name, hex::encode(self.id), encoding::encode(&key))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        Self::parse(text)
    }
}

/// Names: not empty, no Unicode space, no plus sign, no control character.
pub(super) fn check_name(name: &str) -> Result<(), NoteError> {
    let allowed = |character: char| !character.is_whitespace() && !character.is_control() && character != '+';
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(allowed) {
        return Err(NoteError::Name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of the Go checksum database, as every Go toolchain pins it.
    const SUMDB: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";

    #[test]
    fn a_key_from_the_wild_parses_and_prints() {
        let key = VerifierKey::parse(SUMDB).unwrap();
        assert_eq!(
            (key.name(), key.kind(), key.id()),
            ("sum.golang.org", KeyType::Ed25519, [3, 0x3d, 0xe0, 0xae])
        );
        assert_eq!(key.to_string(), SUMDB);
    }

    #[test]
    fn weak_and_impossible_points_are_refused() {
        // Neutral element, a point of order 4, y = 2 (not on the curve).
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut off_curve = [0; 32];
        off_curve[0] = 2;
        for point in [neutral, [0; 32], off_curve] {
            let refused = VerifierKey::new("weak", KeyType::Ed25519, &point);
            assert_eq!(refused, Err(NoteError::WeakKey { name: "weak".into() }));
        }
    }

    #[test]
    fn malformed_verifier_keys_are_refused() {
        let refused = |text: String| VerifierKey::parse(&text).unwrap_err();
        let replaced = |from, to| refused(SUMDB.replacen(from, to, 1));
        assert_eq!(replaced("033de0ae", "033de0af"), NoteError::KeyId { name: "sum.golang.org".into() });
        assert_eq!(replaced("033de0ae", "033DE0AE"), NoteError::KeyId { name: "sum.golang.org".into() });
        assert_eq!(
            replaced("sum.golang.org", "sum.golang.orq"),
            NoteError::KeyId { name: "sum.golang.orq".into() }
        );
        assert_eq!(replaced("+Ac4", "+As4"), NoteError::UnsupportedType { name: "sum.golang.org".into() });
        assert_eq!(replaced("sum.golang.org", ""), NoteError::Name);
        assert_eq!(replaced("sum.golang.org", "sum golang"), NoteError::Name);
        assert_eq!(replaced("sum.golang.org", "sum\u{2003}golang"), NoteError::Name);
        assert_eq!(refused("a+b".into()), NoteError::VerifierKey);
        assert_eq!(refused(format!("{SUMDB}AA==")), NoteError::VerifierKey);
        assert_eq!(refused(format!("{SUMDB}AAAA")), NoteError::VerifierKey);
        assert_eq!(refused("n".repeat(1 << 20)), NoteError::VerifierKey);
    }
}
