//! Signed documents between the wire's form and ours.
//!
//! Guarantee: bytes go through unchanged, and what is no signed object is refused. Not here: what it says.

use evidence::signed::{Signed, SignedError};
use proto::v1::SignedDocument;

/// As the wire carries it.
#[must_use]
pub fn to_wire(signed: &Signed) -> SignedDocument {
    SignedDocument { document: signed.document.clone().into(), signatures: signed.signatures.clone() }
}

/// From the wire.
///
/// # Errors
/// [`SignedError`] for anything but one line and one to sixteen canonical armours.
pub fn from_wire(wire: &SignedDocument) -> Result<Signed, SignedError> {
    Signed::from_parts(wire.document.to_vec(), wire.signatures.clone())
}
