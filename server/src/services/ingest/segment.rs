//! Takes one segment: checks its headers here, has the cage judge its bytes while they are written, makes them durable, and
//! counts them.
//!
//! Guarantee: the order is verdict, objects on the replicas (segment, then seal), database row, answer. If something fails in
//! between, nothing was acknowledged and the endpoint sends the segment again. A bad segment goes to quarantine and into the
//! ledger. Not here: the wire (`ingest::upload`); the end of a collection (`ingest::finish`).

use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use evidence::causes::chain;
use evidence::digest::Digest;
use evidence::item::{ItemRecord, Stage};
use evidence::length::len;
use evidence::seal::{ChainError, Seal};
use proto::backoff::Backoff;
use store::{Key, ReplicaError, Replicas, StoreErrorClass, Written};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::begin::Admitted;
use super::ended::Ended;
use super::quarantine;
use super::verifier::{Judged, Verdict, VerifierError};
use super::warm::{self, Warm};
use crate::blocking::blocking;
use crate::failure::{Failure, OrFailure as _};
use crate::metrics;
use crate::rows::collections::{ItemRow, SegmentRow};
use crate::rows::{self, DbError};
use crate::services::ingest::Ingest;

/// How often a verifier may die over one segment. The collector refuses bytes that kill it three times.
const DEATHS_MAX: u32 = 3;

/// First wait while the stores cannot take a segment; doubles up to [`STORE_WAIT_MAX`]. The sender waits meanwhile.
const STORE_WAIT_MIN: Duration = Duration::from_millis(250);
const STORE_WAIT_MAX: Duration = Duration::from_secs(15);

/// How far a collection may exceed the wall limit of its order: the agent closes its container after the limit.
const WALL_SLACK_MS: i128 = 600_000;

/// A segment as it arrived.
#[derive(Debug)]
pub struct Arrived {
    pub seal: Bytes,
    /// The stored bytes.
    pub stored: Bytes,
    /// Digest of the stored bytes, computed as they arrived.
    pub sha256: Digest,
    /// Cancelled when another call wants the collection. After that, this call waits for no store.
    pub ended: CancellationToken,
}

