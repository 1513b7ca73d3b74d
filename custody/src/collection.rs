//! `collection-*`: an endpoint starts a collection under an order in force that addresses it, and continues, interrupts or completes it.

use std::collections::BTreeSet;

use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::id::{Chain, MirrorId};
use evidence::keys::PublicKey;
use evidence::manifest::{Manifest, Origin};
use evidence::order::{Limits, Target};
use evidence::seal::delegation::{Delegation, collection_id};

use crate::act::{Beside, Opened};
use crate::entry::{refs, value};
use crate::line::Vouched;
use crate::order::{Issued, collectors};
use crate::rule::{Broken, RuleId, must, must_have};
use crate::{Case, Effect, State};

/// A collection as the ledger describes it.
#[derive(Debug, Clone)]
pub struct Collection {
    /// The incident's chain.
    pub incident: Chain,
    /// The delegation that the endpoint signed at the start.
    pub delegation: Delegation,
    pub delegation_sha256: Digest,
    pub evidence_key: PublicKey,
    /// Index of `collection.stored` and digest of the manifest.
    pub stored: Option<(u64, Digest)>,
    /// It was interrupted, malformed or contradicted: the collector takes nothing more of it.
    pub has_ended: bool,
    /// Last seal and number of segments at the last `collection.interrupted`.
    pub interrupted: Option<(Digest, u64)>,
    /// Mirrors that stated that they hold it.
    pub held_by: BTreeSet<MirrorId>,
}

/// How one entry changes a collection.
#[derive(Debug, Clone)]
pub(crate) enum CollectionChange {
    Ended,
    Interrupted(Digest, u64),
    Stored(u64, Digest),
    Held(MirrorId, Vouched),
}

impl Collection {
    pub(crate) fn take(&mut self, change: CollectionChange) {
        match change {
            CollectionChange::Ended => self.has_ended = true,
            CollectionChange::Interrupted(seal, segments) => {
                (self.has_ended, self.interrupted) = (true, Some((seal, segments)));
            }
            CollectionChange::Stored(index, manifest) => self.stored = Some((index, manifest)),
            CollectionChange::Held(mirror, _) => {
                self.held_by.insert(mirror);
            }
        }
    }
}

impl State {
    pub(crate) fn started(
        &self,
        case: &Case<'_>,
        opened: &Opened<Delegation>,
        beside: &Beside,
    ) -> Result<Effect, Broken> {
        let delegation = &opened.document;
        let slot = (delegation.endpoint.clone(), delegation.generation);
        let evidence_key = &self.live(&slot, [RuleId::Collection3, RuleId::Collection4])?.evidence_key;
        must(
            RuleId::Collection2,
            opened.signers == [evidence_key.clone()],
            "delegation is not signed by the endpoint's evidence key alone",
        )?;
        must(RuleId::Collection1, delegation.sealer != *evidence_key, "sealer key is the evidence key")?;
        let fingerprint = evidence_key.fingerprint();
        must(
            RuleId::Collection1,
            delegation.collection
                == collection_id(&delegation.order, &fingerprint, delegation.attempt, &delegation.nonce),
            "collection id is not the one of order, endpoint, attempt and nonce",
        )?;
        let order = self.under_order(case, delegation)?;
        must(
            RuleId::Collection11,
            is_target(order, delegation, fingerprint, beside),
            format_args!("{}#{} is no target of its order", delegation.endpoint, delegation.generation),
        )?;
        self.starts_once(delegation)?;
        let attempt = delegation.attempt;
        let before = self.attempts.get(&(delegation.order, delegation.endpoint.clone()));
        must(
            RuleId::Collection13,
            before.is_none_or(|before| attempt > *before),
            format_args!("attempt {attempt} or a later one began before"),
        )?;
        Ok(begins(case, delegation, evidence_key))
    }

    fn starts_once(&self, delegation: &Delegation) -> Result<(), Broken> {
        let is_new = !self.collections.contains_key(&delegation.collection);
        must(RuleId::Collection12, is_new, "the collection was started before")
    }

