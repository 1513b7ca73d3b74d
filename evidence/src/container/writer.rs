//! The sealer's engine: items in, sealed segments out.
//!
//! Guarantee: memory does not grow with the number or size of items, but for 9 to 18 bytes a member name and a link
//! target. What was handed over is in a segment or still here; nothing is reordered. Not here: clocks, randomness
//! (the caller gives a seed), sending.

use std::collections::VecDeque;

use super::content::{Content, Origin, zeros};
use super::lanes::{Done, Lanes, LanesError};
use super::names::{Clash, LinkTargets, Names};
use super::seek_table::SeekTable;
use super::summary::{ContainerSummary, Totals};
use super::{FRAMES_MAX, SEGMENT_PLAIN_MAX, SEGMENT_RECORDS, SEGMENT_STORED};
use super::{OUTCOMES_NAME, outcomes};
use crate::digest::{Digest, Hasher};
use crate::frames::{Compressor, FRAME_BYTES};
use crate::id::DeploymentId;
use crate::item::outcome::Outcome;
use crate::item::tar::{self, TarError, member_header};
use crate::item::{
    GAPS_MAX, Gap, GapWhy, ItemError, ItemRecord, Kind, RawBytes, RecordError, Salt, Stage, Stat, member_name,
};
use crate::keys::SigningKey;
use crate::seal::{self, ChainError, ChainState, Identity, SealHeader, SealType};
use crate::signed::SignedError;
use crate::time::FileTime;

/// What a writer is made for.
pub struct Params {
    /// Deployment.
    pub deployment: DeploymentId,
    /// Collection.
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

/// The endpoint's clocks when a segment is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// Wall clock.
    pub wall: FileTime,
    /// `CLOCK_BOOTTIME`.
    pub boot: FileTime,
}

/// What is known at the end of a member with content.
#[derive(Debug, Clone)]
pub struct MemberEnd {
    /// What became of it.
    pub outcome: Outcome,
    /// Last look.
    pub after: Option<Stat>,
    /// When.
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

/// A finished segment, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSegment {
    /// Its index.
    pub index: u64,
    /// Stored bytes.
    pub bytes: Vec<u8>,
    /// The whole seal.
    pub seal: Vec<u8>,
    /// SHA-256 of the whole seal.
    pub seal_digest: Digest,
    /// The seal's header.
    pub header: SealHeader,
}

