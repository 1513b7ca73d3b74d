//! Checks a container as it arrives, segment by segment.
//!
//! The records in a seal describe the plain bytes of its segment. The verifier makes every tar header from its
//! record and compares; it never parses tar. If a segment ends inside a member, its seal carries an *open record*,
//! and each later record of that member must agree with it.
//!
//! Guarantee: memory is bounded by one frame, one header, about 5 MiB of records, and 9 to 18 bytes for each member. Work is
//! bounded by the limits. Not here: storing, and what to do with a malformed container.

mod expect;
mod member;

pub use expect::{Expect, Limits};

use member::Member;

use super::content::{Content, is_zero};
use super::malformed::Malformed;
use super::names::{Clash, LinkTargets, Names};
use super::seek_table::SeekTable;
use super::summary::{ContainerSummary, Interrupted, Totals};
use super::{FRAMES_MAX, OUTCOMES_NAME, SEGMENT_PLAIN_MAX, SEGMENT_STORED_MAX, outcomes};
use crate::digest::{Digest, Hasher};
use crate::frames::{FRAME_BYTES, FrameDecoder};
use crate::item::tar;
use crate::item::{ItemRecord, Kind, RawBytes, RecordError, Stage};
use crate::keys::PublicKey;
use crate::length::{len, to_u64, to_usize};
use crate::seal::{ChainState, Records, Seal, SealError, SealHeader};

/// The report on one verified segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentReport {
    /// Its seal's header.
    pub header: SealHeader,
    /// Its seal's digest.
    pub seal_digest: Digest,
    /// The item that continues in the next segment.
    pub open: Option<ItemRecord>,
}

/// Records of the seal at hand.
struct Lines<'a> {
    records: Records<'a>,
    taken: u64,
    header: &'a SealHeader,
}

/// Verifies one container. After an error it accepts nothing more.
pub struct Verifier {
    sealer: PublicKey,
    limits: Limits,
    chain: ChainState,
    decoder: FrameDecoder,
    names: Names,
    targets: LinkTargets,
    totals: Totals,
    seek: SeekTable,
    plain: u64,
    logical: u64,
    member: Option<Member>,
    outcomes_expected: Hasher,
    outcomes_actual: Hasher,
    outcome_parts: u64,
    has_outcomes: bool,
    /// Plain offset behind the last member.
    outcomes_end: Option<u64>,
    has_failed: bool,
}

type OnItem<'a> = &'a mut dyn FnMut(&ItemRecord);

impl Verifier {
    /// A verifier for one container.
    ///
    /// # Errors
    /// If the decoder cannot be allocated.
    pub fn new(expect: Expect) -> Result<Self, Malformed> {
        let decoder =
            FrameDecoder::new().map_err(|source| Malformed::Frame { index: 0, offset: 0, source })?;
        Ok(Self {
            sealer: expect.sealer,
            limits: expect.limits,
            chain: ChainState::new(expect.identity),
            decoder,
            names: Names::default(),
            targets: LinkTargets::default(),
            totals: Totals::default(),
            seek: SeekTable::new(),
            plain: 0,
            logical: 0,
            member: None,
            outcomes_expected: Hasher::new(),
            outcomes_actual: Hasher::new(),
            outcome_parts: 0,
            has_outcomes: false,
            outcomes_end: None,
            has_failed: false,
        })
    }

    /// Verifies the next segment. `on_item` gets each record whose item is verified, in order. If the segment fails
    /// afterwards, the caller must drop the records that it got.
    ///
    /// # Errors
    /// [`Malformed`] names the first defect.
    pub fn segment(
        &mut self,
        seal: &[u8],
        segment: &[u8],
        on_item: OnItem<'_>,
    ) -> Result<SegmentReport, Malformed> {
        if self.has_failed {
            return Err(Malformed::AfterFailure);
        }
        let report = self.check_segment(seal, segment, on_item);
        self.has_failed = report.is_err();
        report
    }

    /// Checks that the container is finished and returns its totals, for comparison with the manifest.
    ///
    /// # Errors
    /// [`Malformed::Unfinished`] without the final segment.
    pub fn finish(self) -> Result<ContainerSummary, Malformed> {
        if self.has_failed {
            return Err(Malformed::AfterFailure);
        }
        if !self.chain.is_final() {
            return Err(Malformed::Unfinished);
        }
        Ok(self.totals.summary(self.plain, self.chain.head()))
    }

