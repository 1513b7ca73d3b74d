//! A private key that signs notes and cosigns checkpoints.

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey};

use super::key::check_name;
use super::whole::check_text;
use super::{KeyType, NoteError, NoteSignature, VerifierKey};
use crate::cosignature::{self, Cosignature, CosignatureError};

/// A named Ed25519 key. The secret is wiped when dropped and never printed.
///
/// One key per role: a cosignature does not commit to the cosigner's name, so two cosigners must not share a key.
pub struct NoteSigner {
    name: String,
    key: SigningKey,
    note_key: VerifierKey,
    cosigner_key: VerifierKey,
}

impl NoteSigner {
    /// A signer from the 32 secret bytes of RFC 8032.
    ///
    /// # Errors
    /// `NoteError::Name` when the name cannot stand in a signature line.
    pub fn new(name: &str, secret: &[u8; 32]) -> Result<Self, NoteError> {
        check_name(name)?;
        let key = SigningKey::from_bytes(secret);
        let public_key = key.verifying_key().to_bytes();
        let note_key = VerifierKey::new(name, KeyType::Ed25519, &public_key)?;
        let cosigner_key = VerifierKey::new(name, KeyType::CosignatureV1, &public_key)?;
        Ok(Self { name: name.to_owned(), key, note_key, cosigner_key })
    }

    /// Name that stands in the signature lines.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key with which others verify signatures of this kind.
    pub fn verifier_key(&self, kind: KeyType) -> VerifierKey {
        match kind {
            KeyType::Ed25519 => self.note_key.clone(),
            KeyType::CosignatureV1 => self.cosigner_key.clone(),
        }
    }

    /// Signs a note text (type 0x01).
    ///
    /// # Errors
    /// `NoteError::Layout`, `NoteError::ControlCharacter` or `NoteError::TooLong` when `text` is no note text;
    /// `NoteError::CosignatureText` when it is what a cosigner signs.
    pub fn sign(&self, text: &str) -> Result<NoteSignature, NoteError> {
        check_text(text)?;
        // If this key were a cosigner's, such a text would become a statement that nobody made.
        if text.starts_with(cosignature::HEADER) {
            return Err(NoteError::CosignatureText);
        }
        let signature = self.key.sign(text.as_bytes()).to_bytes();
        NoteSignature::new(&self.name, self.note_key.id(), signature.to_vec())
    }

    /// Cosigns a checkpoint text (type 0x04) as of `unix_seconds`.
    ///
    /// The signature states that no larger consistent tree was seen; only the caller can know that it is true.
    ///
    /// # Errors
    /// `CosignatureError::Checkpoint` when `note_text` is no checkpoint, `CosignatureError::Time` above 2^63 - 1.
    pub fn cosign(&self, note_text: &str, unix_seconds: u64) -> Result<NoteSignature, CosignatureError> {
        cosignature::check(note_text, unix_seconds)?;
        let signature = self.key.sign(&cosignature::message(unix_seconds, note_text)).to_bytes();
        let bytes = Cosignature { time: unix_seconds, signature }.encode();
        NoteSignature::new(&self.name, self.cosigner_key.id(), bytes.to_vec()).map_err(CosignatureError::Note)
    }
}

impl fmt::Debug for NoteSigner {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("NoteSigner").field("key", &self.note_key.to_string()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signer_never_prints_its_secret() {
        let signer = NoteSigner::new("example.com/log", &[0x5a; 32]).unwrap();
        let shown = format!("{signer:?}");
        assert!(
            shown.contains("example.com/log+") && !shown.contains("90, 90") && !shown.contains("5a5a"),
            "{shown}"
        );
    }

    #[test]
    fn only_note_texts_are_signed_and_only_checkpoints_cosigned() {
        let signer = NoteSigner::new("example.com/log", &[1; 32]).unwrap();
        assert_eq!(signer.sign("no newline"), Err(NoteError::Layout));
        assert_eq!(signer.sign("tab\t\n"), Err(NoteError::ControlCharacter));
        assert!(matches!(signer.cosign("no checkpoint\n", 1), Err(CosignatureError::Checkpoint(_))));
        assert_eq!(signer.sign("cosignature/v1\ntime 5\no\n"), Err(NoteError::CosignatureText));
        assert!(NoteSigner::new("a b", &[1; 32]).is_err());
    }
}
