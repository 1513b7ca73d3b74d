//! The values that `statx` reported for an object, as item records carry them. Format: docs/spec/container.md, *stat*.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::time::FileTime;

/// Device number, `major:minor` in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Device {
    pub major: u32,
    pub minor: u32,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl Serialize for Device {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Device {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let device = text.split_once(':').and_then(|(major, minor)| {
            Some(Self { major: u32::from_str(major).ok()?, minor: u32::from_str(minor).ok()? })
        });
        match device {
            // The text form is unique: "08:1" and "+8:1" are refused.
            Some(device) if device.to_string() == text => Ok(device),
            Some(_) | None => Err(de::Error::custom("device is not major:minor")),
        }
    }
}

/// One look at an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stat {
    /// Device the object lives on.
    pub dev: Device,
    #[serde(with = "decimal")]
    pub ino: u64,
    /// Type and permission bits.
    pub mode: u32,
    /// Hard links.
    pub nlink: u64,
    pub uid: u32,
    pub gid: u32,
    /// Length in bytes.
    #[serde(with = "decimal")]
    pub size: u64,
    /// Blocks of 512 bytes on the medium.
    #[serde(with = "decimal")]
    pub blocks: u64,
    /// Last access.
    pub atime: FileTime,
    /// Last change of content.
    pub mtime: FileTime,
    /// Last change of the inode.
    pub ctime: FileTime,
    /// Birth, where the file system knows it.
    #[serde(deserialize_with = "Option::deserialize")]
    pub btime: Option<FileTime>,
    /// `stx_attributes`.
    #[serde(with = "hexadecimal")]
    pub attrs: u64,
}

/// Numbers that may pass 2^53 travel as decimal strings.
mod decimal {
    use super::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.parse::<u64>() {
            Ok(value) if value.to_string() == text => Ok(value),
            Ok(_) | Err(_) => Err(de::Error::custom("not a canonical decimal string")),
        }
    }
}

mod hexadecimal {
    use super::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{value:#x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        let value = text.strip_prefix("0x").map(|digits| u64::from_str_radix(digits, 16));
        match value {
            Some(Ok(value)) if format!("{value:#x}") == text => Ok(value),
            Some(_) | None => Err(de::Error::custom("not canonical 0x hexadecimal")),
        }
    }
}