    /// What the segments so far prove, if no more come.
    #[must_use]
    pub fn interrupted(&self) -> Interrupted {
        Interrupted {
            summary: self.totals.summary(self.plain, self.chain.head()),
            open: self.member.as_ref().map(|member| member.record.clone()),
        }
    }

    /// The chain so far. It tells a sender where to continue.
    #[must_use]
    pub fn chain(&self) -> &ChainState {
        &self.chain
    }

    fn check_segment(
        &mut self,
        seal_bytes: &[u8],
        segment: &[u8],
        on_item: OnItem<'_>,
    ) -> Result<SegmentReport, Malformed> {
        let index = self.chain.next_index();
        let in_seal = |source: SealError| Malformed::Seal { index, source };
        let seal = Seal::parse(seal_bytes).map_err(in_seal)?;
        seal.verify(&self.sealer).map_err(in_seal)?;
        self.chain.push(&seal).map_err(Malformed::Chain)?;
        self.check_lengths(&seal.header, segment)?;
        if Digest::of(segment) != seal.header.sha256 {
            return Err(Malformed::SegmentDigest { index });
        }

        let mut lines = Lines { records: seal.records().map_err(in_seal)?, taken: 0, header: &seal.header };
        let mut rest = segment;
        let mut plain = Vec::new();
        while self.plain < seal.header.plain_end {
            let left = to_usize(seal.header.plain_end - self.plain);
            let expected = left.min(FRAME_BYTES);
            let stored = self
                .decoder
                .decode(rest, expected, &mut plain)
                .map_err(|source| Malformed::Frame { index, offset: self.plain, source })?;
            self.count_frame(index, stored, expected)?;
            rest = rest.split_at(stored).1;
            self.consume(&plain, &mut lines, on_item)?;
        }
        self.check_stored_end(&seal.header, segment.len(), rest)?;
        self.drain(&mut lines, on_item)?;
        if seal.header.is_final {
            self.check_end()?;
        }
        self.totals.segment(segment);
        let open = self.member.as_ref().map(|member| member.record.clone());
        Ok(SegmentReport { seal_digest: seal.digest, open, header: seal.header })
    }

    fn check_lengths(&self, header: &SealHeader, segment: &[u8]) -> Result<(), Malformed> {
        let index = header.index;
        let actual = len(segment);
        if header.stored_len != actual {
            return Err(Malformed::SegmentLength { index, stated: header.stored_len, actual });
        }
        let plain = header.plain_end - header.plain_start;
        if plain > SEGMENT_PLAIN_MAX {
            return Err(Malformed::SegmentTooLarge { index, limit: "64 MiB plain" });
        }
        if !header.is_final && !header.plain_end.is_multiple_of(1 << 20) {
            return Err(Malformed::SegmentEnd { index });
        }
        let limit = |holds: bool, limit| {
            if holds { Ok(()) } else { Err(Malformed::Limit { index, limit }) }
        };
        limit(header.plain_end <= self.limits.plain_bytes, "plain_bytes")?;
        limit(header.items_total <= self.limits.items, "items")?;
        let stored = self.totals.stored_len + actual;
        limit(stored <= self.limits.stored_bytes, "stored_bytes")
    }

    fn count_frame(&mut self, index: u64, stored: usize, plain: usize) -> Result<(), Malformed> {
        let (Ok(stored), Ok(plain)) = (u32::try_from(stored), u32::try_from(plain)) else {
            return Err(Malformed::SegmentTooLarge { index, limit: "16 MiB stored" });
        };
        if self.seek.frames() >= FRAMES_MAX {
            return Err(Malformed::SegmentTooLarge { index, limit: "4194304 frames" });
        }
        self.seek.push(stored, plain);
        Ok(())
    }

    /// Checks that nothing follows the frames, or only the seek table.
    fn check_stored_end(&self, header: &SealHeader, stored: usize, rest: &[u8]) -> Result<(), Malformed> {
        let index = header.index;
        if to_u64(stored - rest.len()) > SEGMENT_STORED_MAX {
            return Err(Malformed::SegmentTooLarge { index, limit: "16 MiB stored" });
        }
        let behind = if header.is_final {
            rest.strip_prefix(self.seek.to_bytes().as_slice()).ok_or(Malformed::SeekTable)?
        } else {
            rest
        };
        if behind.is_empty() { Ok(()) } else { Err(Malformed::TrailingBytes { index, len: len(behind) }) }
    }

