//! RFC 3161 stamps: a third party's word that bytes existed at a time.
//!
//! Guarantee: a stamp counts only when its one signer chains to a pinned certificate, at the time it names, with the time-stamping key usage,
//! and its imprint is that of the data. Not here: revocation (offline there is none), asking for stamps (crate `server`).
//!
//! Why not a library: the one that fits refuses RSA signers and fractions of a second, which most public authorities use.

mod der;

use evidence::time::Time;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use webpki::{
    ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert, aws_lc_rs as algorithms,
};

use der::{Element, oid};

/// Most certificates in a response, and most pinned ones: a chain has three or four.
const CERTIFICATES_MAX: usize = 16;
/// Longest response: 64 KiB; a chain of RSA-4096 certificates needs a tenth.
const RESPONSE_BYTES_MAX: usize = 64 << 10;

/// `id-kp-timeStamping`, RFC 3161 section 2.3.
const TIME_STAMPING: &[u8] = &oid([43, 6, 1, 5, 5, 7, 3, 8]);
const SIGNED_DATA: &[u8] = &oid([42, 134, 72, 134, 247, 13, 1, 7, 2]);
const TST_INFO: &[u8] = &oid([42, 134, 72, 134, 247, 13, 1, 9, 16, 1, 4]);
const CONTENT_TYPE: &[u8] = &oid([42, 134, 72, 134, 247, 13, 1, 9, 3]);
const MESSAGE_DIGEST: &[u8] = &oid([42, 134, 72, 134, 247, 13, 1, 9, 4]);
/// `id-aa-signingCertificateV2`, RFC 5816.
const SIGNING_CERTIFICATE: &[u8] = &oid([42, 134, 72, 134, 247, 13, 1, 9, 16, 2, 47]);

/// A time-stamp response that is whole in itself: about the data, signed by a certificate in it.
pub(crate) struct Stamp {
    /// The time it names (RFC 3339).
    pub(crate) time: String,
    /// Why its signer counts for nothing under the pinned certificates; `None`: it counts.
    pub(crate) unpinned: Option<String>,
}

/// Verifies a time-stamp response over `data` under the pinned certificates.
///
/// # Errors
/// Why it is no stamp over this data, whoever signed it.
pub(crate) fn verify(
    response: &[u8],
    data: &[u8],
    pinned: &[CertificateDer<'static>],
) -> Result<Stamp, String> {
    if response.len() > RESPONSE_BYTES_MAX {
        return Err(format!("it is over {RESPONSE_BYTES_MAX} bytes"));
    }
    let token = token(response)?;
    let signed = Signed::parse(token).ok_or("it is no time-stamp response")?;
    let info = Info::parse(signed.content).ok_or("its time-stamp info is malformed")?;
    let imprint = info.hash.of(data);
    if imprint != info.imprint {
        return Err("it is about other data".to_owned());
    }
    signed.check_attributes()?;
    let leaf = signed.signer()?;
    let unpinned = chain(leaf, &signed.certificates, pinned, &info).err();
    Ok(Stamp { time: info.time, unpinned })
}

/// `TimeStampResp ::= SEQUENCE { status SEQUENCE { INTEGER, … }, token ContentInfo }`: the token of a granted one.
fn token(response: &[u8]) -> Result<&[u8], String> {
    let parts = || {
        let body = der::whole(response, der::SEQUENCE)?;
        let (status, rest) = der::expect(body, der::SEQUENCE)?;
        let (number, _) = der::expect(status, der::INTEGER)?;
        Some((number, rest))
    };
    match parts().ok_or("it is no time-stamp response")? {
        // granted, grantedWithMods
        ([0 | 1], token) => Ok(token),
        (status, _) => Err(format!("the authority refused (status {status:?})")),
    }
}

/// The parts of a `SignedData` with one signer.
struct Signed<'a> {
    content: &'a [u8],
    certificates: Vec<CertificateDer<'a>>,
    /// Who signed, by issuer and serial number or by key identifier.
    identifier: Element<'a>,
    hash: Hash,
    algorithms: Vec<&'static dyn SignatureVerificationAlgorithm>,
    /// The signed attributes, without their tag and length.
    attributes: &'a [u8],
    /// Those, as the set that is signed (RFC 5652, section 5.4).
    message: Vec<u8>,
    signature: &'a [u8],
}

