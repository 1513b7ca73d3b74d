//! The hashes and signature algorithms of today's time-stamping authorities.

use rustls_pki_types::SignatureVerificationAlgorithm;
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use webpki::aws_lc_rs as algorithms;

use super::der;

/// A hash that a stamp may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// Reads the inside of an `AlgorithmIdentifier`; its parameters are nothing or NULL.
    pub(super) fn parse(algorithm: &[u8]) -> Option<Self> {
        let (name, parameters) = der::expect(algorithm, der::OID)?;
        if !matches!(parameters, [] | [5, 0]) {
            return None;
        }
        const ARM: [u8; 8] = [96, 134, 72, 1, 101, 3, 4, 2];
        match name.strip_prefix(&ARM)? {
            [1] => Some(Self::Sha256),
            [2] => Some(Self::Sha384),
            [3] => Some(Self::Sha512),
            _ => None,
        }
    }

    pub(super) fn of(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(data).to_vec(),
            Self::Sha384 => Sha384::digest(data).to_vec(),
            Self::Sha512 => Sha512::digest(data).to_vec(),
        }
    }

    /// The signature algorithms that an `AlgorithmIdentifier` of a signer can mean with this hash.
    pub(super) fn algorithms(
        self,
        identifier: &[u8],
    ) -> Option<Vec<&'static dyn SignatureVerificationAlgorithm>> {
        let (name, parameters) = der::expect(identifier, der::OID)?;
        let plain = matches!(parameters, [] | [5, 0]);
        let (pkcs1, pss, curves) = match self {
            Self::Sha256 => (
                algorithms::RSA_PKCS1_2048_8192_SHA256,
                algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
                [algorithms::ECDSA_P256_SHA256, algorithms::ECDSA_P384_SHA256, algorithms::ECDSA_P521_SHA256],
            ),
            Self::Sha384 => (
                algorithms::RSA_PKCS1_2048_8192_SHA384,
                algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
                [algorithms::ECDSA_P256_SHA384, algorithms::ECDSA_P384_SHA384, algorithms::ECDSA_P521_SHA384],
            ),
            Self::Sha512 => (
                algorithms::RSA_PKCS1_2048_8192_SHA512,
                algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
                [algorithms::ECDSA_P256_SHA512, algorithms::ECDSA_P384_SHA512, algorithms::ECDSA_P521_SHA512],
            ),
        };
        let (with_rsa, with_ecdsa) = match self {
            Self::Sha256 => (11, 2),
            Self::Sha384 => (12, 3),
            Self::Sha512 => (13, 4),
        };
        match (name, plain) {
            // rsaEncryption, or sha…WithRSAEncryption of the same hash
            ([42, 134, 72, 134, 247, 13, 1, 1, which], true) if [1, with_rsa].contains(which) => {
                Some(vec![pkcs1])
            }
            ([42, 134, 72, 134, 247, 13, 1, 1, 10], _) => Some(vec![pss]),
            ([42, 134, 72, 206, 61, 4, 3, which], true) if *which == with_ecdsa => Some(curves.to_vec()),
            // RFC 8419: Ed25519 signs with SHA-512 as the digest of the attributes.
            ([43, 101, 112], true) if self == Self::Sha512 => Some(vec![algorithms::ED25519]),
            _ => None,
        }
    }
}
