//! Stored evidence that is missing or changed: found, counted, recorded.
//!
//! Guarantee: an object that a record names and no store has whole is an entry `evidence.fixity_failed` and an error in
//! the log, once; nothing is deleted. Not here: making copies (`store::repair_due`), the search (`sweep`, fsck).

use std::collections::BTreeMap;

use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::id::{Chain, IncidentId};
use store::{Key, KeyKind};

use crate::collector::Collector;
use crate::db::{self, DbError};
use crate::grpc::failure::Failure;
use crate::metrics;

/// The collection that an object belongs to, out of its key.
pub fn collection_of(key: &Key) -> Option<Digest> {
    match key.kind() {
        KeyKind::Segment | KeyKind::Seal => key.as_str().split('/').nth(1)?.parse().ok(),
        _ => None,
    }
}

/// Records that `store` does not have an object that it should have.
///
/// # Errors
/// When database or ledger do not answer.
pub async fn failed(collector: &Collector, key: &Key, store: &str) -> Result<(), Failure> {
    metrics::fixity_failed();
    tracing::error!(key = %key, store, "Stored evidence is missing or changed");
    record(collector, EntryType::EvidenceFixityFailed, key, store).await
}

/// Records replicas that were made again, one entry for each collection and store.
///
/// # Errors
/// When database or ledger do not answer.
pub async fn repaired(collector: &Collector, repaired: Vec<(String, Key)>) -> Result<(), Failure> {
    let mut first: BTreeMap<(Digest, String), Key> = BTreeMap::new();
    for (store, key) in repaired {
        if let Some(collection) = collection_of(&key) {
            first.entry((collection, store)).or_insert(key);
        }
    }
    for ((_, store), key) in first {
        record(collector, EntryType::EvidenceRepaired, &key, &store).await?;
    }
    Ok(())
}

async fn record(collector: &Collector, type_: EntryType, key: &Key, store: &str) -> Result<(), Failure> {
    // Objects of no collection (rosters, orders) have no chain of evidence to stand in: the log line is all there is.
    let Some(collection) = collection_of(key) else {
        return Ok(());
    };
    let (object, kind) = (key.to_string(), type_.as_str());
    let known = collector
        .db
        .read_async(move |db| db::entries::first_with_ref(db, kind, "object", &object))
        .await
        .map_err(|error: DbError| Failure::unavailable("reach its database", error))?;
    if known.is_some() {
        return Ok(());
    }
    let Some(row) = collector.collection(&collection).await? else {
        return Ok(());
    };
    let incident: IncidentId = row
        .incident
        .parse()
        .map_err(|error| Failure::internal("read the collection", error))?;
    let refs = [
        ("collection", collection.to_string()),
        ("object", key.to_string()),
        ("store", store.to_owned()),
    ];
    collector
        .custody
        .record_own(type_, Chain::from(incident), &refs)
        .await?;
    Ok(())
}
