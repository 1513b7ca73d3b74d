//! TLS keys and certificate requests (PKCS#10).
//!
//! Guarantee: a key is its 32-byte seed, so that the same key signs the request, the TLS handshake and the SSHSIG by
//! which it agrees to an enrolment. Only the key of a request counts; names in it count for nothing.
//! Not here: who may have a certificate (server).

use std::fmt;

use evidence::keys::{KeyError, PublicKey, SigningKey};
use rcgen::{CertificateParams, CertificateSigningRequestParams, KeyPair, PKCS_ED25519, PublicKeyData as _};
use rustls::pki_types::{CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;
use zeroize::Zeroizing;

/// PKCS#8 version 1 around an Ed25519 seed (RFC 8410 section 7), up to the seed.
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// A TLS key: Ed25519.
pub struct TlsKey(SigningKey);

/// The bytes before the 64 bytes of an Ed25519 signature at the end of a request: the algorithm and the head of the
/// BIT STRING. The signature does not cover them, and the parser is lenient about them.
const SIGNATURE_HEAD: [u8; 10] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x41, 0x00];

/// Why a key or a request is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The kernel gave no random bytes.
    #[error("no random bytes from the kernel")]
    Random(#[from] getrandom::Error),
    /// The library refused the key or could not write the request.
    #[error("key or request refused by the certificate library")]
    Library(#[from] rcgen::Error),
    /// The request is over the wire's limit.
    #[error("request of {len} bytes, at most {max} are read")]
    Large { len: usize, max: usize },
    /// The bytes are not one PKCS#10 request in DER, or others follow it.
    #[error("not exactly one PKCS#10 request in DER")]
    Form,
    /// The key is of another algorithm than Ed25519.
    #[error("the request's key is not Ed25519")]
    Algorithm,
    /// A key of small order or in a second spelling: its signatures bind nobody.
    #[error("the request's key is weak")]
    Weak(#[from] KeyError),
}

impl TlsKey {
    /// A fresh key.
    pub fn generate() -> Result<Self, RequestError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice())?;
        Ok(Self::from_seed(&seed))
    }

    /// The key with this seed.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_seed(seed))
    }

    /// The same key, to sign the enrolment, renewal or login that names it.
    #[must_use]
    pub fn signing_key(&self) -> &SigningKey {
        &self.0
    }

    /// The public key, as documents write it.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.0.public()
    }

    /// A request for a certificate, DER. It names nobody: the issuer decides the name.
    pub fn request(&self) -> Result<Vec<u8>, RequestError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        Ok(params.serialize_request(&self.key_pair()?)?.der().to_vec())
    }

    /// PKCS#8, DER.
    pub(crate) fn pkcs8(&self) -> Zeroizing<Vec<u8>> {
        let seed = self.0.seed();
        // One allocation of the final size: growing would leave a copy of the seed in freed memory.
        let mut der = Zeroizing::new(Vec::with_capacity(PKCS8_PREFIX.len() + seed.len()));
        der.extend_from_slice(&PKCS8_PREFIX);
        der.extend_from_slice(seed.as_slice());
        der
    }

    /// Reads what [`TlsKey::pkcs8`] writes, and nothing else.
    pub(crate) fn from_pkcs8(der: &[u8]) -> Result<Self, RequestError> {
        let seed = der.strip_prefix(&PKCS8_PREFIX).ok_or(RequestError::Algorithm)?;
        Ok(Self::from_seed(seed.try_into().or(Err(RequestError::Algorithm))?))
    }

    /// As rustls takes it.
    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.pkcs8().to_vec()))
    }

    /// As rcgen takes it.
    pub(crate) fn key_pair(&self) -> Result<KeyPair, RequestError> {
        let der = self.pkcs8();
        Ok(KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(der.as_slice()), &PKCS_ED25519)?)
    }
}

impl fmt::Debug for TlsKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "TlsKey({})", self.public())
    }
}

/// The Ed25519 key in a request, which the key's owner must have signed.
pub fn public_key(request: &[u8]) -> Result<PublicKey, RequestError> {
    let max = proto::limits::CSR_BYTES_MAX;
    if request.len() > max {
        return Err(RequestError::Large { len: request.len(), max });
    }
    let (rest, _) = X509CertificationRequest::from_der(request).or(Err(RequestError::Form))?;
    if !rest.is_empty() {
        return Err(RequestError::Form);
    }
    let signature = request.len().checked_sub(64).and_then(|at| request.get(..at));
    if signature.is_none_or(|before| !before.ends_with(&SIGNATURE_HEAD)) {
        return Err(RequestError::Algorithm);
    }
    // Verifies the request's signature with the key in it: proof of possession.
    let params = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(request))?;
    if params.public_key.algorithm() != &PKCS_ED25519 {
        return Err(RequestError::Algorithm);
    }
    let point = params.public_key.der_bytes().try_into().or(Err(RequestError::Algorithm))?;
    Ok(PublicKey::from_ed25519(point)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_yields_the_key_that_signed_it() {
        let key = TlsKey::generate().unwrap();
        assert_eq!(public_key(&key.request().unwrap()).unwrap(), key.public());
        assert_eq!(TlsKey::from_pkcs8(&key.pkcs8()).unwrap().public(), key.public());
        assert_eq!(key.key_pair().unwrap().public_key_raw(), key.public().point());
    }

    #[test]
    fn the_seed_is_that_of_rfc_8032_test_1() {
        let seed = hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
        let key = TlsKey::from_seed(&seed.try_into().unwrap());
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(hex::encode(key.key_pair().unwrap().public_key_raw()), public);
        assert!(!format!("{key:?}").contains("9d61"));
    }

    #[test]
    fn a_request_with_any_byte_changed_cut_or_added_is_refused() {
        let request = TlsKey::generate().unwrap().request().unwrap();
        for at in 0..request.len() {
            let mut other = request.clone();
            other[at] ^= 1;
            assert!(public_key(&other).is_err(), "byte {at}");
            assert!(public_key(&request[..at]).is_err(), "cut at {at}");
        }
        let mut longer = request;
        longer.push(0);
        assert!(matches!(public_key(&longer), Err(RequestError::Form)));
        assert!(matches!(public_key(&vec![0; 9000]), Err(RequestError::Large { .. })));
    }

    #[test]
    fn a_request_for_another_algorithm_is_refused() {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let request = CertificateParams::default().serialize_request(&key).unwrap();
        assert!(matches!(public_key(request.der()), Err(RequestError::Algorithm)));
    }
}
