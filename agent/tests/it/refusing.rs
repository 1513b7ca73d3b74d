//! A hijacked collector collects nothing: whatever the link delivers, the answer has the right reason, no process that
//! could read was started, and no attempt is counted.

use agent::message::from_link;
use evidence::entry::EntryType;
use evidence::order::{Order, Plan, ProcessesStep, Sensitivity, Step};
use evidence::signed::Signed;
use proto::v1;
use testkit::chains::act;
use testkit::people;

use crate::lab::*;

type Make = fn(&Lab) -> v1::OrderPackage;

fn changed(lab: &Lab, change: impl FnOnce(&mut Order)) -> v1::OrderPackage {
    let mut order = lab.order();
    change(&mut order);
    lab.package(&order, ADA)
}

fn environ() -> Plan {
    Plan::new(vec![Step::Processes(ProcessesStep { hash_exe: false, maps: false, environ: true })])
}

fn sensitive(lab: &Lab, approvers: &[u8]) -> v1::OrderPackage {
    let mut order = lab.order();
    order.plan = environ();
    order.sensitivity = Sensitivity::Sensitive;
    let signed = sign(&order, &[ADA]);
    let approvals: Vec<Signed> = approvers.iter().map(|by| approval(&signed, *by)).collect();
    lab.package_with(&order, &signed, &approvals)
}

