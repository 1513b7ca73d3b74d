//! Evidence that was disposed of, and evidence that was withheld and called disposed of. Both verifiers judge every case.

use evidence::bundle::allowed_signers;
use evidence::disposal::Object;
use evidence::roster::{Role, Roster};
use evidence::signed::Signed;
use exhibit_verify::{Report, Verdict};
use ledger::KeyType;

use crate::forged::with;
use crate::verdicts::*;
use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::id::Chain;
use testkit::bundles::*;
use testkit::people;

mod approvals;
mod kept;
mod withheld;

/// A second key of bob's, and fay, a responder and nothing else.
const BOB_AGAIN: u8 = 16;
const FAY: u8 = 17;
const BACKUP_1: (&str, u8) = ("backup-1", BACKUP);

/// The stored collection as the builder makes it, and the interrupted one.
fn stored(ending: &Ending<'_>) -> Object {
    let stored = ending.drafts.iter().find(|draft| draft.type_ == EntryType::CollectionStored).unwrap();
    let id = evidence::entry::pairs::find(&stored.refs, "collection").unwrap();
    Object::Collection(id.parse().unwrap())
}

/// Roles are alice's alone: bob keeps what `change` leaves him.
fn people(roster: &mut Roster) {
    roster.persons.insert(3, person("fay", FAY, &[Role::Responder]));
    roster.persons.sort_by(|one, other| one.id.cmp(&other.id));
}

/// A third roster, in which nobody is an approver.
fn third() -> Signed {
    let files = Recipe::default().build().files;
    let second: Roster = evidence::json::parse_document(&files["deployment/roster-2.json"]).unwrap();
    let digest = Digest::of(&files["deployment/roster-2.json"]);
    let mut third = people::next_roster(&second, digest, at("11:20:00"), second.not_after);
    third.rules.two_persons.clear();
    for person in &mut third.persons {
        person.roles.retain(|role| *role != Role::Approver);
        if person.id.as_str() == "bob" {
            person.roles = vec![Role::Responder];
        }
    }
    sign(&third, &[AUTHORITY])
}

fn publish(ending: &mut Ending<'_>) {
    let roster = third();
    let digest = roster.digest().to_string();
    let refs = [("roster", digest.as_str()), ("version", "3")];
    ending.act(EntryType::RosterPublished, Chain::Deployment, &refs, |_| roster.clone().into());
}

fn with_third(files: &mut Files) {
    let roster = third();
    files.extend(roster.split("deployment/roster-3"));
    let newest: Roster = roster.read().unwrap();
    let signers = allowed_signers(&newest, enrolled(files));
    files.insert("deployment/allowed_signers".into(), signers);
}

/// A bundle whose chain ends as `end` says, without the evidence of its collections.
fn disposed<'a>(end: impl Fn(&mut Ending<'_>) + Send + Sync + 'a) -> Recipe<'a> {
    with! {
        drafts: move |drafts: &mut Vec<Draft>| end(&mut Ending::of(drafts)),
        files: |files: &mut Files| without_evidence(files, &collections(files)),
    }
}

/// The same, and a last hand on its files.
fn and(recipe: Recipe<'_>, change: impl Fn(&mut Files) + Send + Sync + 'static) -> Recipe<'_> {
    let files = recipe.files;
    Recipe {
        files: Box::new(move |all: &mut Files| {
            files(all);
            change(all);
        }),
        ..recipe
    }
}

fn all_gone() -> Recipe<'static> {
    disposed(|ending| {
        let plan = ending.approved();
        ending.destroyed(&plan);
    })
}

fn says(report: &Report, name: &str) -> String {
    let failed = checks(report, Verdict::Failed);
    failed.iter().filter(|check| check.check == name).map(|check| check.says.clone()).collect()
}

/// Both verifiers take it and call it disposed of.
fn taken(why: &str, recipe: &Recipe<'_>, pins: &Files) -> Report {
    let files = recipe.build().files;
    let report = judged_under(&files, &trust_of(pins));
    let (code, said) = script(&files, pins);
    assert_eq!((report.exit_code(), code), (0, 0), "{why}: {}\n{said}", report.text());
    for text in [report.text(), said] {
        let last = text.trim_end().lines().last().unwrap();
        assert!(last.starts_with("VERIFIED, DISPOSED"), "{why}: {last}");
    }
    report
}

