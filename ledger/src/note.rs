//! Signed notes (c2sp.org/signed-note): text, a blank line, signature lines.
//! Guarantee: one note has one spelling, so printing a parsed note gives the same bytes.
//! Not here: the meaning of the text (`checkpoint`), when a note is good enough (`policy`).
//!
//! ```text
//! example.com/behind-the-sofa
//! 20852163
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//!
//! — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
//! ```

mod key;
mod signature;
mod signer;
mod whole;

pub use key::{KeyType, NAME_BYTES_MAX, VerifierKey};
pub use signature::NoteSignature;
pub use signer::NoteSigner;
use whole::NOTE_SIGNATURES_MAX;
pub use whole::{NOTE_BYTES_MAX, Note, VerifiedSignature};

/// Why a note, key or signature is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// Two different trusted keys share a name and a key id, so a signature cannot be assigned.
    #[error("two known keys are called {name} with the same key id")]
    AmbiguousKey {
        /// Their name.
        name: String,
    },
    /// A trusted key's signature is wrong: the note was altered or forged.
    #[error("signature of known key {name} does not verify")]
    BadSignature {
        /// Name of the key.
        name: String,
    },
    /// A control character other than the newline.
    #[error("note holds a control character")]
    ControlCharacter,
    /// The text begins like one that only a cosigner may sign.
    #[error("text begins like the message of a cosignature")]
    CosignatureText,
    /// The key id does not follow from name, type and key.
    #[error("key id of {name} does not belong to its key")]
    KeyId {
        /// Name of the key.
        name: String,
    },
    /// The text does not end in a newline, or nothing separates it from the signatures.
    #[error("note text and signatures are not separated as required")]
    Layout,
    /// A key name is empty, too long, or holds a space, plus sign or control character.
    #[error("key name is empty, too long or holds a forbidden character")]
    Name,
    /// No trusted key signed.
    #[error("no known key signed the note")]
    NoKnownSignature,
    /// A signature line in another form than the specification's.
    #[error("signature line {line} is malformed")]
    SignatureLine {
        /// Number of the line among the signature lines, from 1.
        line: usize,
    },
    /// The note has more bytes than any that we accept.
    #[error("note, text or signature is longer than allowed")]
    TooLong,
    /// The note has more signatures than any that we accept.
    #[error("note has more than {NOTE_SIGNATURES_MAX} signatures")]
    TooManySignatures,
    /// A key type this crate does not verify.
    #[error("key type of {name} is not supported")]
    UnsupportedType {
        /// Name of the key.
        name: String,
    },
    /// The note is not valid UTF-8.
    #[error("note is not UTF-8")]
    Utf8,
    /// A verifier key that is not `name+id+base64`.
    #[error("verifier key is malformed")]
    VerifierKey,
    /// A public key of small order: everyone can sign for it.
    #[error("public key of {name} is weak or not a point of the curve")]
    WeakKey {
        /// Name of the key.
        name: String,
    },
}
