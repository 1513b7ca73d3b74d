//! `SignedData` with one signer: the envelope of a time stamp (RFC 5652).

use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use webpki::EndEntityCert;

use super::algorithm::Hash;
use super::certificate::Parts;
use super::der::{self, Element, oid};
use super::error::StampError;

/// Most certificates in a response, and most attributes of a signature: a chain has three or four.
const CERTIFICATES_MAX: usize = 16;

const SIGNED_DATA: &[u8] = &oid([42, 134, 72, 134, 247, 13, 1, 7, 2]);
const TST_INFO: &[u8] = &oid([42, 134, 72, 134, 247, 13, 1, 9, 16, 1, 4]);
const CONTENT_TYPE: &[u8] = &oid([42, 134, 72, 134, 247, 13, 1, 9, 3]);
const MESSAGE_DIGEST: &[u8] = &oid([42, 134, 72, 134, 247, 13, 1, 9, 4]);
/// Tag of a signer's key identifier.
const KEY_IDENTIFIER: u8 = 0x80;
/// `id-aa-signingCertificateV2`, RFC 5816.
const SIGNING_CERTIFICATE: &[u8] = &oid([42, 134, 72, 134, 247, 13, 1, 9, 16, 2, 47]);

/// The parts of a `SignedData` with one signer.
pub(super) struct SignedData<'a> {
    pub(super) content: &'a [u8],
    pub(super) certificates: Vec<CertificateDer<'a>>,
    /// The signer, by issuer and serial number or by key identifier.
    identifier: Element<'a>,
    hash: Hash,
    algorithms: Vec<&'static dyn SignatureVerificationAlgorithm>,
    /// The signed attributes, without their tag and length.
    attributes: &'a [u8],
    /// The same attributes, as the set that is signed (RFC 5652, section 5.4).
    message: Vec<u8>,
    signature: &'a [u8],
}

impl<'a> SignedData<'a> {
    pub(super) fn parse(token: &'a [u8]) -> Option<Self> {
        let info = der::whole(token, der::SEQUENCE)?;
        let (kind, rest) = der::expect(info, der::OID)?;
        let explicit = der::whole(rest, der::context(0))?;
        let body = der::whole(explicit, der::SEQUENCE)?;
        let (version, rest) = der::expect(body, der::INTEGER)?;
        let (hashes, rest) = der::expect(rest, der::SET)?;
        let (encapsulated, rest) = der::expect(rest, der::SEQUENCE)?;
        let (inner_kind, inner) = der::expect(encapsulated, der::OID)?;
        // Version 3: the content is not plain data (RFC 5652, section 5.1).
        if kind != SIGNED_DATA || inner_kind != TST_INFO || version != [3] {
            return None;
        }
        let content = der::whole(der::whole(inner, der::context(0))?, der::OCTETS)?;
        let (certificates, rest) = der::expect(rest, der::context(0))?;
        let certificates = der::all(certificates, CERTIFICATES_MAX)?;
        let certificates = certificates.iter().map(|element| CertificateDer::from(element.raw)).collect();
        // Revocation lists are no part of a stamp: nothing would hold them.
        let signers = der::whole(rest, der::SET)?;
        let signer = der::whole(signers, der::SEQUENCE)?;
        let (version, rest) = der::expect(signer, der::INTEGER)?;
        let (identifier, rest) = der::next(rest)?;
        // Version 1 names issuer and serial number, version 3 a key (RFC 5652, section 5.3).
        let is_version = matches!((version, identifier.tag), ([1], der::SEQUENCE) | ([3], KEY_IDENTIFIER));
        if !is_version {
            return None;
        }
        let (hash, rest) = der::expect(rest, der::SEQUENCE)?;
        let (attributes, rest) = der::expect(rest, der::context(0))?;
        let (algorithm, rest) = der::expect(rest, der::SEQUENCE)?;
        // No unsigned attributes, for the same reason as no revocation lists.
        let signature = der::whole(rest, der::OCTETS)?;
        if der::whole(hashes, der::SEQUENCE)? != hash {
            return None;
        }
        Some(Self {
            content,
            certificates,
            identifier,
            hash: Hash::parse(hash)?,
            algorithms: Hash::parse(hash)?.algorithms(algorithm)?,
            attributes,
            message: der::encode(der::SET, attributes),
            signature,
        })
    }

    fn attribute(&self, name: &[u8]) -> Option<Element<'a>> {
        let mut found = der::all(self.attributes, CERTIFICATES_MAX)?.into_iter().filter_map(|attribute| {
            let (kind, values) = der::expect(attribute.content, der::OID)?;
            (kind == name).then_some(der::whole(values, der::SET)?)
        });
        let values = found.next()?;
        match (found.next(), der::all(values, 1)?.as_slice()) {
            (None, [value]) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn check_attributes(&self) -> Result<(), StampError> {
        if self.attribute(CONTENT_TYPE).map(|value| value.content) != Some(TST_INFO) {
            return Err(StampError::OtherContentType);
        }
        if self.attribute(MESSAGE_DIGEST).map(|value| value.content)
            != Some(self.hash.of(self.content).as_slice())
        {
            return Err(StampError::OtherContent);
        }
        Ok(())
    }

    /// The certificate whose key signed, and which the signature names.
    pub(super) fn signer(&self) -> Result<&CertificateDer<'a>, StampError> {
        let signs = |certificate: &&CertificateDer<'a>| {
            EndEntityCert::try_from(*certificate).is_ok_and(|parsed| {
                self.algorithms.iter().any(|algorithm| {
                    parsed.verify_signature(*algorithm, &self.message, self.signature).is_ok()
                })
            })
        };
        let named = |certificate: &&CertificateDer<'a>| match self.attribute(SIGNING_CERTIFICATE) {
            // The older attribute holds SHA-1, which proves nothing. The signature alone then tells whose it is.
            None => true,
            Some(value) => signing_certificate(value.raw)
                .is_some_and(|(hash, digest)| hash.of(certificate.as_ref()) == digest),
        };
        self.certificates
            .iter()
            .filter(|certificate| is_meant(certificate, self.identifier))
            .filter(signs)
            .find(named)
            .ok_or(StampError::Unsigned)
    }
}

/// True if a signer's identifier is `SEQUENCE { issuer, serial }` of this certificate. A key identifier adds nothing to the key.
fn is_meant(certificate: &CertificateDer<'_>, identifier: Element<'_>) -> bool {
    let is_named = |parts: Parts<'_>| parts.named_by() == identifier.content;
    identifier.tag != der::SEQUENCE || Parts::of(certificate).is_some_and(is_named)
}

/// `SigningCertificateV2 ::= SEQUENCE { SEQUENCE OF SEQUENCE { hash DEFAULT SHA-256, certHash, … }, … }`: the first.
fn signing_certificate(value: &[u8]) -> Option<(Hash, &[u8])> {
    let (list, _) = der::expect(der::whole(value, der::SEQUENCE)?, der::SEQUENCE)?;
    let (first, _) = der::expect(list, der::SEQUENCE)?;
    match der::expect(first, der::SEQUENCE) {
        Some((hash, rest)) => Some((Hash::parse(hash)?, der::expect(rest, der::OCTETS)?.0)),
        None => Some((Hash::Sha256, der::expect(first, der::OCTETS)?.0)),
    }
}
