//! Ends a collection: checks the manifest against the verified container, then records and returns the receipt.
//!
//! Guarantee: the collector records `collection.stored` only after it counted every segment, seal and document on the stores.
//! The entry says how many copies it found. The event is the manifest: sent twice, it is one entry. Not here: segments.

use std::collections::BTreeMap;
use std::time::Duration;

use custody::collection::within_limits;
use evidence::container::ContainerSummary;
use evidence::entry::state::CollectionState;
use evidence::entry::{ActObject, EntryType};
use evidence::manifest::Manifest;
use evidence::order::Order;
use evidence::signed::Signed;
use proto::convert::Proven;
use store::{Degraded, Key, Replicas, Written};
use tokio_util::sync::CancellationToken;

use super::begin::Admitted;
use super::child::Finished;
use super::ended::{Ended, Reason};
use super::quarantine;
use super::verifier::Verdict;
use super::warm::Warm;
use crate::blocking::blocking;
use crate::failure::{Failure, OrFailure as _, chain};
use crate::metrics;
use crate::services::ingest::Ingest;

/// How often to count the copies again while the policy says to wait for missing ones.
const COPIES_WAIT: Duration = Duration::from_secs(5);

/// Finishes a collection and returns its receipt.
///
/// # Errors
/// [`Ended::Rejected`] if manifest and container do not match.
pub async fn finish(
    ingest: &Ingest,
    admitted: &Admitted,
    warm: Warm,
    signed: Signed,
    displaced: &CancellationToken,
) -> Result<Proven, Ended> {
    if !warm.chain.is_final() {
        return Err(Failure::precondition("the manifest comes after the final segment").into());
    }
    let summary = match warm.verifier.finish().await {
        Ok(Verdict::Good(finished)) => finished.summary()?,
        Ok(Verdict::Bad(defect)) => return refuse(ingest, admitted, &signed, defect.reason).await,
        Err(error) => return Err(Ended::unavailable("verify the container", error)),
    };
    match fitting(admitted, &signed, &summary) {
        Ok(_manifest) => {}
        Err(reason) => return refuse(ingest, admitted, &signed, reason).await,
    }
    let document = ingest.collector.store_document(&signed).await?;
    let written = counted(ingest, admitted, document, displaced).await?;
    record(ingest, admitted, signed, written).await
}

/// The receipt of a collection that is already stored.
pub async fn receipt(ingest: &Ingest, index: u64) -> Result<Proven, Ended> {
    ingest.collector.recorder.wait_until_published(index).await?;
    Ok(ingest.collector.recorder.prove(index).await?)
}

/// Checks a manifest against its delegation, its order and the verified container.
fn fitting(admitted: &Admitted, signed: &Signed, summary: &ContainerSummary) -> Result<Manifest, String> {
    let manifest =
        Manifest::verify(signed, &admitted.delegation, &admitted.delegation_id, &admitted.evidence_key)
            .map_err(|error| chain(&error))?;
    manifest.check_container(summary).map_err(|error| chain(&error))?;
    fits_order(&manifest, &admitted.order)?;
    Ok(manifest)
}

/// Checks the fields that the manifest must repeat from the order.
fn fits_order(manifest: &Manifest, order: &Order) -> Result<(), String> {
    if manifest.incident != order.incident {
        return Err("the manifest is of another incident than its order".to_owned());
    }
    let planned = order.plan.steps().iter().map(evidence::order::Step::collector);
    if !manifest.steps.iter().map(|step| step.collector.as_str()).eq(planned) {
        return Err("the manifest's steps are not those of the plan".to_owned());
    }
    // A stored manifest that breaks this rule would stop every mirror of this log for good.
    within_limits(manifest, &order.limits).map_err(|broken| broken.to_string())
}

async fn refuse<T>(
    ingest: &Ingest,
    admitted: &Admitted,
    signed: &Signed,
    reason: String,
) -> Result<T, Ended> {
    // The collector keeps this document under its digest as any other; but no entry calls it a manifest.
    ingest.collector.store_document(signed).await?;
    quarantine::record_malformed(ingest, admitted, signed.digest()).await?;
    tracing::warn!(collection = %admitted.collection, %reason, "Manifest does not fit");
    Err(Ended::rejected(Reason::Malformed, reason))
}

/// Counts the copies of every object of the collection, and waits for missing ones if the policy says so.
async fn counted(
    ingest: &Ingest,
    admitted: &Admitted,
    document: Written,
    displaced: &CancellationToken,
) -> Result<Written, Ended> {
    let keys = keys(ingest, admitted).await?;
    loop {
        let (replicas, keys) = (ingest.collector.replicas.clone(), keys.clone());
        let written = blocking(move || weakest(&replicas, &keys)).await?.and(document);
        if !written.degraded || ingest.collector.replicas.policy().degraded == Degraded::Accept {
            return Ok(written);
        }
        tracing::warn!(collection = %admitted.collection, copies = written.copies, "Collection waits for its copies");
        ingest.upkeep.repairs.wake();
        tokio::select! {
            () = ingest.collector.stop.cancelled() => return Err(Ended::Gone),
            () = displaced.cancelled() => return Err(Ended::Gone),
            () = tokio::time::sleep(COPIES_WAIT) => {}
        }
    }
}

