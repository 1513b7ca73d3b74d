//! The look around after a start: what a crash left half done is finished, what is missing is said, nothing is deleted.
//!
//! Guarantee: a collection whose segments and manifest are stored gets its entry, whoever comes back; a record whose
//! object no store has becomes an alarm; objects without a record are reported. Idempotent: it may run at any time.
//! Not here: the ledger's own recovery, which is before (`ledger`).

use std::collections::BTreeSet;

use evidence::digest::Digest;
use evidence::id::{EndpointId, Generation};
use evidence::manifest::Manifest;
use evidence::signed::Signed;
use store::{Key, KeyKind, StoreErrorClass, Wanting, WantingSink as _};

use crate::collector::{Collector, blocking};
use crate::failure::{Failure, chain};
use crate::rows::collections::{CollectionRow, SegmentRow};
use crate::rows::{self, DbError, QueueSink};
use crate::services::ingest::ended::Ended;
use crate::services::ingest::{begin, finish, fixity};
use crate::upkeep::repair::scan_for_missing;

/// What a sweep found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Collections that got their entry.
    pub finished: u64,
    /// Objects that records name and no store has.
    pub missing: u64,
    /// Replicas that were queued for repair.
    pub queued: u64,
    /// Objects that no record names.
    pub orphans: u64,
}

/// Looks around.
///
/// # Errors
/// When database, stores or ledger do not answer; what was done until then stays done.
pub async fn sweep(collector: &Collector) -> Result<Swept, Failure> {
    let mut swept = Swept { finished: finish_complete(collector).await?, ..Swept::default() };
    let (replicas, sink) = (collector.replicas.clone(), QueueSink(collector.db.clone()));
    swept.queued = blocking(move || scan_for_missing(&replicas, &sink))
        .await?
        .map_err(|error| Failure::unavailable("look through the stores", error))?;
    collector.repair.notify_one();
    let rows = collector
        .db
        .read_async(|db| {
            let now = crate::clock::now();
            let mut rows = Vec::new();
            for row in rows::collections::of_incident(db, None)? {
                // What two persons disposed of is not missing.
                let is_disposed = crate::upkeep::disposal::of_collection(db, &row.id, now)?.is_some();
                rows.push((row, is_disposed));
            }
            Ok::<_, DbError>(rows)
        })
        .await
        .map_err(database)?;
    let mut named = BTreeSet::new();
    for (row, is_disposed) in &rows {
        let missing = check(collector, row, &mut named).await?;
        swept.missing += if *is_disposed { 0 } else { missing };
    }
    swept.orphans = orphans(collector, named).await?;
    tracing::info!(
        finished = swept.finished,
        missing = swept.missing,
        queued = swept.queued,
        orphans = swept.orphans,
        "Stores and records were compared"
    );
    Ok(swept)
}

/// Collections whose final segment is here and whose manifest is among the documents without an entry.
async fn finish_complete(collector: &Collector) -> Result<u64, Failure> {
    let complete = collector
        .db
        .read_async(|db| {
            let mut complete = Vec::new();
            for row in rows::collections::running(db)? {
                if rows::collections::newest_segment(db, row.number)?.is_some_and(|segment| segment.is_final)
                {
                    complete.push(row);
                }
            }
            Ok::<_, DbError>(complete)
        })
        .await
        .map_err(database)?;
    if complete.is_empty() {
        return Ok(0);
    }
    let manifests = manifests_without_entry(collector).await?;
    let mut finished = 0;
    for row in complete {
        let found = manifests.iter().find(|(collection, _)| *collection == Digest(row.id));
        let Some((_, signed)) = found else { continue };
        match finish_one(collector, &row, signed.clone()).await {
            Ok(()) => finished += 1,
            Err(Ended::Failed(failure)) => {
                tracing::error!(collection = %Digest(row.id), cause = %chain(&failure), "Complete collection could not be finished");
            }
            Err(Ended::Rejected(rejection)) => {
                tracing::error!(collection = %Digest(row.id), reason = rejection.detail, "Complete collection does not hold");
            }
            Err(Ended::Gone) => return Ok(finished),
        }
    }
    Ok(finished)
}

async fn finish_one(collector: &Collector, row: &CollectionRow, manifest: Signed) -> Result<(), Ended> {
    // The endpoint may be coming back with the same: one of us at a time.
    let turn = collector.uploads.enter(Digest(row.id)).await;
    let delegation = collector.document(Key::document(&row.delegation)).await?;
    let broken = |what: &str| Ended::Failed(Failure::internal("finish a collection", what.to_owned()));
    let endpoint: EndpointId = row.endpoint.parse().map_err(|_no_id| broken("no endpoint id"))?;
    let generation = Generation::new(row.generation).ok_or_else(|| broken("generation 0"))?;
    let admitted = begin::admit(collector, &endpoint, generation, delegation).await?;
    if admitted.stored_index.is_some() {
        return Ok(());
    }
    finish::resume(collector, &admitted, manifest, &turn.displaced).await?;
    tracing::info!(collection = %Digest(row.id), "Collection was complete before the restart; its entry is written");
    Ok(())
}

