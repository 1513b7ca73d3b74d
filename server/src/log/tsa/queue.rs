//! The queue of heads that need a stamp, and one round of work on it.

use proto::backoff::Backoff;
use std::time::Duration;

use evidence::causes::chain;
use evidence::digest::Digest;
use evidence::entry::act::{Act, ActNonce, ActType};
use evidence::entry::{ActObject, EntryType};
use evidence::id::{Actor, Chain, CollectorId, DeploymentId};
use evidence::json;
use evidence::time::Time;
use store::{Key, ReplicaError, Replicas};

use super::{TsaClient, TsaError};
use crate::clock::end_of_wait;
use crate::log::ledger::{PendingEntry, Published, Sequencer, SubmitError};
use crate::rows::stamps::{NewestStamp, StampTask};
use crate::rows::{Db, DbError, stamps};

/// First wait after a failure: 30 s; doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_secs(30);
/// Longest wait: 1 h.
const BACKOFF_MAX: Duration = Duration::from_secs(3600);

/// A stamped head whose stamp is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamped {
    /// Size of the stamped checkpoint.
    pub size: u64,
    /// Digest of the response.
    pub stamp: Digest,
}

/// How long before a certificate expires the collector renews its stamps: 30 days, time enough for a new contract.
const RENEW_BEFORE_MS: u64 = 30 * 86_400_000;
/// How often to ask again while no later certificate follows: once a day.
const RENEW_EVERY_MS: u64 = 86_400_000;

/// Queues the newest published head for an authority, unless only stamps were recorded since its last stamp and that stamp's
/// certificate lasts. Each `tsa.stamped` stands in the tree that the next stamp covers, so stamping the newest
/// head renews all stamps before it.
pub async fn enqueue_newest(db: &Db, tsa: &str, published: Published, now: Time) -> Result<bool, DbError> {
    if published.size == 0 {
        return Ok(false);
    }
    let (tsa, now_ms) = (tsa.to_owned(), now.unix_ms());
    db.write_async(move |tx| {
        let newest = stamps::newest(tx, &tsa)?;
        let is_ending = newest.is_some_and(|newest| {
            let age = now_ms.checked_sub(newest.at_ms);
            newest.ends_ms.is_some_and(|ends| ends_soon(ends, now)) && age >= Some(RENEW_EVERY_MS)
        });
        // Each stamp is itself an entry: without this check the collector would stamp a quiet log for ever.
        let only_stamps: bool = tx.query_row(
            "SELECT NOT EXISTS (SELECT 1 FROM entries WHERE idx >= ?1 AND idx < ?2 AND type <> 'tsa.stamped')",
            rusqlite::params![newest.map_or(0, |newest| newest.size), published.size],
            |row| row.get(0),
        )?;
        if newest.is_some() && only_stamps && !is_ending {
            return Ok(false);
        }
        stamps::enqueue(tx, &tsa, published.size, &published.note)?;
        Ok(true)
    })
    .await
}

/// The parts that a round works with.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// Rows.
    pub db: &'a Db,
    /// Objects.
    pub replicas: &'a Replicas,
    /// Ledger.
    pub sequencer: &'a Sequencer,
    /// Deployment.
    pub deployment: &'a DeploymentId,
    /// The collector that records.
    pub collector: &'a CollectorId,
}

