//! Turns plain bytes into sealed segments: fills frames, compresses them in lanes, puts them into segments, seals.

use super::{WriteError, Writer};
use crate::container::lanes::Done;
use crate::container::{FRAMES_MAX, SEGMENT_PLAIN_MAX, SEGMENT_RECORDS, SEGMENT_STORED};
use crate::digest::Digest;
use crate::frames::FRAME_BYTES;
use crate::item::{ItemRecord, Stage};
use crate::length::{len, to_u64};
use crate::seal::{self, SealHeader, SealType};
use crate::time::FileTime;

/// The endpoint's clocks when a segment is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// Wall clock.
    pub wall: FileTime,
    /// `CLOCK_BOOTTIME`.
    pub boot: FileTime,
}

/// A finished segment, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSegment {
    pub index: u64,
    pub bytes: Vec<u8>,
    /// The whole seal.
    pub seal: Vec<u8>,
    /// SHA-256 of the whole seal.
    pub seal_digest: Digest,
    /// The seal's header.
    pub header: SealHeader,
}

/// The frames of one segment that is not sealed yet.
pub(super) struct Closed {
    pub(super) bytes: Vec<u8>,
    pub(super) plain_end: u64,
}

impl Writer {
    /// Appends plain bytes. A full frame is handed over when the next byte comes, so that the last frame is never empty.
    pub(super) fn emit(&mut self, mut bytes: &[u8]) -> Result<(), WriteError> {
        while !bytes.is_empty() {
            if self.frame.len() == FRAME_BYTES {
                let next = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(FRAME_BYTES));
                let full = std::mem::replace(&mut self.frame, next);
                self.lanes.submit(full)?;
                while let Some(done) = self.lanes.next_done()? {
                    self.place(done, false)?;
                }
            }
            let take = bytes.len().min(FRAME_BYTES - self.frame.len());
            let (chunk, rest) = bytes.split_at(take);
            self.frame.extend_from_slice(chunk);
            self.plain += to_u64(take);
            bytes = rest;
        }
        Ok(())
    }

    /// Puts the next compressed frame into the segment, and closes the segment when it is large enough. The last frame
    /// closes nothing: it belongs to the final segment, which must have at least one.
    pub(super) fn place(&mut self, mut done: Done, is_last: bool) -> Result<(), WriteError> {
        let (Ok(stored), Ok(plain)) = (u32::try_from(done.frame.len()), u32::try_from(done.plain.len()))
        else {
            return Err(WriteError::Full);
        };
        if self.seek.frames() >= FRAMES_MAX {
            return Err(WriteError::Full);
        }
        self.seek.push(stored, plain);
        self.segment.extend_from_slice(&done.frame);
        self.compressed += u64::from(plain);
        done.plain.clear();
        self.spare.push(done.plain);
        self.lanes.reuse(done.frame);

        let is_full = len(&self.segment) >= SEGMENT_STORED
            || self.compressed - self.segment_start >= SEGMENT_PLAIN_MAX
            || self.records_since_close >= SEGMENT_RECORDS;
        if is_full && !is_last {
            let bytes = std::mem::take(&mut self.segment);
            self.closed.push_back(Closed { bytes, plain_end: self.compressed });
            self.segment_start = self.compressed;
            self.records_since_close = 0;
        }
        Ok(())
    }

    pub(super) fn seal(
        &mut self,
        closed: Closed,
        clocks: Clocks,
        is_final: bool,
    ) -> Result<SealedSegment, WriteError> {
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
        let header = SealHeader {
            kind: SealType,
            deployment: self.params.deployment.clone(),
            collection: self.params.collection,
            order: self.params.order,
            attempt: self.params.attempt,
            index: self.chain.next_index(),
            sha256: Digest::of(&closed.bytes),
            stored_len: len(&closed.bytes),
            plain_start: self.chain.plain_end(),
            plain_end: closed.plain_end,
            items,
            items_total: self.chain.items_total() + items,
            open: open.is_some(),
            records_sha256: Digest::of(&records),
            records_len: len(&records),
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
    pub(super) fn open_record(
        &self,
        plain_end: u64,
        wall: FileTime,
    ) -> Result<Option<ItemRecord>, WriteError> {
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
