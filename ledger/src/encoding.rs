//! The text encodings that C2SP formats share. Each value has one spelling.
//! Guarantee: `decode(encode(x)) == x`, and nothing else decodes to `x`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Standard base64 with padding (RFC 4648 section 4).
pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Canonical base64 only: padding required, spare bits zero, no white space.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// A decimal number of ASCII digits without sign or leading zero.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || (text.len() > 1 && text.starts_with('0')) {
        return None;
    }
    text.parse().ok()
}

/// The least significant byte of `number`: the place of a hash inside its tile.
pub(crate) fn low_byte(number: u64) -> u8 {
    let [.., byte] = number.to_be_bytes();
    byte
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_have_one_spelling() {
        assert_eq!(decimal("0"), Some(0));
        assert_eq!(decimal("18446744073709551615"), Some(u64::MAX));
        for text in ["", "+1", "-1", "01", "00", " 1", "1 ", "1_0", "18446744073709551616", "٣"] {
            assert_eq!(decimal(text), None, "{text:?}");
        }
    }
}
