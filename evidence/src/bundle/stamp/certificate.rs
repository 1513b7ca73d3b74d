//! As much of a certificate (RFC 5280) as a time stamp needs, and the chain of the certificates that a stamp carries.

use rustls_pki_types::CertificateDer;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert};

use super::der::{self, Element};
use super::info::time_of;
use crate::time::Time;

/// Parts of a certificate.
pub(super) struct Parts<'a> {
    /// What is signed.
    body: &'a [u8],
    serial: &'a [u8],
    issuer: &'a [u8],
    end: Element<'a>,
    subject: &'a [u8],
    /// The inside of its `AlgorithmIdentifier`.
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Parts<'a> {
    pub(super) fn of(certificate: &'a [u8]) -> Option<Self> {
        let (body, rest) = der::next(der::whole(certificate, der::SEQUENCE)?)?;
        let (algorithm, rest) = der::expect(rest, der::SEQUENCE)?;
        let signature = der::whole(rest, der::BITS)?.strip_prefix(&[0])?;
        let inside = der::skip(body.content, der::context(0))?;
        let (serial, inside) = der::next(inside)?;
        let (_algorithm, inside) = der::expect(inside, der::SEQUENCE)?;
        let (issuer, inside) = der::next(inside)?;
        let (validity, inside) = der::expect(inside, der::SEQUENCE)?;
        let (subject, _) = der::next(inside)?;
        let (_begin, validity) = der::next(validity)?;
        let (end, _) = der::next(validity)?;
        Some(Self {
            body: body.raw,
            serial: serial.raw,
            issuer: issuer.raw,
            end,
            subject: subject.raw,
            algorithm,
            signature,
        })
    }

    /// `issuer, serial`, by which a signature names its signer.
    pub(super) fn named_by(&self) -> Vec<u8> {
        [self.issuer, self.serial].concat()
    }

    /// The end of its validity (RFC 5280 section 4.1.2.5).
    pub(super) fn ends(&self) -> Option<Time> {
        let content = self.end.content;
        match self.end.tag {
            der::TIME => time_of(content).map(|(time, _)| time),
            der::UTC_TIME => {
                // A two-digit year from 50 on belongs to the last century.
                let century: &[u8] = if content.first()? >= &b'5' { b"19" } else { b"20" };
                time_of(&[century, content].concat()).map(|(time, _)| time)
            }
            _ => None,
        }
    }

    /// True if the other certificate has the issuer's name, and its key made this signature.
    fn is_by(&self, issuer: &CertificateDer<'_>) -> bool {
        let is_named = Parts::of(issuer).is_some_and(|parts| parts.subject == self.issuer);
        is_named
            && EndEntityCert::try_from(issuer).is_ok_and(|parsed| {
                let mut fitting = ALL_VERIFICATION_ALGS
                    .iter()
                    .filter(|one| one.signature_alg_id().as_ref() == self.algorithm);
                fitting.any(|one| parsed.verify_signature(*one, self.body, self.signature).is_ok())
            })
    }
}

/// True if the certificates are one chain: the signer's, then each the issuer of the one before, in any order. A last one that names
/// itself as its issuer must be so. Whether its end is trusted is asked elsewhere.
pub(super) fn is_one_chain(signer: &CertificateDer<'_>, certificates: &[CertificateDer<'_>]) -> bool {
    let mut spare: Vec<&CertificateDer<'_>> = certificates.iter().collect();
    let Some(first) = spare.iter().position(|one| *one == signer) else { return false };
    let mut last = spare.swap_remove(first);
    loop {
        let Some(parts) = Parts::of(last) else { return false };
        if parts.subject == parts.issuer {
            return spare.is_empty() && parts.is_by(last);
        }
        match spare.iter().position(|one| parts.is_by(one)) {
            Some(place) => last = spare.swap_remove(place),
            None => return spare.is_empty(),
        }
    }
}
