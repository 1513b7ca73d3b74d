//! Takes a responder's order and makes every check of an endpoint that the collector can make.
//!
//! Guarantee: an honest endpoint will not refuse a recorded order for its signature, roster, targets, sensitivity or times. It
//! may still refuse for its owner's policy, a replay or its load. The stores hold document and target leaves before the ledger has
//! the entry. Not here: approvals (`orders::approve`).

use std::time::Duration;

use evidence::entry::state::EndpointState;
use evidence::entry::{ActObject, EntryType};
use evidence::id::Chain;
use evidence::order::{Order, Target, TargetSet};
use evidence::roster::Role;
use evidence::signed::Signed;
use evidence::time::Time;
use proto::limits::TARGETS_MAX;
use proto::status::Class;
use proto::v1;
use rusqlite::Connection;
use store::Key;

use crate::blocking::blocking;
use crate::failure::{Failure, OrFailure as _, chain};
use crate::people::Published;
use crate::rows;
use crate::rows::condition::{Condition, Denied};
use crate::services::orders::OrderDesk;

/// How far ahead of our clock an order may be dated. Endpoints tolerate the same (docs/spec/order.md, step 5).
const AHEAD_MAX: Duration = Duration::from_secs(600);

/// Records an order.
///
/// # Errors
/// A refusal that names the first fault.
pub async fn issue(
    desk: &OrderDesk,
    signed: Signed,
    leaves: Vec<v1::TargetLeaf>,
) -> Result<v1::IssueOrderResponse, Failure> {
    let collector = &*desk.collector;
    let (order, signers) = signed.open::<Order>().map_err(|error| Failure::malformed(chain(&error)))?;
    if order.deployment != collector.deployment {
        return Err(Failure::malformed(format!("the order is of deployment {}", order.deployment)));
    }
    let now = crate::clock::now();
    let published = collector.people.in_force(now)?;
    let [key] = signers.as_slice() else {
        return Err(Failure::malformed("an order has exactly one signature"));
    };
    check_roster(&order, &published)?;
    published.speaks_for(key, &order.issuer, &[Role::Responder])?;
    check_times(&order, &published, now)?;
    if order.sensitivity != order.plan.sensitivity() {
        return Err(Failure::malformed("the order states another sensitivity than its plan has"));
    }
    let targets = targets(&order, leaves)?;

    let bytes: Vec<u8> = targets.targets().iter().flat_map(Target::leaf).collect();
    let (replicas, key) = (collector.replicas.clone(), Key::targets(order.targets_root.as_bytes()));
    blocking(move || replicas.create(&key, &bytes)).await?.or_unavailable("store the targets")?;
    let refs = [("order", signed.digest().to_string()), ("roster", order.roster_sha256.to_string())];
    let order_id = signed.digest();
    let addressed = targets.targets().to_vec();
    let incident = order.incident.clone();
    let locks = crate::upkeep::locks::of(&collector.replicas);
    let condition: Condition = Box::new(move |tx| {
        crate::rows::incidents::guard_open(tx, &incident)?;
        crate::upkeep::locks::may_place(tx, &incident, crate::clock::now(), &locks)?;
        all_enrolled(tx, &addressed)
    });
    let recorded = collector
        .recorder
        .record_if(
            EntryType::OrderIssued,
            Chain::from(order.incident.clone()),
            &refs,
            ActObject::from(signed),
            condition,
        )
        .await?;
    let awaits_approval = published.roster().needs_approval(order.sensitivity);
    if !awaits_approval {
        collector.wake_targets(&order_id).await?;
    }
    desk.watches.changed(&order_id);
    tracing::info!(order = %order_id, incident = %order.incident, targets = order.targets_count, awaits_approval,
        "Order recorded");
    Ok(v1::IssueOrderResponse {
        order: order_id.to_string(),
        issued: Some(recorded.proven.into()),
        awaits_approval,
    })
}

fn check_roster(order: &Order, published: &Published) -> Result<(), Failure> {
    let newest = published.roster().version;
    if order.roster_version != newest || order.roster_sha256 != published.digest() {
        return Err(Failure::precondition(format!(
            "the order was made under roster {}, the newest is {newest}; fetch it and sign again",
            order.roster_version
        )));
    }
    Ok(())
}

fn check_times(order: &Order, published: &Published, now: Time) -> Result<(), Failure> {
    if order.issued.since(now) > AHEAD_MAX {
        return Err(Failure::precondition(format!(
            "the order is dated {}, it is {now} here; set the clock and sign again",
            order.issued
        )));
    }
    if order.expires <= now {
        return Err(Failure::precondition(format!("the order expired at {}; sign a new one", order.expires)));
    }
    let most = published.roster().order_lifetime_max();
    if order.lifetime() > most {
        return Err(Failure::precondition(format!(
            "the order lives {} s, the roster allows {} s",
            order.lifetime().as_secs(),
            most.as_secs()
        )));
    }
    Ok(())
}

fn targets(order: &Order, leaves: Vec<v1::TargetLeaf>) -> Result<TargetSet, Failure> {
    if leaves.len() > TARGETS_MAX {
        return Err(Failure::new(Class::OverLimit, format!("an order has at most {TARGETS_MAX} targets")));
    }
    let parse = |leaf: v1::TargetLeaf| -> Result<Target, Failure> {
        let wrong = |what: &str| Failure::malformed(format!("target {:?}: {what}", leaf.endpoint));
        let generation = u32::try_from(leaf.generation).ok().and_then(evidence::id::Generation::new);
        Ok(Target {
            endpoint: leaf.endpoint.parse().map_err(|_other_form| wrong("no endpoint id"))?,
            generation: generation.ok_or_else(|| wrong("no generation"))?,
            evidence_key: leaf.evidence_key.parse().map_err(|_other_form| wrong("no fingerprint"))?,
        })
    };
    let parsed: Vec<Target> = leaves.into_iter().map(parse).collect::<Result<_, _>>()?;
    let set = TargetSet::new(parsed).map_err(|error| Failure::malformed(error.to_string()))?;
    if set.root() != order.targets_root || set.count() != order.targets_count {
        return Err(Failure::malformed("the targets are not those whose root the order signs"));
    }
    Ok(set)
}

fn all_enrolled(tx: &Connection, targets: &[Target]) -> Result<(), Denied> {
    for target in targets {
        let (endpoint, generation) = (&target.endpoint, target.generation);
        let row = rows::endpoints::at(tx, endpoint, generation)?;
        let holds = row.is_some_and(|row| {
            row.state == EndpointState::Enrolled && row.fingerprint == Some(target.evidence_key)
        });
        if !holds {
            return Err(Denied::no(
                Class::Precondition,
                format!(
                    "{endpoint}#{generation} is not enrolled with that key; list the endpoints and sign again"
                ),
            ));
        }
    }
    Ok(())
}