/// Takes a segment. When it returns `Ok`, everything that [`Warm::durable`] reports is durable.
///
/// # Errors
/// [`Ended`]. Do not use `warm` again unless the error is about the segment's place ([`Ended::Failed`]).
pub async fn accept(
    ingest: &Ingest,
    admitted: &Admitted,
    warm: &mut Warm,
    arrived: Arrived,
) -> Result<(), Ended> {
    let seal = match Seal::parse(&arrived.seal) {
        Ok(seal) => seal,
        Err(error) => {
            return quarantine::malformed(ingest, admitted, warm, &arrived, chain(&error)).await;
        }
    };
    if let Err(error) = seal.verify(&admitted.delegation.sealer) {
        return quarantine::malformed(ingest, admitted, warm, &arrived, chain(&error)).await;
    }
    let index = seal.header.index;
    if index < warm.chain.next_index() {
        return sent_again(ingest, admitted, warm, &arrived, index, seal.digest).await;
    }
    let mut chain = warm.chain.clone();
    match chain.push(&seal) {
        Ok(()) => {}
        Err(ChainError::Index { stated, expected }) => {
            return Err(Failure::precondition(format!("segment {stated} where {expected} is due")).into());
        }
        Err(error) => {
            return quarantine::malformed(ingest, admitted, warm, &arrived, error.to_string()).await;
        }
    }
    if seal.header.sha256 != arrived.sha256 {
        let reason = format!("segment {index} is not the bytes its seal names");
        return quarantine::malformed(ingest, admitted, warm, &arrived, reason).await;
    }
    let boot = warm::boot_ms(&seal);
    let elapsed = boot - *warm.first_boot_ms.get_or_insert(boot);
    if elapsed > i128::from(admitted.order.limits.wall_s) * 1000 + WALL_SLACK_MS {
        return quarantine::over_limit(
            ingest,
            admitted,
            warm,
            &arrived,
            "limit wall_s of the order is passed",
        )
        .await;
    }

    let segment_key = Key::segment(admitted.collection.as_bytes(), index, arrived.sha256.as_bytes());
    let seal_key = Key::seal(admitted.collection.as_bytes(), index, seal.digest.as_bytes());
    crate::upkeep::locks::check_placing(&ingest.collector, &admitted.chain).await?;
    let lane = Lane::start(&ingest.collector.replicas, &arrived.stored, segment_key.clone());
    let judged = match judge(ingest, admitted, warm, &arrived).await? {
        Verdict::Good(judged) => judged,
        Verdict::Bad(defect) if defect.over_limit => {
            return quarantine::over_limit(ingest, admitted, warm, &arrived, &defect.reason).await;
        }
        Verdict::Bad(defect) => {
            return quarantine::malformed(ingest, admitted, warm, &arrived, defect.reason).await;
        }
    };
    // The caged process reports what it saw. Compare that with what was computed here, to know that it saw these bytes.
    if judged.accepted.seal != seal.digest || judged.accepted.items_total != chain.items_total() {
        return Err(
            Failure::internal("verify a segment", "the verifier's answer is about other bytes").into()
        );
    }
    let items = item_rows(&judged, index)?;

    let begun = Instant::now();
    let written = match lane.commit().await {
        Some(written) => written,
        None => create(ingest, &segment_key, arrived.stored.clone(), &arrived.ended).await?,
    };
    // Crash now: the stores hold the segment without its seal. The endpoint sends the same bytes again.
    let written = written.and(create(ingest, &seal_key, arrived.seal.clone(), &arrived.ended).await?);
    metrics::segment_written(begun.elapsed());
    // Crash now: the stores hold both objects, without a row. When sent again, they are found and counted.
    let row = SegmentRow {
        index,
        sha256: arrived.sha256,
        seal_sha256: seal.digest,
        stored_len: seal.header.stored_len,
        seal_len: len(&arrived.seal),
        plain_start: seal.header.plain_start,
        plain_end: seal.header.plain_end,
        items: seal.header.items,
        items_total: seal.header.items_total,
        is_final: seal.header.is_final,
        copies: written.copies,
    };
    let id = admitted.collection;
    let is_added = ingest
        .collector
        .db
        .write_async(move |tx| {
            let is_running = rows::collections::is_running(tx, &id)?;
            if is_running {
                rows::collections::add_segment(tx, &id, &row, items)?;
            }
            Ok::<_, DbError>(is_running)
        })
        .await?;
    if !is_added {
        return Err(Failure::precondition("the collection ended while the segment was on its way").into());
    }

    // The header check made sure that the end is not before the start.
    let plain_len = seal.header.plain_end - seal.header.plain_start;
    metrics::segment_stored(seal.header.stored_len, plain_len, written.degraded);
    warm.progress_bytes += seal.header.stored_len;
    warm.chain = chain;
    warm.note_written(written);
    Ok(())
}

/// Judges a segment that is durable already. If the bytes are the same, the acknowledgement got lost. If they differ, the endpoint
/// contradicts itself.
async fn sent_again(
    ingest: &Ingest,
    admitted: &Admitted,
    warm: &Warm,
    arrived: &Arrived,
    index: u64,
    seal: Digest,
) -> Result<(), Ended> {
    let known =
        ingest.collector.segments_of(admitted.number).await?.into_iter().find(|row| row.index == index);
    let same = known.is_some_and(|row| row.seal_sha256 == seal && row.sha256 == arrived.sha256);
    if same {
        return Ok(());
    }
    quarantine::contradicted(ingest, admitted, warm, arrived, index).await
}

