//! The content of one member as it streams: logical and read digests, holes, gaps.
//!
//! The record passed [`ItemRecord::check`]: its runs ascend within `size`, which is below 2^53, so no sum overflows.

use crate::digest::{Digest, Hasher};
use crate::item::{Gap, ItemRecord};
use crate::length::{len, to_usize};

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Whether bytes were read from the source or replace bytes that could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Read,
    Fill,
}

/// Fill bytes that are not zero, at a logical offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotZero(pub(super) u64);

/// Position and digests in a member's content. Takes data bytes as they lie in the tar, after the map.
pub(super) struct Content {
    runs: Vec<(u64, u64)>,
    run: usize,
    in_run: u64,
    hashed: u64,
    size: u64,
    /// Number of data bytes that have not come yet.
    left: u64,
    logical: Option<Hasher>,
    read: Option<Hasher>,
    has_gaps: bool,
}

impl Content {
    pub(super) fn new(record: &ItemRecord) -> Self {
        let size = record.size.unwrap_or(0);
        let whole = if size == 0 { Vec::new() } else { vec![(0, size)] };
        let runs = record.sparse.clone().unwrap_or(whole);
        Self {
            left: runs.iter().fold(0, |sum, (_, len)| sum + *len),
            runs,
            run: 0,
            in_run: 0,
            hashed: 0,
            size,
            logical: (!record.is_hash_left_out()).then(Hasher::new),
            // Holes are in the logical digest only, so a sparse member needs both from the start.
            read: record.sparse.is_some().then(Hasher::new),
            has_gaps: false,
        }
    }

    /// The content of a member that has none.
    pub(super) fn none() -> Self {
        let runs = Vec::new();
        Self {
            runs,
            run: 0,
            in_run: 0,
            hashed: 0,
            size: 0,
            left: 0,
            logical: None,
            read: None,
            has_gaps: false,
        }
    }

    /// Logical offset of the next data byte, and how many follow it in its run. `None` after the last.
    pub(super) fn position(&self) -> Option<(u64, u64)> {
        let (off, len) = self.runs.get(self.run)?;
        Some((off + self.in_run, len - self.in_run))
    }

    /// Number of data bytes that have not come yet.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// Takes the next data bytes, which must lie in one run.
    pub(super) fn push(&mut self, bytes: &[u8], origin: Origin) {
        let Some((off, _)) = self.position() else { return };
        self.hash_zeros(off);
        if origin == Origin::Fill && !self.has_gaps {
            self.has_gaps = true;
            // Before the first gap, both digests have seen the same bytes.
            if self.read.is_none() {
                self.read.clone_from(&self.logical);
            }
        }
        if let Some(logical) = &mut self.logical {
            logical.update(bytes);
        }
        if let (Origin::Read, Some(read)) = (origin, &mut self.read) {
            read.update(bytes);
        }
        let pushed = len(bytes);
        self.hashed = off + pushed;
        self.left -= pushed;
        self.in_run += pushed;
        if self.runs.get(self.run).is_some_and(|(_, len)| self.in_run >= *len) {
            self.run += 1;
            self.in_run = 0;
        }
    }

    /// Takes the next data bytes and tells gaps from data by `gaps` (of the whole member). Bytes in a gap must be zeros.
    pub(super) fn feed(&mut self, mut bytes: &[u8], gaps: &[Gap]) -> Result<(), NotZero> {
        let Some((start, _)) = self.position() else {
            return Ok(());
        };
        let (_, mut rest) = gaps.split_at(gaps.partition_point(|gap| gap.end() <= start));
        while !bytes.is_empty() {
            let Some((off, in_run)) = self.position() else {
                return Ok(());
            };
            while rest.first().is_some_and(|gap| gap.end() <= off) {
                rest = rest.split_first().map_or(&[], |(_, rest)| rest);
            }
            let (origin, until) = match rest.first() {
                Some(gap) if gap.off <= off => (Origin::Fill, gap.end() - off),
                Some(gap) => (Origin::Read, gap.off - off),
                None => (Origin::Read, u64::MAX),
            };
            let take = to_usize(in_run.min(until)).min(bytes.len());
            let (chunk, behind) = bytes.split_at(take);
            if origin == Origin::Fill && !is_zero(chunk) {
                return Err(NotZero(off));
            }
            self.push(chunk, origin);
            bytes = behind;
        }
        Ok(())
    }

    /// `sha256` and `sha256_read` as the record must have them.
    pub(super) fn finish(mut self) -> (Option<Digest>, Option<Digest>) {
        self.hash_zeros(self.size);
        let two = self.has_gaps || self.logical.is_none();
        let read = self.read.filter(|_| two).map(Hasher::finish);
        (self.logical.map(Hasher::finish), read)
    }

    fn hash_zeros(&mut self, until: u64) {
        let Some(logical) = &mut self.logical else { return };
        while self.hashed < until {
            let chunk = zeros(until - self.hashed);
            logical.update(chunk);
            self.hashed += len(chunk);
        }
    }
}

/// At most `len` zero bytes, at least one when `len` is not 0.
pub(super) fn zeros(len: u64) -> &'static [u8] {
    let (chunk, _) = ZEROS.split_at(to_usize(len).min(ZEROS.len()));
    chunk
}

/// True when every byte is zero.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(ZEROS.len()).all(|chunk| ZEROS.get(..chunk.len()) == Some(chunk))
}
