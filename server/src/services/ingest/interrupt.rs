//! Ends collections that have no manifest.
//!
//! Guarantee: `collection.interrupted` names the newest durable seal, so that nobody can later cut the chain further back. The
//! collection accepts nothing more; another attempt is another collection. Not here: malformed or contradicted collections
//! (`ingest::quarantine`).

use std::time::Duration;

use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::entry::state::{AttemptState, CollectionState};
use evidence::id::Chain;
use evidence::seal::delegation::Delegation;

use crate::failure::Failure;
use crate::metrics;
use crate::rows::{self, DbError};
use crate::services::ingest::Ingest;

/// How long after its order expired the collector waits for an upload that has no live call.
const GRACE_AFTER_EXPIRY: Duration = Duration::from_secs(3600);

/// Ends the upload of a collection and records that it was interrupted. A segment on its way is either durable and counted
/// before the record, or never acknowledged. Do not call this while holding the collection's turn.
pub async fn end(ingest: &Ingest, collection: &Digest) -> Result<(), Failure> {
    let _turn = ingest.uploads.enter(*collection).await;
    record(ingest, collection).await
}

/// Records that a collection was interrupted, if it is still running. The caller must hold its turn.
pub async fn record(ingest: &Ingest, collection: &Digest) -> Result<(), Failure> {
    let Some(row) = ingest.collector.collection(collection).await? else {
        return Ok(());
    };
    if row.state != CollectionState::Running {
        return Ok(());
    }
    // Before the first segment there is no seal, and the entry says so with zeros.
    let seal = row.seal_head.unwrap_or(Digest::ZERO);
    let refs = [
        ("collection", collection.to_string()),
        ("seal", seal.to_string()),
        ("segments", row.segments.to_string()),
    ];
    ingest
        .collector
        .recorder
        .record_own(EntryType::CollectionInterrupted, Chain::from(row.incident), &refs)
        .await?;
    metrics::collection_ended(CollectionState::Interrupted);
    ingest.watches.changed(&row.order);
    tracing::info!(collection = %collection, segments = row.segments, "Collection is interrupted");
    Ok(())
}

/// Interrupts collections that earlier attempts of the same endpoint under the same order left running.
pub async fn earlier_attempts(ingest: &Ingest, delegation: &Delegation) -> Result<(), Failure> {
    let (order, endpoint) = (delegation.order, delegation.endpoint.clone());
    let attempt = delegation.attempt;
    let running = ingest.collector.db.read_async(move |db| rows::orders::attempts(db, &order)).await?;
    for row in running {
        let earlier = row.endpoint == endpoint && row.attempt < attempt && row.state == AttemptState::Running;
        if let (true, Some(collection)) = (earlier, row.collection) {
            end(ingest, &collection).await?;
        }
    }
    Ok(())
}

/// Interrupts running collections whose order expired long ago and whose endpoint is silent. A timer calls this.
pub async fn expired(ingest: &Ingest) -> Result<(), Failure> {
    let now = crate::clock::now();
    let running = ingest
        .collector
        .db
        .read_async(|db| {
            let mut rows = Vec::new();
            for row in rows::collections::running(db)? {
                if let Some(order) = rows::orders::at(db, &row.order)? {
                    rows.push((row.id, order.expires));
                }
            }
            Ok::<_, DbError>(rows)
        })
        .await?;
    for (collection, expires) in running {
        if now.since(expires) > GRACE_AFTER_EXPIRY && !ingest.uploads.is_busy(&collection) {
            end(ingest, &collection).await?;
        }
    }
    Ok(())
}
