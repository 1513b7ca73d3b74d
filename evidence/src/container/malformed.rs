//! The ways in which a container can break its grammar: one variant for each defect, with item and plain offset.

use crate::frames::FrameError;
use crate::item::RecordError;
use crate::item::tar::TarError;
use crate::seal::{ChainError, SealError};

/// A defect. `item` is the ordinal of the record, `offset` a plain offset unless it says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// An earlier segment failed. Nothing after it can be judged.
    #[error("an earlier segment was malformed")]
    AfterFailure,
    /// The seal is malformed, or the sealer did not sign it.
    #[error("seal of segment {index}")]
    Seal {
        /// Segment expected.
        index: u64,
        #[source]
        source: SealError,
    },
    /// The seal does not continue the chain.
    #[error("seal chain")]
    Chain(#[source] ChainError),
    /// The segment's length differs from the seal's.
    #[error("segment {index} has {actual} bytes, its seal says {stated}")]
    SegmentLength {
        index: u64,
        /// In the seal.
        stated: u64,
        /// Length of the bytes.
        actual: u64,
    },
    /// The segment's digest differs from the seal's.
    #[error("segment {index} is not the bytes its seal names")]
    SegmentDigest { index: u64 },
    /// The segment exceeds 16 MiB stored or 64 MiB plain.
    #[error("segment {index} is over {limit}")]
    SegmentTooLarge { index: u64, limit: &'static str },
    /// A segment that is not the final one ends inside a full frame of plain bytes.
    #[error("segment {index} does not end at a whole MiB")]
    SegmentEnd { index: u64 },
    /// The container exceeds a limit of the order.
    #[error("limit {limit} of the order is passed at segment {index}")]
    Limit {
        index: u64,
        /// Field of the limits.
        limit: &'static str,
    },
    /// A frame breaks the rules.
    #[error("frame at plain offset {offset} of segment {index}")]
    Frame {
        index: u64,
        /// Plain offset of its content.
        offset: u64,
        #[source]
        source: FrameError,
    },
    /// The final segment has no seek table, or one that differs from its frames.
    #[error("seek table is not that of the frames")]
    SeekTable,
    /// Bytes follow the last frame, or the seek table.
    #[error("{len} bytes stand behind the end of segment {index}")]
    TrailingBytes { index: u64, len: u64 },
    /// A record line breaks the rules.
    #[error("record {item}")]
    Record {
        /// Ordinal expected.
        item: u64,
        #[source]
        source: RecordError,
    },
    /// A record's ordinal differs from its place.
    #[error("record {stated} stands where record {item} must stand")]
    Ordinal {
        /// Ordinal expected.
        item: u64,
        /// In the record.
        stated: u64,
    },
    /// The seal has more or fewer records than its header says.
    #[error("seal of segment {index} does not have the number of records it says")]
    RecordCount { index: u64 },
    /// A record places its member or its content elsewhere than the stream does.
    #[error("record {item} places its member wrongly at offset {offset}")]
    MemberOffset {
        item: u64,
        /// Plain offset where the stream is.
        offset: u64,
    },
    /// The record does not make a tar header.
    #[error("tar header of item {item}")]
    TarHeader {
        item: u64,
        #[source]
        source: TarError,
    },
    /// The header or map bytes in the stream differ from those that the record makes.
    #[error("tar header of item {item} is not that of its record, at offset {offset}")]
    HeaderMismatch {
        item: u64,
        /// First differing piece.
        offset: u64,
    },
    /// Padding is not zeros.
    #[error("padding of item {item} is not zero at offset {offset}")]
    Padding {
        item: u64,
        /// Where the piece starts.
        offset: u64,
    },
    /// A gap does not hold zeros.
    #[error("gap of item {item} is not zero at logical offset {offset}")]
    GapNotZero {
        item: u64,
        /// Logical offset of the piece.
        offset: u64,
    },
    /// `sha256` is not the content's.
    #[error("sha256 of item {item} is not that of its content")]
    ContentDigest { item: u64 },
    /// `sha256_read` is not the digest of the bytes read.
    #[error("sha256_read of item {item} is not that of the bytes read")]
    ReadDigest { item: u64 },
    /// Two members have one name.
    #[error("item {item} has the name of an earlier member")]
    DuplicateName { item: u64 },
    /// A member lies below one that is not a directory.
    #[error("item {item} lies below a member that is no directory")]
    BelowOther { item: u64 },
    /// A hard link names no earlier member with its size and digest.
    #[error("hard link {item} names no earlier member with its size and digest")]
    LinkTarget { item: u64 },
    /// Plain bytes that no record explains.
    #[error("plain bytes at offset {offset} belong to no record")]
    Unexplained { offset: u64 },
    /// The record stands in an earlier seal than the one in whose segment its member ends, or an open record's member
    /// had ended already.
    #[error("record {item} stands in the wrong seal")]
    WrongSeal { item: u64 },
    /// A record contradicts the open record of the same item in the seal before.
    #[error("record {item} contradicts its open record")]
    OpenContradicted { item: u64 },
    /// The stream does not end in 1024 zeros after the outcomes.
    #[error("end blocks are wrong at offset {offset}")]
    EndBlocks { offset: u64 },
    /// An outcomes member has a wrong name or record.
    #[error("item {item} is no outcomes member in its place")]
    OutcomesMember { item: u64 },
    /// The outcomes members are not the lines of the items whose outcome is not `ok`.
    #[error("live/outcomes.jsonl is not what the records give")]
    OutcomesContent,
    /// The last segment is not final.
    #[error("container ends without its final segment")]
    Unfinished,
}
