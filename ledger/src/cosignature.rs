//! Timestamped cosignatures, version 1 (c2sp.org/tlog-cosignature, type 0x04).
//! Guarantee: the signed text is never a checkpoint (its second line is not a size), and `NoteSigner::sign` refuses texts
//! of this form. So neither kind of signature can be passed off as the other.
//! Not here: whether the statement is true (the mirror knows consistency and what it signed before).
//!
//! ```text
//! cosignature/v1
//! time 1679315147
//! example.com/behind-the-sofa
//! 20852163
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//! ```
//! This text is signed. In the signature line, `u64be time || Ed25519 signature` (72 bytes) follows the key id.

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::note::{KeyType, NoteError, NoteSignature, NoteSigner, VerifierKey};

/// Latest time a cosignature may carry, in seconds since 1970.
pub const TIME_MAX: u64 = (1 << 63) - 1;

/// Most cosigners of one checkpoint: as many lines as C2SP asks every reader of a note to take.
pub const COSIGNERS_MAX: usize = 16;

/// Lengths of a cosignature behind the key id: a time of 8 bytes, then a signature of Ed25519 (type 0x04) or ML-DSA-44 (type 0x06).
const LENGTHS: [usize; 2] = [8 + 64, 8 + 2420];

/// First line of everything a cosigner signs.
pub(crate) const HEADER: &str = "cosignature/v1\n";

/// The bytes of a cosignature after the key id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cosignature {
    /// When it was made, in seconds since 1970.
    pub time: u64,
    /// Ed25519 signature over [`message`].
    pub signature: [u8; 64],
}

impl Cosignature {
    /// Reads the 72 bytes.
    ///
    /// # Errors
    /// `CosignatureError::Length` for another length, `CosignatureError::Time` above 2^63 - 1.
    pub fn decode(bytes: &[u8]) -> Result<Self, CosignatureError> {
        let (time, signature) = bytes.split_first_chunk().ok_or(CosignatureError::Length)?;
        let signature = *signature.as_array().ok_or(CosignatureError::Length)?;
        let time = u64::from_be_bytes(*time);
        if time > TIME_MAX { Err(CosignatureError::Time) } else { Ok(Self { time, signature }) }
    }

    /// The 72 bytes.
    pub fn encode(&self) -> [u8; 72] {
        let mut bytes = [0; 72];
        let (time, signature) = bytes.split_at_mut(8);
        time.copy_from_slice(&self.time.to_be_bytes());
        signature.copy_from_slice(&self.signature);
        bytes
    }
}

/// True if the bytes behind a key id have the length of a cosignature of a type that C2SP defines, and a time that it allows. Nothing is
/// verified: this is for lines of keys that nobody knows.
pub fn has_form(bytes: &[u8]) -> bool {
    let time = bytes.first_chunk().map(|time| u64::from_be_bytes(*time));
    LENGTHS.contains(&bytes.len()) && time.is_some_and(|time| time <= TIME_MAX)
}

/// The text that a cosigner signs: header line, time line, the whole text of the checkpoint.
pub fn message(time: u64, note_text: &str) -> Vec<u8> {
    format!("{HEADER}time {time}\n{note_text}").into_bytes()
}

/// Cosigns a checkpoint text; the same as [`NoteSigner::cosign`].
///
/// # Errors
/// `CosignatureError::Checkpoint`, `CosignatureError::Time`.
pub fn sign(signer: &NoteSigner, note_text: &str, time: u64) -> Result<NoteSignature, CosignatureError> {
    signer.cosign(note_text, time)
}