/// Why the writer refused. Those marked *refused* leave it usable; after any other it is done for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Refused: the name is a member already. Record the item as `skipped_loop`.
    #[error("member name is in use")]
    DuplicateName,
    /// Refused: the name lies below a member that is no directory. Record the item as `skipped_loop`.
    #[error("member name lies below a member that is no directory")]
    BelowOther,
    /// Refused: `live/outcomes.*` is the writer's own.
    #[error("member name is reserved")]
    Reserved,
    /// Refused: the record breaks a rule.
    #[error("item record")]
    Record(#[source] RecordError),
    /// Refused: no tar header can be made of it. With [`TarError::TooLarge`], leave extended attributes out.
    #[error("tar header")]
    Tar(#[source] TarError),
    /// Refused: no such earlier member, with this size and digest and more than one link in its `before`.
    #[error("hard link names no earlier member")]
    NoLinkTarget,
    /// Refused: a member is open.
    #[error("a member is open")]
    MemberOpen,
    /// Refused: no member is open.
    #[error("no member is open")]
    NoMemberOpen,
    /// Refused: more bytes than the member's header promised.
    #[error("content is longer than promised: {left} bytes are left")]
    TooLong {
        /// Data bytes still missing.
        left: u64,
    },
    /// Refused: fewer bytes than the member's header promised. Fill the rest with [`Writer::write_gap`].
    #[error("content is shorter than promised: {left} bytes are left")]
    TooShort {
        /// Data bytes still missing.
        left: u64,
    },
    /// Refused: too many gaps for one record; give up and fill the rest.
    #[error("too many gaps in one member")]
    TooManyGaps,
    /// The container has as many frames as a seek table may list.
    #[error("container is full")]
    Full,
    /// A compression thread failed or could not be started.
    #[error("compress: {step}")]
    Compress {
        /// What was attempted.
        step: String,
    },
    /// A seal could not be signed.
    #[error("sign seal")]
    Sign(#[source] SignedError),
    /// The writer's own chain does not continue: a defect of the writer.
    #[error("own seal chain")]
    Chain(#[source] ChainError),
}

struct OpenMember {
    record: ItemRecord,
    content: Content,
}

/// A record whose seal is not made yet.
struct Waiting {
    /// Plain offset that a segment must reach to carry it.
    end: u64,
    /// Where its member starts, if it has one.
    at: Option<u64>,
    line: Vec<u8>,
}

/// Frames of one segment, whose seal is not made yet.
struct Closed {
    bytes: Vec<u8>,
    plain_end: u64,
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
    /// Plain bytes so far, those in `frame` included.
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
    /// When compression cannot be set up.
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
            lanes: Lanes::new(params.lanes, params.level).map_err(lanes)?,
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

    /// Starts a file or stream. The record has kind, path, size, and what applies of `sparse`, `before`, `xattrs`,
    /// `part`, `parent`; the writer sets the rest. Returns the ordinal.
    ///
    /// # Errors
    /// Refusals of [`WriteError`]; nothing has been written then.
    pub fn begin_member(&mut self, record: ItemRecord) -> Result<u64, WriteError> {
        if outcomes::is_reserved(&record.path.0) {
            return Err(WriteError::Reserved);
        }
        self.begin(record)
    }

    /// Takes the next content bytes: of a sparse member the data runs back to back.
    ///
    /// # Errors
    /// [`WriteError::TooLong`] when there are more than promised: none has been taken then.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), WriteError> {
        let open = self.open.as_mut().ok_or(WriteError::NoMemberOpen)?;
        let left = open.content.left();
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > left {
            return Err(WriteError::TooLong { left });
        }
        while !bytes.is_empty() {
            let Some(open) = self.open.as_mut() else {
                return Err(WriteError::NoMemberOpen);
            };
            let in_run = open.content.position().map_or(0, |(_, in_run)| in_run);
            let take = usize::try_from(in_run).unwrap_or(usize::MAX).min(bytes.len()).min(FRAME_BYTES);
            let (chunk, rest) = bytes.split_at(take);
            open.content.push(chunk, Origin::Read);
            self.emit(chunk)?;
            bytes = rest;
        }
        Ok(())
    }

    /// Writes the next `len` content bytes as zeros and lists them as a gap. Of a sparse member, `len` counts data bytes.
    ///
    /// # Errors
    /// [`WriteError::TooLong`], or [`WriteError::TooManyGaps`] unless it reaches the end of the content.
    pub fn write_gap(&mut self, len: u64, why: GapWhy, errno: Option<u32>) -> Result<(), WriteError> {
        let open = self.open.as_mut().ok_or(WriteError::NoMemberOpen)?;
        let total = open.content.left();
        if len > total {
            return Err(WriteError::TooLong { left: total });
        }
        if open.record.gaps.len() >= GAPS_MAX / 2 && len < total {
            return Err(WriteError::TooManyGaps);
        }
        let mut left = len;
        while left > 0 {
            let Some(open) = self.open.as_mut() else {
                return Err(WriteError::NoMemberOpen);
            };
            let Some((off, in_run)) = open.content.position() else {
                break;
            };
            let chunk = zeros(left.min(in_run));
            let taken = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
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

    /// Data bytes that the open member still needs.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.content.left())
    }

    /// Ends the open member and returns its final record: keep `n`, `member`, `size` and `sha256` where a later hard
    /// link may need them.
    ///
    /// # Errors
    /// [`WriteError::TooShort`], or [`WriteError::Record`] when `end` does not fit the content; the member is open still.
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
        // The digests are not there yet: placeholders of the right presence let the check run before anything is lost.
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
    /// `sha256` of the member it names.
    ///
    /// # Errors
    /// Refusals of [`WriteError`]; nothing has been written then.
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

    /// Adds an item without member: skipped, denied, absent, a special file.
    ///
    /// # Errors
    /// Refusals of [`WriteError`]; nothing has been recorded then.
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

    /// The next finished segment, sealed with the given clocks, if there is one.
    ///
    /// # Errors
    /// When compression or signing failed.
    pub fn poll_segment(&mut self, clocks: Clocks) -> Result<Option<SealedSegment>, WriteError> {
        while let Some(done) = self.lanes.take().map_err(lanes)? {
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

    /// Items so far, the open one not counted.
    #[must_use]
    pub fn items(&self) -> u64 {
        self.totals.items
    }

    /// Stored bytes in segments so far, unsealed ones included.
    #[must_use]
    pub fn stored_len(&self) -> u64 {
        self.seek.stored_len()
    }

    /// Ends the container: outcomes, end blocks, seek table. Returns the segments not polled yet, the final one last.
    ///
    /// # Errors
    /// [`WriteError::MemberOpen`], or when compression or signing failed.
    #[must_use = "the container is lost without its last segment"]
    pub fn finish(mut self, clocks: Clocks) -> Result<(Vec<SealedSegment>, ContainerSummary), WriteError> {
        if self.open.is_some() {
            return Err(WriteError::MemberOpen);
        }
        let lines = std::mem::take(&mut self.outcome_lines);
        self.write_outcomes(OUTCOMES_NAME, &lines, clocks.wall)?;
        self.emit(&tar::END)?;
        let last = std::mem::take(&mut self.frame);
        while let Some(done) = self.lanes.take_all().map_err(lanes)? {
            self.place(done, false)?;
        }
        self.lanes.submit(last).map_err(lanes)?;
        while let Some(done) = self.lanes.take_all().map_err(lanes)? {
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

    fn begin(&mut self, record: ItemRecord) -> Result<u64, WriteError> {
        let record = self.prepare(record)?;
        if !record.has_content() {
            return Err(WriteError::Record(RecordError::Field { field: "kind", rule: "has no content" }));
        }
        let mut probe = record.clone();
        probe.outcome = Outcome::Interrupted;
        probe.check(Stage::Open).map_err(WriteError::Record)?;
        self.start(record)
    }

    fn begin_header_only(&mut self, record: ItemRecord) -> Result<u64, WriteError> {
        let record = self.prepare(record)?;
        if record.has_content() {
            return Err(WriteError::Record(RecordError::Field { field: "kind", rule: "has content" }));
        }
        record.check(Stage::Final).map_err(WriteError::Record)?;
        if let Some(link) = &record.link {
            let size = record.size.unwrap_or(0);
            if !self.targets.contains(link.n, &link.member.0, size, record.sha256) {
                return Err(WriteError::NoLinkTarget);
            }
        }
        self.start(record)
    }

    /// Fills in what the writer owns.
    fn prepare(&self, mut record: ItemRecord) -> Result<ItemRecord, WriteError> {
        if self.open.is_some() {
            return Err(WriteError::MemberOpen);
        }
        let name = member_name(record.kind, &record.path.0, record.part);
        let name = name.map_err(|error| WriteError::Record(RecordError::Name(error)))?;
        let size = record.size.unwrap_or(0);
        let data = record.sparse.as_ref().map(|runs| {
            let map = u64::try_from(tar::sparse_map(runs, size).len()).unwrap_or(u64::MAX);
            runs.iter().fold(map, |sum, (_, len)| sum.saturating_add(*len))
        });
        let has_content = record.link.is_none() && matches!(record.kind, Kind::File | Kind::Stream);
        record.n = self.next_n;
        record.salt = self.salt(record.n);
        record.shown = record.path.shown();
        record.member = Some(RawBytes(name));
        record.stored = Some(if has_content { data.unwrap_or(size) } else { 0 });
        record.at = Some(self.plain);
        record.gaps = Vec::new();
        let header = member_header(&record).map_err(WriteError::Tar)?;
        record.data = Some(self.plain.saturating_add(u64::try_from(header.len()).unwrap_or(u64::MAX)));
        Ok(record)
    }

    /// Takes the name and writes header and sparse map.
    fn start(&mut self, record: ItemRecord) -> Result<u64, WriteError> {
        let name = record.member.as_ref().map(|member| member.0.as_slice()).unwrap_or_default();
        self.names.insert(name).map_err(|clash| match clash {
            Clash::Duplicate => WriteError::DuplicateName,
            Clash::BelowOther => WriteError::BelowOther,
        })?;
        let mut head = member_header(&record).map_err(WriteError::Tar)?;
        if let Some(runs) = &record.sparse {
            head.extend_from_slice(&tar::sparse_map(runs, record.size.unwrap_or(0)));
        }
        let n = record.n;
        self.next_n += 1;
        self.open = Some(OpenMember { content: Content::new(&record), record });
        self.emit(&head)?;
        Ok(n)
    }

    fn salt(&self, n: u64) -> Salt {
        let mut hasher = Hasher::new();
        hasher.update(&self.params.salt_seed);
        hasher.update(&n.to_be_bytes());
        let mut salt = Salt([0; 16]);
        for (to, from) in salt.0.iter_mut().zip(hasher.finish().0) {
            *to = from;
        }
        salt
    }

    /// Counts a final record and lets it wait for its seal.
    fn finish_record(&mut self, record: &ItemRecord) -> Result<(), WriteError> {
        let line = record.to_line().map_err(WriteError::Record)?;
        self.totals.item(record, &line);
        if let (true, Some(before), Some(member)) = (record.has_content(), &record.before, &record.member)
            && before.nlink > 1
        {
            self.targets.insert(record.n, &member.0, record.size.unwrap_or(0), record.sha256);
        }
        if let Some(line) = outcomes::line(record) {
            self.outcome_lines.extend_from_slice(&line);
        }
        self.records_since_close += u64::try_from(line.len()).unwrap_or(u64::MAX).saturating_add(1);
        self.waiting.push_back(Waiting { end: self.plain, at: record.at, line });
        Ok(())
    }

    /// Moves pending outcome lines into a part when there are enough of them.
    fn write_outcomes_part(&mut self, at: FileTime) -> Result<(), WriteError> {
        if self.outcome_lines.len() < outcomes::PART_BYTES {
            return Ok(());
        }
        self.outcome_parts += 1;
        let lines = std::mem::take(&mut self.outcome_lines);
        let name = outcomes::part_name(self.outcome_parts);
        self.write_outcomes(&name, &lines, at)
    }

    fn write_outcomes(&mut self, name: &str, lines: &[u8], at: FileTime) -> Result<(), WriteError> {
        let mut record = ItemRecord::new(outcomes::COLLECTOR, Kind::Stream, name, at);
        record.size = u64::try_from(lines.len()).ok();
        self.begin(record)?;
        self.write(lines)?;
        self.end_member(MemberEnd::ok(None, at))?;
        Ok(())
    }

    /// Appends plain bytes. A full frame is handed over when the next byte comes, so that the last frame is never empty.
    fn emit(&mut self, mut bytes: &[u8]) -> Result<(), WriteError> {
        while !bytes.is_empty() {
            if self.frame.len() == FRAME_BYTES {
                let next = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(FRAME_BYTES));
                let full = std::mem::replace(&mut self.frame, next);
                self.lanes.submit(full).map_err(lanes)?;
                while let Some(done) = self.lanes.take().map_err(lanes)? {
                    self.place(done, false)?;
                }
            }
            let take = bytes.len().min(FRAME_BYTES - self.frame.len());
            let (chunk, rest) = bytes.split_at(take);
            self.frame.extend_from_slice(chunk);
            self.plain = self.plain.saturating_add(u64::try_from(take).unwrap_or(u64::MAX));
            bytes = rest;
        }
        Ok(())
    }

    /// Puts the next compressed frame into the segment, and closes the segment when it is large enough. The last frame
    /// closes nothing: it belongs to the final segment, which must have one.
    fn place(&mut self, mut done: Done, is_last: bool) -> Result<(), WriteError> {
        let (Ok(stored), Ok(plain)) = (u32::try_from(done.frame.len()), u32::try_from(done.plain.len()))
        else {
            return Err(WriteError::Full);
        };
        if self.seek.frames() >= FRAMES_MAX {
            return Err(WriteError::Full);
        }
        self.seek.push(stored, plain);
        self.segment.extend_from_slice(&done.frame);
        self.compressed = self.compressed.saturating_add(u64::from(plain));
        done.plain.clear();
        self.spare.push(done.plain);
        self.lanes.reuse(done.frame);

        let stored = u64::try_from(self.segment.len()).unwrap_or(u64::MAX);
        let is_full = stored >= SEGMENT_STORED
            || self.compressed.saturating_sub(self.segment_start) >= SEGMENT_PLAIN_MAX
            || self.records_since_close >= SEGMENT_RECORDS;
        if is_full && !is_last {
            let bytes = std::mem::take(&mut self.segment);
            self.closed.push_back(Closed { bytes, plain_end: self.compressed });
            self.segment_start = self.compressed;
            self.records_since_close = 0;
        }
        Ok(())
    }

    fn seal(&mut self, closed: Closed, clocks: Clocks, is_final: bool) -> Result<SealedSegment, WriteError> {
        let mut lines = Vec::new();
        let mut items = 0;
        while let Some(record) = self.waiting.pop_front_if(|record| record.end <= closed.plain_end) {
            lines.extend_from_slice(&record.line);
            lines.push(b'\n');
            items += 1;
        }
        let open = self.open_record(closed.plain_end, clocks.wall)?;
        if let Some(open) = &open {
            lines.extend_from_slice(&open.to_line().map_err(WriteError::Record)?);
            lines.push(b'\n');
        }
        let records = seal::records::compress(&lines, &mut self.seal_compressor)
            .map_err(|error| WriteError::Compress { step: format!("records: {error}") })?;
        let length = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let header = SealHeader {
            kind: SealType,
            deployment: self.params.deployment.clone(),
            collection: self.params.collection,
            order: self.params.order,
            attempt: self.params.attempt,
            index: self.chain.next_index(),
            sha256: Digest::of(&closed.bytes),
            stored_len: length(&closed.bytes),
            plain_start: self.chain.plain_end(),
            plain_end: closed.plain_end,
            items,
            items_total: self.chain.items_total() + items,
            open: open.is_some(),
            records_sha256: Digest::of(&records),
            records_len: length(&records),
            prev: self.chain.head(),
            wall: clocks.wall,
            boot: clocks.boot,
            is_final,
        };
        let seal = seal::make(&header, &records, &self.signer).map_err(WriteError::Sign)?;
        let seal_digest = Digest::of(&seal);
        self.chain.push_header(&header, seal_digest).map_err(WriteError::Chain)?;
        self.totals.segment(&closed.bytes);
        Ok(SealedSegment { index: header.index, bytes: closed.bytes, seal, seal_digest, header })
    }

    /// The open record of a segment that ends inside a member. The member may have ended since.
    fn open_record(&self, plain_end: u64, wall: FileTime) -> Result<Option<ItemRecord>, WriteError> {
        let starts_before = |at: Option<u64>| at.is_some_and(|at| at < plain_end);
        match (self.waiting.front(), &self.open) {
            (Some(next), _) if starts_before(next.at) => {
                let record = ItemRecord::parse_line(&next.line, Stage::Final).map_err(WriteError::Record)?;
                Ok(Some(record.open_at(plain_end, wall)))
            }
            (Some(_), _) => Ok(None),
            (None, Some(open)) if starts_before(open.record.at) => {
                Ok(Some(open.record.open_at(plain_end, wall)))
            }
            (None, _) => Ok(None),
        }
    }
}

fn lanes(error: LanesError) -> WriteError {
    let mut step = error.to_string();
    if let Some(source) = std::error::Error::source(&error) {
        step = format!("{step}: {source}");
    }
    WriteError::Compress { step }
}
