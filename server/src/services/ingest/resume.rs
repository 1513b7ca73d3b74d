//! After a start: writes the missing entries of collections that were complete when the collector crashed.
//!
//! Guarantee: it records only what an upload would have recorded. It may run at any time, also beside uploads.

use evidence::digest::Digest;
use evidence::manifest::Manifest;
use evidence::signed::Signed;
use proto::convert::Proven;
use store::Key;
use tokio_util::sync::CancellationToken;

use super::begin::{self, Admitted};
use super::ended::Ended;
use super::finish::finish;
use super::warm::Warm;
use crate::blocking::blocking;
use crate::failure::{Failure, chain};
use crate::rows;
use crate::rows::DbError;
use crate::rows::collections::CollectionRow;
use crate::services::ingest::Ingest;

/// Finishes the collections whose final segment is stored, if the stores hold their manifest and the ledger has no entry for it.
///
/// # Errors
/// If database, stores or ledger do not answer. What was finished until then stays finished.
pub async fn finish_complete(ingest: &Ingest) -> Result<u64, Failure> {
    let complete = ingest
        .collector
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
        .await?;
    if complete.is_empty() {
        return Ok(0);
    }
    let manifests = manifests_without_entry(ingest).await?;
    let mut finished = 0;
    for row in complete {
        let found = manifests.iter().find(|(collection, _)| *collection == row.id);
        let Some((_, signed)) = found else { continue };
        match finish_one(ingest, &row, signed.clone()).await {
            Ok(()) => finished += 1,
            Err(Ended::Failed(failure)) => {
                tracing::error!(collection = %row.id, cause = %chain(&failure), "Complete collection could not be finished");
            }
            Err(Ended::Rejected(rejection)) => {
                tracing::error!(collection = %row.id, reason = rejection.detail, "Complete collection does not hold");
            }
            Err(Ended::Gone) => return Ok(finished),
        }
    }
    Ok(finished)
}

async fn finish_one(ingest: &Ingest, row: &CollectionRow, manifest: Signed) -> Result<(), Ended> {
    // The endpoint may return with the same manifest, so only one of us may work at a time.
    let turn = ingest.uploads.enter(row.id).await;
    let delegation = ingest.collector.document(Key::document(row.delegation.as_bytes())).await?;
    let admitted = begin::admit(ingest, &row.endpoint, row.generation, delegation).await?;
    if admitted.stored_index.is_some() {
        return Ok(());
    }
    resume(ingest, &admitted, manifest, &turn.displaced).await?;
    tracing::info!(collection = %row.id, "Collection was complete before the restart; its entry is written");
    Ok(())
}

async fn manifests_without_entry(ingest: &Ingest) -> Result<Vec<(Digest, Signed)>, Failure> {
    let (replicas, db) = (ingest.collector.replicas.clone(), ingest.collector.db.clone());
    blocking(move || {
        let unavailable = |error| Failure::unavailable("look through the documents", error);
        let mut found = Vec::new();
        for key in replicas.list("documents/").map_err(unavailable)? {
            let Some(digest) = key.digest().map(Digest) else { continue };
            let is_known = db.read(|db| rows::entries::by_event(db, &digest))?.is_some();
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

/// Finishes a collection that a crash left between the manifest's object and its entry. `signed` is a manifest that was found in
/// the stores. The container was verified before its last segment was acknowledged; the totals are checked
/// against the rows.
async fn resume(
    ingest: &Ingest,
    admitted: &Admitted,
    signed: Signed,
    displaced: &CancellationToken,
) -> Result<Proven, Ended> {
    let warm = Warm::build(ingest, admitted).await?;
    finish(ingest, admitted, warm, signed, displaced).await
}
