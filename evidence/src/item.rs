//! The record of one collected thing. Format: docs/spec/container.md, *Item records*.
//!
//! Guarantee: a record that passed [`ItemRecord::check`] has exactly one text form, and its tar header is a function
//! of it ([`crate::item::tar::member_header`]). Not here: content, which only [`crate::container`] sees.

mod check;
mod name;
pub mod outcome;
mod part;
mod raw;
mod stat;
pub mod tar;

pub use check::{RecordError, Stage};
pub use name::NameError;
pub(crate) use name::member_name;
pub use part::{AtimeMethod, Gap, GapWhy, ItemError, Kind, Link, Salt};
pub use raw::RawBytes;
pub use stat::{Device, Stat};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::length::len;
use crate::time::FileTime;
use outcome::Outcome;

/// Longest record line without its LF: 4 MiB. A member header is at most 1 MiB, and base64, the sparse map and the
/// gaps of a record together stay below the rest.
pub const LINE_BYTES_MAX: usize = 4 << 20;

/// Largest logical length whose holes are hashed: 16 GiB. Hashing more zeros would be unbounded work, so a larger sparse
/// member carries `sha256_read` alone.
pub(crate) const SPARSE_HASHED_MAX: u64 = 16 << 30;

/// Most runs of a sparse map. One more and the object is stored whole.
pub const SPARSE_RUNS_MAX: usize = 8192;

/// Holes smaller than this in total are stored as zeros: 64 KiB.
pub const SPARSE_HOLES_MIN: u64 = 64 << 10;

/// Most gaps of one record. A reader gives up when it has met half as many: one last gap then runs to the end (it may be cut
/// into one gap for each data run, and there are at most 8192).
pub(crate) const GAPS_MAX: usize = 16384;