impl<'a> Signed<'a> {
    fn parse(token: &'a [u8]) -> Option<Self> {
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
        // Revocation lists may follow; nobody here reads them.
        let rest = der::skip(rest, der::context(1))?;
        let signers = der::whole(rest, der::SET)?;
        let signer = der::whole(signers, der::SEQUENCE)?;
        let (_version, rest) = der::expect(signer, der::INTEGER)?;
        let (identifier, rest) = der::next(rest)?;
        let (hash, rest) = der::expect(rest, der::SEQUENCE)?;
        let (attributes, rest) = der::expect(rest, der::context(0))?;
        let (algorithm, rest) = der::expect(rest, der::SEQUENCE)?;
        let (signature, _unsigned) = der::expect(rest, der::OCTETS)?;
        let listed = der::all(hashes, CERTIFICATES_MAX)?;
        let hash = listed.iter().any(|listed| listed.content == hash).then_some(hash)?;
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

    fn check_attributes(&self) -> Result<(), String> {
        if self.attribute(CONTENT_TYPE).map(|value| value.content) != Some(TST_INFO) {
            return Err("its signature is about another kind of content".to_owned());
        }
        if self.attribute(MESSAGE_DIGEST).map(|value| value.content)
            != Some(self.hash.of(self.content).as_slice())
        {
            return Err("its signature is about other content".to_owned());
        }
        Ok(())
    }

    /// The certificate whose key signed, and which the signature names.
    fn signer(&self) -> Result<&CertificateDer<'a>, String> {
        let signs = |certificate: &&CertificateDer<'a>| {
            EndEntityCert::try_from(*certificate).is_ok_and(|parsed| {
                self.algorithms.iter().any(|algorithm| {
                    parsed.verify_signature(*algorithm, &self.message, self.signature).is_ok()
                })
            })
        };
        let named = |certificate: &&CertificateDer<'a>| match self.attribute(SIGNING_CERTIFICATE) {
            // The older attribute holds SHA-1, which proves nothing: then the signature alone says whose it is.
            None => true,
            Some(value) => signing_certificate(value.raw)
                .is_some_and(|(hash, digest)| hash.of(certificate.as_ref()) == digest),
        };
        self.certificates
            .iter()
            .filter(|certificate| is_meant(certificate, self.identifier))
            .filter(signs)
            .find(named)
            .ok_or_else(|| "it is not signed by a certificate in it".to_owned())
    }
}

/// Whether a signer's identifier is `SEQUENCE { issuer, serial }` of this certificate. A key identifier says nothing that the key does not.
fn is_meant(certificate: &CertificateDer<'_>, identifier: Element<'_>) -> bool {
    let parts = || {
        let (body, _) = der::expect(der::whole(certificate, der::SEQUENCE)?, der::SEQUENCE)?;
        let body = der::skip(body, der::context(0))?;
        let (serial, rest) = der::next(body)?;
        let (_algorithm, rest) = der::next(rest)?;
        let (issuer, _) = der::next(rest)?;
        Some([issuer.raw, serial.raw].concat())
    };
    identifier.tag != der::SEQUENCE || parts().is_some_and(|parts| parts == identifier.content)
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

fn chain(
    leaf: &CertificateDer<'_>,
    inside: &[CertificateDer<'_>],
    pinned: &[CertificateDer<'static>],
    info: &Info<'_>,
) -> Result<(), String> {
    let anchors: Vec<TrustAnchor<'_>> = pinned
        .iter()
        .take(CERTIFICATES_MAX)
        .filter_map(|certificate| anchor_from_trusted_cert(certificate).ok())
        .collect();
    let leaf = EndEntityCert::try_from(leaf).map_err(|cause| format!("its signer's certificate: {cause}"))?;
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(info.at.unix_seconds()));
    let usage = KeyUsage::required(TIME_STAMPING);
    leaf.verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, inside, at, usage, None, None)
        .map(drop)
        .map_err(|cause| format!("its signer is not one that the pinned tsa.pem lets stamp: {cause}"))
}

/// `TSTInfo`, as far as it is read.
struct Info<'a> {
    hash: Hash,
    imprint: &'a [u8],
    at: Time,
    time: String,
}

