//! Converts messages to the types of `evidence` and `ledger`, and back. Messages are parsed once, here, so that handlers need no
//! further check.
//!
//! Guarantee: a converted value has the right form and is within the wire's limits. A document keeps the bytes in which it
//! came. Not here: signatures, roles and every other question of meaning.

use bytes::Bytes;
use evidence::causes::chain;
use evidence::digest::Digest;
use evidence::signed::{Signed, SignedError};
use ledger::hash::Hash;

use crate::limits::{DOCUMENT_BYTES_MAX, ENTRY_BYTES_MAX, PROOF_BYTES_MAX, PROOF_HASHES_MAX};
use crate::status::Class;
use crate::v1;

/// Why a message does not have the form that its field requires.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// A required field is missing.
    #[error("{field} is missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A text or bytes of another form.
    #[error("{field} is not {expected}")]
    Form {
        /// The field.
        field: &'static str,
        /// The required form.
        expected: &'static str,
    },
    /// The value is over the limit.
    #[error("{field} has {len} {unit}, at most {max} are taken")]
    Large {
        /// The field.
        field: &'static str,
        /// How many there are.
        len: usize,
        /// The unit of both numbers.
        unit: &'static str,
        /// The limit.
        max: usize,
    },
    /// The bytes are not a signed object.
    #[error("signed document is malformed")]
    Signed(#[from] SignedError),
}

impl From<WireError> for tonic::Status {
    fn from(error: WireError) -> Self {
        let class = match &error {
            WireError::Large { .. } => Class::OverLimit,
            WireError::Missing { .. } | WireError::Form { .. } | WireError::Signed(_) => Class::Malformed,
        };
        // The peer sent it, so the peer may read every cause.
        class.status(chain(&error))
    }
}

/// A set field.
pub fn required<T>(field: &'static str, value: Option<T>) -> Result<T, WireError> {
    value.ok_or(WireError::Missing { field })
}

/// Text that parses as `T`: an id, a digest, a time, a key.
pub fn text<T: std::str::FromStr>(
    field: &'static str,
    expected: &'static str,
    text: &str,
) -> Result<T, WireError> {
    text.parse().or(Err(WireError::Form { field, expected }))
}

/// A digest as 64 hex digits.
pub fn digest(field: &'static str, hex: &str) -> Result<Digest, WireError> {
    text(field, "64 lower-case hex digits", hex)
}

/// At most `max` bytes.
pub fn bounded(field: &'static str, bytes: Bytes, max: usize) -> Result<Bytes, WireError> {
    within(field, bytes.len(), "bytes", max)?;
    Ok(bytes)
}

/// At most `max` elements.
pub fn bounded_list<T>(field: &'static str, list: Vec<T>, max: usize) -> Result<Vec<T>, WireError> {
    within(field, list.len(), "elements", max)?;
    Ok(list)
}

/// Exactly `N` bytes.
pub fn exact<const N: usize>(
    field: &'static str,
    expected: &'static str,
    bytes: &[u8],
) -> Result<[u8; N], WireError> {
    bytes.try_into().or(Err(WireError::Form { field, expected }))
}

/// The hashes of a Merkle proof.
pub fn hashes(field: &'static str, hashes: &[Bytes]) -> Result<Vec<Hash>, WireError> {
    within(field, hashes.len(), "hashes", PROOF_HASHES_MAX)?;
    hashes.iter().map(|bytes| exact(field, "a list of hashes of 32 bytes", bytes).map(Hash)).collect()
}

/// The hashes of a Merkle proof, for the wire.
#[must_use]
pub fn hash_bytes(hashes: &[Hash]) -> Vec<Bytes> {
    hashes.iter().map(|hash| Bytes::copy_from_slice(hash.as_bytes())).collect()
}

/// A set signed document.
pub fn signed(field: &'static str, message: Option<v1::SignedDocument>) -> Result<Signed, WireError> {
    required(field, message)?.try_into()
}

/// Signed documents, at most `max`.
pub fn signed_list(
    field: &'static str,
    list: Vec<v1::SignedDocument>,
    max: usize,
) -> Result<Vec<Signed>, WireError> {
    bounded_list(field, list, max)?.into_iter().map(Signed::try_from).collect()
}

fn within(field: &'static str, len: usize, unit: &'static str, max: usize) -> Result<(), WireError> {
    if len > max { Err(WireError::Large { field, len, unit, max }) } else { Ok(()) }
}