/// Largest integer of any document: 2^53 − 1.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// One item record. Field order is the order of the specification and of the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemRecord {
    /// Ordinal, from 0, without gaps. Set by the writer.
    pub n: u64,
    /// Hides the neighbours when one record is shown: nobody can guess their leaves. Set by the writer.
    pub salt: Salt,
    /// `files`, `processes`, …
    pub collector: String,
    /// Raw absolute path on the endpoint, or the stream's name (`live/…`).
    pub path: RawBytes,
    /// `path` as UTF-8, anything else replaced; for people only.
    pub shown: String,
    /// What it is.
    pub kind: Kind,
    /// The item's outcome.
    pub outcome: Outcome,
    /// Tar member name. Set by the writer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<RawBytes>,
    /// Plain offset of the member's first block. Set by the writer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
    /// Plain offset of the member's content. Set by the writer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<u64>,
    /// Logical length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Content bytes in the tar. Set by the writer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<u64>,
    /// Digest of the logical content as stored: what `tar -x | sha256sum` gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// Digest of the bytes that were really read, in order. Present only if there are gaps, or holes too large to hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256_read: Option<Digest>,
    /// Ranges filled with zeros because they could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// Data runs `(offset, length)` of a sparse member, without the closing run of the tar map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparse: Option<Vec<(u64, u64)>>,
    /// Hard link to an earlier member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Link>,
    /// Symlink text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<RawBytes>,
    /// Extended attributes, sorted by raw name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub xattrs: Vec<(RawBytes, RawBytes)>,
    /// First look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Stat>,
    /// The last look; only if the content was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Stat>,
    /// How the access time was protected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub atime_method: Option<AtimeMethod>,
    /// Start of the item by the endpoint's clock.
    pub begun: FileTime,
    /// End of the item by the endpoint's clock.
    pub ended: FileTime,
    /// Continuation number, from 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<u64>,
    /// Ordinal of the item from which this one was taken, or of the first part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u64>,
    /// The system call that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ItemError>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl ItemRecord {
    /// A record with the fields that every item has. The caller fills those that apply, the writer its own.
    #[must_use]
    pub fn new(collector: impl Into<String>, kind: Kind, path: impl Into<Vec<u8>>, begun: FileTime) -> Self {
        let path = RawBytes(path.into());
        Self {
            n: 0,
            salt: Salt([0; 16]),
            collector: collector.into(),
            shown: path.shown(),
            path,
            kind,
            outcome: Outcome::Ok,
            member: None,
            at: None,
            data: None,
            size: None,
            stored: None,
            sha256: None,
            sha256_read: None,
            gaps: Vec::new(),
            sparse: None,
            link: None,
            target: None,
            xattrs: Vec::new(),
            before: None,
            after: None,
            atime_method: None,
            begun,
            ended: begun,
            part: None,
            parent: None,
            error: None,
            note: None,
        }
    }

    /// The record's one text form, without LF. This is the leaf of `items_root`.
    ///
    /// # Errors
    /// If a value has no JSON form. No field of a record can have such a value.
    pub fn to_line(&self) -> Result<Vec<u8>, RecordError> {
        serde_json::to_vec(self).map_err(RecordError::Json)
    }

    /// Parses one line without its LF. Refuses every other spelling of the same record, and every record that
    /// breaks a rule of the specification for `stage`.
    pub fn parse_line(line: &[u8], stage: Stage) -> Result<Self, RecordError> {
        if line.len() > LINE_BYTES_MAX {
            return Err(RecordError::TooLong);
        }
        let record: Self = serde_json::from_slice(line).map_err(RecordError::Json)?;
        if record.to_line()? != line {
            return Err(RecordError::NotCanonical);
        }
        record.check(stage)?;
        Ok(record)
    }

    /// True for a member whose bytes stand in the tar: regular file or stream, not a hard link.
    #[must_use]
    pub fn has_content(&self) -> bool {
        self.member.is_some() && self.link.is_none() && matches!(self.kind, Kind::File | Kind::Stream)
    }

    /// True if holes are too large to be hashed, so that the record has `sha256_read` alone.
    #[must_use]
    pub(crate) fn is_hash_left_out(&self) -> bool {
        self.sparse.is_some() && self.size.is_some_and(|size| size > SPARSE_HASHED_MAX)
    }

    /// Plain offset just past the member's padding, if it has a member.
    #[must_use]
    pub fn plain_end(&self) -> Option<u64> {
        let end = self.data?.checked_add(self.stored?)?;
        end.checked_next_multiple_of(512)
    }

    /// This record as it would be if the collection had ended at plain offset `until`, at `wall`: the last line
    /// of a seal whose segment ends inside the member (docs/spec/seal.md, `open`).
    #[must_use]
    pub fn open_at(&self, until: u64, wall: FileTime) -> Self {
        // Saturating is the meaning: the segment may end inside the header, before any content.
        let written = self.data.map_or(0, |data| until.saturating_sub(data));
        let logical = self.logical_end(written);
        let mut open = self.clone();
        open.outcome = Outcome::Interrupted;
        open.sha256 = None;
        open.sha256_read = None;
        open.after = None;
        open.error = None;
        open.note = None;
        open.ended = wall;
        open.gaps = part::clip(&self.gaps, logical);
        open
    }

    /// Logical offset after the first `written` content bytes of the tar. Inside a sparse map it is 0.
    #[must_use]
    pub(crate) fn logical_end(&self, written: u64) -> u64 {
        let Some(runs) = &self.sparse else {
            return written.min(self.size.unwrap_or(0));
        };
        let map = len(&tar::sparse_map(runs, self.size.unwrap_or(0)));
        // Saturating is the meaning: inside the map no content is written yet.
        let mut left = written.saturating_sub(map);
        let mut end = 0;
        for (off, len) in runs {
            if left == 0 {
                break;
            }
            let take = left.min(*len);
            end = off + take;
            left -= take;
        }
        end
    }

    /// True if `self` may be a later state of the open record `earlier`, whose content had reached `logical`:
    /// everything that the tar header and the start of the content determine is equal.
    #[must_use]
    pub fn continues(&self, earlier: &Self, logical: u64) -> bool {
        let same = Self {
            outcome: earlier.outcome.clone(),
            sha256: None,
            sha256_read: None,
            after: None,
            ended: earlier.ended,
            error: None,
            note: None,
            gaps: part::clip(&self.gaps, logical),
            ..self.clone()
        };
        same == *earlier
    }
}