async fn keys(ingest: &Ingest, admitted: &Admitted) -> Result<Vec<(Key, u64)>, Ended> {
    let segments = ingest.collector.segments_of(admitted.number).await?;
    let collection = admitted.collection.as_bytes();
    let keys = segments.iter().flat_map(|row| {
        [
            (Key::segment(collection, row.index, row.sha256.as_bytes()), row.stored_len),
            (Key::seal(collection, row.index, row.seal_sha256.as_bytes()), row.seal_len),
        ]
    });
    Ok(keys.collect())
}

fn weakest(replicas: &Replicas, keys: &[(Key, u64)]) -> Written {
    keys.iter()
        .map(|(key, length)| replicas.copies_of(key, *length))
        .reduce(Written::and)
        .unwrap_or_else(|| replicas.at_best())
}

async fn record(
    ingest: &Ingest,
    admitted: &Admitted,
    signed: Signed,
    written: Written,
) -> Result<Proven, Ended> {
    let yes_no = |holds: bool| if holds { "yes" } else { "no" }.to_owned();
    let refs = [
        ("collection", admitted.collection.to_string()),
        ("copies", written.copies.to_string()),
        ("degraded", yes_no(written.degraded)),
        ("endpoint", admitted.delegation.endpoint.to_string()),
        ("independent", yes_no(written.independent)),
        ("manifest", signed.digest().to_string()),
        ("order", admitted.order_id.to_string()),
    ];
    let recorded = ingest
        .collector
        .recorder
        .record(EntryType::CollectionStored, admitted.chain.clone(), &refs, ActObject::from(signed))
        .await?;
    let end = if written.degraded { CollectionState::StoredDegraded } else { CollectionState::Stored };
    metrics::collection_ended(end);
    ingest.watches.changed(&admitted.order_id);
    tracing::info!(collection = %admitted.collection, copies = written.copies, degraded = written.degraded,
        independent = written.independent, "Collection is stored");
    Ok(recorded.proven)
}

impl Finished {
    /// Converts the totals into the form in which the manifest is compared with them.
    ///
    /// # Errors
    /// If an outcome has an unknown name.
    pub fn summary(self) -> Result<ContainerSummary, Failure> {
        let mut counts_by_outcome = BTreeMap::new();
        for (outcome, count) in self.outcomes {
            let outcome = serde_json::from_value(serde_json::Value::String(outcome))
                .or_internal("verify the container")?;
            counts_by_outcome.insert(outcome, count);
        }
        Ok(ContainerSummary {
            segments: self.segments,
            stored_len: self.stored_len,
            plain_len: self.plain_len,
            container_sha256: self.container_sha256,
            items: self.items,
            items_root: self.items_root,
            seal_head: self.seal_head,
            counts_by_outcome,
            content_bytes: self.content_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use evidence::digest::Digest;
    use evidence::order::{Limits, Plan, TargetSet};
    use evidence::text::FixedBytes;
    use testkit::bundles::{at, first_roster};
    use testkit::people::{key, sign};
    use testkit::{collections, orders};

    use super::*;

    #[test]
    fn collection_22_a_manifest_with_a_wider_limit_than_its_order_is_refused() {
        let target = orders::target("web-03", 1, &key(20).public());
        let targets = TargetSet::new(vec![target.clone()]).unwrap();
        let roster = sign(&first_roster(), &[1]);
        let plan = Plan::new(vec![orders::files(&["/etc/**"])]);
        let order = orders::order(&roster, &targets, plan, at("09:00:00"));
        let nonce = FixedBytes([1; 16]);
        let delegation = collections::delegation(
            &target,
            sign(&order, &[10]).digest(),
            1,
            key(23).public(),
            at("09:10:00"),
            nonce,
        );
        let summary = ContainerSummary {
            segments: 1,
            stored_len: 1,
            plain_len: 1,
            container_sha256: Digest::ZERO,
            items: 0,
            items_root: Digest::ZERO,
            seal_head: Digest::ZERO,
            counts_by_outcome: BTreeMap::new(),
            content_bytes: 0,
        };
        let times = [at("09:10:00"), at("09:11:00")];
        let manifest =
            collections::manifest(&delegation, Digest::ZERO, key(20).public(), &order, times, &summary);
        assert_eq!(fits_order(&manifest, &order), Ok(()));
        // An endpoint's policy may narrow each limit.
        let narrower =
            Limits { wall_s: 1, stored_bytes: 1, plain_bytes: 1, item_bytes: 1, items: 1, cpu_pct: 1 };
        assert_eq!(fits_order(&Manifest { limits: narrower, ..manifest.clone() }, &order), Ok(()));
        let most = Order { limits: Limits { cpu_pct: 99, ..order.limits }, ..order };
        let widen: [fn(&mut Limits); 6] = [
            |limits| limits.wall_s += 1,
            |limits| limits.stored_bytes += 1,
            |limits| limits.plain_bytes += 1,
            |limits| limits.item_bytes += 1,
            |limits| limits.items += 1,
            |limits| limits.cpu_pct += 1,
        ];
        for wider in widen {
            let mut limits = most.limits;
            wider(&mut limits);
            let refused = fits_order(&Manifest { limits, ..manifest.clone() }, &most);
            // `collection_22_wider_limits` of custody shows that a mirror refuses the same.
            assert_eq!(
                refused,
                Err("collection-22: the manifest's limits are wider than the order's".to_owned())
            );
        }
    }
}
