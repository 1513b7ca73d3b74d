//! The sealer's engine: items in, sealed segments out.
//!
//! Guarantee: each member name and each link target costs 9 to 18 bytes of memory. Nothing else grows with the number
//! or size of items. Every byte handed over is either in a segment or still in the writer, in the order in which it came.
//! Not here: clocks, randomness (the caller gives a seed), sending.

mod error;
mod members;
mod segments;

pub use error::WriteError;
pub use segments::{Clocks, SealedSegment};

use segments::Closed;

use std::collections::VecDeque;

use super::content::{Content, Origin, zeros};
use super::lanes::Lanes;
use super::names::{LinkTargets, Names};
use super::seek_table::SeekTable;
use super::summary::{ContainerSummary, Totals};
use super::{OUTCOMES_NAME, outcomes};
use crate::digest::Digest;
use crate::frames::{Compressor, FRAME_BYTES};
use crate::id::DeploymentId;
use crate::item::outcome::Outcome;
use crate::item::tar;
use crate::item::{GAPS_MAX, Gap, GapWhy, ItemError, ItemRecord, Stage, Stat};
use crate::keys::SigningKey;
use crate::length::{len, to_usize};
use crate::seal::{ChainState, Identity};
use crate::time::FileTime;

/// The parameters of a writer.
pub struct Params {
    pub deployment: DeploymentId,
    pub collection: Digest,
    /// Order document.
    pub order: Digest,
    /// Attempt, from 1.
    pub attempt: u64,
    /// zstd level; 1 unless measured otherwise.
    pub level: i32,
    /// Compression threads; 0 or 1 compresses on the caller's thread.
    pub lanes: usize,
    /// 32 random bytes, kept nowhere: every record's salt is derived from them.
    pub salt_seed: [u8; 32],
}

/// What the caller knows at the end of a member with content.
#[derive(Debug, Clone)]
pub struct MemberEnd {
    /// The outcome.
    pub outcome: Outcome,
    /// Last look.
    pub after: Option<Stat>,
    pub ended: FileTime,
    /// The system call that failed.
    pub error: Option<ItemError>,
    /// Why, for people.
    pub note: Option<String>,
}

impl MemberEnd {
    /// Every byte read, nothing changed.
    #[must_use]
    pub fn ok(after: Option<Stat>, ended: FileTime) -> Self {
        Self { outcome: Outcome::Ok, after, ended, error: None, note: None }
    }
}

struct OpenMember {
    record: ItemRecord,
    content: Content,
}

/// A record that waits for its seal.
struct Waiting {
    /// Plain offset that a segment must reach to carry the record.
    end: u64,
    /// Where its member starts, if it has one.
    at: Option<u64>,
    line: Vec<u8>,
}

/// Writes one container. Call [`Self::poll_segment`] after every call that may have filled a segment.
pub struct Writer {
    params: Params,
    signer: SigningKey,
    lanes: Lanes,
    seal_compressor: Compressor,
    chain: ChainState,
    names: Names,
    targets: LinkTargets,
    totals: Totals,
    seek: SeekTable,
    /// Plain bytes so far, including those in `frame`.
    plain: u64,
    frame: Vec<u8>,
    spare: Vec<Vec<u8>>,
    /// Plain offset up to which frames are compressed.
    compressed: u64,
    segment: Vec<u8>,
    segment_start: u64,
    records_since_close: u64,
    closed: VecDeque<Closed>,
    next_n: u64,
    open: Option<OpenMember>,
    waiting: VecDeque<Waiting>,
    outcome_lines: Vec<u8>,
    outcome_parts: u64,
}

impl Writer {
    /// A writer for one collection.
    ///
    /// # Errors
    /// If compression cannot be set up.
    pub fn new(params: Params, signer: SigningKey) -> Result<Self, WriteError> {
        let identity = Identity {
            deployment: params.deployment.clone(),
            collection: params.collection,
            order: params.order,
            attempt: params.attempt,
        };
        let seal_compressor = Compressor::new(params.level)
            .map_err(|error| WriteError::Compress { step: format!("set up: {error}") })?;
        Ok(Self {
            lanes: Lanes::new(params.lanes, params.level)?,
            seal_compressor,
            chain: ChainState::new(identity),
            params,
            signer,
            names: Names::default(),
            targets: LinkTargets::default(),
            totals: Totals::default(),
            seek: SeekTable::new(),
            plain: 0,
            frame: Vec::with_capacity(FRAME_BYTES),
            spare: Vec::new(),
            compressed: 0,
            segment: Vec::new(),
            segment_start: 0,
            records_since_close: 0,
            closed: VecDeque::new(),
            next_n: 0,
            open: None,
            waiting: VecDeque::new(),
            outcome_lines: Vec::new(),
            outcome_parts: 0,
        })
    }

