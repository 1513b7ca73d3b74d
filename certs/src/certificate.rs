//! The content of one of our leaf certificates, read strictly.
//!
//! Guarantee: a certificate that parses here names exactly one identity and one P-256 key, and nothing else that
//! a verifier could mistake for a name. Not here: whether the authority signed it (`tls`, by WebPKI).

use std::fmt;

use evidence::time::Time;
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use crate::COLLECTOR_NAME;
use crate::key::{TlsKeyError, TlsPublicKey};
use crate::name::{Identity, Kind, NameError};

/// A serial number: 16 random bytes, drawn by the authority.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(pub [u8; 16]);

impl fmt::Display for Serial {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// A leaf certificate's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The identity that it names.
    pub identity: Identity,
    /// Its serial number.
    pub serial: Serial,
    /// SHA-256 of the certificate (DER).
    pub fingerprint: [u8; 32],
    /// Its key.
    pub key: TlsPublicKey,
    /// From when it holds.
    pub not_before: Time,
    /// Until when it holds, inclusive.
    pub not_after: Time,
}

/// Why a certificate is not one of ours.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Not one certificate in DER, or a field that RFC 5280 does not allow.
    #[error("not exactly one X.509 certificate in DER")]
    Form,
    /// An authority's certificate where a leaf is due.
    #[error("an authority's certificate where a leaf is due")]
    Authority,
    /// The key is not of P-256.
    #[error("the certificate's key")]
    Key(#[from] TlsKeyError),
    /// Zero, negative or longer than 16 bytes.
    #[error("the serial number is not one of up to 16 bytes")]
    Serial,
    /// No alternative name, more than ours, or of other kinds.
    #[error("the alternative names are not exactly those of one identity")]
    Names,
    /// The URI is no identity.
    #[error("the alternative name is no identity")]
    Identity(#[from] NameError),
    /// Validity outside the years 1970 to 9999.
    #[error("the validity is outside the years 1970 to 9999")]
    Validity,
}

impl Leaf {
    /// Reads a leaf certificate.
    pub fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        let (rest, certificate) = X509Certificate::from_der(der).or(Err(CertificateError::Form))?;
        if !rest.is_empty() {
            return Err(CertificateError::Form);
        }
        if certificate.is_ca() {
            return Err(CertificateError::Authority);
        }
        Ok(Self {
            identity: identity(&certificate)?,
            serial: serial(certificate.raw_serial())?,
            fingerprint: Sha256::digest(der).into(),
            key: TlsPublicKey::from_spki(certificate.public_key().raw)?,
            not_before: time(certificate.validity().not_before.timestamp())?,
            not_after: time(certificate.validity().not_after.timestamp())?,
        })
    }
}

fn identity(certificate: &X509Certificate<'_>) -> Result<Identity, CertificateError> {
    let names = certificate.subject_alternative_name().or(Err(CertificateError::Form))?;
    let names = names.ok_or(CertificateError::Names)?.value.general_names.as_slice();
    match names {
        [GeneralName::URI(uri)] => {
            let identity: Identity = uri.parse()?;
            // A collector is found by its DNS name; one without it could not have been issued by our authority.
            if identity.subject.kind() == Kind::Collector {
                Err(CertificateError::Names)
            } else {
                Ok(identity)
            }
        }
        [GeneralName::URI(uri), GeneralName::DNSName(COLLECTOR_NAME)] => {
            let identity: Identity = uri.parse()?;
            if identity.subject.kind() == Kind::Collector {
                Ok(identity)
            } else {
                Err(CertificateError::Names)
            }
        }
        _ => Err(CertificateError::Names),
    }
}

/// DER integers are minimal: 17 bytes with a leading zero when the first bit is set, fewer when bytes were zero.
fn serial(raw: &[u8]) -> Result<Serial, CertificateError> {
    if raw.first().is_none_or(|first| first & 0x80 != 0) || raw.iter().all(|byte| *byte == 0) {
        return Err(CertificateError::Serial);
    }
    let digits = raw.strip_prefix(&[0]).unwrap_or(raw);
    let mut serial = [0; 16];
    let start = serial.len().checked_sub(digits.len()).ok_or(CertificateError::Serial)?;
    serial.get_mut(start..).ok_or(CertificateError::Serial)?.copy_from_slice(digits);
    Ok(Serial(serial))
}

fn time(seconds: i64) -> Result<Time, CertificateError> {
    let ms = u64::try_from(seconds).ok().and_then(|seconds| seconds.checked_mul(1000));
    ms.and_then(Time::from_unix_ms).ok_or(CertificateError::Validity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_are_read_whatever_their_first_bits() {
        let mut high = vec![0x00];
        high.extend([0xff; 16]);
        assert_eq!(serial(&high).unwrap(), Serial([0xff; 16]));
        assert_eq!(serial(&[0x7f]).unwrap().0[15], 0x7f);
        for wrong in [&[][..], &[0x00], &[0x80], &[0x01; 17]] {
            assert!(serial(wrong).is_err(), "{wrong:?}");
        }
    }
}