/// Asks for the verdict. If the process dies, starts another, feeds it again and asks again, a few times.
async fn judge(
    ingest: &Ingest,
    admitted: &Admitted,
    warm: &mut Warm,
    arrived: &Arrived,
) -> Result<Verdict<Judged>, Ended> {
    let mut deaths = 0;
    loop {
        let begun = Instant::now();
        match warm.verifier.segment(&arrived.seal, &arrived.stored).await {
            Ok(verdict) => {
                metrics::segment_verified(begun.elapsed());
                return Ok(verdict);
            }
            Err(VerifierError::Died(how)) => {
                deaths += 1;
                tracing::warn!(collection = %admitted.collection, deaths, cause = %how, "Verifier died");
                if deaths >= DEATHS_MAX {
                    let reason = format!("the verifier ended without a verdict {deaths} times: {how}");
                    return Ok(Verdict::Bad(super::child::Defect { over_limit: false, reason }));
                }
                let rebuilt = Warm::build(ingest, admitted).await?;
                if rebuilt.chain.next_index() != warm.chain.next_index() {
                    return Err(
                        Failure::internal("verify a segment", "stored segments and upload disagree").into()
                    );
                }
                warm.verifier = rebuilt.verifier;
            }
            Err(error) => return Err(Ended::unavailable("verify a segment", error)),
        }
    }
}

fn item_rows(judged: &Judged, segment: u64) -> Result<Vec<ItemRow>, Ended> {
    let lines = judged.records.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let rows = lines.map(|line| {
        let record = ItemRecord::parse_line(line, Stage::Final).or_internal("index a segment")?;
        Ok::<_, Failure>(rows::projection::item_row(segment, record))
    });
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Writes an object until the policy is met. If stores are full or fail, the sender waits; nothing is given up.
///
/// # Errors
/// [`Ended::Gone`] if the collector stops or the upload ends meanwhile; [`Ended::Failed`] if a store holds
/// other bytes under the key.
pub async fn create(
    ingest: &Ingest,
    key: &Key,
    bytes: Bytes,
    ended: &CancellationToken,
) -> Result<Written, Ended> {
    let mut waits = Backoff::new(STORE_WAIT_MIN, STORE_WAIT_MAX);
    loop {
        let (replicas, name, copy) = (ingest.collector.replicas.clone(), key.clone(), bytes.clone());
        let error = match blocking(move || replicas.create(&name, &copy)).await? {
            Ok(written) => return Ok(written),
            Err(error) => error,
        };
        if error.class() == StoreErrorClass::Conflict {
            tracing::error!(key = %key, %error, "A store holds other bytes under a content-named key: run fsck");
            return Err(Ended::unavailable("store a segment", error));
        }
        let wait = waits.next_wait();
        tracing::warn!(key = %key, %error, wait_ms = wait.as_millis(), "Stores do not take a segment; the sender waits");
        tokio::select! {
            () = ingest.collector.stop.cancelled() => return Err(Ended::Gone),
            () = ended.cancelled() => return Err(Ended::Gone),
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Writes the bytes to temporary objects during the verdict. They get their name only after a good verdict.
struct Lane {
    verdict: mpsc::Sender<()>,
    writing: JoinHandle<Result<Option<Written>, ReplicaError>>,
}

impl Lane {
    fn start(replicas: &Replicas, bytes: &Bytes, key: Key) -> Self {
        let (verdict, good) = mpsc::channel();
        let (replicas, bytes) = (replicas.clone(), bytes.clone());
        let writing = tokio::task::spawn_blocking(move || {
            let mut writer = replicas.create_writer()?;
            writer.write(&bytes)?;
            // If it is dropped without a verdict, nothing of it remains.
            good.recv().ok().map(|()| writer.commit(&key)).transpose()
        });
        Self { verdict, writing }
    }

    /// `None` if the write failed. The caller then writes again and waits.
    async fn commit(self) -> Option<Written> {
        // The lane may have ended with an error already. Its result says so.
        let _sent = self.verdict.send(());
        match self.writing.await {
            Ok(Ok(written)) => written,
            Ok(Err(error)) => {
                tracing::debug!(%error, "First write of a segment failed");
                None
            }
            Err(error) => {
                tracing::error!(%error, "Writer of a segment panicked");
                None
            }
        }
    }
}
