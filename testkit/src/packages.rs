//! The package that a collector hands to an endpoint: order, rosters, approvals, proofs; and what the endpoint knows when it judges it.
//!
//! A small deployment with fixed keys and times: an authority of which two of three sign, four persons, three endpoints, one log. It is
//! the world of the documents in docs/spec/vectors, so none of its values may change.

#![expect(
    missing_docs,
    reason = "fields and constants are named for what they are; what a name does not say stands beside it"
)]
#![expect(clippy::indexing_slicing, reason = "a test that cannot build its world has failed")]

use evidence::admission::{Admitted, Memory, Package, Pins, Proven, Refusal, admit};
use evidence::bundle::EnrolledKey;
use evidence::digest::Digest;
use evidence::entry::{Entry, EntryType};
use evidence::order::*;
use evidence::roster::*;
use evidence::signed::Signed;
use evidence::time::Time;
use ledger::{Checkpoint, NoteSigner};

use crate::chains::Draft;
pub use crate::log::Log;
use crate::orders;
use crate::people::{self, person};
pub use crate::people::{key, sign};

pub const AUTHORITY: [u8; 3] = [1, 2, 3];
pub const ADA: u8 = 10;
pub const ADA_SECOND: u8 = 11;
pub const BOB: u8 = 12;
pub const CAT: u8 = 13;
pub const DAN: u8 = 14;
pub const EVIDENCE: u8 = 20;
pub const TOKEN: u8 = 22;
pub const SEALER: u8 = 23;
pub const MALLORY: u8 = 66;

pub fn at(text: &str) -> Time {
    text.parse().unwrap()
}

pub fn now() -> Time {
    at("2026-11-21T12:00:00.000Z")
}

pub fn authority() -> AuthoritySet {
    people::authority(2, &AUTHORITY)
}

pub fn first_roster() -> Roster {
    let persons = vec![
        person("ada", &[ADA, ADA_SECOND], &[Role::Responder, Role::Approver]),
        person("bob", &[BOB], &[Role::Approver]),
        person("cat", &[CAT], &[Role::EndpointAdmin]),
        person("dan", &[DAN], &[Role::Analyst, Role::Auditor]),
    ];
    people::roster(
        "acme",
        authority(),
        persons,
        at("2026-11-01T08:00:00.000Z"),
        at("2026-12-01T08:00:00.000Z"),
    )
}

pub fn second_roster() -> Roster {
    let first = first_roster();
    let digest = sign(&first, &[1, 2]).digest();
    people::next_roster(&first, digest, at("2026-11-15T08:00:00.000Z"), at("2026-12-15T08:00:00.000Z"))
}

pub fn target() -> Target {
    orders::target("web-03", 2, &key(EVIDENCE).public())
}

/// The target's evidence key, as a bundle names it.
pub fn enrolled_key() -> EnrolledKey {
    let Target { endpoint, generation, .. } = target();
    EnrolledKey { endpoint, generation, evidence_key: key(EVIDENCE).public() }
}

pub fn targets() -> TargetSet {
    let other = |name: &str, number: u8| orders::target(name, 1, &key(number).public());
    TargetSet::new(vec![other("db-01", 30), target(), other("mail", 31)]).unwrap()
}

pub fn plan() -> Plan {
    Plan::new(vec![
        Step::Host {},
        Step::Processes(ProcessesStep { hash_exe: true, maps: true, environ: true }),
        Step::Files(FilesStep {
            paths: vec!["/var/log/**10".parse().unwrap(), "/etc/passwd".parse().unwrap()],
            exclude: vec!["/var/log/journal/**".parse().unwrap()],
            item_bytes: 1 << 30,
            one_filesystem: false,
            on_larger: OnLarger::Head,
        }),
    ])
}

pub fn order() -> Order {
    let roster = sign(&second_roster(), &[1, 3]);
    orders::order(&roster, &targets(), plan(), at("2026-11-21T11:50:00.000Z"))
}

pub fn approval(order: Digest) -> Approval {
    orders::approval(order, at("2026-11-21T11:55:00.000Z"))
}

/// The log: signs what it is told, honest or not.
pub fn log() -> NoteSigner {
    NoteSigner::new("exhibit/acme", &[40; 32]).unwrap()
}

pub fn log_policy() -> ledger::Policy {
    let key = log().verifier_key(ledger::KeyType::Ed25519);
    ledger::Policy::parse(format!("log {key}\nquorum none\n").as_bytes()).unwrap()
}

/// The entries of an order and of its approvals, in this order.
pub fn entries(time: Time, order: &Order, signed: &Signed, approvals: &[Signed]) -> Vec<Entry> {
    let of_order = ("order".to_owned(), signed.digest().to_string());
    let of_roster = ("roster".to_owned(), order.roster_sha256.to_string());
    let issued = entry(time, EntryType::OrderIssued, order, signed, vec![of_order.clone(), of_roster]);
    let approved = |one| entry(time, EntryType::OrderApproved, order, one, vec![of_order.clone()]);
    std::iter::once(issued).chain(approvals.iter().map(approved)).collect()
}

