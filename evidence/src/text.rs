//! Values that travel as text: serde through `Display` and `FromStr`, and canonical base64.
//! Guarantee: what JSON accepts is exactly what `FromStr` accepts. Not here: the values themselves.

pub mod words;

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Serialises a type as the text of its `Display` and reads it by its `FromStr`.
macro_rules! serde_as_text {
    ($type:ty) => {
        impl ::serde::Serialize for $type {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $type {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str($crate::text::TextVisitor::<$type>::default())
            }
        }
    };
}
pub(crate) use serde_as_text;

/// Reads a string and parses it.
pub(crate) struct TextVisitor<T>(std::marker::PhantomData<T>);

impl<T> Default for TextVisitor<T> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<T: FromStr<Err: fmt::Display>> serde::de::Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// Padded standard base64 (RFC 4648 section 4).
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Canonical padded base64 only: no white space, spare bits zero.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Standard base64 without padding, as OpenSSH prints fingerprints.
pub(crate) fn to_base64_unpadded(bytes: &[u8]) -> String {
    STANDARD_NO_PAD.encode(bytes)
}

/// Canonical unpadded standard base64 only.
pub(crate) fn from_base64_unpadded(text: &str) -> Option<Vec<u8>> {
    STANDARD_NO_PAD.decode(text).ok()
}

/// URL-safe base64 without padding (RFC 4648 section 5), for strings that people paste.
pub(crate) fn to_base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Canonical unpadded URL-safe base64 only.
pub(crate) fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// A decimal number of ASCII digits without sign or leading zero.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || (text.len() > 1 && text.starts_with('0')) {
        return None;
    }
    text.parse().ok()
}

/// Bytes that may be anything, of any length: base64 in JSON.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub Vec<u8>);

impl fmt::Display for Bytes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&to_base64(&self.0))
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Bytes({})", to_base64(&self.0))
    }
}

impl FromStr for Bytes {
    type Err = Base64Error;

    fn from_str(text: &str) -> Result<Self, Base64Error> {
        from_base64(text).map(Self).ok_or(Base64Error)
    }
}
serde_as_text!(Bytes);

/// Exactly `N` bytes that may be anything, such as a nonce or salt: base64 in JSON.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FixedBytes<const N: usize>(pub [u8; N]);

/// A nonce or salt: 16 random bytes.
pub type Nonce = FixedBytes<16>;

impl<const N: usize> fmt::Display for FixedBytes<N> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&to_base64(&self.0))
    }
}

impl<const N: usize> fmt::Debug for FixedBytes<N> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "FixedBytes({self})")
    }
}

impl<const N: usize> FromStr for FixedBytes<N> {
    type Err = Base64Error;

    fn from_str(text: &str) -> Result<Self, Base64Error> {
        from_base64(text).and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(Base64Error)
    }
}

impl<const N: usize> serde::Serialize for FixedBytes<N> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> serde::Deserialize<'de> for FixedBytes<N> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor::<Self>::default())
    }
}

/// A text that is not canonical base64 of the right number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not canonical base64 of the right length")]
pub struct Base64Error;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_has_one_spelling() {
        assert_eq!("AAAAAAAAAAAAAAAAAAAAAA==".parse(), Ok(FixedBytes([0; 16])));
        for wrong in
            ["AAAAAAAAAAAAAAAAAAAAAB==", "AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAA==\n", "AAAA", ""]
        {
            assert_eq!(wrong.parse::<Nonce>(), Err(Base64Error), "{wrong:?}");
        }
        assert_eq!("".parse(), Ok(Bytes(vec![])));
        assert_eq!("/w==".parse(), Ok(Bytes(vec![0xff])));
        assert_eq!("_w==".parse::<Bytes>(), Err(Base64Error));
        assert_eq!(from_base64url("_w"), Some(vec![0xff]));
        assert_eq!(from_base64url("_x"), None);
    }

    #[test]
    fn decimals_have_one_spelling() {
        assert_eq!(decimal("0"), Some(0));
        assert_eq!(decimal("18446744073709551615"), Some(u64::MAX));
        for wrong in ["", "+1", "-1", "01", "00", " 1", "1 ", "18446744073709551616", "٣"] {
            assert_eq!(decimal(wrong), None, "{wrong:?}");
        }
    }
}
