//! Collections: an endpoint starts one under an order in force that addresses it, and continues, interrupts or completes it. Mirrors
//! state that they hold it.

use std::collections::BTreeSet;

use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::id::{Chain, MirrorId};
use evidence::keys::PublicKey;
use evidence::manifest::Manifest;
use evidence::order::{Step, Target};
use evidence::seal::delegation::Delegation;
use store::Key;

use super::{Broken, BrokenRule, Case, Change, Rules, orders};
use crate::objects::Objects;

/// A collection as the ledger describes it.
#[derive(Debug, Clone)]
pub struct Collection {
    /// The incident's chain.
    pub incident: Chain,
    /// The delegation that the endpoint signed at the start.
    pub delegation: Delegation,
    delegation_sha256: Digest,
    evidence_key: PublicKey,
    /// Index of `collection.stored` and digest of the manifest.
    pub stored: Option<(u64, Digest)>,
    /// Last seal and number of segments at the last `collection.interrupted`.
    pub interrupted: Option<(Digest, u64)>,
    /// Mirrors that stated that they hold it.
    pub held_by: BTreeSet<MirrorId>,
}

/// How one entry changes a collection.
#[derive(Debug, Clone)]
pub(super) enum CollectionChange {
    Nothing,
    Interrupted(Digest, u64),
    Stored(u64, Digest),
    Held(MirrorId),
}

impl Collection {
    pub(super) fn apply(&mut self, step: CollectionChange) {
        match step {
            CollectionChange::Nothing => {}
            CollectionChange::Interrupted(seal, segments) => self.interrupted = Some((seal, segments)),
            CollectionChange::Stored(index, manifest) => self.stored = Some((index, manifest)),
            CollectionChange::Held(mirror) => {
                self.held_by.insert(mirror);
            }
        }
    }
}

/// How much of a collection exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// It is complete, as this manifest says. The entry has this index.
    Stored {
        /// Digest of the manifest document.
        manifest: Digest,
        index: u64,
    },
    /// It ends with this seal.
    Interrupted { seal: Digest, segments: u64 },
}

/// A collection that must be copied and verified.
#[derive(Debug, Clone)]
pub struct CollectionToCopy {
    pub id: Digest,
    pub incident: Chain,
    /// The endpoint that collected it.
    pub delegation: Delegation,
    /// Digest of the delegation document.
    pub delegation_sha256: Digest,
    /// Key of the endpoint.
    pub evidence_key: PublicKey,
    pub extent: Extent,
}

impl Rules {
    pub(super) fn started(&self, case: &Case<'_>) -> Result<Change, Broken> {
        let signed = case.signed()?;
        let unverified: Delegation = signed.read().map_err(BrokenRule::Signed)?;
        let endpoint = self.live(&unverified.endpoint, unverified.generation)?;
        let delegation =
            Delegation::verify(&signed, &endpoint.evidence_key).map_err(BrokenRule::Delegation)?;
        case.refs(&[
            ("collection", delegation.collection.to_string()),
            ("order", delegation.order.to_string()),
            ("endpoint", delegation.endpoint.to_string()),
            ("attempt", delegation.attempt.to_string()),
        ])?;
        match self.orders.get(&delegation.order) {
            None => return Err(BrokenRule::OrderMissing.into()),
            Some(orders::Issued { ended: Some(end), .. }) => {
                return Err(BrokenRule::OrderEnded { end: *end }.into());
            }
            Some(order) if !order.is_in_force => return Err(BrokenRule::OrderWaits.into()),
            Some(order) if Chain::Incident(order.incident.clone()) != case.envelope.incident => {
                return Err(BrokenRule::OrderForAnotherIncident.into());
            }
            Some(_) => {}
        }
        let order = orders::document(&delegation.order, case.objects)?;
        if delegation.deployment != order.deployment || delegation.attempt > order.attempts {
            return Err(BrokenRule::Attempt { attempt: delegation.attempt, allowed: order.attempts }.into());
        }
        let target = Target {
            endpoint: delegation.endpoint.clone(),
            generation: delegation.generation,
            evidence_key: endpoint.evidence_key.fingerprint(),
        };
        check_target(&order.targets_root, &target, case.objects)?;
        if self.collections.contains_key(&delegation.collection) {
            return Err(BrokenRule::CollectionStartedBefore.into());
        }
        let collection = Collection {
            incident: case.envelope.incident.clone(),
            delegation_sha256: signed.digest(),
            evidence_key: endpoint.evidence_key.clone(),
            delegation,
            stored: None,
            interrupted: None,
            held_by: BTreeSet::new(),
        };
        Ok(Change::Started(collection.delegation.collection, Box::new(collection)))
    }

    /// The collection that an entry is about. It must have begun, belong to the same incident, and not have
    /// ended.
    fn begun(&self, case: &Case<'_>) -> Result<(Digest, &Collection), Broken> {
        let id = case.digest("collection")?;
        match self.collections.get(&id) {
            Some(found) if found.incident == case.envelope.incident => Ok((id, found)),
            Some(_) => Err(BrokenRule::CollectionIncident.into()),
            None => Err(BrokenRule::CollectionNeverStarted.into()),
        }
    }