    /// An entry whose document, order or endpoint a partial production leaves out.
    pub(crate) fn is_left_out(
        &self,
        case: &Case<'_>,
        delegation: Option<&Opened<Delegation>>,
    ) -> Result<Effect, Broken> {
        match (case.envelope.type_, delegation) {
            (EntryType::OrderIssued, _) => Ok(Effect::OrderLeftOut(case.envelope.event)),
            (EntryType::CollectionStored, _) => {
                let (id, _) = self.may_be_stored(case)?;
                let change = CollectionChange::Stored(case.at.index, case.envelope.event);
                Ok(Effect::Collection(id, change))
            }
            (EntryType::CollectionStarted, Some(opened)) => {
                let key = must_have(RuleId::Entry7, opened.signer(), "nobody signed it")?;
                self.starts_once(&opened.document)?;
                Ok(begins(case, &opened.document, key))
            }
            _ => Ok(Effect::Nothing),
        }
    }

    /// The collection that `collection.stored` is about.
    fn may_be_stored(&self, case: &Case<'_>) -> Result<(Digest, &Collection), Broken> {
        let (id, collection) = self.begun(RuleId::Collection15, case)?;
        must(RuleId::Collection17, collection.stored.is_none(), "the collection was stored before")?;
        must(RuleId::Collection26, !collection.has_ended, "the collection had ended before")?;
        Ok((id, collection))
    }

    /// The order of a delegation. An attempt may begin under it.
    fn under_order(&self, case: &Case<'_>, delegation: &Delegation) -> Result<&Issued, Broken> {
        let order = must_have(RuleId::Collection7, self.orders.get(&delegation.order), NO_ORDER)?;
        let end = order.ended.map(|end| end.to_string()).unwrap_or_default();
        must(RuleId::Collection9, order.ended.is_none(), format_args!("its order was {end} before"))?;
        must(RuleId::Collection8, order.is_in_force, "its order waits for approval")?;
        must(
            RuleId::Collection7,
            Chain::Incident(order.incident.clone()) == case.envelope.incident,
            "its order is for another incident",
        )?;
        must(
            RuleId::Collection14,
            delegation.at < order.expires,
            format_args!("the order expired at {}", order.expires),
        )?;
        let (attempt, allowed) = (delegation.attempt, order.attempts);
        must(
            RuleId::Collection10,
            attempt <= allowed,
            format_args!("attempt {attempt} of an order for {allowed}"),
        )?;
        Ok(order)
    }

    /// The collection that an entry is about: started before, in the same incident.
    pub(crate) fn begun(&self, rule: RuleId, case: &Case<'_>) -> Result<(Digest, &Collection), Broken> {
        let id = value(case.envelope, "collection")?;
        let found = self.collections.get(&id);
        let found = must_have(rule, found, "it is about a collection that was never started")?;
        must(rule, found.incident == case.envelope.incident, "the collection belongs to another incident")?;
        Ok((id, found))
    }

    /// What the collector records of a collection, but for its end.
    pub(crate) fn went_on(&self, case: &Case<'_>) -> Result<Effect, Broken> {
        let rule = match case.envelope.type_ {
            EntryType::EvidenceFixityFailed | EntryType::EvidenceRepaired => RuleId::Collection16,
            _ => RuleId::Collection15,
        };
        let (id, _) = self.begun(rule, case)?;
        match case.envelope.type_ {
            EntryType::CollectionInterrupted => {}
            EntryType::CollectionMalformed | EntryType::CollectionContradicted => {
                return Ok(Effect::Collection(id, CollectionChange::Ended));
            }
            _ => return Ok(Effect::Nothing),
        }
        let (seal, segments) = (value(case.envelope, "seal")?, value(case.envelope, "segments")?);
        Ok(Effect::Collection(id, CollectionChange::Interrupted(seal, segments)))
    }

