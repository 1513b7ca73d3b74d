//! Evidence that was disposed of, and evidence that was withheld and called so. Every case is put to both verifiers.

use evidence::bundle::allowed_signers;
use evidence::disposal::Object;
use evidence::roster::{Role, Roster};
use evidence::signed::Signed;
use exhibit_verify::{Report, Verdict};
use ledger::KeyType;

use crate::bundle_builder::*;
use crate::forged::with;
use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::id::Chain;

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
    let mut third = Roster {
        version: 3,
        previous: Some(Digest::of(&files["deployment/roster-2.json"])),
        issued: at("11:20:00"),
        ..second
    };
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
        let report = verify(&files);
        if report.exit_code() != 1 || !says(&report, check).contains(words) || fails(&report, "sums") {
            missed.push(format!("{why}, not by {check} ({words}): {}", report.text()));
        }
        let (code, said) = script(&files, &trust_files());
        if code != 1 {
            missed.push(format!("{why}, under verify.sh: {code}\n{said}"));
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

#[test]
fn approvals_that_are_none() {
    let in_roster = |change: fn(&mut Roster), recipe: Recipe<'static>| Recipe {
        roster: Box::new(move |paper| change(&mut paper.document)),
        ..recipe
    };
    refused(vec![
        (
            "one person with two keys",
            "disposition",
            "bob has approved this plan; the second approval is another person's",
            in_roster(
                |roster| roster.persons[1].keys.push(key(BOB_AGAIN).public()),
                approvals(|ending, plan| {
                    ending.approve(plan, "bob", BOB);
                    ending.approve(plan, "bob", BOB_AGAIN);
                }),
            ),
        ),
        (
            "one person with one key, twice",
            "disposition",
            "alice has approved this plan",
            approvals(|ending, plan| {
                ending.approve(plan, "alice", ALICE);
                ending.approve(plan, "alice", ALICE);
            }),
        ),
        (
            "another person's name over one's own key",
            "custody.acts",
            "signed by bob, but in the name of alice",
            approvals(|ending, plan| {
                ending.approve(plan, "bob", BOB);
                ending.approve(plan, "alice", BOB);
            }),
        ),
        (
            "two responders",
            "disposition",
            "neither of the two persons has the role approver",
            in_roster(
                |roster| {
                    people(roster);
                    roster.persons[0].roles = vec![Role::Responder];
                },
                approvals(|ending, plan| {
                    ending.approve(plan, "alice", ALICE);
                    ending.approve(plan, "fay", FAY);
                }),
            ),
        ),
        (
            "an analyst",
            "custody.acts",
            "which no person with role approver or responder held then",
            approvals(|ending, plan| {
                ending.approve(plan, "bob", BOB);
                ending.approve(plan, "dan", DAN);
            }),
        ),
        (
            "a stranger",
            "custody.acts",
            "which no person with role",
            approvals(|ending, plan| {
                ending.approve(plan, "bob", BOB);
                ending.approve(plan, "alice", MALLORY);
            }),
        ),
        (
            "one alone",
            "disposition",
            "the plan is not approved by two persons",
            approvals(|ending, plan| {
                ending.approve(plan, "bob", BOB);
            }),
        ),
        ("nobody", "disposition", "the plan is not approved by two persons", approvals(|_, _| ())),
        (
            "a third",
            "disposition",
            "approved by two persons already",
            in_roster(
                people,
                approvals(|ending, plan| {
                    ending.approve(plan, "bob", BOB);
                    ending.approve(plan, "alice", ALICE);
                    ending.approve(plan, "fay", FAY);
                }),
            ),
        ),
        (
            "the second when it is gone already",
            "disposition",
            "the plan is not approved by two persons",
            disposed(|ending| {
                let plan = ending.plan();
                ending.approve(&plan, "bob", BOB);
                ending.destroyed(&plan);
                ending.approve(&plan, "alice", ALICE);
            }),
        ),
        (
            "by the roster of before",
            "disposition",
            "neither of the two persons has the role approver",
            and(
                disposed(|ending| {
                    publish(ending);
                    let plan = ending.approved();
                    ending.destroyed(&plan);
                }),
                with_third,
            ),
        ),
    ]);
}

