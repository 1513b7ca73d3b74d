//! Endpoints beside web-03: met in another order than that of their names; one of them in generations 2 and 10.

use std::time::Duration;

use evidence::digest::Digest;
use evidence::enrolment::{AgentBuild, EnrolmentRequest, EnrolmentType, Token};
use evidence::entry::EntryType;
use evidence::id::{Chain, Generation};
use evidence::order::*;
use evidence::signed::Signed;
use evidence::text::FixedBytes;
use evidence::time::Time;

use super::*;
use crate::{collections, orders};

/// One enrolment of an endpoint, and perhaps one collection from it under an order of its own.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    pub endpoint: &'static str,
    pub generation: u32,
    /// Number of its evidence key. The next number stands for its TLS key, the one after it is its token's key.
    pub key: u8,
    pub collects: bool,
    /// Number of the key that signs its delegation and its manifest; in a good bundle its own.
    pub signs: u8,
    /// How far its clock is ahead of UTC, in minutes, because somebody set it to local time.
    pub ahead_min: i64,
    /// The host name or address at which it dials the collector.
    pub dials: &'static str,
}

impl Machine {
    /// An endpoint that does not collect, whose clock is right, and that dials an IPv6 address.
    pub const fn enrolled(endpoint: &'static str, generation: u32, key: u8) -> Self {
        Self { endpoint, generation, key, collects: false, signs: key, ahead_min: 0, dials: "[2001:db8::7]" }
    }

    /// A time of the day, by this endpoint's clock.
    fn at(&self, text: &str) -> Time {
        let utc = i64::try_from(at(text).unix_ms()).unwrap();
        Time::from_unix_ms(u64::try_from(utc + self.ahead_ms()).unwrap()).unwrap()
    }

    const fn ahead_ms(&self) -> i64 {
        self.ahead_min * 60_000
    }

    fn generation(&self) -> Generation {
        Generation::new(self.generation).unwrap()
    }

    fn name(&self) -> String {
        format!("{}-{}", self.endpoint, self.generation)
    }

    fn refs(&self, token: &Signed) -> [(&'static str, String); 3] {
        [
            ("endpoint", self.endpoint.to_owned()),
            ("generation", self.generation.to_string()),
            ("token", token.digest().to_string()),
        ]
    }
}

/// Local time on Kiritimati and in St John's, in minutes ahead of UTC.
const KIRITIMATI: i64 = 14 * 60;
const ST_JOHNS: i64 = -(3 * 60 + 30);

/// The endpoints beside web-03 in every bundle of these tests, in the order in which the collector met them.
pub const MACHINES: [Machine; 4] = [
    Machine { ahead_min: KIRITIMATI, ..Machine::enrolled("mail-07", 1, 100) },
    Machine { ahead_min: ST_JOHNS, dials: "192.0.2.7", ..Machine::enrolled("db-01", 10, 110) },
    Machine { ahead_min: ST_JOHNS, dials: "[fd00::1:7]", ..Machine::enrolled("db-01", 2, 120) },
    Machine::enrolled("app-01", 1, 130),
];

/// The same endpoints; one collection was stored from each.
pub fn all_collect() -> Vec<Machine> {
    MACHINES.map(|machine| Machine { collects: true, ..machine }).to_vec()
}

impl Recipe<'_> {
    /// Makes token and enrolment of each machine. Returns their entries in the order of meeting.
    pub(super) fn enrol_machines(&self, files: &mut Files) -> Vec<Draft> {
        let mut drafts = Vec::new();
        for (number, machine) in self.machines.iter().enumerate() {
            let second = 10 + 2 * number;
            let token = Token {
                endpoint: machine.endpoint.parse().unwrap(),
                generation: machine.generation(),
                key: key(machine.key + 2).public(),
                enrol: format!("{}:7421", machine.dials).parse().unwrap(),
                collector: format!("{}:7420", machine.dials).parse().unwrap(),
                ..token()
            };
            let token = sign(&token, &[CAT]);
            put(files, &format!("deployment/token-{}", machine.name()), &token);
            let enrolment = EnrolmentRequest {
                type_: EnrolmentType,
                deployment: "acme".parse().unwrap(),
                endpoint: machine.endpoint.parse().unwrap(),
                generation: machine.generation(),
                token: token.digest(),
                evidence_key: key(machine.key).public(),
                tls_spki_sha256: Digest([machine.key + 1; 32]),
                csr_sha256: Digest([2; 32]),
                nonce: FixedBytes([1; 16]),
                at: machine.at(&format!("09:00:{second:02}")),
                agent: AgentBuild { version: "0.1.0".into(), build_sha256: Digest([6; 32]) },
            };
            let enrolment = sign(&enrolment, &[machine.key + 2, machine.key]);
            put(files, &format!("deployment/enrolment-{}", machine.name()), &enrolment);
            drafts.push(Draft::new(
                EntryType::EndpointAdmitted,
                Chain::Deployment,
                &format!("09:00:{second:02}"),
                machine.refs(&token),
                |_| token.clone().into(),
            ));
            let [endpoint, generation, by] = machine.refs(&token);
            let print = key(machine.key).public().fingerprint().to_string();
            drafts.push(Draft::new(
                EntryType::AgentEnrolled,
                Chain::Deployment,
                &format!("09:00:{:02}", second + 1),
                [endpoint, generation, by, ("evidence_key", print)],
                |_| enrolment.clone().into(),
            ));
        }
        drafts
    }

