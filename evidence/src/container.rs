//! The container: a canonical tar stream in zstd frames, frames in segments. Format: docs/spec/container.md.
//!
//! Guarantee: [`Verifier`] accepts what [`Writer`] emits. A container that [`Verifier`] accepts is, byte for byte, the one that its
//! records and contents produce. Both stream with bounded memory. Not here: files, clocks, the wire.

mod content;
pub mod dense_set;
mod lanes;
mod logical;
mod malformed;
mod names;
mod outcomes;
mod reader;
mod seek_table;
mod summary;
mod verifier;
mod writer;

pub use logical::{LogicalContent, NotTheContent};
pub use malformed::Malformed;
pub use reader::{ItemReader, ReadError, read_item};
pub use seek_table::{SeekTable, SeekTableError};
pub use summary::{ContainerSummary, Interrupted};
pub use verifier::{Expect, Limits, SegmentReport, Verifier};
pub use writer::{Clocks, MemberEnd, Params, SealedSegment, WriteError, Writer};

/// A writer closes a segment when its stored length reaches 8 MiB: the unit of upload and resume.
pub(crate) const SEGMENT_STORED: u64 = 8 << 20;

/// A writer closes a segment when its plain length reaches 64 MiB, so that highly compressible content is still
/// sealed often; a receiver refuses more.
pub(crate) const SEGMENT_PLAIN_MAX: u64 = 64 << 20;

/// A receiver refuses a segment whose frames are over 16 MiB stored. The seek table is not counted.
pub const SEGMENT_STORED_MAX: u64 = 16 << 20;

/// A writer closes a segment when the records that it would carry reach 16 MiB plain. This bounds the memory when
/// items are small.
pub(crate) const SEGMENT_RECORDS: u64 = 16 << 20;

/// Most frames of a container: 4 TiB plain, a seek table of 32 MiB.
pub(crate) const FRAMES_MAX: usize = 4 << 20;

/// Last member of every finished container.
pub(crate) const OUTCOMES_NAME: &str = "live/outcomes.jsonl";
