//! After a start, the sweep compares stores and records. It deletes nothing.
//!
//! Guarantee: a record whose object no store has becomes an alarm; an object without a record is reported. The sweep may run
//! at any time. Not here: the ledger's own recovery, which runs earlier (`log::ledger`); collections that were complete
//! before the start and lack their entry (`services::ingest::resume`).

use std::collections::BTreeSet;

use evidence::length::len;
use store::{Key, KeyKind, StoreErrorClass, Wanting, WantingSink as _};

use crate::blocking::blocking;
use crate::failure::{Failure, OrFailure as _};
use crate::rows::collections::{CollectionRow, SegmentRow};
use crate::rows::{self, DbError, QueueSink};
use crate::upkeep::Upkeep;
use crate::upkeep::fixity;
use crate::upkeep::repair::scan_for_missing;

/// The result of a sweep.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Objects that records name and no store has.
    pub missing: u64,
    /// Replicas that were queued for repair.
    pub queued: u64,
    /// Objects that no record names.
    pub orphans: u64,
}

/// Compares stores and records.
///
/// # Errors
/// If database, stores or ledger do not answer. What was done until then stays done.
pub async fn sweep(upkeep: &Upkeep) -> Result<Swept, Failure> {
    let mut swept = Swept::default();
    let (replicas, sink) = (upkeep.collector.replicas.clone(), QueueSink(upkeep.collector.db.clone()));
    swept.queued = blocking(move || scan_for_missing(&replicas, &sink))
        .await?
        .or_unavailable("look through the stores")?;
    upkeep.repairs.wake();
    let rows = upkeep
        .collector
        .db
        .read_async(|db| {
            let now = crate::clock::now();
            let mut rows = Vec::new();
            for row in rows::collections::of_incident(db, None)? {
                // A collection that two persons disposed of is not missing.
                let is_disposed = crate::rows::fence::disposal_of(db, &row.id, now)?.is_some();
                rows.push((row, is_disposed));
            }
            Ok::<_, DbError>(rows)
        })
        .await?;
    let mut named = BTreeSet::new();
    for (row, is_disposed) in &rows {
        let missing = check(upkeep, row, &mut named).await?;
        swept.missing += if *is_disposed { 0 } else { missing };
    }
    swept.orphans = orphans(upkeep, named).await?;
    tracing::info!(
        missing = swept.missing,
        queued = swept.queued,
        orphans = swept.orphans,
        "Stores and records were compared"
    );
    Ok(swept)
}

/// Checks that some store has every acknowledged object of a collection. Compares lengths only; fsck re-hashes.
async fn check(upkeep: &Upkeep, row: &CollectionRow, named: &mut BTreeSet<Key>) -> Result<u64, Failure> {
    let segments = upkeep.collector.segments_of(row.number).await?;
    let mut keys: Vec<(Key, Option<u64>)> =
        segments.iter().flat_map(|segment| keys_of(row.id.as_bytes(), segment)).collect();
    named.extend(keys.iter().map(|(key, _)| key.clone()));
    keys.extend(row.manifest.iter().map(|manifest| (Key::document(manifest.as_bytes()), None)));
    keys.push((Key::document(row.delegation.as_bytes()), None));
    let replicas = upkeep.collector.replicas.clone();
    let lost = blocking(move || {
        let mut lost = Vec::new();
        for (key, length) in keys {
            let sizes: Vec<_> = replicas.stores().iter().map(|store| store.size(&key)).collect();
            let is_right = |size: &u64| length.is_none_or(|length| length == *size);
            if sizes.iter().any(|size| size.as_ref().is_ok_and(is_right)) {
                continue;
            }
            // A store that is away may hold it: its silence does not prove absence.
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
        fixity::failed(upkeep, key, fixity::ALL).await?;
        // Queue it for each store, because a mirror may have it.
        let (replicas, sink, lost) =
            (upkeep.collector.replicas.clone(), QueueSink(upkeep.collector.db.clone()), key.clone());
        blocking(move || {
            for store in replicas.stores() {
                sink.wanting(&store.identity().store, &lost, Wanting::Missing);
            }
        })
        .await?;
        upkeep.repairs.wake();
    }
    Ok(len(&lost))
}

fn keys_of(collection: &[u8; 32], segment: &SegmentRow) -> [(Key, Option<u64>); 2] {
    [
        (Key::segment(collection, segment.index, segment.sha256.as_bytes()), Some(segment.stored_len)),
        (Key::seal(collection, segment.index, segment.seal_sha256.as_bytes()), Some(segment.seal_len)),
    ]
}

/// Segments and seals that no row names: they were written and never acknowledged. They are reported and never deleted.
async fn orphans(upkeep: &Upkeep, named: BTreeSet<Key>) -> Result<u64, Failure> {
    let replicas = upkeep.collector.replicas.clone();
    let orphans = blocking(move || {
        let mut orphans = Vec::new();
        for room in ["segments/", "seals/"] {
            orphans.extend(replicas.list(room)?.into_iter().filter(|key| !named.contains(key)));
        }
        Ok::<_, store::ReplicaError>(orphans)
    })
    .await?
    .or_unavailable("look through the stores")?;
    for key in orphans.iter().filter(|key| matches!(key.kind(), KeyKind::Segment | KeyKind::Seal)) {
        tracing::warn!(key = %key, "Object without a record: stored, never acknowledged");
    }
    Ok(len(&orphans))
}
