//! TLS keys: ECDSA P-256, which every TLS library knows. (BoringSSL, and so gRPC for Python and C++, refuses Ed25519.)
//!
//! Guarantee: a TLS key signs handshakes, certificates and certificate requests, and no document. A private key has one form on
//! disk, and a public key one form on the wire, so that the SHA-256 of its SubjectPublicKeyInfo names it.
//! Not here: certificate requests (`request`).

use std::fmt;

use evidence::digest::Digest;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::{Zeroize as _, Zeroizing};

/// The AlgorithmIdentifier of a P-256 key: id-ecPublicKey, prime256v1 (RFC 5480 section 2.1).
const ALGORITHM: [u8; 21] = [
    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07,
];

/// The AlgorithmIdentifier of an Ed25519 key (RFC 8410 section 3).
const ED25519: [u8; 7] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];

/// Bytes of an uncompressed point (SEC 1 section 2.3.3): 0x04, x, y.
const POINT_BYTES: usize = 65;

/// The BIT STRING of a SubjectPublicKeyInfo, up to the point.
const POINT_HEAD: [u8; 3] = [0x03, 0x42, 0x00];

/// The head of a SubjectPublicKeyInfo.
const SPKI_HEAD: [u8; 2] = [0x30, 0x59];

/// PKCS#8 version 1 (RFC 5208), up to the algorithm.
const PKCS8_HEAD: [u8; 6] = [0x30, 0x81, 0x87, 0x02, 0x01, 0x00];

/// The ECPrivateKey (RFC 5915) in it, up to the private number.
const SCALAR_HEAD: [u8; 9] = [0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, 0x20];

/// What stands between the private number and the point.
const PUBLIC_HEAD: [u8; 5] = [0xa1, 0x44, 0x03, 0x42, 0x00];

/// Bytes of a private key.
const PKCS8_BYTES: usize =
    PKCS8_HEAD.len() + ALGORITHM.len() + SCALAR_HEAD.len() + 32 + PUBLIC_HEAD.len() + POINT_BYTES;

/// Why a key is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsKeyError {
    /// The kernel gave no random bytes.
    #[error("no random bytes from the kernel")]
    Random(#[from] getrandom::Error),
    /// The library refused the key, or could not make one or sign.
    #[error("key refused by the certificate library")]
    Library(#[from] rcgen::Error),
    /// A nonce has 16 bytes, the challenge of a login 32.
    #[error("a challenge of a certificate request has 16 or 32 bytes")]
    Challenge,
    /// A key of a version before the first release.
    #[error(
        "this TLS key is Ed25519; TLS keys are ECDSA P-256 now. Make a new one: a person runs `exhibit login`, an endpoint enrols anew \
         with `exhibit-agent enrol --replace`, a mirror and a collector are made anew with `init`"
    )]
    Ed25519,
    /// Another algorithm, or another form of the key.
    #[error("not an ECDSA P-256 key in the one form that TLS keys have (docs/spec/enrolment.md)")]
    Algorithm,
}

/// The public half of a TLS key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TlsPublicKey([u8; POINT_BYTES]);

impl TlsPublicKey {
    /// Reads a SubjectPublicKeyInfo. Whether the point lies on the curve, the library says when it verifies a signature.
    pub(crate) fn from_spki(der: &[u8]) -> Result<Self, TlsKeyError> {
        let content = der.get(SPKI_HEAD.len()..).unwrap_or_default();
        if content.starts_with(&ED25519) {
            return Err(TlsKeyError::Ed25519);
        }
        let content = der.strip_prefix(&SPKI_HEAD).ok_or(TlsKeyError::Algorithm)?;
        let point = content.strip_prefix(&ALGORITHM).and_then(|rest| rest.strip_prefix(&POINT_HEAD));
        Self::from_point(point.ok_or(TlsKeyError::Algorithm)?)
    }

    fn from_point(point: &[u8]) -> Result<Self, TlsKeyError> {
        let point: [u8; POINT_BYTES] = point.try_into().or(Err(TlsKeyError::Algorithm))?;
        if point.starts_with(&[0x04]) { Ok(Self(point)) } else { Err(TlsKeyError::Algorithm) }
    }