/// What is delivered, under which policy, and the reason it must meet.
fn cases() -> Vec<(&'static str, &'static str, Make, &'static str)> {
    vec![
        ("no order at all", "", |_| v1::OrderPackage::default(), "malformed"),
        (
            "bytes that are no order",
            "",
            |lab| {
                let mut package = lab.package(&lab.order(), ADA);
                package.order.as_mut().unwrap().document = b"{}\n".as_slice().into();
                package
            },
            "malformed",
        ),
        (
            "an order without proof",
            "",
            |lab| {
                let mut package = lab.package(&lab.order(), ADA);
                package.issued = None;
                package
            },
            "malformed",
        ),
        (
            "an order of another deployment",
            "",
            |lab| changed(lab, |order| order.deployment = "other".parse().unwrap()),
            "foreign",
        ),
        (
            "an order under a roster nobody signed",
            "",
            |lab| {
                let (first, digest) = (&lab.roster, sign(&lab.roster, &[1]).digest());
                let forged = people::next_roster(first, digest, first.issued, first.not_after);
                let forged = sign(&forged, &[MALLORY]);
                let mut package = changed(lab, |order| {
                    order.roster_version = 2;
                    order.roster_sha256 = forged.digest();
                });
                package.rosters = vec![(&forged).into()];
                package
            },
            "roster",
        ),
        ("an order signed by a stranger", "", |lab| lab.package(&lab.order(), MALLORY), "signature"),
        ("an order signed by an approver", "", |lab| lab.package(&lab.order(), BOB), "signature"),
        (
            "an order altered after signing",
            "",
            |lab| {
                let mut package = lab.package(&lab.order(), ADA);
                let order = package.order.as_mut().unwrap();
                let text = String::from_utf8(order.document.to_vec()).unwrap();
                order.document = text.replace("/data/**", "/home/**").into_bytes().into();
                package
            },
            "signature",
        ),
        (
            "an order that ended",
            "",
            |lab| {
                changed(lab, |order| {
                    order.issued = ago(7200);
                    order.expires = ago(3600);
                })
            },
            "expired",
        ),
        (
            "an order from the future",
            "",
            |lab| {
                changed(lab, |order| {
                    order.issued = later(3600);
                    order.expires = later(7200);
                })
            },
            "expired",
        ),
        (
            "an order for others",
            "",
            |lab| {
                let mut package = lab.package(&lab.order(), ADA);
                package.target_index ^= 1;
                package
            },
            "target",
        ),
        ("a sensitive order that nobody approved", "", |lab| sensitive(lab, &[]), "approvals"),
        ("a sensitive order approved by a stranger", "", |lab| sensitive(lab, &[MALLORY]), "approvals"),
        (
            "a sensitive order with a harmless label",
            "",
            |lab| {
                let mut order = lab.order();
                order.plan = environ();
                let signed = sign(&order, &[ADA]);
                lab.package_with(&order, &signed, &[approval(&signed, BOB)])
            },
            "sensitivity",
        ),
        (
            "an order that another log recorded",
            "",
            |lab| {
                let order = lab.order();
                let honest = lab.log.replace(log(41));
                let package = lab.package(&order, ADA);
                lab.log.replace(honest);
                package
            },
            "ledger",
        ),
        (
            "an order with the proof of another",
            "",
            |lab| {
                let other = lab.package(&lab.order(), ADA);
                let mut package = lab.package(&lab.order(), ADA);
                package.issued = other.issued;
                package.consistency = other.consistency;
                package
            },
            "ledger",
        ),
        (
            "an order behind a forked history",
            "",
            |lab| {
                // The same key signs another history of the same length: no consistency from the checkpoint kept here.
                let order = lab.order();
                let honest = lab.log.replace(log(40));
                lab.log.borrow_mut().leaves[1] = ledger::leaf_hash(b"rewritten");
                let package = lab.package(&order, ADA);
                lab.log.replace(honest);
                package
            },
            "ledger",
        ),
        (
            "a collector the owner denies",
            "denied_collectors = [\"files\"]\n",
            |lab| lab.package(&lab.order(), ADA),
            "policy",
        ),
        (
            "paths outside what the owner allows",
            "[paths]\nallow = [\"/etc/**\", \"/data/public/**\"]\n",
            |lab| lab.package(&lab.order(), ADA),
            "policy",
        ),
        (
            "any order while the owner pauses",
            "pause = true\n",
            |lab| lab.package(&lab.order(), ADA),
            "policy",
        ),
        (
            "an order without the approvals the owner asks",
            "min_approvals = 1\n",
            |lab| lab.package(&lab.order(), ADA),
            "policy",
        ),
        (
            "a sensitive order the owner never gives",
            "allow_sensitive = false\n",
            |lab| sensitive(lab, &[BOB]),
            "policy",
        ),
        (
            "any order under a policy nobody understands",
            "alow = 1\n",
            |lab| lab.package(&lab.order(), ADA),
            "policy",
        ),
        (
            "an order no mirror co-signed, where the owner asks for one",
            "COSIGN",
            |lab| lab.package(&lab.order(), ADA),
            "ledger",
        ),
    ]
}

#[test]
fn each_bad_order_is_refused_for_its_reason_and_no_reader_ever_starts() {
    for (what, policy, make, reason) in cases() {
        let lab = Lab::new();
        write(&lab.root, "data/file", b"never read");
        if policy == "COSIGN" {
            let witness = ledger::NoteSigner::new("mirror.example/witness", &[50; 32]).unwrap();
            let key = witness.verifier_key(ledger::KeyType::CosignatureV1);
            lab.write_policy(&format!("[cosigners]\nquorum = 1\nkeys = [\"{key}\"]\n"));
        } else {
            lab.write_policy(policy);
        }
        let link = lab.start();
        let package = make(&lab);
        link.say(from_link::Say::Order(package));
        let answer = link.answer();
        assert_eq!((answer.admitted, answer.reason.as_str()), (false, reason), "{what}: {}", answer.detail);
        assert!(answer.delegation.is_none() && !answer.detail.is_empty(), "{what}");
        link.stop().unwrap();
        assert_eq!(lab.calls(), [""; 0], "{what}");
        assert_eq!(lab.seen(), "", "{what}");
        let refused = lab.events("order_refused");
        assert_eq!(refused.len(), 1, "{what}");
        assert_eq!(refused[0]["reason"], reason, "{what}");
        assert!(lab.events("attempt_begun").is_empty(), "{what}");
    }
}

