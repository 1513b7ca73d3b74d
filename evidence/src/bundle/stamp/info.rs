//! `TSTInfo`: the content of a stamp, as far as this crate reads it (RFC 3161 section 2.4.2).

use super::algorithm::Hash;
use super::der;
use crate::time::Time;

/// Most optional fields behind the time.
const OPTIONAL_MAX: usize = 5;

/// The fields of a stamp.
pub(super) struct Info<'a> {
    pub(super) hash: Hash,
    pub(super) imprint: &'a [u8],
    pub(super) at: Time,
    /// The stamp's time, in RFC 3339.
    pub(super) time: String,
    /// The nonce of the request that it answers, as the content of an INTEGER.
    pub(super) nonce: Option<&'a [u8]>,
}

impl<'a> Info<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let body = der::whole(bytes, der::SEQUENCE)?;
        let (version, rest) = der::expect(body, der::INTEGER)?;
        let (_policy, rest) = der::expect(rest, der::OID)?;
        let (imprint, rest) = der::expect(rest, der::SEQUENCE)?;
        let (_serial, rest) = der::expect(rest, der::INTEGER)?;
        let (time, rest) = der::expect(rest, der::TIME)?;
        // accuracy SEQUENCE, ordering BOOLEAN, nonce INTEGER, tsa [0], extensions [1]: all optional, in this order.
        let optional = der::all(rest, OPTIONAL_MAX)?;
        let nonce =
            optional.iter().find(|element| element.tag == der::INTEGER).map(|element| element.content);
        let (hash, imprint) = der::expect(imprint, der::SEQUENCE)?;
        let (at, time) = time_of(time)?;
        (version == [1]).then_some(Self {
            hash: Hash::parse(hash)?,
            imprint: der::whole(imprint, der::OCTETS)?,
            at,
            time,
            nonce,
        })
    }
}

/// `YYYYMMDDhhmmss[.f…]Z` (RFC 3161, section 2.4.2; no zeros at the end of a fraction) as a time and as RFC 3339.
pub(super) fn time_of(bytes: &[u8]) -> Option<(Time, String)> {
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