/// Checks one cosignature line over a checkpoint text, and returns its time.
///
/// # Errors
/// `CosignatureError::Key` if the line is not of this key or the key is not a cosigner's. Other errors name what is wrong
/// with text, length, time or signature.
pub fn verify(key: &VerifierKey, note_text: &str, line: &NoteSignature) -> Result<u64, CosignatureError> {
    if key.kind() != KeyType::CosignatureV1 || key.name() != line.name() || key.id() != line.id() {
        return Err(CosignatureError::Key);
    }
    let cosignature = Cosignature::decode(line.bytes())?;
    check(note_text, cosignature.time)?;
    key.verify_message(&message(cosignature.time, note_text), &cosignature.signature)
        .map_err(CosignatureError::Note)?;
    Ok(cosignature.time)
}

/// Refuses a text that is not a checkpoint, and a time that the format cannot carry.
pub(crate) fn check(note_text: &str, time: u64) -> Result<(), CosignatureError> {
    if time > TIME_MAX {
        return Err(CosignatureError::Time);
    }
    Checkpoint::from_text(note_text).map_err(CosignatureError::Checkpoint)?;
    Ok(())
}

/// A cosignature that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CosignatureError {
    /// The signed text is not a checkpoint.
    #[error("cosigned text is not a checkpoint")]
    Checkpoint(#[source] CheckpointError),
    /// The line belongs to another key, or the key signs something else.
    #[error("signature line is not of this cosigner key")]
    Key,
    /// The signature does not have 72 bytes.
    #[error("cosignature is not 72 bytes")]
    Length,
    /// The signature line or the signature itself is wrong.
    #[error("cosignature is not valid")]
    Note(#[source] NoteError),
    /// The time is above 2^63 - 1.
    #[error("cosignature time is above 2^63 - 1")]
    Time,
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    #[test]
    fn the_message_is_the_one_of_the_specification() {
        let expected = format!("cosignature/v1\ntime 1679315147\n{TEXT}");
        assert_eq!(message(1_679_315_147, TEXT), expected.as_bytes());
    }

    #[test]
    fn a_cosignature_of_an_unknown_key_has_one_of_two_lengths_and_a_time() {
        for length in [72, 2428] {
            assert!(has_form(&vec![0; length]), "{length}");
            let mut late = vec![0; length];
            late[0] = 0x80;
            assert!(!has_form(&late), "{length}");
        }
        for length in [0, 7, 8, 64, 71, 73, 2420, 2427, 2429, 8192] {
            assert!(!has_form(&vec![0; length]), "{length}");
        }
    }

    #[test]
    fn a_cosignature_verifies_for_its_key_text_and_time_only() {
        let signer = NoteSigner::new("witness.example.com/w1", &[7; 32]).unwrap();
        let key = signer.verifier_key(KeyType::CosignatureV1);
        let line = sign(&signer, TEXT, 1_679_315_147).unwrap();
        assert_eq!(line.bytes().len(), 72);
        assert_eq!(verify(&key, TEXT, &line), Ok(1_679_315_147));
        let other_text = TEXT.replace("20852163", "20852164");
        assert!(matches!(verify(&key, &other_text, &line), Err(CosignatureError::Note(_))));
        assert_eq!(verify(&signer.verifier_key(KeyType::Ed25519), TEXT, &line), Err(CosignatureError::Key));
        for bit in 0..72 * 8 {
            let mut bytes = line.bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let forged = NoteSignature::new(line.name(), line.id(), bytes).unwrap();
            assert!(verify(&key, TEXT, &forged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_log_signature_is_never_a_cosignature() {
        let signer = NoteSigner::new("example.com/log", &[7; 32]).unwrap();
        let cosigner = signer.verifier_key(KeyType::CosignatureV1);
        let plain = signer.sign(TEXT).unwrap();
        assert_ne!(plain.id(), cosigner.id());
        let relabelled =
            NoteSignature::new("example.com/log", cosigner.id(), plain.bytes().to_vec()).unwrap();
        assert_eq!(verify(&cosigner, TEXT, &relabelled), Err(CosignatureError::Length));
        assert_eq!(Cosignature::decode(&[0xff; 72]), Err(CosignatureError::Time));
        assert_eq!(signer.cosign(TEXT, TIME_MAX + 1), Err(CosignatureError::Time));
    }
}
