//! Admission: a good package is obeyed; each single change of it is refused, for its own reason.

use std::collections::BTreeSet;

use evidence::admission::Reason;
use evidence::digest::Digest;
use evidence::id::Chain;
use evidence::order::{Decision, Plan, Sensitivity, Step};
use evidence::roster::{Role, RosterFloor};
use evidence::signed::Signed;
use ledger::{Checkpoint, NoteSigner};

use testkit::packages::*;

#[test]
fn a_good_package_is_admitted_and_teaches_roster_checkpoint_and_clock() {
    let built = Recipe::good().build();
    let admitted = built.judge().unwrap();
    assert_eq!(admitted.order, order());
    assert_eq!(admitted.order_sha256, sign(&order(), &[ADA]).digest());
    assert_eq!(admitted.roster.roster().version, 2);
    assert_eq!(admitted.issuer_key, key(ADA).public());
    assert_eq!(admitted.approvers, ["bob".parse().unwrap()]);
    assert_eq!(
        (admitted.checkpoint.size, admitted.checkpoint.root),
        (7, ledger::root_of(&built.tree.leaves))
    );
    assert_eq!(admitted.judged_at, now());
    assert_eq!(admitted.clock_floor, order().issued);
    assert!(admitted.cosigners.is_empty());
}

#[test]
fn either_key_of_a_responder_signs_and_a_normal_plan_needs_no_second_person() {
    let mut recipe = Recipe::good();
    recipe.order_keys = vec![ADA_SECOND];
    recipe.approvals.clear();
    recipe.change_order(|order| {
        order.plan = Plan::new(vec![Step::Host {}]);
        order.sensitivity = Sensitivity::Normal;
    });
    let admitted = recipe.build().judge().unwrap();
    assert_eq!(admitted.issuer_key, key(ADA_SECOND).public());
    assert!(admitted.approvers.is_empty());
}

#[test]
fn a_first_contact_has_no_checkpoint_and_an_old_one_may_be_the_same() {
    let mut built = Recipe::good().build();
    built.seen = None;
    built.consistency.clear();
    assert!(built.judge().is_ok());
    built.seen = Some(Checkpoint::new("exhibit/acme", 7, ledger::root_of(&built.tree.leaves)).unwrap());
    assert!(built.judge().is_ok());
}

#[test]
fn a_clock_that_was_set_back_does_not_revive_an_order() {
    let mut built = Recipe::good().build();
    built.now = at("2026-11-21T12:00:00.000Z");
    built.clock_floor = order().expires;
    assert_eq!(built.judge().unwrap_err().reason, Reason::Expired);
    // Nor does one that stands at 1970 make it uncollectable, once newer documents are known.
    built.now = at("1970-01-01T00:00:00.000Z");
    built.clock_floor = order().issued;
    assert!(built.judge().is_ok());
}

#[test]
fn a_refused_order_still_teaches_the_roster() {
    let mut recipe = Recipe::good();
    recipe.order_keys = vec![MALLORY];
    let refusal = recipe.build().judge().unwrap_err();
    assert_eq!(refusal.learned.unwrap().roster().version, 2);
}

/// An order that waited for another to end is judged again by the newest roster.
#[test]
fn an_admitted_order_does_not_outlive_the_persons_behind_it() {
    let admitted = Recipe::good().build().judge().unwrap();
    let roster = admitted.roster.roster();
    assert!(admitted.holds_under(roster).is_ok());
    let without = |person: &str| {
        let mut newer = roster.clone();
        newer.persons.retain(|one| one.id.as_str() != person);
        admitted.holds_under(&newer).unwrap_err().reason
    };
    assert_eq!(without(order().issuer.as_str()), Reason::Signature);
    assert_eq!(without("bob"), Reason::Approvals);
    let mut unapproved = admitted.clone();
    unapproved.approvers.clear();
    unapproved.approver_keys.clear();
    assert_eq!(unapproved.holds_under(roster).unwrap_err().reason, Reason::Approvals);
    let mut another_key = admitted.clone();
    another_key.issuer_key = key(MALLORY).public();
    assert_eq!(another_key.holds_under(roster).unwrap_err().reason, Reason::Signature);
}

