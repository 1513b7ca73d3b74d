//! The documents of the deployment, before anybody signs them.

use evidence::digest::Digest;
use evidence::enrolment::{Token, TokenType};
use evidence::entry::detail::Detail;
use evidence::id::{Actor, Chain, Generation};
use evidence::manifest::{
    Agent, Clock, CollectionResult, Encoding, EndpointOrigin, LogHead, Manifest, ManifestType, Origin,
    StepEnd, StepResult,
};
use evidence::order::*;
use evidence::roster::*;
use evidence::seal::delegation::Delegation;
use evidence::signed::Signed;
use evidence::text::FixedBytes;
use evidence::time::FileTime;
use ledger::{KeyType, NoteSigner};

use super::*;
use crate::people;

/// A self-signed certificate, made once. These tests do not look inside.
pub const CA: &str = "-----BEGIN CERTIFICATE-----
MIIBMjCB5aADAgECAhReuKbHPWuIoCj2AIQjpYdgVlIuXzAFBgMrZXAwDzENMAsG
A1UEAwwEYWNtZTAeFw0yNjExMjEyMzQ4NDZaFw0zNjExMTgyMzQ4NDZaMA8xDTAL
BgNVBAMMBGFjbWUwKjAFBgMrZXADIQBMord7ckHSUK9ThtZ+aMuCZU9r7dbm5vi6
gkfkhtEdAqNTMFEwHQYDVR0OBBYEFK07NWMNjmYZpSCpf6JvET7weik9MB8GA1Ud
IwQYMBaAFK07NWMNjmYZpSCpf6JvET7weik9MA8GA1UdEwEB/wQFMAMBAf8wBQYD
K2VwA0EAc9EI9RQ1Gzv33R7CKm22W7keVVaoRjZBP0qVlWhgGQXPKyoYPatg32f4
5MKIAuJjrMMSMSkk+A2Go1FUWxWZAg==
-----END CERTIFICATE-----
";

pub fn authority() -> AuthoritySet {
    people::authority(1, &[AUTHORITY])
}

pub fn person(id: &str, number: u8, roles: &[Role]) -> Person {
    people::person(id, &[number], roles)
}

pub fn first_roster() -> Roster {
    Roster {
        type_: RosterType,
        deployment: "acme".parse().unwrap(),
        version: 1,
        previous: None,
        issued: at("08:00:00"),
        not_after: "2027-01-20T08:00:00.000Z".parse().unwrap(),
        authority: authority(),
        persons: vec![
            person("alice", ALICE, &[Role::Responder, Role::Approver]),
            person("bob", BOB, &[Role::Approver]),
            person("cat", CAT, &[Role::EndpointAdmin]),
            person("dan", DAN, &[Role::Analyst]),
            // The second roster no longer names her.
            person("eve", EVE, &[Role::Responder]),
        ],
        rules: Rules { two_persons: vec![Sensitivity::Sensitive], order_hours_max: 24 },
    }
}

pub fn token() -> Token {
    Token {
        type_: TokenType,
        deployment: "acme".parse().unwrap(),
        endpoint: "web-03".parse().unwrap(),
        generation: Generation::FIRST,
        key: key(TOKEN).public(),
        issuer: "cat".parse().unwrap(),
        issued: at("08:10:00"),
        not_after: at("20:10:00"),
        enrol: "collector.example:7421".parse().unwrap(),
        collector: "collector.example:7420".parse().unwrap(),
        collector_id: "c1".parse().unwrap(),
        authority: authority().id(),
        ca_sha256: ca_digest(),
        log_key: log_key(LOG, "exhibit/acme").parse().unwrap(),
        roster_version_min: 1,
    }
}

pub fn ca_digest() -> Digest {
    use base64::Engine as _;
    let body: String = CA.lines().filter(|line| !line.starts_with('-')).collect();
    Digest::of(&base64::engine::general_purpose::STANDARD.decode(body).unwrap())
}

pub fn signer(number: u8, origin: &str) -> NoteSigner {
    NoteSigner::new(origin, &[number; 32]).unwrap()
}

pub fn log_key(number: u8, origin: &str) -> String {
    signer(number, origin).verifier_key(KeyType::Ed25519).to_string()
}

pub fn plan() -> Plan {
    Plan::new(vec![
        Step::Host {},
        Step::Processes(ProcessesStep { hash_exe: true, maps: true, environ: true }),
        Step::Files(FilesStep {
            paths: vec!["/etc/**".parse().unwrap()],
            exclude: vec![],
            item_bytes: 1 << 30,
            one_filesystem: false,
            on_larger: OnLarger::Head,
        }),
    ])
}

