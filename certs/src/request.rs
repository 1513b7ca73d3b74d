//! Certificate requests (PKCS#10, RFC 2986): made by who wants a certificate, judged by the collector.
//!
//! Guarantee: a request has one form, byte for byte: a P-256 key, one challenge (RFC 2985 section 5.4.1) and the signature of that
//! key over both. So it proves that its maker has the key, and it was made for the one document whose nonce is its challenge.
//! It names nobody and asks for nothing that an issuer could follow. Not here: who may have a certificate (server).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evidence::digest::Digest;
use rcgen::{Attribute, CertificateParams};

use crate::key::{TlsKey, TlsKeyError, TlsPublicKey};

/// 1.2.840.113549.1.9.7, challengePassword (RFC 2985).
const CHALLENGE_OID: [u64; 7] = [1, 2, 840, 113_549, 1, 9, 7];

/// The same in DER.
const CHALLENGE_TYPE: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x07];

/// The object identifier of ecdsa-with-SHA256 (RFC 5758 section 3.2) in DER. It has no parameters.
const ECDSA_WITH_SHA256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// Version 1.
const VERSION: [u8; 3] = [0x02, 0x01, 0x00];

/// Bytes of a challenge: the nonce of an enrolment or renewal, or the challenge of a login.
const CHALLENGE_BYTES: [usize; 2] = [16, 32];

const BIT_STRING: u8 = 0x03;
const UTF8_STRING: u8 = 0x0c;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const ATTRIBUTES: u8 = 0xa0;

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request is over the wire's limit.
    #[error("certificate request of {len} bytes, at most {max} are read")]
    Large { len: usize, max: usize },
    /// The bytes are not one PKCS#10 request in DER, or others follow it.
    #[error("not exactly one PKCS#10 request in strict DER")]
    Form,
    /// Its key is not of P-256.
    #[error("the certificate request's key")]
    Key(#[from] TlsKeyError),
    /// It is signed with another algorithm.
    #[error("the certificate request is not signed with ecdsa-with-SHA256")]
    Algorithm,
    /// It names a subject.
    #[error("the certificate request names a subject; the issuer alone decides the name, so leave it empty")]
    Subject,
    /// No challenge, several, or another attribute.
    #[error("the certificate request has not exactly one attribute, a challengePassword")]
    Attributes,
    /// The challenge is not the text of a nonce.
    #[error("the challenge of the certificate request is not a UTF8String with the base64 of 16 or 32 bytes")]
    Challenge,
    /// Another key signed it, or other bytes.
    #[error("the certificate request is not signed by its own key")]
    Signature,
    /// The document names another request.
    #[error("the certificate request has another {what} than the document names")]
    Differs { what: &'static str },
}

/// What a signed document says of the request that it comes with.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// `tls_spki_sha256`.
    pub spki_sha256: &'a Digest,
    /// `csr_sha256`.
    pub csr_sha256: &'a Digest,
    /// `nonce`, or `challenge` of a login.
    pub challenge: &'a [u8],
}

/// A request that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The key, which signed the request.
    pub key: TlsPublicKey,
    /// The bytes that the challenge spells.
    pub challenge: Vec<u8>,
}

impl TlsKey {
    /// A request for a certificate, DER, for the document with this nonce. It names nobody: the issuer decides the name.
    pub fn request(&self, challenge: &[u8]) -> Result<Vec<u8>, TlsKeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let text = encode(UTF8_STRING, STANDARD.encode(challenge).as_bytes());
        let values = text.and_then(|text| encode(SET, &text)).ok_or(TlsKeyError::Challenge)?;
        let attribute = Attribute { oid: &CHALLENGE_OID, values };
        Ok(params.serialize_request_with_attributes(&self.key_pair()?, vec![attribute])?.der().to_vec())
    }
}

