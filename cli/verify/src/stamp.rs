//! RFC 3161 stamps: a third party's word that bytes existed at a time.
//! Guarantee: a stamp counts only when its signer chains to a pinned root (or is pinned itself) with the time-stamping key usage, and its
//! imprint is that of the data.

use cms::cert::CertificateChoices;
use cms::cert::x509::der::{Decode as _, Encode as _};
use cms::content_info::ContentInfo;
use cms::signed_data::SignedData;
use rustls_pki_types::CertificateDer;
use sigstore_tsa::{TsaAuthority, verify_timestamp_for_authority};
use sigstore_types::{DerCertificate, SignatureBytes, TimestampToken};

/// Most certificates tried as signer, and most pinned roots: a chain has three or four.
const CERTIFICATES_MAX: usize = 16;

/// Verifies a time-stamp response over `data` under the pinned certificates and returns the time it names (RFC 3339).
pub(crate) fn verify(
    response: &[u8],
    data: &[u8],
    pinned: &[CertificateDer<'static>],
) -> Result<String, String> {
    let inside = certificates(response).ok_or("not a time-stamp response with certificates inside")?;
    let token = TimestampToken::new(response.to_vec());
    let data = SignatureBytes::from_bytes(data);
    let intermediates: Vec<_> = inside
        .iter()
        .take(CERTIFICATES_MAX)
        .map(|der| DerCertificate::from_bytes(der))
        .collect();
    // RFC 3161 allows fractions of a second; the library beneath reads none and would say no more than "malformed".
    if time_of(response).is_some_and(|time| time.contains(&b'.')) {
        return Err("its time has a fraction of a second, which this version does not read; \
            check this one stamp with: openssl ts -verify -data FILE -in FILE.tsr -CAfile tsa.pem"
            .to_owned());
    }
    let mut last = "no certificate is pinned".to_owned();
    for root in pinned.iter().take(CERTIFICATES_MAX) {
        for signer in inside.iter().take(CERTIFICATES_MAX) {
            let authority = TsaAuthority::new(
                DerCertificate::from_bytes(signer),
                intermediates.clone(),
                DerCertificate::from_bytes(root.as_ref()),
                None,
            );
            match verify_timestamp_for_authority(&token, &data, &authority) {
                Ok(time) => return Ok(time.to_string()),
                Err(cause) => last = cause.to_string(),
            }
        }
    }
    Err(last)
}

/// What a response signs.
fn signed_data(response: &[u8]) -> Option<SignedData> {
    // TimeStampResp ::= SEQUENCE { status SEQUENCE, token ContentInfo }
    let (body, _) = element(response)?;
    let (_, token) = element(body)?;
    let info = ContentInfo::from_der(token).ok()?;
    SignedData::from_der(&info.content.to_der().ok()?).ok()
}

/// The text of `genTime`.
fn time_of(response: &[u8]) -> Option<Vec<u8>> {
    let content = signed_data(response)?.encap_content_info.econtent?;
    // TSTInfo ::= SEQUENCE { version, policy, messageImprint, serialNumber, genTime, … }
    let (mut rest, _) = element(content.value())?;
    for _ in 0..4 {
        (_, rest) = element(rest)?;
    }
    element(rest).map(|(time, _)| time.to_vec())
}

/// The certificates inside a response, DER.
fn certificates(response: &[u8]) -> Option<Vec<Vec<u8>>> {
    let certificates = signed_data(response)?.certificates?;
    certificates
        .0
        .iter()
        .map(|choice| match choice {
            CertificateChoices::Certificate(certificate) => certificate.to_der().ok(),
            CertificateChoices::Other(_) => None,
        })
        .collect()
}

/// The content of the first DER element, and what follows it.
fn element(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (first, rest) = (bytes.get(1).copied()?, bytes.get(2..)?);
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if digits.len() > 4 {
            return None;
        }
        (
            digits
                .iter()
                .fold(0, |length: usize, digit| length << 8 | usize::from(*digit)),
            rest,
        )
    };
    rest.split_at_checked(length)
}
