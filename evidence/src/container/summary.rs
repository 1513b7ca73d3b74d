//! The totals of a whole container, which its manifest repeats.

use std::collections::BTreeMap;

use crate::digest::{Digest, Hasher};
use crate::item::ItemRecord;
use crate::item::outcome::Outcome;
use crate::length::len;

/// Totals of a finished container. Writer and verifier compute them independently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSummary {
    pub segments: u64,
    /// Stored length of all segments, seek table included.
    pub stored_len: u64,
    pub plain_len: u64,
    /// SHA-256 of the concatenated segments.
    pub container_sha256: Digest,
    pub items: u64,
    /// RFC 6962 root over the record lines.
    pub items_root: Digest,
    /// Digest of the last seal.
    pub seal_head: Digest,
    /// Items by outcome, sorted by its text.
    pub counts_by_outcome: BTreeMap<Outcome, u64>,
    /// Sum of `size` over members with content.
    pub content_bytes: u64,
}

/// What a chain without a final segment proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interrupted {
    /// The totals up to the last segment.
    pub summary: ContainerSummary,
    /// The item that was being read when the collection ended, as far as it was read.
    pub open: Option<ItemRecord>,
}

/// Most different outcomes of a container: 64. Unknown outcomes are kept, and counting them takes memory.
const OUTCOMES_MAX: usize = 64;

/// The running totals.
#[derive(Default)]
pub(super) struct Totals {
    pub(super) segments: u64,
    pub(super) stored_len: u64,
    pub(super) items: u64,
    pub(super) content_bytes: u64,
    counts: BTreeMap<Outcome, u64>,
    container: Hasher,
    leaves: ledger::Frontier,
}

impl Totals {
    /// Counts a final record and its line. `None` if the sum of sizes exceeds 64 bits. Only holes can cause that: sparse files
    /// may claim 8 PiB each.
    #[must_use]
    pub(super) fn item(&mut self, record: &ItemRecord, line: &[u8]) -> Option<()> {
        if record.has_content() {
            self.content_bytes = self.content_bytes.checked_add(record.size.unwrap_or(0))?;
        }
        self.items += 1;
        *self.counts.entry(record.outcome.clone()).or_default() += 1;
        self.leaves.push(ledger::leaf_hash(line));
        Some(())
    }

    /// True when counting `outcome` would pass the number of different outcomes a container may have.
    pub(super) fn is_outcome_too_many(&self, outcome: &Outcome) -> bool {
        self.counts.len() >= OUTCOMES_MAX && !self.counts.contains_key(outcome)
    }

    /// Counts a segment.
    pub(super) fn segment(&mut self, stored: &[u8]) {
        self.segments += 1;
        self.stored_len += len(stored);
        self.container.update(stored);
    }

    /// The totals as they stand.
    pub(super) fn summary(&self, plain_len: u64, seal_head: Digest) -> ContainerSummary {
        ContainerSummary {
            segments: self.segments,
            stored_len: self.stored_len,
            plain_len,
            container_sha256: self.container.clone().finish(),
            items: self.items,
            items_root: Digest(self.leaves.root().0),
            seal_head,
            counts_by_outcome: self.counts.clone(),
            content_bytes: self.content_bytes,
        }
    }
}