#[test]
fn evidence_that_two_persons_disposed_of_is_verified_and_said_to_be_gone() {
    let pins = trust_files();
    let report = taken("all gone", &all_gone(), &pins);
    assert_eq!(report.disposed.len(), 2);
    assert!(report.text().contains("1 plans, each approved by two persons"), "{}", report.text());
    let one_store = disposed(|ending| {
        let plan = ending.approved();
        for object in plan.objects() {
            ending.executed(&plan, &object, "store-a");
        }
    });
    let report = taken("the other store goes on when it can", &one_store, &pins);
    assert!(report.text().contains("disposed of in 1 of 2 copies"), "{}", report.text());
    // A hold that came too late stops nothing, and makes nothing wrong.
    let held_after = disposed(|ending| {
        let plan = ending.approved();
        ending.destroyed(&plan);
        ending.person(EntryType::HoldPlaced, "alice", ALICE, &[]);
    });
    taken("a hold behind it", &held_after, &pins);
    let held_before = disposed(|ending| {
        let hold = ending.person(EntryType::HoldPlaced, "alice", ALICE, &[]).to_string();
        ending.person(EntryType::HoldReleased, "bob", BOB, &[("hold", &hold)]);
        let plan = ending.approved();
        ending.destroyed(&plan);
    });
    taken("a hold that was released before", &held_before, &pins);
}

#[test]
fn a_roster_of_later_takes_no_approval_back() {
    let recipe = disposed(|ending| {
        let plan = ending.plan();
        ending.approve(&plan, "bob", BOB);
        publish(ending);
        ending.approve(&plan, "alice", ALICE);
        ending.destroyed(&plan);
    });
    taken("bob was an approver when he signed", &and(recipe, with_third), &trust_files());
}

#[test]
fn a_mirror_that_confirms_is_believed_and_one_that_did_not_hold_it_is_not_asked() {
    let pins = |cosigned: bool| {
        let mut pins = trust_files();
        let mirror = signer(73, "backup-1/mirror").verifier_key(KeyType::CosignatureV1);
        let policy = format!("log {}\nwitness m1 {mirror}\nquorum m1\n", log_key(LOG, "exhibit/acme"));
        if cosigned {
            pins.insert("policy".into(), policy.into_bytes());
        }
        pins
    };
    let confirmed = |stated: bool| Recipe {
        cosigners: vec![(73, "backup-1/mirror")],
        ..with! {
            drafts: move |drafts: &mut Vec<Draft>| {
                if stated {
                    mirrored(drafts, &Told::default());
                }
                let mut ending = Ending::of(drafts);
                let plan = ending.approved();
                ending.destroyed(&plan);
                if stated {
                    for object in plan.objects() {
                        ending.confirmed(&plan, &object, BACKUP_1);
                    }
                }
            },
            files: |files: &mut Files| without_evidence(files, &collections(files)),
        }
    };
    for cosigned in [false, true] {
        taken("confirmed", &confirmed(true), &pins(cosigned));
    }
    // What is destroyed is not asked to lie with a mirror.
    let report = taken("never copied", &confirmed(false), &pins(true));
    assert!(report.text().contains("mirrors hold all 0 stored collections"), "{}", report.text());
}

type Forgery = (&'static str, &'static str, &'static str, Recipe<'static>);

/// Each is refused by both verifiers; `exhibit-verify` by this check, in these words.
fn refused(forgeries: Vec<Forgery>) {
    let mut missed = Vec::new();
    for (why, check, words, recipe) in forgeries {
        let files = recipe.build().files;
        let Judged { report, code, said } = judged(&files, &trust_files());
        if report.exit_code() != 1 || !says(&report, check).contains(words) || fails(&report, "sums") {
            missed.push(format!("{why}, not by {check} ({words}): {}", report.text()));
        }
        if code != 1 {
            missed.push(format!("{why}, under verify.py: {code}\n{said}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n\n"));
}

/// Approvals as told, then destruction everywhere.
fn approvals(tell: fn(&mut Ending<'_>, &evidence::disposal::Plan)) -> Recipe<'static> {
    disposed(move |ending| {
        let plan = ending.plan();
        tell(ending, &plan);
        ending.destroyed(&plan);
    })
}

/// The same, and a last hand on its entries, whose plan is then made anew.
fn and_drafts(_: Recipe<'static>, change: fn(&mut Vec<Draft>)) -> Recipe<'static> {
    disposed(move |ending| {
        change(ending.drafts);
        let plan = ending.approved();
        ending.destroyed(&plan);
    })
}
