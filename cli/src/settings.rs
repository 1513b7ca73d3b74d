//! Sizes and durations as people write them: `8GiB`, `30m`.
//! Guarantee: a number without a unit is refused; no unit is guessed.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

/// A number of bytes, written `64MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

/// A span of time, written `30m` or `24h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

/// Why a text is not a size or a span of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// The text is not a number with a known unit.
    #[error("{text:?} is not a size such as 64MiB (units: B KiB MiB GiB TiB)")]
    Size {
        /// The text.
        text: String,
    },
    /// The text is not a number with a known unit.
    #[error("{text:?} is not a duration such as 30m (units: s m h d)")]
    Span {
        /// The text.
        text: String,
    },
}

/// Number and unit; `None` for signs, blanks and fractions.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit))
}

impl FromStr for Size {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let bytes = split(text).and_then(|(number, unit)| {
            let shift = match unit {
                "B" => 0,
                "KiB" => 10,
                "MiB" => 20,
                "GiB" => 30,
                "TiB" => 40,
                _ => return None,
            };
            number.checked_mul(1 << shift)
        });
        bytes.map(Self).ok_or_else(|| SettingError::Size { text: text.to_owned() })
    }
}

impl FromStr for Span {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let seconds = split(text).and_then(|(number, unit)| {
            let factor = match unit {
                "s" => 1,
                "m" => 60,
                "h" => 3_600,
                "d" => 86_400,
                _ => return None,
            };
            number.checked_mul(factor)
        });
        let span = seconds.map(|seconds| Self(Duration::from_secs(seconds)));
        span.ok_or_else(|| SettingError::Span { text: text.to_owned() })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        match units.into_iter().find(|(shift, _)| self.0 != 0 && self.0.is_multiple_of(1_u64 << shift)) {
            Some((shift, unit)) => write!(out, "{}{unit}", self.0 >> shift),
            None => write!(out, "{}B", self.0),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
        match units.into_iter().find(|(factor, _)| seconds != 0 && seconds.is_multiple_of(*factor)) {
            Some((factor, unit)) => write!(out, "{}{unit}", seconds / factor),
            None => write!(out, "{seconds}s"),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_printed_in_binary_units() {
        for (text, bytes) in [
            ("0B", 0),
            ("1B", 1),
            ("512KiB", 1 << 19),
            ("64MiB", 64 << 20),
            ("8GiB", 8 << 30),
            ("2TiB", 2 << 40),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)));
            assert_eq!(Size(bytes).to_string(), text);
        }
        for wrong in [
            "",
            "8",
            "GiB",
            "8 GiB",
            "8GB",
            "8gib",
            "-1B",
            "1.5MiB",
            "+1B",
            "18446744073709551616B",
            "16777216TiB",
        ] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn durations_are_read_and_printed_with_one_unit() {
        for (text, seconds) in [("0s", 0), ("90s", 90), ("30m", 1_800), ("25h", 90_000), ("1d", 86_400)] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_secs(seconds))));
            assert_eq!(Span(Duration::from_secs(seconds)).to_string(), text);
        }
        for wrong in ["", "30", "m", "30 m", "1h30m", "-1s", "1.5h", "213503982334602d", "3w"] {
            assert!(wrong.parse::<Span>().is_err(), "{wrong:?}");
        }
    }
}