#[test]
fn plans_that_are_not_what_the_chain_holds() {
    let told = |change: fn(&mut evidence::disposal::Plan)| {
        disposed(move |ending| {
            let mut plan = ending.plan();
            change(&mut plan);
            ending.approve(&plan, "bob", BOB);
            ending.approve(&plan, "alice", ALICE);
            ending.destroyed(&plan);
        })
    };
    let stale = "the plan is not what the incident's chain holds";
    refused(vec![
        (
            "a collection more",
            "disposition",
            stale,
            told(|plan| assert!(plan.collections.insert(Digest([9; 32])))),
        ),
        (
            "a collection less",
            "disposition",
            stale,
            told(|plan| assert!(plan.collections.pop_first().is_some())),
        ),
        ("a text less", "disposition", stale, told(|plan| assert!(plan.details.pop_first().is_some()))),
        ("an older state", "disposition", stale, told(|plan| plan.count -= 3)),
        ("entries that are not there yet", "disposition", stale, told(|plan| plan.count += 1)),
        (
            "a plan of another incident",
            "disposition",
            stale,
            told(|plan| plan.incident = "INC-2026-0008".parse().unwrap()),
        ),
        (
            "a note between the two",
            "disposition",
            stale,
            approvals(|ending, plan| {
                ending.approve(plan, "bob", BOB);
                ending.person(EntryType::IncidentNoted, "dan", DAN, &[]);
                ending.approve(plan, "alice", ALICE);
            }),
        ),
        (
            "an object that the plan does not name",
            "disposition",
            "the approved plan does not name",
            disposed(|ending| {
                let plan = ending.approved();
                ending.destroyed(&plan);
                ending.executed(&plan, &Object::Details("INC-2026-0008".parse().unwrap()), "store-a");
            }),
        ),
    ]);
}

#[test]
fn what_was_kept_when_it_went() {
    refused(vec![
        (
            "a hold before the approvals",
            "disposition",
            "under legal hold; 1 stand",
            disposed(|ending| {
                ending.person(EntryType::HoldPlaced, "alice", ALICE, &[]);
                let plan = ending.approved();
                ending.destroyed(&plan);
            }),
        ),
        (
            "a hold between approvals and destruction",
            "disposition",
            "disposition.executed at",
            disposed(|ending| {
                let plan = ending.approved();
                ending.person(EntryType::HoldPlaced, "alice", ALICE, &[]);
                ending.destroyed(&plan);
            }),
        ),
        (
            "one of two holds released",
            "disposition",
            "under legal hold; 1 stand",
            disposed(|ending| {
                let hold = ending.person(EntryType::HoldPlaced, "alice", ALICE, &[]).to_string();
                ending.person(EntryType::HoldPlaced, "bob", BOB, &[]);
                ending.person(EntryType::HoldReleased, "bob", BOB, &[("hold", &hold)]);
                let plan = ending.approved();
                ending.destroyed(&plan);
            }),
        ),
        (
            "a hold released by a responder",
            "custody.acts",
            "hold.released at",
            disposed(|ending| {
                let hold = ending.person(EntryType::HoldPlaced, "alice", ALICE, &[]).to_string();
                ending.person(EntryType::HoldReleased, "dan", DAN, &[("hold", &hold)]);
                let plan = ending.approved();
                ending.destroyed(&plan);
            }),
        ),
        (
            "before retention's end",
            "disposition",
            "it is kept until 2026-11-21T23:00:00",
            disposed(|ending| {
                ending.keep_until("23:00:00");
                let plan = ending.approved();
                ending.destroyed(&plan);
            }),
        ),
        (
            "retention made longer between approvals and destruction",
            "disposition",
            "it is kept until 2026-11-21T23:00:00",
            disposed(|ending| {
                let plan = ending.approved();
                ending.keep_until("23:00:00");
                ending.destroyed(&plan);
            }),
        ),
        (
            "the incident reopened",
            "disposition",
            "the incident is open",
            disposed(|ending| {
                let plan = ending.approved();
                ending.person(EntryType::IncidentReopened, "alice", ALICE, &[]);
                ending.destroyed(&plan);
            }),
        ),
        (
            "no retention at all",
            "disposition",
            "no retention is set",
            and_drafts(all_gone(), |drafts| {
                drafts.retain(|draft| draft.type_ != EntryType::RetentionChanged);
            }),
        ),
    ]);
}