    /// 0x04, x, y.
    pub(crate) const fn point(&self) -> &[u8; POINT_BYTES] {
        &self.0
    }

    /// The SubjectPublicKeyInfo, DER.
    #[must_use]
    pub fn spki(&self) -> Vec<u8> {
        [&SPKI_HEAD[..], &ALGORITHM, &POINT_HEAD, &self.0].concat()
    }

    /// SHA-256 of the SubjectPublicKeyInfo: the key's name in documents.
    #[must_use]
    pub fn spki_sha256(&self) -> Digest {
        Digest::of(&self.spki())
    }
}

impl fmt::Debug for TlsPublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "TlsPublicKey({})", self.spki_sha256())
    }
}

/// A TLS key.
pub struct TlsKey {
    pkcs8: Zeroizing<[u8; PKCS8_BYTES]>,
    public: TlsPublicKey,
}

impl TlsKey {
    /// A fresh key.
    pub fn generate() -> Result<Self, TlsKeyError> {
        let mut pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let key = Self::from_pkcs8(pair.serialized_der());
        pair.zeroize();
        key
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> TlsPublicKey {
        self.public
    }

    /// PKCS#8, DER: what the file holds.
    #[must_use]
    pub fn pkcs8(&self) -> &[u8] {
        self.pkcs8.as_slice()
    }

    /// Reads what [`TlsKey::pkcs8`] gives, and nothing else.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, TlsKeyError> {
        if der.get(5..).is_some_and(|rest| rest.starts_with(&ED25519)) {
            return Err(TlsKeyError::Ed25519);
        }
        let point = der
            .strip_prefix(&PKCS8_HEAD)
            .and_then(|rest| rest.strip_prefix(&ALGORITHM))
            .and_then(|rest| rest.strip_prefix(&SCALAR_HEAD))
            .and_then(|rest| rest.get(32..)?.strip_prefix(&PUBLIC_HEAD))
            .ok_or(TlsKeyError::Algorithm)?;
        let public = TlsPublicKey::from_point(point)?;
        let key = Self { pkcs8: Zeroizing::new(der.try_into().or(Err(TlsKeyError::Algorithm))?), public };
        // The library refuses a number that is none and a point that is not its own.
        drop(key.key_pair()?);
        Ok(key)
    }

    /// As rustls takes it.
    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.pkcs8().to_vec()))
    }

    /// As rcgen takes it.
    pub(crate) fn key_pair(&self) -> Result<KeyPair, TlsKeyError> {
        let der = PrivatePkcs8KeyDer::from(self.pkcs8());
        Ok(KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256)?)
    }
}

impl fmt::Debug for TlsKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "TlsKey({})", self.public.spki_sha256())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_form_and_every_other_byte_is_refused() {
        let key = TlsKey::generate().unwrap();
        let der = key.pkcs8().to_vec();
        assert_eq!(TlsKey::from_pkcs8(&der).unwrap().public(), key.public());
        assert_eq!(key.public().spki().len(), 91);
        for at in 0..der.len() {
            let mut other = der.clone();
            other[at] ^= 1;
            assert!(TlsKey::from_pkcs8(&other).is_err(), "byte {at}");
            assert!(TlsKey::from_pkcs8(&der[..at]).is_err(), "cut at {at}");
        }
        assert!(TlsKey::from_pkcs8(&[&der[..], &[0]].concat()).is_err());
        let shown = format!("{key:?}");
        assert!(!shown.contains(&hex::encode(&der[36..68])), "{shown}");
    }

    #[test]
    fn keys_of_other_algorithms_are_refused_and_ed25519_by_name() {
        for algorithm in [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P384_SHA384] {
            let pair = KeyPair::generate_for(algorithm).unwrap();
            let error = TlsKey::from_pkcs8(pair.serialized_der()).unwrap_err();
            let is_ed25519 = matches!(error, TlsKeyError::Ed25519);
            assert_eq!(is_ed25519, algorithm == &rcgen::PKCS_ED25519, "{error}");
            assert_eq!(error.to_string().contains("exhibit login"), is_ed25519, "{error}");
        }
    }
}