    /// Takes the next plain bytes.
    fn consume(
        &mut self,
        mut bytes: &[u8],
        lines: &mut Lines<'_>,
        on_item: OnItem<'_>,
    ) -> Result<(), Malformed> {
        // The previous segment cut a member: its next record comes first in this seal.
        if lines.taken == 0 && self.member.is_some() {
            self.continue_member(lines)?;
        }
        while !bytes.is_empty() {
            if self.member.is_none() {
                if self.has_outcomes {
                    return self.consume_end(bytes);
                }
                self.next_member(lines, on_item)?;
            }
            let Some(member) = &mut self.member else { continue };
            let taken = member.consume(bytes, self.plain, &mut self.outcomes_actual)?;
            self.plain += to_u64(taken);
            bytes = bytes.split_at(taken).1;
            if member.is_complete() {
                self.end_member(on_item)?;
            }
        }
        Ok(())
    }

    fn consume_end(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let end = self.plain + len(bytes);
        let is_within = self.outcomes_end.is_some_and(|at| end - at <= len(&tar::END));
        if !is_within || !is_zero(bytes) {
            return Err(Malformed::EndBlocks { offset: self.plain });
        }
        self.plain = end;
        Ok(())
    }

    /// The next line of the seal with its raw bytes. An open record is the last line.
    fn next_record(&mut self, lines: &mut Lines<'_>) -> Result<Option<(ItemRecord, Stage)>, Malformed> {
        let (index, item) = (lines.header.index, self.totals.items);
        let Some(line) = lines.records.next() else {
            return Ok(None);
        };
        let line = line.map_err(|source| Malformed::Seal { index, source })?;
        let stage = match lines.taken.checked_sub(lines.header.items) {
            None => Stage::Final,
            Some(0) if lines.header.open => Stage::Open,
            Some(_) => return Err(Malformed::RecordCount { index }),
        };
        lines.taken += 1;
        let record =
            ItemRecord::parse_line(&line, stage).map_err(|source| Malformed::Record { item, source })?;
        if record.n != item {
            return Err(Malformed::Ordinal { item, stated: record.n });
        }
        if stage == Stage::Open && record.ended != lines.header.wall {
            return Err(Malformed::OpenContradicted { item });
        }
        if record.member.is_none() && outcomes::is_reserved(&record.path.0) {
            return Err(Malformed::OutcomesMember { item });
        }
        if self.totals.is_outcome_too_many(&record.outcome) {
            return Err(Malformed::Limit { index, limit: "outcomes" });
        }
        if stage == Stage::Final {
            let limit = Malformed::Limit { index, limit: "logical_bytes" };
            self.totals.item(&record, &line).ok_or(limit)?;
            if let Some(line) = outcomes::line(&record) {
                self.outcomes_expected.update(&line);
            }
        }
        Ok(Some((record, stage)))
    }

    /// Replaces the open record with the one in this seal.
    fn continue_member(&mut self, lines: &mut Lines<'_>) -> Result<(), Malformed> {
        let item = self.totals.items;
        let Some((record, stage)) = self.next_record(lines)? else {
            return Err(Malformed::RecordCount { index: lines.header.index });
        };
        let Some(member) = &mut self.member else {
            return Ok(());
        };
        // Saturating is the meaning: a segment may end inside the header, before any content.
        let written = self.plain.saturating_sub(member.record.data.unwrap_or(self.plain));
        if !record.continues(&member.record, member.record.logical_end(written)) {
            return Err(Malformed::OpenContradicted { item });
        }
        member.record = record;
        member.stage = stage;
        Ok(())
    }

    /// Reads records up to the next one with a member, and starts it.
    fn next_member(&mut self, lines: &mut Lines<'_>, on_item: OnItem<'_>) -> Result<(), Malformed> {
        loop {
            let Some((record, stage)) = self.next_record(lines)? else {
                return Err(Malformed::Unexplained { offset: self.plain });
            };
            if record.member.is_some() {
                return self.start_member(record, stage, lines.header.index);
            }
            on_item(&record);
        }
    }

