//! The few DER structures of RFC 3161 that a client needs: a request written by hand, a walk through the response.
//! Guarantee: any input is answered without panic and without allocation beyond the input; lengths must be minimal.

use evidence::digest::Digest;

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const CONTEXT_0: u8 = 0xa0;

/// AlgorithmIdentifier of SHA-256 with NULL parameters, as RFC 5754 section 2 asks of those who generate it.
const SHA256: [u8; 15] =
    [SEQUENCE, 0x0d, OID, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00];
/// Body of the OID 2.16.840.1.101.3.4.2.1.
const SHA256_OID: [u8; 9] = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
/// Body of id-signedData, 1.2.840.113549.1.7.2.
const SIGNED_DATA: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
/// Body of id-ct-TSTInfo, 1.2.840.113549.1.9.16.1.4.
const TST_INFO: [u8; 11] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x04];

/// TimeStampReq: version 1, SHA-256 imprint, nonce, certReq TRUE (so that the stamp verifies without asking again).
pub(super) fn request(digest: &Digest, nonce: &[u8; 16]) -> Vec<u8> {
    let mut imprint = SHA256.to_vec();
    imprint.extend(wrap(OCTET_STRING, digest.as_bytes()));
    let mut body = vec![INTEGER, 1, 1];
    body.extend(wrap(SEQUENCE, &imprint));
    body.extend(wrap(INTEGER, &positive(nonce)));
    body.extend([0x01, 1, 0xff]);
    wrap(SEQUENCE, &body)
}

/// A positive INTEGER's content: minimal, with a zero before a set top bit.
fn positive(number: &[u8; 16]) -> Vec<u8> {
    let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len() - 1);
    let digits = number.get(start..).unwrap_or_default();
    let mut content = Vec::with_capacity(17);
    if digits.first().is_some_and(|byte| byte & 0x80 != 0) {
        content.push(0);
    }
    content.extend(digits);
    content
}

/// Tag, length, content; contents here are below 128 bytes.
fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short @ 0..=127) => bytes.push(short),
        Ok(long) => bytes.extend([0x81, long]),
        Err(_) => bytes.extend([0x82, 0xff]),
    }
    bytes.extend(content);
    bytes
}

/// What a response must say: granted, for this digest, with this nonce.
pub(super) fn check_response(
    response: &[u8],
    digest: &Digest,
    nonce: &[u8; 16],
) -> Result<(), ResponseError> {
    let info = tst_info(response)?;
    let mut info = Walk(info);
    info.expect(INTEGER, "TSTInfo version")?;
    info.expect(OID, "policy")?;
    let mut imprint = Walk(info.expect(SEQUENCE, "message imprint")?);
    let mut algorithm = Walk(imprint.expect(SEQUENCE, "hash algorithm")?);
    let is_sha256 = algorithm.expect(OID, "hash algorithm")? == SHA256_OID;
    if !is_sha256 || imprint.expect(OCTET_STRING, "digest")? != digest.as_bytes() {
        return Err(ResponseError::Imprint);
    }
    info.expect(INTEGER, "serial number")?;
    info.expect(GENERALIZED_TIME, "time")?;
    // accuracy SEQUENCE, ordering BOOLEAN, nonce INTEGER, tsa [0], extensions [1]: all optional, in this order.
    while let Some((tag, content)) = info.next()? {
        if tag == INTEGER {
            return if content == positive(nonce) { Ok(()) } else { Err(ResponseError::Nonce) };
        }
    }
    Err(ResponseError::Nonce)
}

/// When the first of the certificates ends that may stamp, in milliseconds since 1970. `None`: the response holds none, and
/// whoever verifies it needs to have it from elsewhere.
pub(super) fn stamping_ends_ms(response: &[u8]) -> Option<u64> {
    let mut signed = signed_data(response).ok()?;
    signed.expect(SEQUENCE, "encapsulated content").ok()?;
    let mut certificates = Walk(signed.expect(CONTEXT_0, "certificates").ok()?);
    let mut ends = None;
    while !certificates.0.is_empty() {
        let from = certificates.0;
        certificates.next().ok()??;
        let raw = from.get(..from.len() - certificates.0.len())?;
        let (_, certificate) = x509_parser::parse_x509_certificate(raw).ok()?;
        let usage = certificate.extended_key_usage().ok().flatten();
        if usage.is_some_and(|usage| usage.value.time_stamping) {
            let end = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
            ends = Some(ends.map_or(end, |before: u64| before.min(end)));
        }
    }
    ends.map(|end| end.saturating_mul(1000))
}