#[test]
fn a_refused_order_repeated_a_thousand_times_does_not_fill_the_log() {
    let lab = Lab::new();
    let link = lab.start();
    let package = lab.package(&lab.order(), MALLORY);
    for _ in 0..1000 {
        link.say(from_link::Say::Order(package.clone()));
        assert_eq!(link.answer().reason, "signature");
    }
    link.stop().unwrap();
    assert_eq!(lab.events("order_refused").len(), 1);
}

#[test]
fn a_proof_from_an_older_checkpoint_is_asked_for_again_once() {
    let lab = Lab::new();
    let link = lab.start();
    let mut package = lab.package(&lab.order(), ADA);
    package.consistency_from = 1;
    package.consistency = proto::convert::hash_bytes(&lab.log.borrow().consistency(1));
    link.say(from_link::Say::Order(package.clone()));
    loop {
        if matches!(link.next().0, agent::message::to_link::Say::Reconnect(_)) {
            break;
        }
    }
    link.say(from_link::Say::Order(package));
    assert_eq!(link.answer().reason, "ledger");
    link.stop().unwrap();
    assert_eq!(lab.calls(), [""; 0]);
}

fn cancellation(order: &Signed, by: u8) -> v1::CancelOrder {
    let refs = [("order".to_owned(), order.digest().to_string())];
    let incident = "INC-2026-0007".parse().unwrap();
    let act = act(EntryType::OrderCancelled, &incident, now(), "person:ada", &refs);
    v1::CancelOrder { order: order.digest().to_string(), act: Some((&sign(&act, &[by])).into()) }
}

#[test]
fn an_order_taken_back_by_a_responder_is_never_obeyed_and_a_forged_cancellation_counts_for_nothing() {
    let lab = Lab::new();
    let order = lab.order();
    let signed = sign(&order, &[ADA]);
    let link = lab.start();
    link.say(from_link::Say::Cancel(cancellation(&signed, MALLORY)));
    link.say(from_link::Say::Cancel(cancellation(&signed, ADA)));
    link.say(from_link::Say::Order(lab.package(&order, ADA)));
    let answer = link.answer();
    assert_eq!(answer.reason, "replay", "{}", answer.detail);
    link.stop().unwrap();
    assert_eq!(lab.events("disbelieved").len(), 1);
    assert_eq!(lab.events("order_cancelled").len(), 1);
    // It stays cancelled in the next life.
    let link = lab.start();
    link.say(from_link::Say::Order(lab.package(&order, ADA)));
    assert_eq!(link.answer().reason, "replay");
    link.stop().unwrap();
    assert_eq!(lab.calls(), [""; 0]);
}

#[test]
fn a_second_warden_or_a_changed_state_does_not_start() {
    let lab = Lab::new();
    let link = lab.start();
    let (_ours, theirs) = cage::datagram::pair().unwrap();
    let settings = agent::warden::Settings {
        state: lab.state.clone(),
        policy: Some(lab.policy.clone()),
        root: lab.root.clone(),
        program: "/proc/self/exe".into(),
        link: agent::warden::LinkSource::Given(theirs),
        backoff_min: std::time::Duration::from_millis(10),
        backoff_max: std::time::Duration::from_millis(10),
        stop: None,
    };
    let error = agent::warden::run(settings).unwrap_err();
    assert!(error.to_string().contains("another exhibit-agent"), "{error}");
    link.stop().unwrap();
    // A roster that the authority did not sign does not get in through the disk, either.
    let path = lab.state.join("gen-1/roster.json");
    fs_err::write(&path, sign(&lab.roster, &[MALLORY]).encode()).unwrap();
    let keeper = agent::state::endpoint::EndpointState::open(&lab.state, agent::state::clock::Reading::now());
    assert!(matches!(keeper, Err(agent::state::endpoint::EndpointStateError::Roster(_))));
}