impl<'a> Info<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let body = der::whole(bytes, der::SEQUENCE)?;
        let (version, rest) = der::expect(body, der::INTEGER)?;
        let (_policy, rest) = der::expect(rest, der::OID)?;
        let (imprint, rest) = der::expect(rest, der::SEQUENCE)?;
        let (_serial, rest) = der::expect(rest, der::INTEGER)?;
        let (time, _) = der::expect(rest, der::TIME)?;
        let (hash, imprint) = der::expect(imprint, der::SEQUENCE)?;
        let (at, time) = time_of(time)?;
        (version == [1]).then_some(Self {
            hash: Hash::parse(hash)?,
            imprint: der::whole(imprint, der::OCTETS)?,
            at,
            time,
        })
    }
}

/// `YYYYMMDDhhmmss[.f…]Z` (RFC 3161, section 2.4.2; no zeros at the end of a fraction) as a time and as RFC 3339.
fn time_of(bytes: &[u8]) -> Option<(Time, String)> {
    let text = str::from_utf8(bytes).ok()?.strip_suffix('Z')?;
    let (seconds, fraction) = match text.split_once('.') {
        None => (text, ""),
        Some((_, fraction)) if fraction.is_empty() || fraction.ends_with('0') || fraction.len() > 9 => {
            return None;
        }
        Some(parts) => parts,
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if seconds.len() != 14 || !digits(seconds) || !digits(fraction) {
        return None;
    }
    let part = |range| seconds.get(range);
    let whole = format!(
        "{}-{}-{}T{}:{}:{}",
        part(0..4)?,
        part(4..6)?,
        part(6..8)?,
        part(8..10)?,
        part(10..12)?,
        part(12..14)?
    );
    let at = format!("{whole}.000Z").parse().ok()?;
    Some(match fraction {
        "" => (at, format!("{whole}Z")),
        fraction => (at, format!("{whole}.{fraction}Z")),
    })
}

/// The hashes of today's authorities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// Reads the inside of an `AlgorithmIdentifier`; its parameters are nothing or NULL.
    fn parse(algorithm: &[u8]) -> Option<Self> {
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

    fn of(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(data).to_vec(),
            Self::Sha384 => Sha384::digest(data).to_vec(),
            Self::Sha512 => Sha512::digest(data).to_vec(),
        }
    }

    /// The signature algorithms that an `AlgorithmIdentifier` of a signer can mean with this hash.
    fn algorithms(self, identifier: &[u8]) -> Option<Vec<&'static dyn SignatureVerificationAlgorithm>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_stamps_are_read_with_and_without_fractions() {
        let text = |bytes: &[u8]| time_of(bytes).map(|(_, text)| text);
        assert_eq!(text(b"20261121100203Z").as_deref(), Some("2026-11-21T10:02:03Z"));
        assert_eq!(text(b"20261121100203.25Z").as_deref(), Some("2026-11-21T10:02:03.25Z"));
        for wrong in [
            "20261121100203",
            "202611211002Z",
            "20261321100203Z",
            "20261121100203.Z",
            "20261121100203.50Z",
            "20261121100203+0100",
            "2026112110020\u{663}Z",
            "+0261121100203Z",
        ] {
            assert_eq!(text(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