enum Change {
    Before(fn(&mut Recipe)),
    After(fn(&mut Built)),
}
use Change::{After, Before};

fn tampered(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = str::from_utf8(bytes).unwrap();
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1).into_bytes()
}

/// Two signatures where one belongs.
fn signed_twice(bytes: &[u8]) -> Vec<u8> {
    let mut signed = Signed::parse(bytes).unwrap();
    signed.signatures.push(signed.signatures[0].clone());
    signed.encode()
}

fn approver_of(recipe: &mut Recipe, person: &str, number: u8) {
    recipe.approvals[0].0.approver = person.parse().unwrap();
    recipe.approvals[0].1 = number;
}

fn cases() -> Vec<(&'static str, Reason, Change)> {
    use Reason::{Approvals, Expired, Foreign, Ledger, Malformed, Roster, Signature, Target};
    vec![
        ("order cut short", Malformed, After(|b| b.order.truncate(b.order.len() - 1))),
        (
            "order with a duplicate key",
            Malformed,
            After(|b| b.order = tampered(&b.order, "\"attempts\":3", "\"attempts\":3,\"attempts\":3")),
        ),
        (
            "order with an unknown field",
            Malformed,
            After(|b| b.order = tampered(&b.order, "\"attempts\":3", "\"attempts\":3,\"more\":3")),
        ),
        ("order signed twice", Malformed, After(|b| b.order = signed_twice(&b.order))),
        ("approval signed twice", Malformed, After(|b| b.approvals[0] = signed_twice(&b.approvals[0]))),
        ("approval in place of the order", Malformed, After(|b| b.order = b.approvals[0].clone())),
        ("roster cut short", Malformed, After(|b| b.rosters[0].truncate(10))),
        ("entry with bytes behind", Malformed, After(|b| b.proven[0].0.push(b'\n'))),
        ("proof cut short", Malformed, After(|b| b.proven[0].1.truncate(60))),
        ("approval without its entry", Malformed, After(|b| b.proven.truncate(1))),
        ("thousands of rosters", Malformed, After(|b| b.rosters = vec![b.rosters[0].clone(); 65])),
        (
            "order of another deployment",
            Foreign,
            Before(|r| r.change_order(|o| o.deployment = "other".parse().unwrap())),
        ),
        (
            "roster of another deployment",
            Foreign,
            Before(|r| r.rosters[0].0.deployment = "other".parse().unwrap()),
        ),
        (
            "approval of another deployment",
            Foreign,
            Before(|r| r.approvals[0].0.deployment = "other".parse().unwrap()),
        ),
        (
            "entry of another deployment",
            Foreign,
            Before(|r| r.change_entries = |e| e[0].envelope.deployment = "other".parse().unwrap()),
        ),
        ("roster with one of two signatures", Roster, Before(|r| r.rosters[0].1 = vec![1])),
        ("roster signed twice by one key", Roster, Before(|r| r.rosters[0].1 = vec![1, 1])),
        ("roster signed by a stranger", Roster, Before(|r| r.rosters[0].1 = vec![1, MALLORY])),
        (
            "roster altered",
            Roster,
            After(|b| {
                b.rosters[0] = tampered(&b.rosters[0], "\"order_hours_max\":24", "\"order_hours_max\":25")
            }),
        ),
        ("roster older than seen", Roster, After(|b| b.floor = RosterFloor { version: 3, digest: None })),
        (
            "another roster of the version seen",
            Roster,
            After(|b| b.floor = RosterFloor { version: 2, digest: Some(Digest::ZERO) }),
        ),
        ("roster not linked to the one seen", Roster, After(|b| b.floor.digest = Some(Digest::ZERO))),
        ("frozen roster", Roster, After(|b| b.now = at("2026-12-15T08:00:00.000Z"))),
        (
            "frozen roster behind a clock set back",
            Roster,
            After(|b| b.clock_floor = at("2026-12-15T08:00:00.000Z")),
        ),
        ("no roster at all", Roster, After(|b| b.rosters.clear())),
        ("order under a later roster", Roster, Before(|r| r.change_order(|o| o.roster_version = 3))),
        (
            "order under another roster of that version",
            Roster,
            Before(|r| r.change_order(|o| o.roster_sha256 = Digest::ZERO)),
        ),
        ("forged: signed by a stranger", Signature, Before(|r| r.order_keys = vec![MALLORY])),
        ("signed by the endpoint", Signature, Before(|r| r.order_keys = vec![EVIDENCE])),
        ("signed by an authority key", Signature, Before(|r| r.order_keys = vec![1])),
        ("signed by another person", Signature, Before(|r| r.order_keys = vec![BOB])),
        (
            "issuer is no responder",
            Signature,
            Before(|r| {
                r.order_keys = vec![DAN];
                r.change_order(|o| o.issuer = "dan".parse().unwrap());
            }),
        ),
        ("issuer unknown", Signature, Before(|r| r.change_order(|o| o.issuer = "eve".parse().unwrap()))),
        (
            "issuer lost the role in the newer roster",
            Signature,
            Before(|r| {
                r.rosters[0].0.persons[0].roles = vec![Role::Approver];
                let digest = sign(&r.rosters[0].0, &[1, 3]).digest();
                r.change_order(|o| o.roster_sha256 = digest);
            }),
        ),
        ("order altered", Signature, After(|b| b.order = tampered(&b.order, "suspicious", "suspicous"))),
        ("expired", Expired, After(|b| b.now = order().expires)),
        ("issued 10 minutes and a moment ahead", Expired, After(|b| b.now = at("2026-11-21T11:39:59.999Z"))),
        (
            "valid for longer than the roster allows",
            Expired,
            Before(|r| r.change_order(|o| o.expires = at("2026-11-22T11:50:00.001Z"))),
        ),
        ("another endpoint", Target, After(|b| b.endpoint.endpoint = "web-04".parse().unwrap())),
        ("another generation", Target, After(|b| b.endpoint.generation = "3".parse().unwrap())),
        (
            "another evidence key",
            Target,
            After(|b| b.endpoint.evidence_key = key(MALLORY).public().fingerprint()),
        ),
        (
            "proof of a neighbour",
            Target,
            After(|b| b.target = targets().proof(&"mail".parse().unwrap()).unwrap()),
        ),
        ("proof too long", Target, After(|b| b.target.proof.push(Digest::ZERO))),
        ("another number of targets", Target, Before(|r| r.change_order(|o| o.targets_count = 4))),
        ("approval missing", Approvals, Before(|r| r.approvals.clear())),
        (
            "approval missing behind a false label",
            Approvals,
            Before(|r| {
                r.approvals.clear();
                r.change_order(|o| o.sensitivity = Sensitivity::Normal);
            }),
        ),
        ("approver is the issuer", Approvals, Before(|r| approver_of(r, "ada", ADA))),
        ("approver is the issuer with another key", Approvals, Before(|r| approver_of(r, "ada", ADA_SECOND))),
        ("the issuer's second key under another name", Approvals, Before(|r| r.approvals[0].1 = ADA_SECOND)),
        ("approver without the role", Approvals, Before(|r| approver_of(r, "dan", DAN))),
        ("approval forged", Approvals, Before(|r| r.approvals[0].1 = MALLORY)),
        ("rejection", Approvals, Before(|r| r.approvals[0].0.decision = Decision::Reject)),
        ("approval of another order", Approvals, Before(|r| r.approvals[0].0.order = Digest::ZERO)),
        (
            "wrong sensitivity",
            Reason::Sensitivity,
            Before(|r| r.change_order(|o| o.sensitivity = Sensitivity::Normal)),
        ),
        (
            "normal plan labelled sensitive",
            Reason::Sensitivity,
            Before(|r| r.change_order(|o| o.plan = Plan::new(vec![Step::Host {}]))),
        ),
        ("no proof: another entry's", Ledger, After(|b| b.proven[0].1 = b.tree.proof(0))),
        (
            "proof of an entry about another order",
            Ledger,
            Before(|r| r.change_entries = |e| e[0].envelope.event = Digest::ZERO),
        ),
        (
            "entry names another order",
            Ledger,
            Before(|r| r.change_entries = |e| e[0].envelope.refs[0].1 = Digest::ZERO.to_string()),
        ),
        (
            "entry names another roster",
            Ledger,
            Before(|r| r.change_entries = |e| e[0].envelope.refs[1].1 = Digest::ZERO.to_string()),
        ),
        (
            "entry in another incident",
            Ledger,
            Before(|r| {
                r.change_entries =
                    |e| e[0].envelope.incident = Chain::Incident("INC-2026-0008".parse().unwrap())
            }),
        ),
        ("approval logged in place of the order", Ledger, After(|b| b.proven.swap(0, 1))),
        (
            "proof for another place",
            Ledger,
            After(|b| b.proven[0].1 = tampered(&b.proven[0].1, "index 4", "index 5")),
        ),
        ("approval without proof", Ledger, After(|b| b.proven[1].1 = b.tree.proof(0))),
        (
            "approval in another checkpoint",
            Ledger,
            After(|b| {
                b.tree.leaves.push(ledger::Hash([1; 32]));
                b.proven[1].1 = b.tree.proof(5);
            }),
        ),
        (
            "log of a stranger",
            Ledger,
            Before(|r| r.log = || NoteSigner::new("exhibit/acme", &[41; 32]).unwrap()),
        ),
        (
            "another log of the same key",
            Ledger,
            Before(|r| r.log = || NoteSigner::new("exhibit/other", &[40; 32]).unwrap()),
        ),
        (
            "checkpoint altered",
            Ledger,
            After(|b| b.proven[0].1 = tampered(&b.proven[0].1, "\nexhibit/acme\n7\n", "\nexhibit/acme\n8\n")),
        ),
        (
            "fork: the log seen before was another",
            Ledger,
            After(|b| {
                let seen = Checkpoint::new("exhibit/acme", SEEN, ledger::Hash([9; 32])).unwrap();
                b.seen = Some(seen);
            }),
        ),
        (
            "fork at the same size",
            Ledger,
            After(|b| {
                b.seen = Some(Checkpoint::new("exhibit/acme", 7, ledger::Hash([9; 32])).unwrap());
                b.consistency.clear();
            }),
        ),
        (
            "rolled back: the log seen before was longer",
            Ledger,
            After(|b| {
                b.seen = Some(Checkpoint::new("exhibit/acme", 8, ledger::Hash([9; 32])).unwrap());
            }),
        ),
        ("consistency not proven", Ledger, After(|b| b.consistency.clear())),
    ]
}

#[test]
fn each_change_is_refused_for_its_own_reason() {
    let mut reasons = BTreeSet::new();
    for (name, expected, change) in cases() {
        let mut recipe = Recipe::good();
        if let Before(change) = &change {
            change(&mut recipe);
        }
        let mut built = recipe.build();
        if let After(change) = &change {
            change(&mut built);
        }
        match built.judge() {
            Ok(_) => panic!("{name}: admitted"),
            Err(refusal) => assert_eq!(refusal.reason, expected, "{name}: {refusal}"),
        }
        reasons.insert(expected);
    }
    // The last three are the warden's, which knows policy, attempts and other collections.
    assert_eq!(reasons.into_iter().collect::<Vec<_>>(), Reason::ALL[..9]);
}

#[test]
fn reasons_have_their_frozen_names() {
    let names: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    let spec = include_str!("../../../docs/spec/order.md");
    for name in &names {
        assert!(spec.contains(&format!("`{name}`")), "{name}");
        assert_eq!(name.parse::<Reason>().unwrap().as_str(), *name);
    }
}