/// The same, and a last hand on its entries, whose plan is then made anew.
fn and_drafts(_: Recipe<'static>, change: fn(&mut Vec<Draft>)) -> Recipe<'static> {
    disposed(move |ending| {
        change(ending.drafts);
        let plan = ending.approved();
        ending.destroyed(&plan);
    })
}

#[test]
fn evidence_withheld_and_called_destroyed() {
    let approved_alone = || {
        disposed(|ending| {
            ending.approved();
        })
    };
    refused(vec![
        (
            "approved, and nobody says that it is gone",
            "coverage",
            "is in the ledger but not in the bundle",
            approved_alone(),
        ),
        (
            "one of two copies gone, the other under a hold",
            "coverage",
            "is disposed of in 1 of 2 copies and the rest is kept",
            disposed(|ending| {
                let plan = ending.approved();
                for object in plan.objects() {
                    ending.executed(&plan, &object, "store-a");
                }
                ending.person(EntryType::HoldPlaced, "alice", ALICE, &[]);
            }),
        ),
        (
            "one store twice",
            "disposition",
            "was recorded as gone from store:store-a before",
            disposed(|ending| {
                let plan = ending.approved();
                let object = stored(ending);
                ending.executed(&plan, &object, "store-a");
                ending.executed(&plan, &object, "store-a");
            }),
        ),
        (
            "a mirror's word in place of a store's",
            "coverage",
            "is in the ledger but not in the bundle",
            with! {
                drafts: |drafts: &mut Vec<Draft>| {
                    mirrored(drafts, &Told::default());
                    let mut ending = Ending::of(drafts);
                    let plan = ending.approved();
                    for object in plan.objects() {
                        ending.confirmed(&plan, &object, BACKUP_1);
                    }
                },
                files: |files: &mut Files| without_evidence(files, &collections(files)),
            },
        ),
        (
            "a store's word signed by a mirror",
            "custody.acts",
            "disposition.confirmed at",
            with! {
                drafts: |drafts: &mut Vec<Draft>| {
                    mirrored(drafts, &Told::default());
                    let mut ending = Ending::of(drafts);
                    let plan = ending.approved();
                    ending.destroyed(&plan);
                    let object = stored(&ending);
                    ending.confirmed(&plan, &object, ("backup-1", MALLORY));
                },
                files: |files: &mut Files| without_evidence(files, &collections(files)),
            },
        ),
        (
            "a mirror that was never admitted",
            "custody.acts",
            "no mirror backup-2 had been admitted",
            disposed(|ending| {
                let plan = ending.approved();
                ending.destroyed(&plan);
                let object = stored(ending);
                ending.confirmed(&plan, &object, ("backup-2", BACKUP));
            }),
        ),
        (
            "the collector in the name of a person",
            "custody.acts",
            "recorded without a signature in the name of person:alice",
            disposed(|ending| {
                let plan = ending.approved();
                ending.destroyed(&plan);
                let draft = ending.drafts.last_mut().unwrap();
                draft.act = own(&draft.act_by("person:alice"));
            }),
        ),
        (
            "one collection gone, the other left out as well",
            "coverage",
            "is in the ledger but not in the bundle",
            disposed(|ending| {
                let plan = ending.approved();
                let gone = plan.objects().into_iter().find(|object| *object != stored(ending)).unwrap();
                for store in STORES {
                    ending.executed(&plan, &gone, store);
                }
            }),
        ),
        (
            "seals left behind",
            "container",
            "is missing",
            and(all_gone(), |files| {
                let seals = Recipe::default().build().files;
                let seals = seals.into_iter().filter(|(name, _)| name.contains("/seals/"));
                files.extend(seals);
            }),
        ),
        (
            "the manifest left out",
            "custody.acts",
            "",
            and(all_gone(), |files| files.retain(|name, _| !name.contains("/manifest.json"))),
        ),
        (
            "the delegation left out",
            "manifest",
            "of disposed evidence delegation and manifest stay",
            and(all_gone(), |files| files.retain(|name, _| !name.starts_with("evidence/"))),
        ),
    ]);
}

#[test]
fn certificates_that_say_something_else() {
    let told = |change: fn(&mut String)| {
        and(all_gone(), move |files| {
            let mut text = String::from_utf8(files.remove("destruction.json").unwrap()).unwrap();
            change(&mut text);
            files.insert("destruction.json".into(), text.into_bytes());
        })
    };
    let otherwise = "destruction.json says something else than the chain";
    let last_gone = |text: &mut String| {
        let (begin, end) = (text.rfind(",{\"object\"").unwrap(), text.rfind("],\"waiting\"").unwrap());
        text.replace_range(begin..end, "");
    };
    refused(vec![
        ("an entry is missing", "disposition", otherwise, told(last_gone)),
        (
            "another person",
            "disposition",
            otherwise,
            told(|text| *text = text.replacen("\"person\":\"bob\"", "\"person\":\"cat\"", 1)),
        ),
        (
            "another count",
            "disposition",
            otherwise,
            told(|text| *text = text.replacen("\"count\":3", "\"count\":4", 1)),
        ),
        ("the same in another spelling", "disposition", otherwise, told(|text| text.insert(1, ' '))),
        (
            "none",
            "disposition",
            "destruction.json is missing, though something is gone",
            and(all_gone(), |files| drop(files.remove("destruction.json"))),
        ),
        (
            "one, and nothing is gone",
            "disposition",
            "though the chain says of nothing that it is gone",
            with! { files: |files: &mut Files| drop(files.insert("destruction.json".into(), b"{}\n".to_vec())) },
        ),
        (
            "one, and only approvals are here",
            "disposition",
            "though the chain says of nothing that it is gone",
            with! {
                drafts: |drafts: &mut Vec<Draft>| { Ending::of(drafts).approved(); },
                files: |files: &mut Files| drop(files.insert("destruction.json".into(), all_gone().build().files["destruction.json"].clone())),
            },
        ),
    ]);
}
