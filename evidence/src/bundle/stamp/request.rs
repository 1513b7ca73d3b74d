//! `TimeStampReq`: a client's request to an authority (RFC 3161 section 2.4.1).

use super::der;
use super::error::StampError;
use super::verify::{Stamp, verify};
use crate::digest::Digest;
use rustls_pki_types::CertificateDer;

/// AlgorithmIdentifier of SHA-256 with NULL parameters, as RFC 5754 section 2 asks of those who generate it.
const SHA256: [u8; 15] =
    [der::SEQUENCE, 0x0d, der::OID, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00];

/// A question for a stamp over some data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StampRequest<'d> {
    data: &'d [u8],
    nonce: [u8; 16],
}

impl<'d> StampRequest<'d> {
    /// Asks about `data`. The nonce must be random: it ties the answer to this request.
    pub fn new(data: &'d [u8], nonce: [u8; 16]) -> Self {
        Self { data, nonce }
    }

    /// The request: version 1, SHA-256 imprint, nonce, certReq TRUE, so that a verifier needs no certificate from elsewhere.
    pub fn encode(&self) -> Vec<u8> {
        let imprint = [SHA256.to_vec(), der::encode(der::OCTETS, Digest::of(self.data).as_bytes())].concat();
        let body = [
            der::encode(der::INTEGER, &[1]),
            der::encode(der::SEQUENCE, &imprint),
            der::encode_positive(&self.nonce),
            der::encode(der::BOOLEAN, &[0xff]),
        ]
        .concat();
        der::encode(der::SEQUENCE, &body)
    }

    /// Verifies the answer as [`verify`] does, and checks that it answers this request.
    pub fn verify(&self, response: &[u8], pinned: &[CertificateDer<'static>]) -> Result<Stamp, StampError> {
        let stamp = verify(response, self.data, pinned)?;
        let asked = der::encode_positive(&self.nonce);
        let asked = der::whole(&asked, der::INTEGER);
        if stamp.nonce.as_deref() == asked { Ok(stamp) } else { Err(StampError::OtherNonce) }
    }
}
