//! The machine-readable certificate of destruction: everything that an incident's chain says about its disposal, and nothing else.

use std::collections::BTreeSet;

use serde::Serialize;

use super::approval::Approved;
use super::{Course, Place};
use crate::digest::Digest;
use crate::document::document_type;
use crate::id::{DeploymentId, IncidentId, MirrorId};
use crate::length::to_u64;
use crate::time::Time;

document_type!(
    /// `exhibit-destruction-v1`
    DestructionType, "exhibit-destruction-v1"
);

/// `destruction.json`. Everybody who folds the same chain writes the same bytes. Nothing is believed because it stands here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Destruction {
    /// Always `exhibit-destruction-v1`.
    #[serde(rename = "type")]
    pub type_: DestructionType,
    pub deployment: DeploymentId,
    pub incident: IncidentId,
    /// Entries of its chain.
    pub entries: u64,
    /// Each approved plan, in the order of the approvals.
    pub plans: Vec<PlanRecord>,
}

/// An approved plan and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanRecord {
    pub plan: Digest,
    /// First entry that it looks at.
    pub from: u64,
    /// Just past the last entry that it considers.
    pub count: u64,
    /// Collections that it names.
    pub collections: Vec<Digest>,
    /// How many texts it names.
    pub details: u64,
    /// The approvals, in order.
    pub approved: Vec<Approved>,
    /// The destroyed objects, in the order of the entries.
    pub gone: Vec<Gone>,
    /// Mirrors that hold something ([`Course::holders`]) and have not confirmed its destruction.
    pub waiting: Vec<Waiting>,
}

/// Where something was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Party {
    /// On a store of the collector.
    Store(String),
    /// With a mirror.
    Mirror(MirrorId),
}

/// One object that one place has destroyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gone {
    /// `<collection>/evidence` or `<incident>/details`.
    pub object: String,
    pub from: Party,
    /// Objects that were destroyed.
    pub count: u64,
    /// When it was recorded.
    pub time: Time,
    pub index: u64,
}

/// A mirror that has not confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// The object that it stated to hold.
    pub object: String,
    pub mirror: MirrorId,
    /// It was retired: nobody will confirm.
    pub retired: bool,
}

impl Course {
    /// What the chain says about disposal; `None` if nothing is destroyed. `retired`: mirrors that the deployment's chain retired.
    #[must_use]
    pub fn destruction(&self, retired: &BTreeSet<MirrorId>) -> Option<Destruction> {
        if self.gone.is_empty() {
            return None;
        }
        let mut plans: Vec<_> = self
            .plans
            .iter()
            .filter_map(|(digest, proposed)| Some((proposed.approved?, digest, proposed)))
            .collect();
        plans.sort_by_key(|(at, ..)| *at);
        let plans = plans.into_iter().map(|(_, digest, proposed)| {
            let plan = &proposed.plan;
            PlanRecord {
                plan: *digest,
                from: plan.from,
                count: plan.count,
                collections: plan.collections.iter().copied().collect(),
                details: to_u64(plan.details.len()),
                approved: proposed.approvals.iter().map(Approved::from).collect(),
                gone: self
                    .gone
                    .iter()
                    .filter(|left| left.plan == *digest)
                    .map(|left| Gone {
                        object: left.object.to_string(),
                        from: match &left.place {
                            Place::Store(id) => Party::Store(id.clone()),
                            Place::Mirror(id) => Party::Mirror(id.clone()),
                        },
                        count: left.count,
                        time: left.time,
                        index: left.index,
                    })
                    .collect(),
                waiting: self
                    .unconfirmed(digest, &plan.objects())
                    .into_iter()
                    .map(|(object, mirror)| Waiting {
                        object: object.to_string(),
                        retired: retired.contains(&mirror),
                        mirror,
                    })
                    .collect(),
            }
        });
        Some(Destruction {
            type_: DestructionType,
            deployment: self.deployment().clone(),
            incident: self.incident().clone(),
            entries: self.len(),
            plans: plans.collect(),
        })
    }
}
