//! The state of a running upload: the seal chain, a caged verifier that has seen every durable segment, and the copies so far.
//!
//! Guarantee: verifier and chain are always at the same segment, the one after the newest durable one. After a restart the
//! collector builds both again from the stored objects, one collection at a time. Not here: new segments (`ingest::segment`).

use std::time::Duration;

use bytes::Bytes;
use evidence::digest::Digest;
use evidence::seal::{ChainState, Seal};
use store::{Key, Written};
use tokio::time::Instant;

use super::begin::Admitted;
use super::ended::{Durable, Ended};
use super::verifier::{Verdict, Verifier, VerifierError};
use crate::blocking::blocking;
use crate::failure::Failure;
use crate::rows::collections::SegmentRow;
use crate::services::ingest::Ingest;

/// Longest time between two progress entries while segments arrive.
pub const PROGRESS_EVERY: Duration = Duration::from_secs(300);

/// Most stored bytes between two progress entries.
pub const PROGRESS_BYTES: u64 = 1 << 30;

/// State of a running upload between two segments.
#[derive(Debug)]
pub struct Warm {
    /// The caged process.
    pub verifier: Verifier,
    /// The seals so far.
    pub chain: ChainState,
    /// The fewest copies of any object so far. `None` before the first.
    pub written: Option<Written>,
    /// When the newest progress entry was written.
    pub progress_at: Instant,
    /// Stored bytes since then.
    pub progress_bytes: u64,
    /// The endpoint's monotonic clock at the first seal, in milliseconds: the order's wall limit counts from it.
    pub first_boot_ms: Option<i128>,
}

impl Warm {
    /// What the endpoint may forget.
    pub fn durable(&self) -> Durable {
        let index = self.chain.next_index();
        Durable {
            next_index: index,
            seal: (index > 0).then(|| self.chain.head()),
            copies: self.written.map_or(0, |written| written.copies),
            degraded: self.written.is_some_and(|written| written.degraded),
        }
    }

    /// Takes an object's copies into account.
    pub fn note_written(&mut self, written: Written) {
        self.written = Some(self.written.map_or(written, |so_far| so_far.and(written)));
    }

    /// Builds the state for `admitted` from its stored objects.
    ///
    /// # Errors
    /// [`Ended::Failed`] if a stored object cannot be read or the process cannot run. The endpoint comes again.
    pub async fn build(ingest: &Ingest, admitted: &Admitted) -> Result<Self, Ended> {
        let segments = ingest.collector.segments_of(admitted.number).await?;
        let verifier = start(ingest, admitted).await?;
        let mut warm = Self {
            verifier,
            chain: ChainState::new(admitted.identity.clone()),
            written: None,
            progress_at: Instant::now(),
            progress_bytes: 0,
            first_boot_ms: None,
        };
        if segments.is_empty() {
            return Ok(warm);
        }
        // One at a time: after a restart every endpoint returns at once, and their new segments matter more.
        let _turn =
            ingest.refeed.acquire().await.map_err(|error| Ended::unavailable("resume the upload", error))?;
        tracing::info!(collection = %admitted.collection, segments = segments.len(), "Verifier is fed again from the stores");
        for segment in &segments {
            if ingest.collector.stop.is_cancelled() {
                return Err(Ended::Gone);
            }
            warm.feed_stored(ingest, admitted, segment).await?;
        }
        Ok(warm)
    }

    async fn feed_stored(
        &mut self,
        ingest: &Ingest,
        admitted: &Admitted,
        segment: &SegmentRow,
    ) -> Result<(), Ended> {
        let (seal, stored, written) = read_stored(ingest, &admitted.collection, segment).await?;
        let contradiction = |what: &str| {
            Ended::Failed(Failure::internal(
                "resume the upload",
                format!("stored segment {}: {what}", segment.index),
            ))
        };
        match self.verifier.segment(&seal, &stored).await {
            Ok(Verdict::Good(_)) => {}
            Ok(Verdict::Bad(defect)) => return Err(contradiction(&defect.reason)),
            Err(error) => return Err(Ended::unavailable("resume the upload", error)),
        }
        let parsed = Seal::parse(&seal).map_err(|error| contradiction(&error.to_string()))?;
        self.chain.push(&parsed).map_err(|error| contradiction(&error.to_string()))?;
        self.first_boot_ms.get_or_insert_with(|| boot_ms(&parsed));
        self.note_written(written);
        Ok(())
    }
}

/// The endpoint's monotonic clock at sealing, in milliseconds.
pub fn boot_ms(seal: &Seal<'_>) -> i128 {
    let boot = seal.header.boot;
    i128::from(boot.seconds()) * 1000 + i128::from(boot.nanos() / 1_000_000)
}

/// Starts a verifier for `admitted`.
pub async fn start(ingest: &Ingest, admitted: &Admitted) -> Result<Verifier, Ended> {
    match Verifier::start(&ingest.program, &admitted.begin).await {
        Ok(verifier) => Ok(verifier),
        Err(error @ (VerifierError::Start(_) | VerifierError::Died(_))) => {
            Err(Ended::unavailable("start a verifier", error))
        }
    }
}

/// Reads seal and segment from the replicas, checks their digests, and counts the stores that hold both.
pub async fn read_stored(
    ingest: &Ingest,
    collection: &Digest,
    segment: &SegmentRow,
) -> Result<(Bytes, Bytes, Written), Ended> {
    let seal_key = Key::seal(collection.as_bytes(), segment.index, segment.seal_sha256.as_bytes());
    let segment_key = Key::segment(collection.as_bytes(), segment.index, segment.sha256.as_bytes());
    let (seal_len, stored_len) = (segment.seal_len, segment.stored_len);
    let replicas = ingest.collector.replicas.clone();
    blocking(move || {
        let seal = replicas.read(&seal_key)?;
        let stored = replicas.read(&segment_key)?;
        let written =
            replicas.copies_of(&seal_key, seal_len).and(replicas.copies_of(&segment_key, stored_len));
        Ok::<_, store::ReplicaError>((Bytes::from(seal), Bytes::from(stored), written))
    })
    .await?
    .map_err(|error| Ended::unavailable("read a stored segment", error))
}
