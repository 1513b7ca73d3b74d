//! Re-reads and re-hashes everything that each store should hold, at a set pace, for ever.
//!
//! Guarantee: within `every`, the scrub reads each object of each store whole at least once, if `rate_max` allows it; otherwise a
//! warning says so. If an object is damaged or missing, the ledger (`evidence.fixity_failed`), the log and the repair queue have it
//! before the scrub looks at the next object. After a restart a pass continues where it stopped. The scrub
//! waits for a store that is away. Not here: making copies (`repair`); objects that no store has (`sweep`).

use crate::config::pace::Pace;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use evidence::digest::Digest;
use evidence::length::len;
use evidence::time::Time;
use store::scrub::{Found, examine};
use store::{Key, Store, Wanting, WantingSink as _};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::blocking::blocking;
use crate::clock;
use crate::failure::{Failure, OrFailure as _, chain};
use crate::log::ledger::{FsckReport, Mended, check_store, mend_tiles};
use crate::metrics;
use crate::rows;
use crate::rows::QueueSink;
use crate::rows::column::Millis;
use crate::rows::scrubs::{self, ScrubRow};
use crate::upkeep::Upkeep;
use crate::upkeep::fixity;
use crate::upkeep::repair::ROOMS;

/// How often progress is saved and shown to watchers.
const SAVE_EVERY: Duration = Duration::from_secs(2);

/// How long to leave a store alone that does not answer.
const AWAY: Duration = Duration::from_secs(60);

/// How long the copy of a new object may take to reach a store, before its absence counts.
const ON_ITS_WAY: Duration = Duration::from_secs(10);

/// How often to check whether a pass is due.
const LOOK: Duration = Duration::from_secs(60);

/// Requests for passes, and their watchers.
#[derive(Debug)]
pub struct Scrubber {
    pub pace: Pace,
    asked: Mutex<BTreeSet<String>>,
    wake: Notify,
    rows: watch::Sender<BTreeMap<String, ScrubRow>>,
}

impl Scrubber {
    /// A scrubber without requests.
    #[must_use]
    pub fn new(pace: Pace) -> Self {
        Self { pace, asked: Mutex::default(), wake: Notify::new(), rows: watch::Sender::new(BTreeMap::new()) }
    }

    /// Asks for a pass over a store now, as fast as is allowed. Hurries a pass that is under way.
    pub fn ask(&self, store: &str) {
        self.asked_stores().insert(store.to_owned());
        self.wake.notify_waiters();
    }

    /// The newest state of each pass.
    pub fn watch(&self) -> watch::Receiver<BTreeMap<String, ScrubRow>> {
        self.rows.subscribe()
    }

    fn asked_stores(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        // A set of names has no half-changed state.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show_pass(&self, row: &ScrubRow) {
        self.rows.send_modify(|rows| {
            rows.insert(row.store.clone(), row.clone());
        });
    }
}

/// Scrubs one store until the collector drains.
pub async fn scrub_store(upkeep: &Upkeep, store: Arc<dyn Store>) {
    let name = store.identity().store.clone();
    loop {
        match scrub_when_due(upkeep, &store).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(failure) => {
                tracing::warn!(store = %name, cause = %chain(&failure), "Scrub paused; it goes on where it was");
                if !wait_unless_drained(upkeep, AWAY).await {
                    return;
                }
            }
        }
    }
}

/// Waits. False if the drain began.
async fn wait_unless_drained(upkeep: &Upkeep, length: Duration) -> bool {
    tokio::select! {
        () = upkeep.collector.intake.cancelled() => false,
        () = upkeep.scrubber.wake.notified() => true,
        () = tokio::time::sleep(length) => true,
    }
}

