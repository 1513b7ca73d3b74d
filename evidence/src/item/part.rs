//! The small types of an item record's fields: kind, gap, link, error, salt.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::RawBytes;

/// The kind of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    File,
    Dir,
    Symlink,
    /// Named pipe; never opened.
    Fifo,
    /// Socket; never opened.
    Socket,
    /// Character device; never opened.
    Char,
    /// Block device; never opened.
    Block,
    /// Bytes a collector made: rows, exports.
    Stream,
    /// Anything else, such as a name that was never found.
    Other,
}

/// Why a range holds fill bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapWhy {
    /// The kernel returned an error for it.
    IoError,
    /// The object was shorter than at open.
    Truncated,
    /// The deadline passed before it.
    Timeout,
    /// A limit ended the read before this range.
    Limit,
}

/// A range of the logical content that could not be read and was written as zeros.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// Logical offset.
    pub off: u64,
    /// Length, at least 1.
    pub len: u64,
    pub why: GapWhy,
    /// Error number, where there was one.
    #[serde(deserialize_with = "Option::deserialize")]
    pub errno: Option<u32>,
}

impl Gap {
    /// Offset just past the range. In a record that passed [`super::ItemRecord::check`] it is at most `size`.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.off + self.len
    }
}

/// The part of `gaps` before logical offset `end`.
pub(crate) fn clip(gaps: &[Gap], end: u64) -> Vec<Gap> {
    gaps.iter()
        .take_while(|gap| gap.off < end)
        .map(|gap| Gap { len: gap.len.min(end - gap.off), ..gap.clone() })
        .collect()
}

/// The earlier member a hard link points to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    pub n: u64,
    /// Its member name.
    pub member: RawBytes,
}

/// A failed system call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemError {
    /// Its name, `openat2`.
    pub op: String,
    /// Its error number.
    pub errno: u32,
}

/// How the access time of the source was protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtimeMethod {
    /// Read through a read-only, noatime view of the mount.
    RoView,
    /// Opened with `O_NOATIME`.
    Noatime,
    /// It was not protected.
    None,
}

/// 16 bytes that nobody can guess. They hide the neighbours when one record is shown with its proof.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub [u8; 16]);

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Salt({})", hex::encode(self.0))
    }
}

impl Serialize for Salt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Salt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(de::Error::custom)?;
        match <[u8; 16]>::try_from(bytes.as_slice()) {
            Ok(bytes) => Ok(Self(bytes)),
            Err(wrong) => Err(de::Error::custom(format_args!("salt is not 16 bytes: {wrong}"))),
        }
    }
}