    /// Makes order, approval and stored collection of each machine that collects. Returns their entries.
    pub(super) fn collect_from_machines(&self, files: &mut Files, roster: &Signed) -> Vec<Draft> {
        let mut drafts = Vec::new();
        let collecting = self.machines.iter().filter(|machine| machine.collects);
        for (number, machine) in collecting.enumerate() {
            let time = |step: usize| format!("11:30:{:02}", 1 + 5 * number + step);
            let nonce = FixedBytes([machine.key; 16]);
            let target = orders::target(machine.endpoint, machine.generation, &key(machine.key).public());
            let targets = TargetSet::new(vec![target.clone()]).unwrap();
            let asked = Order {
                nonce,
                issued: at("11:30:00"),
                // An endpoint obeys by its own clock, so the order outlives the day of Kiritimati.
                expires: at("11:30:00").checked_add(Duration::from_secs(86_400)).unwrap(),
                targets_count: targets.count(),
                targets_root: targets.root(),
                ..self.order_under(roster)
            };
            let order = sign(&asked, &[ALICE]);
            let id = order.digest();
            put(files, &format!("orders/{id}"), &order);
            let proof = evidence::bundle::target_proof(&targets, &machine.endpoint.parse().unwrap());
            files.insert(format!("orders/{id}.targets/{}.json", machine.endpoint), proof.unwrap().unwrap());
            let approval = sign(&orders::approval(id, at("11:30:01")), &[BOB]);
            put(files, &format!("approvals/{}", approval.digest()), &approval);

            let (begun, ended) = (machine.at("11:30:02"), machine.at("11:30:03"));
            let sealer = key(self.sealer).public();
            let delegation = collections::delegation(&target, id, 1, sealer, begun, nonce);
            let (collection, identity) = (delegation.collection, collections::identity(&delegation));
            let container = Forge::new(identity, self.sealer, self.odd_file, &[0; 1000], vec![], 1).build();
            let started = sign(&delegation, &[machine.signs]);
            let mut document = collections::manifest(
                &delegation,
                started.digest(),
                key(machine.key).public(),
                &asked,
                [begun, ended],
                &container.summary,
            );
            document.limitations = vec![self.limitation.into()];
            document.clock.offset_ms = Some(machine.ahead_ms());
            let stored = sign(&document, &[self.sealer, machine.signs]);
            let folder = format!("evidence/{collection}");
            put(files, &format!("{folder}/delegation"), &started);
            put(files, &format!("{folder}/manifest"), &stored);
            let segments = &container.segments;
            files.insert(
                format!("{folder}/container.tar.zst"),
                segments.iter().flat_map(|(bytes, _)| bytes.clone()).collect(),
            );
            for (index, (_, seal)) in segments.iter().enumerate() {
                files.insert(format!("{folder}/seals/{index:06}.seal"), seal.clone());
            }

            let named = |name: &'static str| match name {
                "order" => (name, id.to_string()),
                "endpoint" => (name, machine.endpoint.to_owned()),
                "collection" => (name, collection.to_string()),
                "roster" => (name, roster.digest().to_string()),
                "manifest" => (name, stored.digest().to_string()),
                "attempt" => (name, "1".to_owned()),
                "copies" => (name, "2".to_owned()),
                "degraded" => (name, "no".to_owned()),
                _ => (name, "yes".to_owned()),
            };
            drafts.extend([
                Draft::new(
                    EntryType::OrderIssued,
                    incident(),
                    &time(0),
                    ["order", "roster"].map(named),
                    |_| order.clone().into(),
                ),
                Draft::new(EntryType::OrderApproved, incident(), &time(1), ["order"].map(named), |_| {
                    approval.clone().into()
                }),
                Draft::new(
                    EntryType::CollectionStarted,
                    incident(),
                    &time(2),
                    ["order", "endpoint", "collection", "attempt"].map(named),
                    |_| started.clone().into(),
                ),
                Draft::new(
                    EntryType::CollectionStored,
                    incident(),
                    &time(3),
                    ["collection", "manifest", "order", "endpoint", "copies", "degraded", "independent"]
                        .map(named),
                    |_| stored.clone().into(),
                ),
            ]);
        }
        drafts
    }
}