/// An entry in the chain of `order` that records `act`.
pub fn entry(
    time: Time,
    type_: EntryType,
    order: &Order,
    act: &Signed,
    refs: Vec<(String, String)>,
) -> Entry {
    let draft = Draft { type_, chain: order.incident.clone().into(), time, refs, act: act.clone().into() };
    let mut entry = draft.entry(1, Digest([7; 32]));
    entry.envelope.deployment = order.deployment.clone();
    entry
}

/// The log's size when the endpoint saw it last.
pub const SEEN: u64 = 3;

/// What goes into a package, before anything is logged.
#[derive(Clone)]
pub struct Recipe {
    pub order: Order,
    pub order_keys: Vec<u8>,
    pub rosters: Vec<(Roster, Vec<u8>)>,
    pub approvals: Vec<(Approval, u8)>,
    /// Changes the entries before they are hashed: `order.issued` first.
    pub change_entries: fn(&mut Vec<Entry>),
    pub log: fn() -> NoteSigner,
}

impl Recipe {
    pub fn good() -> Self {
        let order = order();
        let approval = approval(sign(&order, &[ADA]).digest());
        Self {
            order,
            order_keys: vec![ADA],
            rosters: vec![(second_roster(), vec![1, 3])],
            approvals: vec![(approval, BOB)],
            change_entries: |_| {},
            log,
        }
    }

    /// Changes the order; approvals follow it.
    pub fn change_order(&mut self, change: impl FnOnce(&mut Order)) {
        change(&mut self.order);
        let digest = sign(&self.order, &[ADA]).digest();
        for (approval, _) in &mut self.approvals {
            approval.order = digest;
        }
    }

    pub fn build(&self) -> Built {
        let order = sign(&self.order, &self.order_keys);
        let approvals: Vec<Signed> =
            self.approvals.iter().map(|(approval, number)| sign(approval, &[*number])).collect();
        let logged = at("2026-11-21T11:51:00.000Z");
        let mut entries = entries(logged, &self.order, &order, &approvals);
        (self.change_entries)(&mut entries);
        let entries: Vec<Vec<u8>> = entries.iter().map(|entry| entry.encode().unwrap()).collect();
        // Three entries that the endpoint saw, one it did not, then ours, then one more.
        let mut tree = Log::of((self.log)(), &[&[0], &[1], &[2], &[3]]);
        for entry in &entries {
            tree.append(entry);
        }
        tree.append(b"one more");
        let proven = (4..).zip(&entries).map(|(index, entry)| (entry.clone(), tree.proof(index))).collect();
        Built {
            order: order.encode(),
            rosters: self.rosters.iter().map(|(roster, keys)| sign(roster, keys).encode()).collect(),
            approvals: approvals.iter().map(Signed::encode).collect(),
            target: targets().proof(&target().endpoint).unwrap(),
            proven,
            consistency: tree.consistency(SEEN),
            seen: Some(Checkpoint::new("exhibit/acme", SEEN, ledger::root_of(&tree.leaves[..3])).unwrap()),
            floor: RosterFloor { version: 1, digest: Some(sign(&first_roster(), &[1, 2]).digest()) },
            kept: None,
            clock_floor: at("2026-11-20T00:00:00.000Z"),
            endpoint: target(),
            now: now(),
            tree,
        }
    }
}

/// A package with what the endpoint knows.
pub struct Built {
    pub order: Vec<u8>,
    pub rosters: Vec<Vec<u8>>,
    pub approvals: Vec<Vec<u8>>,
    pub target: TargetProof,
    pub proven: Vec<(Vec<u8>, Vec<u8>)>,
    pub consistency: Vec<ledger::Hash>,
    pub seen: Option<Checkpoint>,
    pub floor: RosterFloor,
    /// The newest roster that the endpoint keeps.
    pub kept: Option<AdmittedRoster>,
    pub clock_floor: Time,
    pub endpoint: Target,
    pub now: Time,
    pub tree: Log,
}

impl Built {
    pub fn judge(&self) -> Result<Admitted, Refusal> {
        let proven =
            |(entry, proof): &'_ (Vec<u8>, Vec<u8>)| -> (Vec<u8>, Vec<u8>) { (entry.clone(), proof.clone()) };
        let all: Vec<(Vec<u8>, Vec<u8>)> = self.proven.iter().map(proven).collect();
        let mut all = all.iter().map(|(entry, proof)| Proven { entry, proof });
        let package = Package {
            order: &self.order,
            rosters: self.rosters.iter().map(Vec::as_slice).collect(),
            approvals: self.approvals.iter().map(Vec::as_slice).collect(),
            target: self.target.clone(),
            issued: all.next().unwrap(),
            approved: all.collect(),
            consistency: self.consistency.clone(),
        };
        let deployment = "acme".parse().unwrap();
        let (authority, log) = (authority(), log_policy());
        let pins = Pins { deployment: &deployment, authority: &authority, log: &log, target: &self.endpoint };
        let memory = Memory {
            roster: self.kept.as_ref(),
            roster_floor: self.floor,
            clock_floor: self.clock_floor,
            checkpoint: self.seen.as_ref(),
        };
        admit(&package, &pins, &memory, self.now)
    }
}
