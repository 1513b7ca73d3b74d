//! The check `order`: a responder of the roster in force signed each order, in time, and other persons approved it if the rules ask for
//! that and an endpoint obeyed it.

use std::collections::BTreeMap;

use evidence::bundle::Overview;
use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::entry::state::OrderState;
use evidence::json;
use evidence::order::{Approval, Decision, Order, Target, TargetProof};
use evidence::roster::Role;

use crate::acts::{act_of, is_left_out};
use crate::documents::{signed, signer};
use crate::entries::{Entries, Proven};
use crate::files::Files;
use crate::report::Report;
use crate::rosters::Rosters;
use evidence::causes::chain;

/// Verified orders by id.
pub(crate) type Orders = BTreeMap<Digest, Verified>;

/// An order that holds, and where in the log it became one that an endpoint may obey.
#[derive(Debug)]
pub(crate) struct Verified {
    pub order: Order,
    pub fate: Fate,
}

/// The fate of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Endpoints may obey it since this index: of `order.issued`, or of the approval that completed it.
    InForce(u64),
    /// It needs an approval and has none, and nothing was collected under it. The word says how it ended.
    NotApproved(&'static str),
}

/// Verifies all orders that the chain names; each is a check of its own in the report.
pub(crate) fn check(
    files: &Files<'_>,
    overview: &Overview,
    entries: &Entries,
    rosters: &Rosters,
    report: &mut Report,
) -> Orders {
    let mut orders = Orders::new();
    for proven in entries
        .incident
        .iter()
        .filter(|proven| proven.entry.envelope.type_ == EntryType::OrderIssued)
        .filter(|proven| !(overview.partial && is_left_out(files, proven)))
    {
        let id = proven.entry.envelope.event;
        match verified(files, &id, entries, rosters) {
            Ok(verified) => {
                let order = &verified.order;
                let mut says = format!("issued by {}, {} targets", order.issuer, order.targets_count);
                if let Fate::NotApproved(ending) = verified.fate {
                    says.push_str(&format!("; {ending}: nothing was collected under it"));
                }
                report.ok("order", &id.to_string(), says);
                orders.insert(id, verified);
            }
            Err(why) => report.failed("order", &id.to_string(), why),
        }
    }
    orders
}

/// Verifies one order of the bundle.
fn verified(
    files: &Files<'_>,
    id: &Digest,
    entries: &Entries,
    rosters: &Rosters,
) -> Result<Verified, String> {
    let signed_order = signed(files, &format!("orders/{id}"))?;
    if signed_order.digest() != *id {
        return Err(format!("its digest is {}", signed_order.digest()));
    }
    let key = signer(&signed_order, "exhibit-order-v1")?;
    let order: Order = signed_order.read().map_err(|cause| chain(&cause))?;
    let roster = rosters
        .version(order.roster_version)
        .ok_or_else(|| format!("roster {} is not in the bundle", order.roster_version))?;
    if roster.digest() != order.roster_sha256 {
        return Err(format!("names another roster of version {}", order.roster_version));
    }
    let roster = roster.roster();
    if order.deployment != roster.deployment {
        return Err(format!("is of deployment {}", order.deployment));
    }
    if !roster.speaks_for(&key, &order.issuer, &[Role::Responder]) {
        return Err(format!("is not signed by a key of {} as responder", order.issuer));
    }
    if order.lifetime() > roster.order_lifetime_max() {
        return Err("lives longer than the roster allows".to_owned());
    }
    if order.plan.sensitivity() != order.sensitivity {
        return Err("is labelled with another sensitivity than its plan has".to_owned());
    }
    let issued = entries.incident.iter().find(|proven| {
        proven.entry.envelope.type_ == EntryType::OrderIssued && proven.entry.envelope.event == *id
    });
    let issued = issued.ok_or("has no order.issued entry")?;
    // An order names the roster in force: an endpoint accepts no older roster.
    if rosters.in_force(issued.index).map(|roster| roster.version) != Some(order.roster_version) {
        return Err(format!("was logged when roster {} was not the one in force", order.roster_version));
    }
    let time = issued.entry.envelope.time;
    if issued.entry.envelope.incident.incident() != Some(&order.incident) {
        return Err(format!("is for {}", order.incident));
    }
    if time >= order.expires || time >= roster.not_after {
        return Err(format!("was logged at {time}, after it or its roster had expired"));
    }
    let fate = if roster.needs_approval(order.sensitivity) {
        match approved_at(files, issued, &order, entries, rosters)? {
            Some(index) => Fate::InForce(index),
            None if was_obeyed(id, entries) => {
                return Err("was obeyed, but needs the approval of a second person and has none".to_owned());
            }
            None => Fate::NotApproved(ending(id, entries)),
        }
    } else {
        Fate::InForce(issued.index)
    };
    Ok(Verified { order, fate })
}

/// True if an entry of this type names the order.
fn is_named(id: &Digest, entries: &Entries, type_: EntryType) -> bool {
    let id = id.to_string();
    entries
        .incident
        .iter()
        .any(|proven| proven.entry.envelope.type_ == type_ && proven.reference("order") == Some(id.as_str()))
}

/// True if an endpoint began a collection under the order. If the entry names another order than the endpoint, `delegation` fails.
fn was_obeyed(id: &Digest, entries: &Entries) -> bool {
    is_named(id, entries, EntryType::CollectionStarted)
}

/// How an order without approval ended. `custody.acts` checks who signed that.
fn ending(id: &Digest, entries: &Entries) -> &'static str {
    if is_named(id, entries, EntryType::OrderRejected) {
        OrderState::Rejected.as_str()
    } else if is_named(id, entries, EntryType::OrderCancelled) {
        OrderState::Cancelled.as_str()
    } else {
        "not approved"
    }
}

/// The log index of the first approval that counts. One that stands before its order counts for nothing.
fn approved_at(
    files: &Files<'_>,
    issued: &Proven,
    order: &Order,
    entries: &Entries,
    rosters: &Rosters,
) -> Result<Option<u64>, String> {
    for proven in
        entries.incident.iter().filter(|proven| proven.entry.envelope.type_ == EntryType::OrderApproved)
    {
        let act = act_of(files, proven)?;
        let approval = act.signed().map_err(|cause| chain(&cause))?;
        let key = signer(&approval, "exhibit-approval-v1")?;
        let approval: Approval = approval.read().map_err(|cause| chain(&cause))?;
        let person = rosters.person(proven.index, &key, &[Role::Approver]);
        let counts = proven.index > issued.index
            && approval.order == issued.entry.envelope.event
            && approval.deployment == order.deployment
            && approval.decision == Decision::Approve
            && approval.approver != order.issuer
            && person.is_some_and(|person| person.id == approval.approver);
        if counts {
            return Ok(Some(proven.index));
        }
    }
    Ok(None)
}

/// Checks that an endpoint was a target of the order.
pub(crate) fn check_target(
    files: &Files<'_>,
    id: &Digest,
    order: &Order,
    target: &Target,
) -> Result<(), String> {
    let name = format!("orders/{id}.targets/{}.json", target.endpoint);
    let proof: TargetProof = json::parse_document(&files.required(&name)?)
        .map_err(|cause| format!("{name}: {}", chain(&cause)))?;
    if proof.count != order.targets_count {
        return Err(format!("{name} is about a list of {} targets", proof.count));
    }
    proof.verify(target, &order.targets_root).map_err(|cause| format!("{name}: {}", chain(&cause)))
}
