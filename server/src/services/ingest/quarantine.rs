//! Quarantines bytes that are not evidence: keeps them apart, records them and refuses them.
//!
//! Guarantee: the collector never throws away what an endpoint sealed and sent, and never serves it as evidence. It writes the
//! entry before the endpoint hears the refusal. Not here: the verdict itself (`ingest::verifier`).

use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::entry::state::CollectionState;
use store::Key;

use super::begin::Admitted;
use super::ended::{Ended, Reason};
use super::segment::{Arrived, create};
use super::warm::Warm;
use crate::metrics;
use crate::services::ingest::Ingest;

/// Quarantines a segment that breaks the format, and ends the collection.
///
/// # Errors
/// Always: [`Ended::Rejected`], or the reason why it could not be recorded.
pub async fn malformed(
    ingest: &Ingest,
    admitted: &Admitted,
    warm: &Warm,
    arrived: &Arrived,
    reason: String,
) -> Result<(), Ended> {
    keep_apart(ingest, admitted, warm.chain.next_index(), arrived).await?;
    record_malformed(ingest, admitted, Digest::of(&arrived.seal)).await?;
    tracing::warn!(collection = %admitted.collection, %reason, "Collection is malformed; its bytes are in quarantine");
    Err(Ended::rejected(Reason::Malformed, reason))
}

/// Records that a collection is malformed. `seal` names the seal, or the document, that proves it.
pub async fn record_malformed(ingest: &Ingest, admitted: &Admitted, seal: Digest) -> Result<(), Ended> {
    let refs = [("collection", admitted.collection.to_string()), ("seal", seal.to_string())];
    ingest
        .collector
        .recorder
        .record_own(EntryType::CollectionMalformed, admitted.chain.clone(), &refs)
        .await?;
    metrics::collection_ended(CollectionState::Malformed);
    ingest.watches.changed(&admitted.order_id);
    Ok(())
}

/// Quarantines a segment that passes a limit of the order, and ends the collection after the segment before it.
///
/// # Errors
/// Always: [`Ended::Rejected`], or the reason why it could not be recorded.
pub async fn over_limit(
    ingest: &Ingest,
    admitted: &Admitted,
    warm: &Warm,
    arrived: &Arrived,
    reason: &str,
) -> Result<(), Ended> {
    keep_apart(ingest, admitted, warm.chain.next_index(), arrived).await?;
    super::interrupt::record(ingest, &admitted.collection).await?;
    tracing::warn!(collection = %admitted.collection, %reason, "Collection passes a limit of its order");
    Err(Ended::rejected(Reason::OverLimit, reason))
}

/// Quarantines other bytes for a segment that is durable already: the endpoint signed two stories.
///
/// # Errors
/// Always: [`Ended::Rejected`], or the reason why it could not be recorded.
pub async fn contradicted(
    ingest: &Ingest,
    admitted: &Admitted,
    _warm: &Warm,
    arrived: &Arrived,
    index: u64,
) -> Result<(), Ended> {
    keep_apart(ingest, admitted, index, arrived).await?;
    let refs = [
        ("collection", admitted.collection.to_string()),
        ("index", index.to_string()),
        ("sha256", Digest::of(&arrived.seal).to_string()),
    ];
    ingest
        .collector
        .recorder
        .record_own(EntryType::CollectionContradicted, admitted.chain.clone(), &refs)
        .await?;
    metrics::collection_ended(CollectionState::Contradicted);
    ingest.watches.changed(&admitted.order_id);
    tracing::error!(collection = %admitted.collection, index, "Endpoint sealed two different segments under one index; both are kept");
    Err(Ended::rejected(Reason::Contradiction, format!("segment {index} is durable with other bytes")))
}

async fn keep_apart(
    ingest: &Ingest,
    admitted: &Admitted,
    index: u64,
    arrived: &Arrived,
) -> Result<(), Ended> {
    let collection = admitted.collection.as_bytes();
    let segment = Key::quarantined_segment(collection, index, arrived.sha256.as_bytes());
    let seal = Key::quarantined_seal(collection, index, Digest::of(&arrived.seal).as_bytes());
    create(ingest, &segment, arrived.stored.clone(), &arrived.ended).await?;
    create(ingest, &seal, arrived.seal.clone(), &arrived.ended).await?;
    Ok(())
}