    pub(super) fn collection_event(&self, case: &Case<'_>) -> Result<Change, Broken> {
        let (id, _) = self.begun(case)?;
        let step = if case.envelope.type_ == EntryType::CollectionInterrupted {
            let segments = case.envelope.reference("segments").and_then(|text| text.parse().ok());
            let Some(segments) = segments else {
                return Err(BrokenRule::Segments.into());
            };
            CollectionChange::Interrupted(case.digest("seal")?, segments)
        } else {
            CollectionChange::Nothing
        };
        Ok(Change::Collection(id, step))
    }

    pub(super) fn stored(&self, case: &Case<'_>) -> Result<Change, Broken> {
        let (id, collection) = self.begun(case)?;
        if collection.stored.is_some() {
            return Err(BrokenRule::CollectionStoredBefore.into());
        }
        let manifest = Manifest::verify(
            &case.signed()?,
            &collection.delegation,
            &collection.delegation_sha256,
            &collection.evidence_key,
        )
        .map_err(BrokenRule::Manifest)?;
        case.refs(&[
            ("manifest", case.envelope.event.to_string()),
            ("order", collection.delegation.order.to_string()),
            ("endpoint", collection.delegation.endpoint.to_string()),
        ])?;
        if Chain::Incident(manifest.incident.clone()) != case.envelope.incident {
            return Err(BrokenRule::ManifestIncident { found: manifest.incident }.into());
        }
        let order = orders::document(&collection.delegation.order, case.objects)?;
        let planned = order.plan.steps().iter().map(Step::collector);
        if !planned.eq(manifest.steps.iter().map(|step| step.collector.as_str())) {
            return Err(BrokenRule::ManifestSteps.into());
        }
        if manifest.limits != manifest.limits.min(&order.limits) {
            return Err(BrokenRule::ManifestLimits.into());
        }
        Ok(Change::Collection(id, CollectionChange::Stored(case.index, case.envelope.event)))
    }

    /// Judges a mirror's statement, whose signature was judged before.
    pub(super) fn stated(&self, case: &Case<'_>, mirror: MirrorId) -> Result<Change, Broken> {
        let (id, collection) = self.begun(case)?;
        let Some((index, manifest)) = collection.stored else {
            return Err(BrokenRule::CollectionNotStored.into());
        };
        case.refs(&[("manifest", manifest.to_string())])?;
        let size: Option<u64> = case.envelope.reference("size").and_then(|text| text.parse().ok());
        if size.is_none_or(|size| size <= index || size > case.index) {
            return Err(BrokenRule::StatementSize.into());
        }
        if collection.held_by.contains(&mirror) {
            return Err(BrokenRule::StatedBefore.into());
        }
        Ok(Change::Collection(id, CollectionChange::Held(mirror)))
    }

    /// Collections to be copied, oldest id first: stored ones about which `own` has made no statement yet,
    /// and interrupted ones.
    #[must_use]
    pub(crate) fn collections_to_copy(&self, own: &MirrorId) -> Vec<CollectionToCopy> {
        let mut wanted = Vec::new();
        for (id, collection) in &self.collections {
            let extent = match (collection.stored, collection.interrupted) {
                (Some(_), _) if collection.held_by.contains(own) => continue,
                (Some((index, manifest)), _) => Extent::Stored { manifest, index },
                (None, Some((seal, segments))) if segments > 0 => Extent::Interrupted { seal, segments },
                _ => continue,
            };
            wanted.push(self.to_copy(*id, collection, extent));
        }
        wanted
    }

    /// Every collection that has evidence, complete or not: for scrubs.
    #[must_use]
    pub(crate) fn all_collections_to_copy(&self) -> Vec<CollectionToCopy> {
        let extent = |collection: &Collection| match (collection.stored, collection.interrupted) {
            (Some((index, manifest)), _) => Some(Extent::Stored { manifest, index }),
            (None, Some((seal, segments))) if segments > 0 => Some(Extent::Interrupted { seal, segments }),
            _ => None,
        };
        self.collections
            .iter()
            .filter_map(|(id, collection)| Some(self.to_copy(*id, collection, extent(collection)?)))
            .collect()
    }

    fn to_copy(&self, id: Digest, collection: &Collection, extent: Extent) -> CollectionToCopy {
        CollectionToCopy {
            id,
            incident: collection.incident.clone(),
            delegation: collection.delegation.clone(),
            delegation_sha256: collection.delegation_sha256,
            evidence_key: collection.evidence_key.clone(),
            extent,
        }
    }
}

/// The target must stand in the list under the order's root. The store's key check has already verified the
/// list itself.
fn check_target(root: &Digest, target: &Target, objects: &Objects<'_>) -> Result<(), Broken> {
    let list = objects.peek(&Key::targets(root.as_bytes()))?;
    let lines: Vec<&[u8]> = list.split_inclusive(|byte| *byte == b'\n').collect();
    let leaf = target.leaf();
    if lines.chunks(4).any(|lines| lines.concat() == leaf) {
        Ok(())
    } else {
        let (endpoint, generation) = (target.endpoint.clone(), target.generation);
        Err(BrokenRule::OrderTarget { endpoint, generation }.into())
    }
}