/// Waits until a pass is due and makes it. False if the drain began.
async fn scrub_when_due(upkeep: &Upkeep, store: &Arc<dyn Store>) -> Result<bool, Failure> {
    let (scrub, name) = (&upkeep.scrubber, store.identity().store.clone());
    let kept = name.clone();
    let before = upkeep.collector.db.read_async(move |db| scrubs::of_store(db, &kept)).await?;
    let mut row = before.unwrap_or_else(|| ScrubRow { store: name.clone(), ..ScrubRow::default() });
    scrub.show_pass(&row);
    let goes_on = row.begun.is_some() && row.ended.is_none();
    if !goes_on {
        // After the clock went back, the last pass seems to begin later than now. That counts as early as well.
        let begun = row.begun;
        let is_early = |now: Time| begun.is_some_and(|begun| now.since(begun.0) < scrub.pace.between());
        while !scrub.asked_stores().contains(&name) && is_early(clock::now()) {
            if !wait_unless_drained(upkeep, LOOK).await {
                return Ok(false);
            }
        }
        row = ScrubRow {
            store: name,
            begun: Some(Millis(clock::now())),
            whole: row.whole,
            ..ScrubRow::default()
        };
    }
    pass(upkeep, store, row).await
}

/// One pass, or the rest of one.
async fn pass(upkeep: &Upkeep, store: &Arc<dyn Store>, mut row: ScrubRow) -> Result<bool, Failure> {
    let scrub = &upkeep.scrubber;
    let replicas = upkeep.collector.replicas.clone();
    let keys = blocking(move || {
        let mut keys = Vec::new();
        for room in ROOMS {
            keys.extend(replicas.list(room)?);
        }
        Ok::<_, store::ReplicaError>(keys)
    })
    .await?
    .or_unavailable("list the stores")?;
    let bytes = upkeep.collector.db.read_async(scrubs::bytes_to_read).await?;
    if let Some(why) = scrub.pace.too_slow(bytes) {
        tracing::warn!(store = %row.store, why, "Scrub is too slow");
    }
    row.total = len(&keys);
    let mut saved = Instant::now();
    let cursor = row.cursor.clone();
    for key in keys.into_iter().filter(|key| key.as_str() > cursor.as_str()) {
        let begun = Instant::now();
        let (place, looked) = (Arc::clone(store), key.clone());
        let found = blocking(move || examine(place.as_ref(), &looked)).await?;
        let length = record_object(upkeep, &mut row, &key, found, store).await?;
        row.cursor = key.to_string();
        row.objects += 1;
        if saved.elapsed() >= SAVE_EVERY {
            save(upkeep, &row).await?;
            saved = Instant::now();
        }
        let is_urgent = scrub.asked_stores().contains(&row.store);
        let rate = scrub.pace.rate(bytes, is_urgent);
        let share = Duration::from_secs_f64(length as f64 / rate as f64);
        // Zero if the store was slower than the rate.
        let left = share.saturating_sub(begun.elapsed());
        tokio::select! {
            () = upkeep.collector.intake.cancelled() => {
                save(upkeep, &row).await?;
                return Ok(false);
            }
            () = tokio::time::sleep(left) => {}
        }
    }
    check_ledger(upkeep, store, &mut row).await?;
    row.ended = Some(Millis(clock::now()));
    if row.unreadable == 0 {
        row.whole = row.begun;
    }
    save(upkeep, &row).await?;
    scrub.asked_stores().remove(&row.store);
    tracing::info!(
        store = %row.store, objects = row.objects, bytes = row.bytes, damaged = row.damaged, missing = row.missing,
        unreadable = row.unreadable, ledger_problems = row.ledger_problems, "Store was scrubbed"
    );
    Ok(true)
}

