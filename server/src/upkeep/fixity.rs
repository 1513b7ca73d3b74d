//! Reports missing or changed evidence in a store, and its repair, to the ledger.
//!
//! Guarantee: if a store lacks evidence that it should have, or holds it damaged, one entry `evidence.fixity_failed` and an error
//! in the log report it, once until the object is repaired. Each repair of such an object is an entry as well. Nothing is deleted.
//! Not here: making copies (`repair`); the search (`sweep`, `scrub`, fsck).

use std::collections::BTreeMap;

use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::id::Chain;
use store::{Key, KeyKind};

use crate::blocking::blocking;
use crate::failure::Failure;
use crate::metrics;
use crate::rows;
use crate::upkeep::Upkeep;

/// The name that entries use for "every store", if no store has the object any more.
pub const ALL: &str = "all";

/// The collection that a key's object belongs to.
pub fn collection_of(key: &Key) -> Option<Digest> {
    match key.kind() {
        KeyKind::Segment | KeyKind::Seal => key.as_str().split('/').nth(1)?.parse().ok(),
        _ => None,
    }
}

/// Records that `store` lacks an object that it should have, once until the object is repaired.
pub async fn failed(upkeep: &Upkeep, key: &Key, store: &str) -> Result<(), Failure> {
    let _turn = upkeep.fixity.lock().await;
    if is_disposed(upkeep, key, store).await? {
        return Ok(());
    }
    metrics::fixity_failed();
    tracing::error!(key = %key, store, "Stored evidence is missing or changed");
    count(upkeep, key, store).await?;
    if newest(upkeep, key, store).await? == Some(EntryType::EvidenceFixityFailed) {
        return Ok(());
    }
    record(upkeep, EntryType::EvidenceFixityFailed, key, store).await
}

/// Stops counting the missing copy until it is repaired.
async fn count(upkeep: &Upkeep, key: &Key, store: &str) -> Result<(), Failure> {
    if key.kind() != KeyKind::Segment {
        return Ok(());
    }
    let object = key.clone();
    let mut lacking = upkeep.collector.db.read_async(move |db| rows::lacking(db, &object)).await?;
    lacking.push(store.to_owned());
    let (replicas, key, is_everywhere) = (upkeep.collector.replicas.clone(), key.clone(), store == ALL);
    let left = blocking(move || {
        let stores = replicas.stores().iter();
        let holders = stores.filter(|store| {
            !is_everywhere && !lacking.contains(&store.identity().store) && store.size(&key).is_ok()
        });
        (store::count_of_stores(holders.count()), key)
    });
    let (copies, key) = left.await?;
    upkeep.collector.db.write_async(move |tx| rows::lost(tx, &key, copies)).await.map_err(Failure::from)
}

/// True if an object is missing because two persons approved its disposal.
pub async fn is_disposed(upkeep: &Upkeep, key: &Key, store: &str) -> Result<bool, Failure> {
    let (key, store) = (key.clone(), store.to_owned());
    upkeep
        .collector
        .db
        .read_async(move |db| crate::rows::fence::is_disposed_of(db, &key, Some(&store), crate::clock::now()))
        .await
        .map_err(Failure::from)
}

/// The newest entry about an object on a store.
async fn newest(upkeep: &Upkeep, key: &Key, store: &str) -> Result<Option<EntryType>, Failure> {
    let (object, store) = (key.to_string(), store.to_owned());
    let types = [EntryType::EvidenceFixityFailed, EntryType::EvidenceRepaired];
    let newest =
        upkeep.collector.db.read_async(move |db| rows::entries::newest_about(db, types, &object, &store));
    newest.await.map_err(Failure::from)
}

/// True if the newest entry about an object on a store says that it failed.
pub async fn is_failed(upkeep: &Upkeep, key: &Key, store: &str) -> Result<bool, Failure> {
    Ok(newest(upkeep, key, store).await? == Some(EntryType::EvidenceFixityFailed))
}

/// Records repaired replicas. Each replica that an entry had called failed gets its own entry. Replicas that were never there share
/// one entry for each collection and store.
pub async fn repaired(upkeep: &Upkeep, repaired: Vec<(String, Key)>) -> Result<(), Failure> {
    let _turn = upkeep.fixity.lock().await;
    let mut first: BTreeMap<(Digest, String), Key> = BTreeMap::new();
    for (store, key) in repaired {
        let Some(collection) = collection_of(&key) else {
            continue;
        };
        if newest(upkeep, &key, &store).await? == Some(EntryType::EvidenceFixityFailed) {
            record(upkeep, EntryType::EvidenceRepaired, &key, &store).await?;
        } else {
            first.entry((collection, store)).or_insert(key);
        }
    }
    for ((_, store), key) in first {
        if newest(upkeep, &key, &store).await?.is_none() {
            record(upkeep, EntryType::EvidenceRepaired, &key, &store).await?;
        }
    }
    Ok(())
}

async fn record(upkeep: &Upkeep, type_: EntryType, key: &Key, store: &str) -> Result<(), Failure> {
    // Objects outside collections (rosters, orders) have no chain of evidence, so only the log line reports them.
    let Some(collection) = collection_of(key) else {
        return Ok(());
    };
    let Some(row) = upkeep.collector.collection(&collection).await? else {
        return Ok(());
    };
    let refs =
        [("collection", collection.to_string()), ("object", key.to_string()), ("store", store.to_owned())];
    upkeep.collector.recorder.record_own(type_, Chain::from(row.incident), &refs).await?;
    Ok(())
}