    pub(crate) fn stored(&self, case: &Case<'_>, opened: &Opened<Manifest>) -> Result<Effect, Broken> {
        let (id, collection) = self.may_be_stored(case)?;
        describes(opened, collection)?;
        let (manifest, delegation) = (&opened.document, &collection.delegation);
        refs(
            case.envelope,
            RuleId::Collection20,
            &[("order", delegation.order.to_string()), ("endpoint", delegation.endpoint.to_string())],
        )?;
        must(
            RuleId::Collection19,
            Chain::Incident(manifest.incident.clone()) == case.envelope.incident,
            format_args!("its manifest is of incident {}", manifest.incident),
        )?;
        let order = must_have(RuleId::Collection7, self.orders.get(&delegation.order), NO_ORDER)?;
        must(
            RuleId::Collection21,
            order.collectors == collectors(manifest.steps.iter().map(|step| step.collector.as_str())),
            "the manifest's steps are not those of the order's plan",
        )?;
        within_limits(manifest, &order.limits)?;
        let change = CollectionChange::Stored(case.at.index, case.envelope.event);
        Ok(Effect::Collection(id, change))
    }
}

/// `collection-22`: asks whether a manifest's limits are within those of its order.
///
/// # Errors
/// `Broken` if one of them is wider.
pub fn within_limits(manifest: &Manifest, order: &Limits) -> Result<(), Broken> {
    must(
        RuleId::Collection22,
        manifest.limits == manifest.limits.min(order),
        "the manifest's limits are wider than the order's",
    )
}

fn begins(case: &Case<'_>, delegation: &Delegation, evidence_key: &PublicKey) -> Effect {
    Effect::Started(Box::new(Collection {
        incident: case.envelope.incident.clone(),
        delegation: delegation.clone(),
        delegation_sha256: case.envelope.event,
        evidence_key: evidence_key.clone(),
        stored: None,
        has_ended: false,
        interrupted: None,
        held_by: BTreeSet::new(),
    }))
}

const NO_ORDER: &str = "its order was never issued";

fn is_target(
    order: &Issued,
    delegation: &Delegation,
    evidence_key: evidence::keys::Fingerprint,
    beside: &Beside,
) -> bool {
    let target =
        Target { endpoint: delegation.endpoint.clone(), generation: delegation.generation, evidence_key };
    let is_proven = beside.target.as_ref().is_some_and(|proof| {
        proof.count == order.targets_count && proof.verify(&target, &order.targets_root).is_ok()
    });
    is_proven || beside.listed.as_ref() == Some(&target)
}

/// Asks whether the right two keys signed a manifest, and whether it is about the collection of its delegation.
fn describes(opened: &Opened<Manifest>, collection: &Collection) -> Result<(), Broken> {
    let (manifest, delegation) = (&opened.document, &collection.delegation);
    must(
        RuleId::Collection18,
        opened.signers == [delegation.sealer.clone(), collection.evidence_key.clone()],
        "manifest is not signed by its sealer and its endpoint's evidence key",
    )?;
    let origin = if let Origin::Endpoint(origin) = &manifest.origin { Some(origin) } else { None };
    let origin = must_have(RuleId::Collection18, origin, "manifest's origin is not that of its delegation")?;
    for (field, is_same) in [
        ("deployment", manifest.deployment == delegation.deployment),
        ("collection", manifest.collection == delegation.collection),
        ("delegation", manifest.delegation == collection.delegation_sha256),
        ("origin.id", origin.id == delegation.endpoint),
        ("origin.generation", origin.generation == delegation.generation),
        ("origin.evidence_key", origin.evidence_key == collection.evidence_key),
        ("origin.order", origin.order == delegation.order),
        ("origin.attempt", origin.attempt == delegation.attempt),
    ] {
        let says = format_args!("manifest's {field} is not that of its delegation").to_string();
        must(RuleId::Collection18, is_same, says)?;
    }
    Ok(())
}
