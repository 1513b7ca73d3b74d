//! The verification of one response.

use rustls_pki_types::CertificateDer;

use super::certificate::{Parts, is_one_chain};
use super::error::StampError;
use super::info::Info;
use super::signed_data::SignedData;
use super::{chain, der};
use crate::time::Time;

/// Longest response: 16 KiB; three certificates of RSA-4096 need some 6 KiB.
pub const RESPONSE_BYTES_MAX: usize = 16 << 10;
/// Most characters that are kept of an authority's own words.
const WORDS_MAX: usize = 200;

/// A time-stamp response that is consistent in itself: it is about the data, and a certificate in it signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// The time it names (RFC 3339).
    pub time: String,
    /// Why its signer counts for nothing under the pinned certificates; `None` if it counts.
    pub unpinned: Option<String>,
    /// When the signer's certificate expires; `None` if the certificate does not tell.
    pub certificate_ends: Option<Time>,
    /// The nonce, as the content of an INTEGER.
    pub(super) nonce: Option<Vec<u8>>,
}

/// Verifies a time-stamp response over `data` under the pinned certificates.
pub fn verify(response: &[u8], data: &[u8], pinned: &[CertificateDer<'static>]) -> Result<Stamp, StampError> {
    if response.len() > RESPONSE_BYTES_MAX {
        return Err(StampError::TooLong { max: RESPONSE_BYTES_MAX });
    }
    if !der::is_strict(response) {
        return Err(StampError::NotStrict);
    }
    let token = token(response)?;
    let signed = SignedData::parse(token).ok_or(StampError::Shape)?;
    if !der::is_strict(signed.content) {
        return Err(StampError::NotStrict);
    }
    let info = Info::parse(signed.content).ok_or(StampError::Info)?;
    if info.hash.of(data) != info.imprint {
        return Err(StampError::OtherData);
    }
    signed.check_attributes()?;
    let signer = signed.signer()?;
    if !is_one_chain(signer, &signed.certificates) {
        return Err(StampError::SpareCertificate);
    }
    Ok(Stamp {
        unpinned: chain::check(signer, &signed.certificates, pinned, info.at).err(),
        certificate_ends: Parts::of(signer).and_then(|parts| parts.ends()),
        nonce: info.nonce.map(<[u8]>::to_vec),
        time: info.time,
    })
}

/// `TimeStampResp ::= SEQUENCE { status SEQUENCE { INTEGER, … }, token ContentInfo }`: the token of a granted one.
fn token(response: &[u8]) -> Result<&[u8], StampError> {
    let parts = || {
        let body = der::whole(response, der::SEQUENCE)?;
        let (status, rest) = der::expect(body, der::SEQUENCE)?;
        let (number, words) = der::expect(status, der::INTEGER)?;
        Some((number, words, rest))
    };
    match parts().ok_or(StampError::Shape)? {
        // granted, grantedWithMods
        ([0 | 1], _, token) => Ok(token),
        (status, words, _) => Err(StampError::Refused { status: status.to_vec(), words: printable(words) }),
    }
}

/// The first words of the authority, made harmless for a terminal.
fn printable(status: &[u8]) -> String {
    // Display only: an authority may refuse without a word.
    let Some((words, _)) = der::next(status) else {
        return String::new();
    };
    String::from_utf8_lossy(words.content)
        .chars()
        .filter(|character| !character.is_control())
        .take(WORDS_MAX)
        .collect()
}
