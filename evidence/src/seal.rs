//! Seals: the object beside each segment, with a signed header and the records of the items that ended in the segment.
//! Format: docs/spec/seal.md.
//!
//! Guarantee: a seal that parses is header, one armour and records, nothing else, and `records` are the bytes that the
//! header signs. Not here: whether records and segment agree ([`crate::container::Verifier`]).

mod chain;
pub mod delegation;
mod header;
pub(crate) mod records;

pub use chain::{ChainError, ChainState, Identity};
pub use header::{SealHeader, SealType};
pub use records::Records;

use crate::digest::Digest;
use crate::document::Document as _;
use crate::frames::FrameError;
use crate::keys::{PublicKey, SigningKey};
use crate::length::len;
use crate::signed::{Signed, SignedError};

/// Largest seal: 64 MiB.
pub const SEAL_BYTES_MAX: usize = 64 << 20;

/// Most plain bytes of the records of one seal: 256 MiB. Bounds the output of a decoder.
pub(crate) const RECORDS_PLAIN_MAX: u64 = 256 << 20;

/// Largest header line: 16 KiB. All its fields are short.
pub(crate) const HEADER_BYTES_MAX: usize = 16 << 10;

/// Why bytes are not a seal, or not one by this sealer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The seal is over [`SEAL_BYTES_MAX`].
    #[error("seal is over 64 MiB")]
    TooLarge,
    /// The bytes do not begin with a header line of at most 16 KiB, followed by an armour.
    #[error("seal does not start with a header line and an armour")]
    Shape,
    /// Header or armour break the rules of signed documents.
    #[error("seal header")]
    Signed(#[source] SignedError),
    /// Another key than that of the collection's sealer signed it.
    #[error("seal is not signed by the collection's sealer key")]
    WrongKey,
    /// `records_len` is not the length of what follows the armour.
    #[error("seal has {actual} bytes of records, header says {stated}")]
    RecordsLength {
        /// In the header.
        stated: u64,
        /// In the seal.
        actual: u64,
    },
    /// `records_sha256` is not the digest of what follows the armour.
    #[error("records are not those the seal header signs")]
    RecordsDigest,
    /// A frame of the records breaks the rules.
    #[error("frame of the seal's records")]
    RecordsFrame(#[source] FrameError),
    /// The records are over [`RECORDS_PLAIN_MAX`].
    #[error("records of a seal are over 256 MiB")]
    RecordsTooLarge,
    /// A record line passes its limit.
    #[error("record line is too long")]
    LineTooLong,
    /// The last record line has no LF.
    #[error("last record line does not end in a line feed")]
    UnendedLine,
}

/// A parsed seal over the bytes it came in.
#[derive(Debug, Clone)]
pub struct Seal<'a> {
    /// The header. It proves nothing before [`Seal::verify`].
    pub header: SealHeader,
    /// SHA-256 of the whole seal.
    pub digest: Digest,
    signed: Signed,
    records: &'a [u8],
}

impl<'a> Seal<'a> {
    /// Splits a seal and checks everything that needs no key: canonical header and armour, length and digest of the records.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SealError> {
        if bytes.len() > SEAL_BYTES_MAX {
            return Err(SealError::TooLarge);
        }
        let (document, rest) = split_behind(bytes, b"\n", HEADER_BYTES_MAX)?;
        let (armour, records) =
            split_behind(rest, b"\n-----END SSH SIGNATURE-----\n", crate::keys::sshsig::ARMOUR_BYTES_MAX)?;
        let Ok(armour) = str::from_utf8(armour) else {
            return Err(SealError::Shape);
        };
        let signed =
            Signed::from_parts(document.to_vec(), vec![armour.to_owned()]).map_err(SealError::Signed)?;
        let header: SealHeader = signed.read().map_err(SealError::Signed)?;
        let actual = len(records);
        if header.records_len != actual {
            return Err(SealError::RecordsLength { stated: header.records_len, actual });
        }
        if Digest::of(records) != header.records_sha256 {
            return Err(SealError::RecordsDigest);
        }
        Ok(Self { header, digest: Digest::of(bytes), signed, records })
    }

    /// Checks that the one signature is the sealer's.
    ///
    /// # Errors
    /// [`SealError::Signed`] for a signature that does not hold, [`SealError::WrongKey`] for another signer.
    pub fn verify(&self, sealer: &PublicKey) -> Result<(), SealError> {
        let signers = self.signed.verify_all(SealHeader::TYPE).map_err(SealError::Signed)?;
        if signers.as_slice() == [sealer.clone()] { Ok(()) } else { Err(SealError::WrongKey) }
    }

    /// The record lines without LF, decoded on request: at most about 5 MiB in memory.
    ///
    /// # Errors
    /// If the decoder cannot be allocated.
    pub fn records(&self) -> Result<Records<'a>, SealError> {
        Records::new(self.records)
    }
}

/// The bytes of a seal: signs `header` and appends `records` (as stored).
///
/// # Errors
/// When the header is not a valid document.
pub fn make(header: &SealHeader, records: &[u8], sealer: &SigningKey) -> Result<Vec<u8>, SignedError> {
    let mut seal = Signed::sign(header, &[sealer])?.encode();
    seal.extend_from_slice(records);
    Ok(seal)
}

/// Splits `bytes` after the first `end`, which must come within `max` bytes.
fn split_behind<'a>(bytes: &'a [u8], end: &[u8], max: usize) -> Result<(&'a [u8], &'a [u8]), SealError> {
    let window = bytes.get(..max).unwrap_or(bytes);
    let at = window.windows(end.len()).position(|window| window == end).ok_or(SealError::Shape)?;
    bytes.split_at_checked(at + end.len()).ok_or(SealError::Shape)
}
