//! Orders and approvals with the usual values. A test names what differs: `Order { purpose, ..order(…) }`.

use std::time::Duration;

use evidence::digest::Digest;
use evidence::keys::PublicKey;
use evidence::order::{
    Approval, ApprovalType, Decision, FilesStep, Limits, OnLarger, Order, OrderType, Plan, ProfileRef, Step,
    Target, TargetSet,
};
use evidence::roster::Roster;
use evidence::signed::Signed;
use evidence::text::FixedBytes;
use evidence::time::Time;

/// Limits that the small collections of tests do not meet.
pub const LIMITS: Limits = Limits {
    wall_s: 1800,
    stored_bytes: 8 << 30,
    plain_bytes: 64 << 30,
    item_bytes: 2 << 30,
    items: 1_000_000,
    cpu_pct: 100,
};

/// A step that collects the files of these globs.
pub fn files(globs: &[&str]) -> Step {
    Step::Files(FilesStep {
        paths: globs.iter().map(|glob| glob.parse().unwrap()).collect(),
        exclude: vec![],
        item_bytes: 1 << 40,
        one_filesystem: false,
        on_larger: OnLarger::Skip,
    })
}

/// An endpoint as an order names it.
pub fn target(endpoint: &str, generation: u32, evidence_key: &PublicKey) -> Target {
    Target {
        endpoint: endpoint.parse().unwrap(),
        generation: generation.to_string().parse().unwrap(),
        evidence_key: evidence_key.fingerprint(),
    }
}

/// An order of ada under this roster. It is in force for a day.
pub fn order(roster: &Signed, targets: &TargetSet, plan: Plan, issued: Time) -> Order {
    let document: Roster = roster.read().unwrap();
    Order {
        type_: OrderType,
        deployment: document.deployment,
        incident: "INC-2026-0007".parse().unwrap(),
        nonce: FixedBytes([5; 16]),
        issuer: "ada".parse().unwrap(),
        issued,
        expires: issued.checked_add(Duration::from_secs(86_400)).unwrap(),
        attempts: 3,
        roster_version: document.version,
        roster_sha256: roster.digest(),
        targets_count: targets.count(),
        targets_root: targets.root(),
        profile: ProfileRef { name: "linux-triage".into(), version: "1".into(), sha256: Digest([8; 32]) },
        purpose: "suspicious logins on the mail front end".into(),
        sensitivity: plan.sensitivity(),
        limits: LIMITS,
        plan,
    }
}

/// Bob's approval of an order of the deployment `acme`.
pub fn approval(order: Digest, at: Time) -> Approval {
    Approval {
        type_: ApprovalType,
        deployment: "acme".parse().unwrap(),
        order,
        approver: "bob".parse().unwrap(),
        at,
        decision: Decision::Approve,
    }
}