impl TryFrom<v1::SignedDocument> for Signed {
    type Error = WireError;

    fn try_from(message: v1::SignedDocument) -> Result<Self, WireError> {
        within("document", message.document.len(), "bytes", DOCUMENT_BYTES_MAX)?;
        Ok(Self::from_parts(message.document.into(), message.signatures)?)
    }
}

impl From<Signed> for v1::SignedDocument {
    fn from(signed: Signed) -> Self {
        Self { document: signed.document.into(), signatures: signed.signatures }
    }
}

impl From<&Signed> for v1::SignedDocument {
    fn from(signed: &Signed) -> Self {
        signed.clone().into()
    }
}

/// A ledger entry and its `.tlog-proof`, within their limits; neither is parsed nor verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The leaf's bytes.
    pub entry: Bytes,
    /// The proof file's bytes.
    pub proof: Bytes,
}

impl TryFrom<v1::ProvenEntry> for Proven {
    type Error = WireError;

    fn try_from(message: v1::ProvenEntry) -> Result<Self, WireError> {
        Ok(Self {
            entry: bounded("entry", message.entry, ENTRY_BYTES_MAX)?,
            proof: bounded("proof", message.proof, PROOF_BYTES_MAX)?,
        })
    }
}

impl From<Proven> for v1::ProvenEntry {
    fn from(proven: Proven) -> Self {
        Self { entry: proven.entry, proof: proven.proof }
    }
}

/// A set proven entry.
pub fn proven(field: &'static str, message: Option<v1::ProvenEntry>) -> Result<Proven, WireError> {
    required(field, message)?.try_into()
}

/// Reads a list of entries with their proofs, at most `max`.
pub fn proven_list(
    field: &'static str,
    list: Vec<v1::ProvenEntry>,
    max: usize,
) -> Result<Vec<Proven>, WireError> {
    bounded_list(field, list, max)?.into_iter().map(Proven::try_from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use evidence::keys::SigningKey;

    fn message() -> v1::SignedDocument {
        let document = b"{\"type\":\"exhibit-order-v1\"}\n";
        let key = SigningKey::from_seed(&[7; 32]);
        let armour = evidence::keys::sshsig::sign(&key, "exhibit-order-v1", document).unwrap();
        v1::SignedDocument { document: Bytes::from_static(document), signatures: vec![armour] }
    }

    #[test]
    fn a_signed_document_crosses_the_wire_unchanged() {
        let signed = signed("order", Some(message())).unwrap();
        assert_eq!(v1::SignedDocument::from(&signed), message());
        assert_eq!(signed.verify_all("exhibit-order-v1").unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_signed_document_is_refused_with_its_cause() {
        let status = |message| tonic::Status::from(Signed::try_from(message).unwrap_err());
        assert!(matches!(signed("order", None), Err(WireError::Missing { field: "order" })));
        let unsigned = v1::SignedDocument { signatures: vec![], ..message() };
        let two_lines = v1::SignedDocument { document: Bytes::from_static(b"{}\n{}\n"), ..message() };
        let mut armour = message();
        armour.signatures[0].push('\n');
        for wrong in [unsigned, two_lines, armour, v1::SignedDocument::default()] {
            let status = status(wrong);
            assert_eq!(status.code(), tonic::Code::InvalidArgument);
            assert!(status.message().starts_with("signed document is malformed: "), "{status:?}");
        }
        let mut large = vec![b' '; DOCUMENT_BYTES_MAX];
        large.push(b'\n');
        let large = v1::SignedDocument { document: large.into(), ..message() };
        assert_eq!(status(large).code(), tonic::Code::OutOfRange);
    }

    #[test]
    fn hashes_have_32_bytes_and_an_end() {
        let one = Bytes::from_static(&[1; 32]);
        let read = hashes("proof", &[one.clone(), one.clone()]).unwrap();
        assert_eq!(hash_bytes(&read), [one.clone(), one.clone()]);
        assert!(matches!(hashes("proof", &[one.slice(1..)]), Err(WireError::Form { .. })));
        assert!(matches!(hashes("proof", &vec![one; 65]), Err(WireError::Large { .. })));
        assert!(digest("order", &"A".repeat(64)).is_err());
        assert!(digest("order", &"a".repeat(64)).is_ok());
    }
}