async fn manifests_without_entry(collector: &Collector) -> Result<Vec<(Digest, Signed)>, Failure> {
    let (replicas, db) = (collector.replicas.clone(), collector.db.clone());
    blocking(move || {
        let unavailable = |error| Failure::unavailable("look through the documents", error);
        let mut found = Vec::new();
        for key in replicas.list("documents/").map_err(unavailable)? {
            let Some(digest) = key.digest() else { continue };
            let is_known = db.read(|db| rows::entries::by_event(db, &digest)).map_err(database)?.is_some();
            if is_known {
                continue;
            }
            let Ok(bytes) = replicas.read(&key) else { continue };
            let Ok(signed) = Signed::parse(&bytes) else {
                continue;
            };
            if let Ok(manifest) = signed.read::<Manifest>() {
                found.push((manifest.collection, signed));
            }
        }
        Ok(found)
    })
    .await?
}

/// Checks that every acknowledged object of a collection is somewhere. Lengths only: fsck re-hashes.
async fn check(
    collector: &Collector,
    row: &CollectionRow,
    named: &mut BTreeSet<Key>,
) -> Result<u64, Failure> {
    let segments = collector.segments_of(row.number).await?;
    let mut keys: Vec<(Key, Option<u64>)> =
        segments.iter().flat_map(|segment| keys_of(&row.id, segment)).collect();
    named.extend(keys.iter().map(|(key, _)| key.clone()));
    keys.extend(row.manifest.iter().map(|manifest| (Key::document(manifest), None)));
    keys.push((Key::document(&row.delegation), None));
    let replicas = collector.replicas.clone();
    let lost = blocking(move || {
        let mut lost = Vec::new();
        for (key, length) in keys {
            let sizes: Vec<_> = replicas.stores().iter().map(|store| store.size(&key)).collect();
            let is_right = |size: &u64| length.is_none_or(|length| length == *size);
            if sizes.iter().any(|size| size.as_ref().is_ok_and(is_right)) {
                continue;
            }
            // A store that is away may hold it: silence is not absence.
            let is_sure = sizes.iter().all(|size| match size {
                Ok(_) => true,
                Err(error) => error.class() == StoreErrorClass::NotFound,
            });
            if is_sure {
                lost.push(key);
            }
        }
        lost
    })
    .await?;
    for key in &lost {
        fixity::failed(collector, key, fixity::ALL).await?;
        // Queued on each store: a mirror may have it.
        let (replicas, sink, lost) =
            (collector.replicas.clone(), QueueSink(collector.db.clone()), key.clone());
        blocking(move || {
            for store in replicas.stores() {
                sink.wanting(&store.identity().store, &lost, Wanting::Missing);
            }
        })
        .await?;
        collector.repair.notify_one();
    }
    Ok(u64::try_from(lost.len()).unwrap_or(u64::MAX))
}

fn keys_of(collection: &[u8; 32], segment: &SegmentRow) -> [(Key, Option<u64>); 2] {
    [
        (Key::segment(collection, segment.index, &segment.sha256), Some(segment.stored_len)),
        (Key::seal(collection, segment.index, &segment.seal_sha256), Some(segment.seal_len)),
    ]
}

/// Segments and seals that no row names: written, never acknowledged. Reported, never deleted.
async fn orphans(collector: &Collector, named: BTreeSet<Key>) -> Result<u64, Failure> {
    let replicas = collector.replicas.clone();
    let orphans = blocking(move || {
        let mut orphans = Vec::new();
        for room in ["segments/", "seals/"] {
            orphans.extend(replicas.list(room)?.into_iter().filter(|key| !named.contains(key)));
        }
        Ok::<_, store::ReplicaError>(orphans)
    })
    .await?
    .map_err(|error| Failure::unavailable("look through the stores", error))?;
    for key in orphans.iter().filter(|key| matches!(key.kind(), KeyKind::Segment | KeyKind::Seal)) {
        tracing::warn!(key = %key, "Object without a record: stored, never acknowledged");
    }
    Ok(u64::try_from(orphans.len()).unwrap_or(u64::MAX))
}

fn database(error: DbError) -> Failure {
    Failure::unavailable("reach its database", error)
}
