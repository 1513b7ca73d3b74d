//! Orders: signed under the roster in force, and approved where its rules ask for that.

use evidence::digest::Digest;
use evidence::id::{Chain, IncidentId, PersonId};
use evidence::order::Order;
use store::Key;

use super::acts::same_deployment;
use super::{Broken, BrokenRule, Case, Change, OrderEnd, Rules};
use crate::objects::Objects;

/// An order that was issued.
#[derive(Debug, Clone)]
pub(super) struct Issued {
    pub(super) incident: IncidentId,
    pub(super) issuer: PersonId,
    /// False while the order waits for a second person.
    pub(super) is_in_force: bool,
    /// `None` while attempts may begin under it.
    pub(super) ended: Option<OrderEnd>,
}

impl Rules {
    /// The rules for an order beyond its issuer's signature.
    pub(super) fn issued(&self, case: &Case<'_>, order: &Order) -> Result<Change, Broken> {
        same_deployment(&order.deployment, case)?;
        case.refs(&[
            ("order", case.envelope.event.to_string()),
            ("roster", order.roster_sha256.to_string()),
        ])?;
        let roster = self.in_force()?;
        let same_roster = self.roster.as_ref().is_some_and(|newest| {
            newest.digest() == order.roster_sha256 && roster.version == order.roster_version
        });
        if !same_roster {
            return Err(BrokenRule::OrderRoster.into());
        }
        if case.envelope.incident != Chain::Incident(order.incident.clone()) {
            return Err(BrokenRule::OrderIncident { found: order.incident.clone() }.into());
        }
        if order.lifetime() > roster.order_lifetime_max() {
            return Err(BrokenRule::OrderLifetime.into());
        }
        if order.plan.sensitivity() != order.sensitivity {
            return Err(BrokenRule::OrderSensitivity.into());
        }
        let time = case.envelope.time;
        if time >= order.expires || time >= roster.not_after {
            return Err(BrokenRule::OrderExpired.into());
        }
        Ok(Change::Order(
            case.envelope.event,
            Issued {
                incident: order.incident.clone(),
                issuer: order.issuer.clone(),
                is_in_force: !roster.needs_approval(order.sensitivity),
                ended: None,
            },
        ))
    }
}

impl Rules {
    /// Judges `order.cancelled`: the order must have been issued, in the same incident.
    pub(super) fn cancelled(&self, case: &Case<'_>) -> Result<Change, Broken> {
        let id = case.digest("order")?;
        match self.orders.get(&id) {
            Some(order) if Chain::Incident(order.incident.clone()) == case.envelope.incident => {
                Ok(Change::OrderEnded(id, OrderEnd::Cancelled))
            }
            Some(_) => Err(BrokenRule::OrderStandsElsewhere.into()),
            None => Err(BrokenRule::OrderUnknown.into()),
        }
    }
}