/// Counts an object and reports its faults. Returns its length.
async fn record_object(
    upkeep: &Upkeep,
    row: &mut ScrubRow,
    key: &Key,
    found: Found,
    place: &Arc<dyn Store>,
) -> Result<u64, Failure> {
    let (length, wanting) = match found {
        Found::Whole(length) => (length, None),
        Found::Damaged(length) => (length, Some(Wanting::Damaged)),
        Found::Missing => (0, Some(Wanting::Missing)),
        Found::Away(error) => return Err(Failure::unavailable("reach the store", error)),
        Found::Unreadable(error) => {
            row.unreadable += 1;
            tracing::error!(%key, store = %row.store, cause = %chain(&error), "Stored object cannot be read");
            metrics::fixity_failed();
            (0, None)
        }
    };
    row.bytes += length;
    metrics::scrubbed(length);
    let Some(wanting) = wanting else { return Ok(length) };
    if fixity::is_disposed(upkeep, key, &row.store).await? {
        return Ok(length);
    }
    let (store, object) = (row.store.clone(), key.clone());
    let is_known = upkeep.collector.db.read_async(move |db| rows::is_wanting(db, &store, &object)).await?;
    match wanting {
        // The store is known to lack it: it was away when the object was written, and the copy is on its way.
        Wanting::Missing if is_known => return Ok(length),
        // The object may be on its way to this store while another store has it already.
        Wanting::Missing if arrives(upkeep, key, place).await? => return Ok(length),
        Wanting::Missing => row.missing += 1,
        Wanting::Damaged => row.damaged += 1,
    }
    fixity::failed(upkeep, key, &row.store).await?;
    let (sink, store, key) = (QueueSink(upkeep.collector.db.clone()), row.store.clone(), key.clone());
    blocking(move || sink.wanting(&store, &key, wanting)).await?;
    upkeep.repairs.wake();
    Ok(length)
}

/// True if an object is only on its way. The row of a segment or seal is written last, so it tells. Other objects are small,
/// so wait for them.
async fn arrives(upkeep: &Upkeep, key: &Key, store: &Arc<dyn Store>) -> Result<bool, Failure> {
    if let Some((collection, digest)) = fixity::collection_of(key).zip(key.digest().map(Digest)) {
        let is_acknowledged = upkeep
            .collector
            .db
            .read_async(move |db| rows::collections::names_object(db, &collection, &digest))
            .await?;
        return Ok(!is_acknowledged);
    }
    let name = store.identity().store.clone();
    let until = Instant::now() + ON_ITS_WAY;
    while Instant::now() < until && !upkeep.collector.intake.is_cancelled() {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let (place, looked) = (Arc::clone(store), key.clone());
        if !matches!(blocking(move || examine(place.as_ref(), &looked)).await?, Found::Missing) {
            return Ok(true);
        }
        let (name, object) = (name.clone(), key.clone());
        let queued = upkeep.collector.db.read_async(move |db| rows::is_wanting(db, &name, &object));
        if queued.await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Checks the store's own copy of the ledger: derives every tile again from the entries, and mends wrong ones from a
/// store that has the same tree.
async fn check_ledger(upkeep: &Upkeep, store: &Arc<dyn Store>, row: &mut ScrubRow) -> Result<(), Failure> {
    let key = upkeep.collector.recorder.sequencer().log().keys().clone();
    let (store, replicas) = (Arc::clone(store), upkeep.collector.replicas.clone());
    let (problems, mended) = blocking(move || {
        let mut report = FsckReport::default();
        check_store(store.as_ref(), &key, &mut report);
        let mended = if report.problems.is_empty() {
            Mended::default()
        } else {
            mend_tiles(store.as_ref(), replicas.stores(), &key)
        };
        (report.problems, mended)
    })
    .await?;
    for problem in &problems {
        tracing::error!(store = %row.store, what = %problem.what, "Ledger copy: {}", problem.why);
        metrics::fixity_failed();
    }
    for key in &mended.mended {
        tracing::warn!(store = %row.store, %key, "Ledger copy: mended from another store");
    }
    for (key, why) in &mended.failed {
        tracing::error!(store = %row.store, %key, why, "Ledger copy: not mended");
    }
    row.ledger_problems = len(&problems);
    Ok(())
}

async fn save(upkeep: &Upkeep, row: &ScrubRow) -> Result<(), Failure> {
    let kept = row.clone();
    upkeep.collector.db.write_async(move |tx| scrubs::save(tx, &kept)).await?;
    // After the row is saved, because a watcher of the pass may look there.
    upkeep.scrubber.show_pass(row);
    Ok(())
}
