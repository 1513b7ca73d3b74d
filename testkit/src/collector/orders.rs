//! Orders of a responder, and checks of the collector's proofs about them.

use evidence::digest::Digest;
use evidence::entry::Entry;
use evidence::order::{Limits, Order, OrderType, Plan, ProcessesStep, ProfileRef, Step, TargetSet};
use evidence::roster::Roster;
use evidence::signed::Signed;
use proto::{service, v1};

use super::{Collector, DEPLOYMENT, Endpoint, Session, nonce};
use crate::clock::{later, now};

/// Generous limits.
pub fn limits() -> Limits {
    Limits {
        wall_s: 3600,
        stored_bytes: 1 << 30,
        plain_bytes: 1 << 32,
        item_bytes: 1 << 30,
        items: 1000,
        cpu_pct: 100,
    }
}

/// A plan of two steps. It is sensitive if `environ` is true.
pub fn plan(environ: bool) -> Plan {
    Plan::new(vec![Step::Host {}, Step::Processes(ProcessesStep { hash_exe: true, maps: true, environ })])
}

/// An order of ada for these endpoints.
pub fn order(lab: &Collector, incident: &str, targets: &TargetSet, plan: Plan) -> Order {
    Order {
        type_: OrderType,
        deployment: DEPLOYMENT.parse().unwrap(),
        incident: incident.parse().unwrap(),
        nonce: nonce(),
        issuer: "ada".parse().unwrap(),
        issued: now(),
        expires: later(3600),
        attempts: 3,
        roster_version: lab.roster.read::<Roster>().unwrap().version,
        roster_sha256: lab.roster.digest(),
        targets_count: targets.count(),
        targets_root: targets.root(),
        profile: ProfileRef { name: "test".into(), version: "1".into(), sha256: Digest::ZERO },
        purpose: "To see what happened".into(),
        sensitivity: plan.sensitivity(),
        limits: limits(),
        plan,
    }
}

/// The targets of an order, in their wire form.
pub fn leaves(targets: &TargetSet) -> Vec<v1::TargetLeaf> {
    targets
        .targets()
        .iter()
        .map(|target| v1::TargetLeaf {
            endpoint: target.endpoint.to_string(),
            generation: u64::from(target.generation.number()),
            evidence_key: target.evidence_key.to_string(),
        })
        .collect()
}

/// Issues an order for one endpoint. Returns the signed order.
pub async fn issue(
    lab: &Collector,
    ada: &Session,
    incident: &str,
    endpoint: &Endpoint,
    plan: Plan,
) -> (Order, Signed) {
    let targets = TargetSet::new(vec![endpoint.target()]).unwrap();
    let order = order(lab, incident, &targets, plan);
    let signed = Signed::sign(&order, &[&ada.key]).unwrap();
    let request = v1::IssueOrderRequest { order: Some((&signed).into()), targets: leaves(&targets) };
    service::order_client(ada.channel.clone()).issue_order(request).await.unwrap();
    (order, signed)
}

/// Checks an entry's proof under the pinned log key, and returns the entry.
pub fn proven(lab: &Collector, proven: &v1::ProvenEntry) -> Entry {
    let file = ledger::ProofFile::parse(&proven.proof).unwrap();
    assert!(file.verify(&ledger::leaf_hash(&proven.entry), &lab.policy()).unwrap().quorum_met);
    Entry::parse(&proven.entry).unwrap()
}