    /// Starts a file or stream. The caller sets kind, path, size, and those of `sparse`, `before`, `xattrs`,
    /// `part` and `parent` that apply; the writer sets the rest. Returns the ordinal.
    ///
    /// # Errors
    /// Refusals of [`WriteError`]. Nothing has been written then.
    /// Refusals of [`WriteError`]; nothing has been written then.
    pub fn begin_member(&mut self, record: ItemRecord) -> Result<u64, WriteError> {
        if outcomes::is_reserved(&record.path.0) {
            return Err(WriteError::Reserved);
        }
        self.begin(record)
    }

    /// Takes the next content bytes. For a sparse member, these are the data runs back to back.
    ///
    /// # Errors
    /// [`WriteError::TooLong`] if there are more than promised. None has been taken then.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), WriteError> {
        let open = self.open.as_mut().ok_or(WriteError::NoMemberOpen)?;
        let left = open.content.left();
        if len(bytes) > left {
            return Err(WriteError::TooLong { left });
        }
        while !bytes.is_empty() {
            let Some(open) = self.open.as_mut() else {
                return Err(WriteError::NoMemberOpen);
            };
            let Some((_, in_run)) = open.content.position() else {
                return Err(WriteError::TooLong { left: 0 });
            };
            let take = to_usize(in_run).min(bytes.len()).min(FRAME_BYTES);
            let (chunk, rest) = bytes.split_at(take);
            open.content.push(chunk, Origin::Read);
            self.emit(chunk)?;
            bytes = rest;
        }
        Ok(())
    }

    /// Writes the next `gap_len` content bytes as zeros and lists them as a gap. For a sparse member, `gap_len` counts data bytes.
    ///
    /// # Errors
    /// [`WriteError::TooLong`], or [`WriteError::TooManyGaps`] unless the gap reaches the end of the content.
    pub fn write_gap(&mut self, gap_len: u64, why: GapWhy, errno: Option<u32>) -> Result<(), WriteError> {
        let open = self.open.as_mut().ok_or(WriteError::NoMemberOpen)?;
        let total = open.content.left();
        if gap_len > total {
            return Err(WriteError::TooLong { left: total });
        }
        if open.record.gaps.len() >= GAPS_MAX / 2 && gap_len < total {
            return Err(WriteError::TooManyGaps);
        }
        let mut left = gap_len;
        while left > 0 {
            let Some(open) = self.open.as_mut() else {
                return Err(WriteError::NoMemberOpen);
            };
            let Some((off, in_run)) = open.content.position() else {
                break;
            };
            let chunk = zeros(left.min(in_run));
            let taken = len(chunk);
            open.content.push(chunk, Origin::Fill);
            match open.record.gaps.last_mut() {
                Some(last) if last.end() == off && last.why == why && last.errno == errno => {
                    last.len += taken
                }
                _ => open.record.gaps.push(Gap { off, len: taken, why, errno }),
            }
            self.emit(chunk)?;
            left -= taken;
        }
        Ok(())
    }

    /// Ends the open member and returns its final record. Keep `n`, `member`, `size` and `sha256` if a later hard
    /// link may need them.
    ///
    /// # Errors
    /// [`WriteError::TooShort`], or [`WriteError::Record`] if `end` does not match the content. The member stays open.
    pub fn end_member(&mut self, end: MemberEnd) -> Result<ItemRecord, WriteError> {
        let open = self.open.as_ref().ok_or(WriteError::NoMemberOpen)?;
        let left = open.content.left();
        if left > 0 {
            return Err(WriteError::TooShort { left });
        }
        let mut record = open.record.clone();
        record.outcome = end.outcome;
        record.after = end.after;
        record.ended = end.ended;
        record.error = end.error;
        record.note = end.note;
        // The digests do not exist yet. Placeholders where they will be let the check run before anything is lost.
        let two = record.is_hash_left_out() || !record.gaps.is_empty();
        record.sha256 = (!record.is_hash_left_out()).then_some(Digest::ZERO);
        record.sha256_read = two.then_some(Digest::ZERO);
        record.check(Stage::Final).map_err(WriteError::Record)?;

        let Some(open) = self.open.take() else {
            return Err(WriteError::NoMemberOpen);
        };
        (record.sha256, record.sha256_read) = open.content.finish();
        self.emit(zeros(tar::padding(record.stored.unwrap_or(0))))?;
        self.finish_record(&record)?;
        self.write_outcomes_part(record.ended)?;
        Ok(record)
    }

    /// Adds a directory, symlink or hard link: a member without content. A hard link carries `link`, and `size` and
    /// `sha256` of the member that it names.
    ///
    /// # Errors
    /// Refusals of [`WriteError`]. Nothing has been written then.
    pub fn add_member(&mut self, mut record: ItemRecord) -> Result<ItemRecord, WriteError> {
        if record.link.is_none() {
            record.size = Some(0);
        }
        let n = self.begin_header_only(record)?;
        let Some(open) = self.open.take() else {
            return Err(WriteError::NoMemberOpen);
        };
        debug_assert_eq!(open.record.n, n);
        self.finish_record(&open.record)?;
        self.write_outcomes_part(open.record.ended)?;
        Ok(open.record)
    }

    /// Adds an item without member: skipped, denied, absent, or a special file.
    ///
    /// # Errors
    /// Refusals of [`WriteError`]. Nothing has been recorded then.
    pub fn record_only(&mut self, mut record: ItemRecord) -> Result<ItemRecord, WriteError> {
        if self.open.is_some() {
            return Err(WriteError::MemberOpen);
        }
        if outcomes::is_reserved(&record.path.0) {
            return Err(WriteError::Reserved);
        }
        record.n = self.next_n;
        record.salt = self.salt(record.n);
        record.shown = record.path.shown();
        record.check(Stage::Final).map_err(WriteError::Record)?;
        self.next_n += 1;
        self.finish_record(&record)?;
        self.write_outcomes_part(record.ended)?;
        Ok(record)
    }

    /// The next finished segment, if there is one, sealed with the given clocks.
    ///
    /// # Errors
    /// If compression or signing failed.
    pub fn poll_segment(&mut self, clocks: Clocks) -> Result<Option<SealedSegment>, WriteError> {
        while let Some(done) = self.lanes.next_done()? {
            self.place(done, false)?;
        }
        match self.closed.pop_front() {
            Some(closed) => self.seal(closed, clocks, false).map(Some),
            None => Ok(None),
        }
    }

    /// Plain bytes so far.
    #[must_use]
    pub fn plain_len(&self) -> u64 {
        self.plain
    }

    /// Number of items so far, without the open one.
    #[must_use]
    pub fn items(&self) -> u64 {
        self.totals.items
    }

    /// Stored bytes in segments so far, including unsealed ones.
    #[must_use]
    pub fn stored_len(&self) -> u64 {
        self.seek.stored_len()
    }

    /// Ends the container: outcomes, end blocks, seek table. Returns the segments that were not polled yet, the final one last.
    ///
    /// # Errors
    /// [`WriteError::MemberOpen`], or an error of compression or signing.
    #[must_use = "the container is lost without its last segment"]
    pub fn finish(mut self, clocks: Clocks) -> Result<(Vec<SealedSegment>, ContainerSummary), WriteError> {
        if self.open.is_some() {
            return Err(WriteError::MemberOpen);
        }
        let lines = std::mem::take(&mut self.outcome_lines);
        self.write_outcomes(OUTCOMES_NAME, &lines, clocks.wall)?;
        self.emit(&tar::END)?;
        let last = std::mem::take(&mut self.frame);
        while let Some(done) = self.lanes.take_all()? {
            self.place(done, false)?;
        }
        self.lanes.submit(last)?;
        while let Some(done) = self.lanes.take_all()? {
            self.place(done, true)?;
        }
        let mut bytes = std::mem::take(&mut self.segment);
        bytes.extend_from_slice(&self.seek.to_bytes());
        let final_segment = Closed { bytes, plain_end: self.compressed };

        let mut segments = Vec::new();
        while let Some(closed) = self.closed.pop_front() {
            segments.push(self.seal(closed, clocks, false)?);
        }
        segments.push(self.seal(final_segment, clocks, true)?);
        let summary = self.totals.summary(self.plain, self.chain.head());
        Ok((segments, summary))
    }
}
