//! The documents of the deployment, before anybody signs them.

use evidence::digest::Digest;
use evidence::enrolment::{Token, TokenType};
use evidence::entry::detail::Detail;
use evidence::id::{Actor, Chain, Generation};
use evidence::order::*;
use evidence::roster::*;
use evidence::signed::Signed;
use evidence::text::FixedBytes;
use ledger::{KeyType, NoteSigner};

use super::*;
use crate::{orders, people};

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
    let persons = vec![
        person("alice", ALICE, &[Role::Responder, Role::Approver]),
        person("bob", BOB, &[Role::Approver]),
        person("cat", CAT, &[Role::EndpointAdmin]),
        person("dan", DAN, &[Role::Analyst]),
        // The second roster no longer names her.
        person("eve", EVE, &[Role::Responder]),
    ];
    let not_after = "2027-01-20T08:00:00.000Z".parse().unwrap();
    people::roster("acme", authority(), persons, at("08:00:00"), not_after)
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

pub fn targets(evidence: u8) -> TargetSet {
    let target = |name: &str, number: u8| orders::target(name, 1, &key(number).public());
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

pub fn by_actor(text: &str) -> Actor {
    text.parse().unwrap()
}

impl Recipe<'_> {
    /// An order by alice that asks web-03 and db-01 for everything.
    pub(super) fn order_under(&self, roster: &Signed) -> Order {
        Order {
            issuer: "alice".parse().unwrap(),
            expires: at("21:30:00"),
            purpose: self.purpose.into(),
            ..orders::order(roster, &targets(EVIDENCE), plan(), at("09:30:00"))
        }
    }
}