/// The document of an order that was issued.
pub(super) fn document(id: &Digest, objects: &Objects<'_>) -> Result<Order, Broken> {
    let bytes = objects.peek(&Key::document(id.as_bytes()))?;
    let object = evidence::entry::ActObject::parse(&bytes).map_err(BrokenRule::Signed)?;
    super::acts::read(&object)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use evidence::entry::{ActLocation, ActObject, EntryType, EntryVersion, Envelope};
    use evidence::id::Generation;
    use evidence::keys::SigningKey;
    use evidence::roster::AuthoritySet;
    use evidence::seal::delegation::{Delegation, DelegationType, collection_id};
    use evidence::signed::Signed;
    use evidence::text::FixedBytes;

    use super::super::Pins;
    use super::super::endpoints::Enrolled;
    use super::*;

    fn key(number: u8) -> SigningKey {
        SigningKey::from_seed(&[number; 32])
    }

    fn envelope(type_: EntryType, event: Digest, refs: Vec<(String, String)>) -> Envelope {
        Envelope {
            entry: EntryVersion,
            deployment: "acme".parse().unwrap(),
            type_,
            incident: Chain::Incident(IncidentId::new(2026, 1).unwrap()),
            seq: 1,
            prev: Digest::ZERO,
            time: "2026-11-02T08:00:00.000Z".parse().unwrap(),
            event,
            refs,
            act: ActLocation::Inline,
        }
    }

    /// Rules with one endpoint and with one order in force.
    fn rules(order: Digest) -> Rules {
        let signer = ledger::NoteSigner::new("exhibit/acme", &[30; 32]).unwrap();
        let mut rules = Rules::new(Pins {
            deployment: "acme".parse().unwrap(),
            log_keys: evidence::log_key::LogKeys::unchanged(signer.verifier_key(ledger::KeyType::Ed25519))
                .into(),
            ca_sha256: Digest::of(b"ca"),
            authority: AuthoritySet::new(1, vec![key(1).public()]).unwrap(),
        });
        let endpoint = Enrolled { evidence_key: key(5).public(), is_retired: false };
        rules.endpoints.insert(("web-03".parse().unwrap(), 1), endpoint);
        rules.orders.insert(
            order,
            Issued {
                incident: IncidentId::new(2026, 1).unwrap(),
                issuer: "ada".parse().unwrap(),
                is_in_force: true,
                ended: None,
            },
        );
        rules
    }

    fn begin(order: Digest) -> (ActObject, Envelope) {
        let nonce = FixedBytes([7; 16]);
        let endpoint = key(5);
        let delegation = Delegation {
            type_: DelegationType,
            deployment: "acme".parse().unwrap(),
            endpoint: "web-03".parse().unwrap(),
            generation: Generation::new(1).unwrap(),
            order,
            attempt: 1,
            collection: collection_id(&order, &endpoint.public().fingerprint(), 1, &nonce),
            sealer: key(6).public(),
            at: "2026-11-02T07:59:00.000Z".parse().unwrap(),
            nonce,
        };
        let act = ActObject::from(Signed::sign(&delegation, &[&endpoint]).unwrap());
        let refs = evidence::entry::pairs::sorted([
            ("attempt", "1".to_owned()),
            ("collection", delegation.collection.to_string()),
            ("endpoint", "web-03".to_owned()),
            ("order", order.to_string()),
        ]);
        let envelope = envelope(EntryType::CollectionStarted, act.event(), refs);
        (act, envelope)
    }

    #[test]
    fn nothing_begins_under_an_order_that_was_cancelled_or_rejected() {
        let own = crate::config::replicas(Vec::new());
        let repaired = AtomicU64::new(0);
        let objects = Objects::new(&own, None, &repaired);
        let id = Digest::of(b"an order");
        let (act, began) = begin(id);
        let case = |act, envelope| Case { index: 9, envelope, act, objects: &objects };
        let why = |rules: &Rules| match rules.started(&case(&act, &began)) {
            // While the order is in force, the next check looks for the order's object. It is not here.
            Err(why) => why.to_string(),
            Ok(_) => "taken".to_owned(),
        };
        let mut rules = rules(id);
        assert!(why(&rules).contains("lost documents/"), "{}", why(&rules));
        let refs = evidence::entry::pairs::sorted([("order", id.to_string())]);
        let cancelled = envelope(EntryType::OrderCancelled, Digest::of(b"act"), refs);
        let change = rules.cancelled(&case(&act, &cancelled));
        rules.apply(change.unwrap_or_else(|broken| panic!("{broken}")));
        assert_eq!(why(&rules), "its order was cancelled before");
        rules.apply(Change::OrderEnded(id, OrderEnd::Rejected));
        assert_eq!(why(&rules), "its order was rejected before");
        // A cancellation of an order that never existed, or of another incident's order.
        let refs = evidence::entry::pairs::sorted([("order", Digest::of(b"none").to_string())]);
        let unknown = envelope(EntryType::OrderCancelled, Digest::of(b"act"), refs);
        let refused = |case: &Case<'_>| rules.cancelled(case).err();
        assert!(matches!(refused(&case(&act, &unknown)), Some(Broken::Rule(BrokenRule::OrderUnknown))));
        let mut elsewhere = cancelled.clone();
        elsewhere.incident = Chain::Incident(IncidentId::new(2026, 2).unwrap());
        let elsewhere = refused(&case(&act, &elsewhere));
        assert!(matches!(elsewhere, Some(Broken::Rule(BrokenRule::OrderStandsElsewhere))));
    }
}
