//! Bounds what ingest holds at once: running uploads, and bytes of segments between the wire and the disks.
//!
//! Guarantee: uploads over the budget wait on the wire, where HTTP/2 flow control slows their senders. Nothing is dropped. A
//! segment takes its whole share before its first byte is read, so that two half-received segments never wait for each other.
//! Not here: the verifier's memory (`services::ingest::child`); HTTP/2 windows (`proto::limits`).

use std::sync::Arc;

use evidence::length::to_usize;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// The unit of memory: one KiB for each permit keeps every budget within a semaphore's range.
const PERMIT_BYTES: u64 = 1 << 10;

/// Largest share of one segment: the format's largest seal and segment (64 + 16 MiB).
const SHARE_BYTES_MAX: u64 = proto::limits::SEAL_BYTES_MAX + proto::limits::SEGMENT_BYTES_MAX;

/// The budget of one collector.
#[derive(Clone, Debug)]
pub struct Budget {
    uploads: Arc<Semaphore>,
    memory: Arc<Semaphore>,
}

/// The budget is closed: the collector is stopping.
#[derive(Debug, thiserror::Error)]
#[error("the collector takes no more segments")]
pub struct Stopping(#[from] AcquireError);

/// A place among the uploads. Dropping it gives it back.
#[derive(Debug)]
pub struct UploadSlot(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// Memory for one segment. Dropping it gives it back.
#[derive(Debug)]
pub struct SegmentShare(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Budget {
    /// Makes room for `uploads` at a time and `memory_bytes` of segments. One segment of the largest size always fits.
    #[must_use]
    pub fn new(uploads: usize, memory_bytes: u64) -> Self {
        let permits = memory_bytes.max(SHARE_BYTES_MAX).div_ceil(PERMIT_BYTES);
        let permits = to_usize(permits).min(Semaphore::MAX_PERMITS);
        Self { uploads: Arc::new(Semaphore::new(uploads.max(1))), memory: Arc::new(Semaphore::new(permits)) }
    }

    /// Waits for a place among the uploads.
    pub async fn upload(&self) -> Result<UploadSlot, Stopping> {
        Ok(UploadSlot(Arc::clone(&self.uploads).acquire_owned().await?))
    }

    /// Waits for the memory of a segment and its seal. Lengths over the format's limits count as the limits: the wire
    /// refuses them in any case.
    pub async fn segment(&self, seal_len: u64, stored_len: u64) -> Result<SegmentShare, Stopping> {
        // Saturating is right here: more than the largest share counts as the largest share.
        let bytes = seal_len.saturating_add(stored_len).min(SHARE_BYTES_MAX);
        #[expect(clippy::expect_used, reason = "the largest share is 80 MiB, or 81,920 permits")]
        let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES)).expect("few permits");
        Ok(SegmentShare(Arc::clone(&self.memory).acquire_many_owned(permits).await?))
    }

    /// Wakes all waiting callers with [`Stopping`]. Segments that have their share are finished.
    pub fn close(&self) {
        self.uploads.close();
        self.memory.close();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_segment_over_the_budget_waits_until_another_gives_its_share_back() {
        let budget = Budget::new(2, 0);
        let first = budget.segment(64 << 20, 10 << 20).await.unwrap();
        let waiting = budget.segment(1 << 20, 16 << 20);
        tokio::pin!(waiting);
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut waiting).await.is_err());
        drop(first);
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn closing_wakes_those_who_wait() {
        let budget = Budget::new(1, 0);
        let _place = budget.upload().await.unwrap();
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.upload().await.map(drop) }
        });
        tokio::task::yield_now().await;
        budget.close();
        assert!(waiting.await.unwrap().is_err());
    }
}
