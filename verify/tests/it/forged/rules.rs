//! One forgery for each rule that only the rule book (`custody`) asks, named by the rule. What follows the forged entry is genuine, so
//! `exhibit-verify` fails by this rule, and its report says the number.

use testkit::bundles::*;

use evidence::digest::Digest;
use evidence::enrolment::{Renewal, RenewalType};
use evidence::entry::EntryType;
use evidence::id::{Chain, Generation};
use evidence::order::{Approval, Decision};
use evidence::text::FixedBytes;
use exhibit_verify::Verdict;

use super::draft;
use crate::verdicts::*;

/// Rows of what is changed, in the small bundle. Each fails this check by this rule, in the text and for programs.
fn broken(rule: &str, check: &str, forgeries: Vec<(&str, Recipe<'_>)>) {
    let mut missed = Vec::new();
    for (why, recipe) in forgeries {
        let files = recipe.of_one_endpoint().build().files;
        let Judged { report, code, said } = judged(&files, &trust_files());
        let begin = format!("{rule}: ");
        let is_named = |one: &&exhibit_verify::Check| {
            one.check == check && one.rule == Some(rule) && one.says.starts_with(&begin)
        };
        if report.exit_code() != 1 || !checks(&report, Verdict::Failed).iter().any(is_named) {
            missed.push(format!("{why}, not by {rule}: {}", report.text()));
        }
        let line = format!("{:<12} {check:<18} ", "FAILED");
        if code != 1 || !said.lines().any(|one| one.starts_with(&line) && one.contains(rule)) {
            missed.push(format!("{why}, not by {rule} under verify.py: {code}\n{said}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// A change of the entries.
fn entries<'a>(change: impl Fn(&mut Vec<Draft>) + Send + Sync + 'a) -> Recipe<'a> {
    Recipe { drafts: Box::new(change), ..Recipe::default() }
}

fn place(drafts: &[Draft], type_: EntryType) -> usize {
    drafts.iter().position(|draft| draft.type_ == type_).unwrap()
}

/// An act of a person about the incident.
fn person<const N: usize>(
    type_: EntryType,
    time: &str,
    refs: [(&str, String); N],
    (by, number): (&str, u8),
) -> Draft {
    Draft::new(type_, incident(), time, refs, |draft| draft.signed(by, number))
}

const ALICE_SAYS: (&str, u8) = ("person:alice", ALICE);
const BOB_SAYS: (&str, u8) = ("person:bob", BOB);
const CAT_SAYS: (&str, u8) = ("person:cat", CAT);

/// An act of the endpoint admin about the deployment.
fn admin<const N: usize>(type_: EntryType, time: &str, refs: [(&str, String); N]) -> Draft {
    let (by, number) = CAT_SAYS;
    Draft::new(type_, Chain::Deployment, time, refs, |draft| draft.signed(by, number))
}

fn order_of(drafts: &[Draft]) -> Digest {
    drafts[place(drafts, EntryType::OrderIssued)].act.event()
}

fn cancelled(drafts: &[Draft], time: &str) -> Draft {
    person(EntryType::OrderCancelled, time, [("order", order_of(drafts).to_string())], ALICE_SAYS)
}

/// A rejection of the bundle's order.
fn rejected(drafts: &[Draft], time: &str, (by, number): (&str, u8)) -> Draft {
    let order = order_of(drafts);
    let approver = by.strip_prefix("person:").unwrap().parse().unwrap();
    let document =
        Approval { decision: Decision::Reject, approver, ..testkit::orders::approval(order, at(time)) };
    Draft::new(EntryType::OrderRejected, incident(), time, [("order", order.to_string())], |_| {
        sign(&document, &[number]).into()
    })
}

fn set_ref(draft: &mut Draft, name: &str, value: String) {
    draft.refs.iter_mut().find(|(one, _)| one == name).unwrap().1 = value;
}

#[test]
fn entry_12_no_entry_is_dated_before_the_one_before_it_in_the_log() {
    let early = entries(|drafts| {
        let opened = draft(drafts, EntryType::IncidentOpened);
        opened.time = at("08:59:59");
    });
    broken("entry-12", "custody.chain", vec![("an incident opened before the roster before it", early)]);
}

#[test]
fn log_2_a_bundle_has_the_first_entry_of_the_log() {
    let without = Recipe {
        files: Box::new(|files| {
            super::remove_entry(files, "custody/deployment/0");
        }),
        ..Recipe::default()
    };
    broken("log-2", "custody.acts", vec![("no genesis", without)]);
}

#[test]
fn log_5_genesis_names_the_pinned_authority() {
    let other = entries(|drafts| {
        let genesis = draft(drafts, EntryType::LogGenesis);
        set_ref(genesis, "authority", Digest([1; 32]).to_string());
        genesis.act = own(&genesis.act_by("collector:c1"));
    });
    broken("log-5", "custody.acts", vec![("a genesis of another authority", other)]);
}

#[test]
fn endpoint_4_a_token_names_authority_ca_and_log_of_the_deployment() {
    let token = |change: fn(&mut evidence::enrolment::Token)| Recipe {
        token: Box::new(move |paper| change(&mut paper.document)),
        ..Recipe::default()
    };
    broken(
        "endpoint-4",
        "endpoint",
        vec![
            ("a token of another authority", token(|token| token.authority = Digest([1; 32]))),
            ("a token of another CA", token(|token| token.ca_sha256 = Digest([1; 32]))),
            (
                "a token of another log",
                token(|token| token.log_key = log_key(41, "exhibit/acme").parse().unwrap()),
            ),
        ],
    );
}

/// A renewal by web-03's evidence key.
fn renewed(time: &str) -> Draft {
    let renewal = Renewal {
        type_: RenewalType,
        deployment: "acme".parse().unwrap(),
        endpoint: "web-03".parse().unwrap(),
        generation: Generation::FIRST,
        tls_spki_sha256: Digest([90; 32]),
        nonce: FixedBytes([4; 16]),
        csr_sha256: Digest([3; 32]),
        at: at(time),
    };
    let refs = [("endpoint", "web-03".to_owned()), ("generation", "1".to_owned())];
    let signed = sign(&renewal, &[EVIDENCE]);
    Draft::new(EntryType::AgentRenewed, Chain::Deployment, time, refs, |_| signed.into())
}

#[test]
fn endpoint_20_only_an_endpoint_that_is_enrolled_and_not_retired_renews() {
    let before = entries(|drafts| {
        let enrolled = place(drafts, EntryType::AgentEnrolled);
        drafts.insert(enrolled, renewed("08:15:00"));
    });
    let retired = entries(|drafts| {
        let refs = [("endpoint", "web-03".to_owned()), ("generation", "1".to_owned())];
        drafts.push(admin(EntryType::EndpointRetired, "11:50:00", refs));
        drafts.push(renewed("11:51:00"));
    });
    broken(
        "endpoint-20",
        "endpoint",
        vec![("a renewal before the enrolment", before), ("a renewal after the retirement", retired)],
    );
}

#[test]
fn incident_1_the_first_entry_opens_the_incident_of_its_chain() {
    let other = entries(|drafts| {
        let opened = draft(drafts, EntryType::IncidentOpened);
        set_ref(opened, "incident", "INC-2026-0008".to_owned());
        opened.act = opened.signed("person:alice", ALICE);
    });
    broken("incident-1", "custody.acts", vec![("an incident opened under another name", other)]);
}

#[test]
fn incident_2_a_chain_begins_when_its_incident_is_opened_and_only_once() {
    let noted = entries(|drafts| {
        let opened = place(drafts, EntryType::IncidentOpened);
        drafts.insert(
            opened,
            Draft::new(EntryType::IncidentNoted, incident(), "09:05:00", [], |draft| {
                draft.signed("person:dan", DAN)
            }),
        );
    });
    let twice = entries(|drafts| {
        let issued = place(drafts, EntryType::OrderIssued);
        let refs = [("incident", INCIDENT.to_owned())];
        drafts.insert(issued, person(EntryType::IncidentOpened, "09:25:00", refs, ALICE_SAYS));
    });
    broken(
        "incident-2",
        "custody.chain",
        vec![("a note before the incident is opened", noted), ("an incident opened twice", twice)],
    );
}

#[test]
fn incident_4_only_an_open_incident_is_closed_and_only_a_closed_one_reopened() {
    let close = |time| person(EntryType::IncidentClosed, time, [], ALICE_SAYS);
    let closed = entries(move |drafts| drafts.extend([close("11:40:00"), close("11:41:00")]));
    let reopened = entries(|drafts| {
        drafts.push(person(EntryType::IncidentReopened, "11:40:00", [], ALICE_SAYS));
    });
    broken(
        "incident-4",
        "custody.acts",
        vec![("an incident closed twice", closed), ("an open incident reopened", reopened)],
    );
}

#[test]
fn incident_5_no_order_is_issued_while_the_incident_is_closed() {
    let closed = entries(|drafts| {
        let issued = place(drafts, EntryType::OrderIssued);
        drafts.insert(issued, person(EntryType::IncidentClosed, "09:25:00", [], ALICE_SAYS));
    });
    broken("incident-5", "order", vec![("an order of a closed incident", closed)]);
}

#[test]
fn order_11_an_order_is_dated_at_most_600_seconds_after_its_entry() {
    let ahead = |seconds: u64, ms: u64| Recipe {
        order: Box::new(move |paper| {
            let recorded = at("09:30:01").unix_ms();
            let issued = evidence::time::Time::from_unix_ms(recorded + 1000 * seconds + ms);
            paper.document.issued = issued.unwrap();
        }),
        ..Recipe::default()
    };
    let report = verify(&ahead(600, 0).of_one_endpoint().build().files);
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    broken("order-11", "order", vec![("an order from the future", ahead(600, 1))]);
}

#[test]
fn order_16_a_decision_is_about_an_order_of_the_incident() {
    let early = entries(|drafts| {
        let issued = place(drafts, EntryType::OrderIssued);
        let decision = rejected(drafts, "09:25:00", BOB_SAYS);
        drafts.insert(issued, decision);
    });
    broken("order-16", "custody.acts", vec![("a rejection before its order", early)]);
}

#[test]
fn order_19_nobody_rejects_the_own_order() {
    let own = entries(|drafts| {
        let issued = place(drafts, EntryType::OrderIssued);
        let decision = rejected(drafts, "09:33:00", ALICE_SAYS);
        drafts.insert(issued + 1, decision);
    });
    broken("order-19", "custody.acts", vec![("a rejection by the issuer", own)]);
}

#[test]
fn order_20_an_order_is_decided_once() {
    let late = entries(|drafts| {
        let approved = place(drafts, EntryType::OrderApproved);
        let decision = rejected(drafts, "09:50:00", BOB_SAYS);
        drafts.insert(approved + 1, decision);
    });
    broken("order-20", "custody.acts", vec![("a rejection after the approval", late)]);
}

#[test]
fn order_23_a_cancellation_names_an_order_of_the_incident() {
    let unknown = entries(|drafts| {
        let refs = [("order", Digest([9; 32]).to_string())];
        drafts.push(person(EntryType::OrderCancelled, "11:40:00", refs, ALICE_SAYS));
    });
    let elsewhere = entries(|drafts| {
        let cancelled = cancelled(drafts, "09:25:00");
        let issued = place(drafts, EntryType::OrderIssued);
        drafts.insert(issued, cancelled);
    });
    broken(
        "order-23",
        "custody.acts",
        vec![("a cancellation of no order", unknown), ("a cancellation before its order", elsewhere)],
    );
}

#[test]
fn order_24_an_order_is_cancelled_once() {
    let twice = entries(|drafts| {
        let both = [cancelled(drafts, "11:40:00"), cancelled(drafts, "11:41:00")];
        drafts.extend(both);
    });
    broken("order-24", "custody.acts", vec![("an order cancelled twice", twice)]);
}

#[test]
fn collection_3_an_endpoint_enrolled_before_it_collects() {
    let late = entries(|drafts| {
        let enrolled = place(drafts, EntryType::AgentEnrolled);
        let mut late = drafts.remove(enrolled);
        late.time = at("11:40:00");
        drafts.push(late);
    });
    broken("collection-3", "delegation", vec![("an endpoint enrolled after its own collection", late)]);
}

#[test]
fn collection_9_nothing_is_collected_under_an_order_that_ended() {
    let ended = entries(|drafts| {
        let cancelled = cancelled(drafts, "09:50:00");
        let approved = place(drafts, EntryType::OrderApproved);
        drafts.insert(approved + 1, cancelled);
    });
    broken("collection-9", "delegation", vec![("an order cancelled before the collection", ended)]);
}

#[test]
fn collection_13_attempts_of_an_endpoint_rise() {
    let reversed = entries(|drafts| {
        let first = place(drafts, EntryType::CollectionStarted);
        let stored = place(drafts, EntryType::CollectionStored);
        let mut second: Vec<Draft> = drafts.drain(stored - 1..=stored).collect();
        for draft in &mut second {
            draft.time = at("10:00:00");
        }
        drafts.splice(first..first, second);
    });
    broken("collection-13", "delegation", vec![("the second attempt before the first", reversed)]);
}

#[test]
fn collection_14_a_delegation_is_dated_before_its_order_expires() {
    let expires = |time: &'static str| Recipe {
        order: Box::new(move |paper| paper.document.expires = at(time)),
        ..Recipe::default()
    };
    let report = verify(&expires("10:00:01").of_one_endpoint().build().files);
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    broken(
        "collection-14",
        "delegation",
        vec![
            ("a collection in the second in which its order expires", expires("10:00:00")),
            ("a collection after its order expired", expires("09:50:00")),
        ],
    );
}

#[test]
fn collection_26_nothing_is_stored_of_a_collection_that_ended() {
    let ended = |type_: EntryType| {
        entries(move |drafts| {
            let stored = place(drafts, EntryType::CollectionStored);
            let collection = ("collection", drafts[stored].refs[0].1.clone());
            let seal = ("seal", Digest::ZERO.to_string());
            let collector = |draft: &Draft| own(&draft.act_by("collector:c1"));
            let draft = if type_ == EntryType::CollectionMalformed {
                Draft::new(type_, incident(), "10:25:00", [collection, seal], collector)
            } else {
                let refs = [collection, ("index", "0".to_owned()), ("sha256", Digest::ZERO.to_string())];
                Draft::new(type_, incident(), "10:25:00", refs, collector)
            };
            drafts.insert(stored, draft);
        })
    };
    broken(
        "collection-26",
        "coverage",
        vec![
            ("stored after it was malformed", ended(EntryType::CollectionMalformed)),
            ("stored after it was contradicted", ended(EntryType::CollectionContradicted)),
        ],
    );
}

#[test]
fn hold_2_a_released_hold_stands_in_the_incident() {
    let release =
        |hold: Digest, time| person(EntryType::HoldReleased, time, [("hold", hold.to_string())], BOB_SAYS);
    let none = entries(move |drafts| drafts.push(release(Digest([9; 32]), "11:40:00")));
    let twice = entries(move |drafts| {
        let placed = person(EntryType::HoldPlaced, "11:40:00", [], BOB_SAYS);
        let hold = placed.act.event();
        drafts.extend([placed, release(hold, "11:41:00"), release(hold, "11:42:00")]);
    });
    let elsewhere = entries(move |drafts| {
        let placed = Draft::new(EntryType::HoldPlaced, other_incident(), "11:40:00", [], |draft| {
            draft.signed("person:bob", BOB)
        });
        let hold = placed.act.event();
        drafts.extend([placed, release(hold, "11:41:00")]);
    });
    broken(
        "hold-2",
        "custody.acts",
        vec![
            ("the release of no hold", none),
            ("a hold released twice", twice),
            ("the release of another incident's hold", elsewhere),
        ],
    );
}

/// The bundle with a mirror, whose entries are changed.
fn with_mirror<'a>(change: impl Fn(&mut Vec<Draft>) + Send + Sync + 'a) -> Recipe<'a> {
    entries(move |drafts| {
        mirrored(drafts, &Told::default());
        change(drafts);
    })
}

#[test]
fn mirror_1_the_keys_of_a_mirror_are_cosigner_keys_of_its_name() {
    let with_key = |key: fn() -> String| {
        with_mirror(move |drafts| {
            let admitted = draft(drafts, EntryType::MirrorAdmitted);
            set_ref(admitted, "witness_key", key());
            admitted.act = admitted.signed("person:cat", CAT);
        })
    };
    let rows = vec![
        ("a witness key that signs logs", with_key(|| log_key(BACKUP_WITNESS, "backup-1/witness"))),
        (
            "a witness key of another name",
            with_key(|| {
                signer(BACKUP_WITNESS, "backup-2/witness")
                    .verifier_key(ledger::KeyType::CosignatureV1)
                    .to_string()
            }),
        ),
    ];
    broken("mirror-1", "custody.acts", rows);
}

#[test]
fn mirror_2_a_mirror_is_admitted_once() {
    let twice = with_mirror(|drafts| {
        let again = {
            let admitted = draft(drafts, EntryType::MirrorAdmitted);
            let mut again = Draft::new(EntryType::MirrorAdmitted, Chain::Deployment, "11:50:00", [], |_| {
                admitted.act.clone()
            });
            again.refs = admitted.refs.clone();
            again.act = again.signed("person:cat", CAT);
            again
        };
        drafts.push(again);
    });
    broken("mirror-2", "custody.acts", vec![("a mirror admitted twice", twice)]);
}

fn mirror_retired(time: &str, mirror: &str) -> Draft {
    admin(EntryType::MirrorRetired, time, [("mirror", mirror.to_owned())])
}

#[test]
fn mirror_4_only_an_admitted_mirror_is_retired() {
    let nobody = with_mirror(|drafts| drafts.push(mirror_retired("11:50:00", "backup-2")));
    broken("mirror-4", "custody.acts", vec![("the retirement of no mirror", nobody)]);
}

#[test]
fn mirror_5_a_mirror_is_retired_once() {
    let twice = with_mirror(|drafts| {
        drafts.push(mirror_retired("11:50:00", "backup-1"));
        drafts.push(mirror_retired("11:51:00", "backup-1"));
    });
    broken("mirror-5", "custody.acts", vec![("a mirror retired twice", twice)]);
}

#[test]
fn mirror_11_a_mirror_states_a_collection_once() {
    let twice = with_mirror(|drafts| {
        let said = place(drafts, EntryType::EvidenceReplicated);
        let mut again = Draft::new(EntryType::EvidenceReplicated, incident(), "11:50:00", [], |_| {
            drafts[said].act.clone()
        });
        again.refs = drafts[said].refs.clone();
        again.act = again.signed("mirror:backup-1", BACKUP);
        drafts.push(again);
    });
    broken("mirror-11", "custody.acts", vec![("a statement made twice", twice)]);
}