impl Request {
    /// Reads a request and verifies its signature.
    pub fn read(der: &[u8]) -> Result<Self, RequestError> {
        let max = proto::limits::CSR_BYTES_MAX;
        if der.len() > max {
            return Err(RequestError::Large { len: der.len(), max });
        }
        let request = whole(SEQUENCE, der)?;
        let (info, after) = value(SEQUENCE, request).ok_or(RequestError::Form)?;
        let signed = request.strip_suffix(after).ok_or(RequestError::Form)?;
        let (algorithm, after) = value(SEQUENCE, after).ok_or(RequestError::Form)?;
        let signature = whole(BIT_STRING, after)?.strip_prefix(&[0]).ok_or(RequestError::Form)?;

        let info = info.strip_prefix(&VERSION).ok_or(RequestError::Form)?;
        let (subject, info) = value(SEQUENCE, info).ok_or(RequestError::Form)?;
        let (_, after_key) = value(SEQUENCE, info).ok_or(RequestError::Form)?;
        let spki = info.strip_suffix(after_key).ok_or(RequestError::Form)?;
        let attributes = whole(ATTRIBUTES, after_key)?;
        let key = TlsPublicKey::from_spki(spki)?;
        if algorithm != ECDSA_WITH_SHA256 {
            return Err(RequestError::Algorithm);
        }
        if !subject.is_empty() {
            return Err(RequestError::Subject);
        }
        let challenge = challenge(attributes)?;
        // The verifier takes a signature in strict DER only, and a point only if it lies on the curve.
        let verified = webpki::aws_lc_rs::ECDSA_P256_SHA256.verify_signature(key.point(), signed, signature);
        verified.or(Err(RequestError::Signature))?;
        Ok(Self { key, challenge })
    }

    /// Reads a request that a signed document names. Returns its key.
    pub fn read_named(der: &[u8], named: Named<'_>) -> Result<TlsPublicKey, RequestError> {
        let request = Self::read(der)?;
        for (what, is_same) in [
            ("key", request.key.spki_sha256() == *named.spki_sha256),
            ("challenge", request.challenge == named.challenge),
            ("digest", Digest::of(der) == *named.csr_sha256),
        ] {
            if !is_same {
                return Err(RequestError::Differs { what });
            }
        }
        Ok(request.key)
    }
}

fn challenge(attributes: &[u8]) -> Result<Vec<u8>, RequestError> {
    let only = whole(SEQUENCE, attributes).or(Err(RequestError::Attributes))?;
    let values = only.strip_prefix(&CHALLENGE_TYPE).ok_or(RequestError::Attributes)?;
    let text = whole(SET, values).and_then(|set| whole(UTF8_STRING, set)).or(Err(RequestError::Challenge))?;
    let bytes = STANDARD.decode(text).or(Err(RequestError::Challenge))?;
    if CHALLENGE_BYTES.contains(&bytes.len()) { Ok(bytes) } else { Err(RequestError::Challenge) }
}

/// The content of the one DER value that `input` is.
fn whole(tag: u8, input: &[u8]) -> Result<&[u8], RequestError> {
    match value(tag, input) {
        Some((content, [])) => Ok(content),
        _ => Err(RequestError::Form),
    }
}

/// The content of the DER value that `input` begins with, and what follows it. A length has its shortest form (X.690 section 10.1).
fn value(tag: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match input {
        [first, short @ 0..=0x7f, rest @ ..] if *first == tag => (usize::from(*short), rest),
        [first, 0x81, length @ 0x80..=0xff, rest @ ..] if *first == tag => (usize::from(*length), rest),
        [first, 0x82, high @ 1..=0xff, low, rest @ ..] if *first == tag => {
            (usize::from(u16::from_be_bytes([*high, *low])), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// A DER value, if its content has at most 127 bytes.
fn encode(tag: u8, content: &[u8]) -> Option<Vec<u8>> {
    let length = u8::try_from(content.len()).ok().filter(|length| *length < 0x80)?;
    Some([&[tag, length][..], content].concat())
}