    fn start_member(&mut self, record: ItemRecord, stage: Stage, index: u64) -> Result<(), Malformed> {
        let (item, offset) = (record.n, self.plain);
        let mut head = tar::member_header(&record).map_err(|source| Malformed::TarHeader { item, source })?;
        let data = offset + len(&head);
        if record.at != Some(offset) || record.data != Some(data) {
            return Err(Malformed::MemberOffset { item, offset });
        }
        let Some(RawBytes(name)) = &record.member else {
            let source = RecordError::Field { field: "member", rule: "is missing" };
            return Err(Malformed::Record { item, source });
        };
        self.names.insert(name).map_err(|clash| match clash {
            Clash::Duplicate => Malformed::DuplicateName { item },
            Clash::BelowOther => Malformed::BelowOther { item },
        })?;
        let size = record.size.unwrap_or(0);
        if let Some(link) = &record.link
            && !self.targets.contains(link.n, &link.member.0, size, record.sha256)
        {
            return Err(Malformed::LinkTarget { item });
        }
        if record.has_content() {
            if size > self.limits.item_bytes {
                return Err(Malformed::Limit { index, limit: "item_bytes" });
            }
            let logical =
                self.logical.checked_add(size).filter(|logical| *logical <= self.limits.logical_bytes);
            self.logical = logical.ok_or(Malformed::Limit { index, limit: "logical_bytes" })?;
        }
        let is_outcomes = outcomes::is_reserved(&record.path.0);
        if is_outcomes {
            self.check_outcomes_member(&record)?;
        }
        if let Some(runs) = &record.sparse {
            head.extend_from_slice(&tar::sparse_map(runs, size));
        }
        let content = if record.has_content() { Content::new(&record) } else { Content::none() };
        let padding = tar::padding(record.stored.unwrap_or(0));
        self.member = Some(Member { record, stage, head, head_at: 0, content, padding, is_outcomes });
        Ok(())
    }

    fn check_outcomes_member(&mut self, record: &ItemRecord) -> Result<(), Malformed> {
        let is_plain = record.kind == Kind::Stream
            && record.part.is_none()
            && record.collector == outcomes::COLLECTOR
            && record.size.is_some_and(|size| size <= outcomes::MEMBER_BYTES_MAX);
        if is_plain && record.path.0 == OUTCOMES_NAME.as_bytes() {
            return Ok(());
        }
        self.outcome_parts += 1;
        let is_next = record.path.0 == outcomes::part_name(self.outcome_parts).as_bytes();
        if is_plain && is_next { Ok(()) } else { Err(Malformed::OutcomesMember { item: record.n }) }
    }

    fn end_member(&mut self, on_item: OnItem<'_>) -> Result<(), Malformed> {
        let Some(member) = self.member.take() else {
            return Ok(());
        };
        let record = member.record;
        let item = record.n;
        if member.stage == Stage::Open {
            return Err(Malformed::WrongSeal { item });
        }
        if record.has_content() {
            let (sha256, sha256_read) = member.content.finish();
            if sha256 != record.sha256 {
                return Err(Malformed::ContentDigest { item });
            }
            if sha256_read != record.sha256_read {
                return Err(Malformed::ReadDigest { item });
            }
            if let (Some(before), Some(name)) = (&record.before, &record.member)
                && before.nlink > 1
            {
                self.targets.insert(item, &name.0, record.size.unwrap_or(0), record.sha256);
            }
        }
        if member.is_outcomes {
            if !record.outcome.is_ok() {
                return Err(Malformed::OutcomesMember { item });
            }
            self.has_outcomes = record.path.0 == OUTCOMES_NAME.as_bytes();
            self.outcomes_end = self.has_outcomes.then_some(self.plain);
        }
        on_item(&record);
        Ok(())
    }

    /// Reads the records after the segment's last plain byte: items without member may follow, and an open record must follow if one is
    /// due.
    fn drain(&mut self, lines: &mut Lines<'_>, on_item: OnItem<'_>) -> Result<(), Malformed> {
        let index = lines.header.index;
        if let Some(member) = &self.member
            && member.stage == Stage::Final
        {
            return Err(Malformed::WrongSeal { item: member.record.n });
        }
        while let Some((record, stage)) = self.next_record(lines)? {
            let item = record.n;
            if record.member.is_some() || stage == Stage::Open {
                return Err(Malformed::WrongSeal { item });
            }
            if self.has_outcomes {
                return Err(Malformed::OutcomesMember { item });
            }
            on_item(&record);
        }
        let lines_due = lines.header.items + u64::from(lines.header.open);
        if lines.taken != lines_due || self.totals.items != lines.header.items_total {
            return Err(Malformed::RecordCount { index });
        }
        Ok(())
    }

    /// The end of the final segment.
    fn check_end(&self) -> Result<(), Malformed> {
        if !self.has_outcomes || self.plain.checked_sub(len(&tar::END)) != self.outcomes_end {
            return Err(Malformed::EndBlocks { offset: self.plain });
        }
        let (expected, actual) = (self.outcomes_expected.clone(), self.outcomes_actual.clone());
        if expected.finish() != actual.finish() {
            return Err(Malformed::OutcomesContent);
        }
        Ok(())
    }
}