pub fn limits() -> Limits {
    Limits {
        wall_s: 1800,
        stored_bytes: 8 << 30,
        plain_bytes: 64 << 30,
        item_bytes: 2 << 30,
        items: 1_000_000,
        cpu_pct: 100,
    }
}

pub fn targets(evidence: u8) -> TargetSet {
    let target = |name: &str, number: u8| Target {
        endpoint: name.parse().unwrap(),
        generation: Generation::FIRST,
        evidence_key: key(number).public().fingerprint(),
    };
    TargetSet::new(vec![target("db-01", 30), target("web-03", evidence)]).unwrap()
}

pub fn incident() -> Chain {
    Chain::Incident(INCIDENT.parse().unwrap())
}

pub fn other_incident() -> Chain {
    Chain::Incident("INC-2026-0008".parse().unwrap())
}

/// Makes the file and the digest of a title.
pub fn title(text: &str) -> (Vec<u8>, Digest) {
    Detail { salt: FixedBytes([3; 16]), text: text.into() }.encode().unwrap()
}

pub(super) fn manifest(
    delegation: &Delegation,
    delegation_sha256: Digest,
    container: &Container,
    limitation: &str,
) -> Manifest {
    let summary = &container.summary;
    let step = |step: &Step| StepResult {
        collector: step.collector().to_owned(),
        begun: at("10:00:00"),
        ended: at("10:01:00"),
        items: 3,
        result: StepEnd::Done,
    };
    Manifest {
        type_: ManifestType,
        deployment: delegation.deployment.clone(),
        collection: delegation.collection,
        origin: Origin::Endpoint(EndpointOrigin {
            id: delegation.endpoint.clone(),
            generation: delegation.generation,
            evidence_key: key(EVIDENCE).public(),
            order: delegation.order,
            attempt: delegation.attempt,
        }),
        delegation: delegation_sha256,
        encoding: Encoding::TarZstd,
        incident: INCIDENT.parse().unwrap(),
        begun: at("10:00:00"),
        ended: at("10:01:00"),
        clock: Clock {
            wall: FileTime::new(1_795_262_460, 5).unwrap(),
            boot: FileTime::new(4242, 17).unwrap(),
            offset_ms: Some(12),
            synchronised: Some(true),
        },
        boot_id: Some("0f3b1c52-2f53-4d0a-8a4b-2d5b0f1f6a11".into()),
        machine_id: None,
        agent: Agent {
            version: "0.1.0".into(),
            build_sha256: Digest([6; 32]),
            uid: 990,
            capabilities: "0000000000000006".into(),
        },
        policy_sha256: Digest([5; 32]),
        limits: limits(),
        steps: plan().steps().iter().map(step).collect(),
        segments: summary.segments,
        stored_len: summary.stored_len,
        plain_len: summary.plain_len,
        container_sha256: summary.container_sha256,
        items: summary.items,
        items_root: summary.items_root,
        outcomes: Manifest::outcomes_of(summary),
        content_bytes: summary.content_bytes,
        seal_head: summary.seal_head,
        footprint: vec!["one line in the system log".into()],
        limitations: vec![limitation.into()],
        log_head: LogHead { seq: 7, sha256: Digest([4; 32]) },
        result: CollectionResult::Complete,
    }
}

pub fn by_actor(text: &str) -> Actor {
    text.parse().unwrap()
}

impl Recipe<'_> {
    /// An order by alice that asks web-03 and db-01 for everything.
    pub(super) fn order_under(&self, roster: &Signed) -> Order {
        Order {
            type_: OrderType,
            deployment: "acme".parse().unwrap(),
            incident: INCIDENT.parse().unwrap(),
            nonce: FixedBytes([5; 16]),
            issuer: "alice".parse().unwrap(),
            issued: at("09:30:00"),
            expires: at("21:30:00"),
            attempts: 3,
            roster_version: roster.read::<Roster>().unwrap().version,
            roster_sha256: roster.digest(),
            targets_count: targets(EVIDENCE).count(),
            targets_root: targets(EVIDENCE).root(),
            profile: ProfileRef { name: "linux-triage".into(), version: "1".into(), sha256: Digest([8; 32]) },
            purpose: self.purpose.into(),
            sensitivity: Sensitivity::Sensitive,
            limits: limits(),
            plan: plan(),
        }
    }
}