/// Content of the TSTInfo inside a granted response.
fn tst_info(response: &[u8]) -> Result<&[u8], ResponseError> {
    let mut signed = signed_data(response)?;
    let mut content = Walk(signed.expect(SEQUENCE, "encapsulated content")?);
    if content.expect(OID, "content type")? != TST_INFO {
        return Err(ResponseError::Shape { what: "content type" });
    }
    let mut explicit = Walk(content.expect(CONTEXT_0, "content")?);
    let mut octets = Walk(explicit.expect(OCTET_STRING, "content")?);
    octets.expect(SEQUENCE, "TSTInfo")
}

/// What follows the digest algorithms in the SignedData of a granted response.
fn signed_data(response: &[u8]) -> Result<Walk<'_>, ResponseError> {
    let mut outer = Walk(response);
    let mut answer = Walk(outer.expect(SEQUENCE, "response")?);
    if !outer.0.is_empty() {
        return Err(ResponseError::Shape { what: "end of the response" });
    }
    let mut status = Walk(answer.expect(SEQUENCE, "status")?);
    let code = status.expect(INTEGER, "status")?;
    // granted or grantedWithMods; anything else comes without a token.
    if !matches!(code, [0 | 1]) {
        let words = status.next()?.map(|(_, content)| printable(content)).unwrap_or_default();
        return Err(ResponseError::Refused { status: code.first().copied().unwrap_or(u8::MAX), words });
    }
    let mut token = Walk(answer.expect(SEQUENCE, "token")?);
    if token.expect(OID, "token type")? != SIGNED_DATA {
        return Err(ResponseError::Shape { what: "token type" });
    }
    let mut wrapped = Walk(token.expect(CONTEXT_0, "token content")?);
    let mut signed = Walk(wrapped.expect(SEQUENCE, "signed data")?);
    signed.expect(INTEGER, "signed data version")?;
    signed.expect(SET, "digest algorithms")?;
    Ok(signed)
}

/// The authority's own words, kept short and harmless.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().filter(|character| !character.is_control()).take(200).collect()
}

/// Elements of DER, one after the other.
struct Walk<'der>(&'der [u8]);

impl<'der> Walk<'der> {
    fn next(&mut self) -> Result<Option<(u8, &'der [u8])>, ResponseError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let (tag, content, rest) = element(self.0).ok_or(ResponseError::Shape { what: "an element" })?;
        self.0 = rest;
        Ok(Some((tag, content)))
    }

    fn expect(&mut self, expected: u8, what: &'static str) -> Result<&'der [u8], ResponseError> {
        match self.next()? {
            Some((tag, content)) if tag == expected => Ok(content),
            _ => Err(ResponseError::Shape { what }),
        }
    }
}

/// Tag, content and what follows; `None` unless the length is definite, minimal and there.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    // No tag of ours needs more than one byte.
    if tag & 0x1f == 0x1f {
        return None;
    }
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = digits
                .iter()
                .try_fold(0_usize, |sum, digit| sum.checked_mul(256)?.checked_add(usize::from(*digit)))?;
            if length < 128 || digits.first() == Some(&0) {
                return None;
            }
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// A response that is no stamp for the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// It stamps other bytes.
    #[error("the stamp is for another digest")]
    Imprint,
    /// It answers another request.
    #[error("the stamp has another nonce or none")]
    Nonce,
    /// The authority said no.
    #[error("refused with status {status}: {words}")]
    Refused {
        /// PKIStatus.
        status: u8,
        /// Its words.
        words: String,
    },
    /// Not the structure of RFC 3161.
    #[error("{what} is not where RFC 3161 has it")]
    Shape {
        /// Which part.
        what: &'static str,
    },
}
