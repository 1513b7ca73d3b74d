//! Orders of a responder, and checks of the collector's proofs about them.

use evidence::entry::Entry;
use evidence::order::{Limits, Order, Plan, ProcessesStep, Step, TargetSet};
use evidence::signed::Signed;
use proto::{service, v1};

use super::{Collector, Endpoint, Session, nonce};
use crate::clock::{later, now};
use crate::orders;

/// Limits with fewer items than a test can make.
pub fn limits() -> Limits {
    Limits { items: 1000, ..orders::LIMITS }
}

/// A plan of two steps. It is sensitive if `environ` is true.
pub fn plan(environ: bool) -> Plan {
    Plan::new(vec![Step::Host {}, Step::Processes(ProcessesStep { hash_exe: true, maps: true, environ })])
}

/// An order of ada for these endpoints.
pub fn order(lab: &Collector, incident: &str, targets: &TargetSet, plan: Plan) -> Order {
    Order {
        incident: incident.parse().unwrap(),
        nonce: nonce(),
        expires: later(3600),
        limits: limits(),
        ..orders::order(&lab.roster, targets, plan, now())
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