/// Works off the heads that are due, newest first; the newest stamp covers all smaller sizes. An authority that is away costs
/// only a wait.
///
/// # Errors
/// If database, stores or ledger fail. The queue holds the failures of the authority.
pub async fn stamp_due(
    client: &TsaClient,
    parts: Parts<'_>,
    now: Time,
) -> Result<Option<Stamped>, StampError> {
    let (db, now_ms, tsa) = (parts.db, now.unix_ms(), client.name());
    let asked = tsa.clone();
    let due = db.read_async(move |reader| stamps::due(reader, &asked, now_ms, 1)).await?;
    let Some(task) = due.into_iter().next() else {
        return Ok(None);
    };
    let response = match client.stamp(&task.note).await {
        Ok(response) => response,
        Err(error) => {
            defer(db, tsa, &task, now, &error).await?;
            return Ok(None);
        }
    };
    let ends_ms = response.stamp.certificate_ends.map(Time::unix_ms);
    let response = response.bytes;
    let stamp = Digest::of(&response);
    if ends_ms.is_some_and(|ends| ends_soon(ends, now)) {
        tracing::warn!(
            tsa,
            "This time-stamping authority's certificate ends soon; the authority must have a new one before"
        );
    }
    let (stores, note, size) = (parts.replicas.clone(), task.note, task.size);
    let written = tokio::task::spawn_blocking(move || {
        stores.create(&Key::stamped_checkpoint(size), &note)?;
        stores.create(&Key::stamp(size, stamp.as_bytes()), &response)
    })
    .await;
    let kept = match written.or(Err(StampError::Panicked))? {
        Ok(_) => {
            parts.sequencer.submit(entry(parts, size, stamp, now)?).await.map(drop).map_err(StampError::from)
        }
        Err(error) => Err(error.into()),
    };
    if let Err(error) = kept {
        // The authority did its part. A fault of ours is no reason to ask it again at once.
        let (due, text) = (end_of_wait(now, wait_after(task.attempts)).unix_ms(), error.to_string());
        db.write_async(move |tx| stamps::failed(tx, &tsa, size, due, &text)).await?;
        return Err(error);
    }
    let newest = NewestStamp { size, at_ms: now_ms, ends_ms };
    db.write_async(move |tx| stamps::done(tx, &tsa, newest)).await?;
    Ok(Some(Stamped { size, stamp }))
}

/// True if a certificate expires within the time in which the collector renews its stamps.
fn ends_soon(ends_ms: u64, now: Time) -> bool {
    // The sum fits: a time is below the year 10000.
    ends_ms <= now.unix_ms() + RENEW_BEFORE_MS
}

fn wait_after(attempts: u32) -> Duration {
    Backoff::new(BACKOFF_MIN, BACKOFF_MAX).wait_after(attempts)
}

async fn defer(db: &Db, tsa: String, task: &StampTask, now: Time, error: &TsaError) -> Result<(), DbError> {
    let (size, wait) = (task.size, wait_after(task.attempts));
    let due = end_of_wait(now, wait).unix_ms();
    tracing::warn!(
        tsa,
        size,
        wait_s = wait.as_secs(),
        error = error as &dyn std::error::Error,
        "No time stamp yet"
    );
    let text = chain(error);
    db.write_async(move |tx| stamps::failed(tx, &tsa, size, due, &text)).await
}

fn entry(
    Parts { deployment, collector, .. }: Parts<'_>,
    size: u64,
    stamp: Digest,
    now: Time,
) -> Result<PendingEntry, StampError> {
    let refs = evidence::entry::pairs::sorted([("size", size.to_string()), ("stamp", stamp.to_string())]);
    let act = Act {
        type_: ActType,
        deployment: deployment.clone(),
        act: EntryType::TsaStamped,
        incident: Chain::Deployment,
        at: now,
        by: Actor::Collector(collector.clone()),
        refs: refs.clone(),
        fields: Vec::new(),
        detail: None,
        nonce: ActNonce::ByContent,
    };
    let document = json::to_document(&act).map_err(|source| StampError::Act { source })?;
    let act = ActObject { document, signatures: Vec::new() };
    Ok(PendingEntry { type_: EntryType::TsaStamped, chain: Chain::Deployment, refs, act, guard: None })
}

/// The authority answered with a stamp, but the collector could not store it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StampError {
    /// The act could not be written.
    #[error("write the act")]
    Act {
        /// Why.
        #[source]
        source: json::JsonError,
    },
    /// The database failed.
    #[error("queue of time stamps")]
    Db(#[from] DbError),
    /// A defect of ours: the task that stores a stamp panicked.
    #[error("storing a stamp panicked")]
    Panicked,
    /// The stores failed.
    #[error("store the stamp")]
    Store(#[from] ReplicaError),
    /// The ledger did not record the stamp.
    #[error("record the stamp")]
    Submit(#[from] SubmitError),
}
