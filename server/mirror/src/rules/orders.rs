//! Orders: signed under the roster in force, approved where its rules ask.

use evidence::digest::Digest;
use evidence::id::{Chain, IncidentId, PersonId};
use evidence::order::Order;
use store::Key;

use super::acts::same_deployment;
use super::{Broken, Case, Change, Rules, rule};
use crate::objects::Objects;

/// An order that was issued.
#[derive(Debug, Clone)]
pub(super) struct Issued {
    pub(super) incident: IncidentId,
    pub(super) issuer: PersonId,
    /// False while it waits for a second person.
    pub(super) is_in_force: bool,
}

impl Rules {
    /// What an order must be besides signed by its issuer.
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
            return rule("it names another roster than the one in force");
        }
        if case.envelope.incident != Chain::Incident(order.incident.clone()) {
            return rule(format!("its order is for {}", order.incident));
        }
        if order.lifetime() > roster.order_lifetime_max() {
            return rule("its order lives longer than the roster allows");
        }
        if order.plan.sensitivity() != order.sensitivity {
            return rule("its order is labelled with another sensitivity than its plan has");
        }
        let time = case.envelope.time;
        if time >= order.expires || time >= roster.not_after {
            return rule("its order or the roster had expired");
        }
        Ok(Change::Order(
            case.envelope.event,
            Issued {
                incident: order.incident.clone(),
                issuer: order.issuer.clone(),
                is_in_force: !roster.needs_approval(order.sensitivity),
            },
        ))
    }
}

/// The document of an order that was issued.
pub(super) fn document(id: &Digest, objects: &Objects<'_>) -> Result<Order, Broken> {
    let bytes = objects.peek(&Key::document(id.as_bytes()))?;
    let object =
        evidence::entry::ActObject::parse(&bytes).map_err(|error| Broken::Rule(crate::chain(&error)))?;
    super::acts::read(&object)
}
