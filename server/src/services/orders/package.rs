//! Builds the package that an endpoint gets with an order: all that its warden needs to admit the order, and nothing about other
//! endpoints.
//!
//! Guarantee: all proofs of a package are under one checkpoint. The consistency proof leads there from the checkpoint that the
//! endpoint keeps. Not here: whether to send it (`orders::attend`).

use evidence::digest::Digest;
use evidence::id::{EndpointId, Generation};
use evidence::length::to_usize;
use evidence::order::{Decision, Target, TargetSet};
use proto::convert::hash_bytes;
use proto::v1;
use store::Key;

use crate::blocking::blocking;
use crate::collector::Collector;
use crate::collector::OpenOrder;
use crate::failure::{Failure, OrFailure as _};
use crate::rows;

/// The endpoint's state, as its hello says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Size of the checkpoint it keeps.
    pub checkpoint_size: u64,
    /// Version of its roster.
    pub roster_version: u64,
}

/// Builds the package of an order for one of its targets.
///
/// # Errors
/// `Contradiction` if the endpoint keeps a checkpoint beyond the published log: it saw a log that is not this one.
pub async fn package(
    collector: &Collector,
    order: &OpenOrder,
    endpoint: &EndpointId,
    known: Known,
) -> Result<v1::OrderPackage, Failure> {
    let id = order.row.id;
    let approvals = collector.db.read_async(move |db| rows::orders::approvals(db, &id)).await?;
    let approvals: Vec<_> = approvals.into_iter().filter(|row| row.decision == Decision::Approve).collect();

    let mut indices = vec![order.row.index];
    indices.extend(approvals.iter().map(|row| row.index));
    collector.recorder.wait_until_published(indices.iter().copied().max().unwrap_or(0)).await?;
    let (published, proven) = collector.recorder.prove_all(&collector.replicas, indices).await?;
    if known.checkpoint_size > published.size {
        return Err(Failure::new(
            proto::status::Class::Contradiction,
            format!(
                "{endpoint} keeps a checkpoint of {} entries, the published log has {}: it is not the log it saw",
                known.checkpoint_size, published.size
            ),
        ));
    }
    let consistency = collector.recorder.consistency(known.checkpoint_size, published.size).await?;
    let mut proven = proven.into_iter().map(v1::ProvenEntry::from);
    let issued = proven.next();

    let mut signed_approvals = Vec::with_capacity(approvals.len());
    for row in &approvals {
        signed_approvals.push((&collector.act_document(row.index).await?).into());
    }
    let target = target_proof(collector, order, endpoint).await?;
    Ok(v1::OrderPackage {
        order: Some((&order.signed).into()),
        approvals: signed_approvals,
        rosters: rosters_between(collector, known.roster_version, order.row.roster_version).await?,
        target_index: target.index,
        target_proof: target.proof.iter().map(|hash: &Digest| hash.as_bytes().to_vec().into()).collect(),
        issued,
        approved: proven.collect(),
        consistency_from: known.checkpoint_size,
        consistency: hash_bytes(&consistency),
    })
}

/// Reads the target set of an order from its leaves in the stores.
///
/// # Errors
/// If the leaves cannot be read, or are not those of the order.
pub async fn target_set(collector: &Collector, order: &OpenOrder) -> Result<TargetSet, Failure> {
    let (replicas, key) = (collector.replicas.clone(), Key::targets(order.row.targets_root.as_bytes()));
    let bytes = blocking(move || replicas.read(&key)).await?.or_unavailable("read the order's targets")?;
    let broken = |what: String| Failure::internal("read the order's targets", what);
    let text = String::from_utf8(bytes).map_err(|error| broken(error.to_string()))?;
    let lines: Vec<&str> = text.lines().collect();
    let mut targets = Vec::new();
    for leaf in lines.chunks(4) {
        let [_, endpoint, generation, fingerprint] = leaf else {
            return Err(broken("not four lines".to_owned()));
        };
        let generation: Generation =
            generation.parse().map_err(|_no_id| broken("no generation".to_owned()))?;
        targets.push(Target {
            endpoint: endpoint.parse().map_err(|_no_id| broken("no endpoint".to_owned()))?,
            generation,
            evidence_key: fingerprint.parse().map_err(|_no_id| broken("no fingerprint".to_owned()))?,
        });
    }
    TargetSet::new(targets).map_err(|error| broken(error.to_string()))
}

async fn target_proof(
    collector: &Collector,
    order: &OpenOrder,
    endpoint: &EndpointId,
) -> Result<evidence::order::TargetProof, Failure> {
    let set = target_set(collector, order).await?;
    set.proof(endpoint).ok_or_else(|| Failure::internal("prove a target", format!("{endpoint} is no target")))
}

/// Rosters after the endpoint's, up to the order's.
async fn rosters_between(
    collector: &Collector,
    known: u64,
    wanted: u64,
) -> Result<Vec<v1::SignedDocument>, Failure> {
    if known >= wanted {
        return Ok(Vec::new());
    }
    let rosters = collector.rosters(known + 1).await?;
    Ok(rosters.into_iter().take(to_usize(wanted - known)).collect())
}
