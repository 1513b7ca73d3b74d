//! `collection-*`, `mirror-*`, `disposal-*`: forged collections, statements and disposals.

use evidence::digest::Digest;
use evidence::disposal::Object;
use evidence::entry::{EntryType, pairs};
use evidence::manifest::Manifest;
use evidence::order::Decision;
use evidence::roster::Role;
use evidence::seal::delegation::{Delegation, collection_id};
use testkit::bundles::*;

use crate::documents::{decided, retired};
use crate::world::*;

const BY_ALICE: (&str, u8) = ("person:alice", ALICE);

fn cancelled(drafts: &[Draft], time: &str) -> Draft {
    by(EntryType::OrderCancelled, time, BY_ALICE, &[("order", drafts[ISSUED].act.event().to_string())])
}

/// The delegation of the first attempt, changed.
fn begun(recipe: &mut Recipe<'static>, change: fn(&mut Paper<Delegation>)) {
    recipe.collected = Box::new(move |collected| {
        if collected.attempt == 1 {
            change(&mut collected.delegation);
        }
    });
}

/// An object of a collection, repaired.
fn repaired(collection: Digest) -> Draft {
    let refs = [
        ("collection", collection.to_string()),
        ("object", format!("segments/{collection}/000000")),
        ("store", "store-a".to_owned()),
    ];
    Draft::new(EntryType::EvidenceRepaired, incident(), "11:40:00", refs, |draft| {
        own(&draft.act_by("collector:c1"))
    })
}

/// Gives a collection the number of another attempt.
fn attempt(recipe: &mut Recipe<'static>, made: u32, said: u32) {
    recipe.collected = Box::new(move |collected| {
        if collected.attempt == made {
            let delegation = &mut collected.delegation.document;
            delegation.attempt = said;
            let print = key(EVIDENCE).public().fingerprint();
            delegation.collection = collection_id(&delegation.order, &print, said, &delegation.nonce);
        }
    });
}

/// Ends the incident, and what else the forgery does.
fn ended(recipe: &mut Recipe<'static>, go_on: fn(&mut Ending<'_>)) {
    recipe.drafts = Box::new(move |drafts| go_on(&mut Ending::of(drafts)));
}

fn told(recipe: &mut Recipe<'static>, told: Told) {
    recipe.drafts = Box::new(move |drafts| mirrored(drafts, &told));
}

forgeries! {
    collection_1_another_id: Collection1 "collection id is not the one of order, endpoint, attempt and nonce", |recipe| {
        begun(recipe, |paper| paper.document.nonce.0[0] ^= 1);
    }
    collection_1_the_evidence_key_seals: Collection1 "sealer key is the evidence key", |recipe| {
        begun(recipe, |paper| paper.document.sealer = key(EVIDENCE).public());
    }
    collection_2_signed_by_a_stranger:
        Collection2 "delegation is not signed by the endpoint's evidence key alone", |recipe| {
        begun(recipe, |paper| paper.keys = vec![MALLORY]);
    }
    collection_3_by_an_endpoint_that_enrols_later: Collection3 "web-03#1 was never enrolled", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let mut late = drafts.remove(ENROLLED);
            late.time = at("11:40:00");
            drafts.push(late);
        });
    }
    collection_4_by_an_endpoint_that_was_retired: Collection4 "web-03#1 was retired before", |recipe| {
        recipe.drafts = Box::new(|drafts| drafts.insert(STARTED, retired("09:50:00")));
    }
    collection_6_another_attempt_than_its_own: Collection6 "it names another attempt than its act", |recipe| {
        recipe.drafts = Box::new(|drafts| set(&mut drafts[STARTED], "attempt", "3"));
    }
    collection_7_under_no_order: Collection7 "its order was never issued", |recipe| {
        recipe.drafts = Box::new(|drafts| drop(drafts.splice(ISSUED..=APPROVED, [])));
    }
    collection_7_under_an_order_for_another_incident: Collection7 "its order is for another incident", |recipe| {
        recipe.drafts = Box::new(|drafts| drafts[STARTED].chain = other_incident());
    }
    collection_8_under_an_order_that_nobody_approved: Collection8 "its order waits for approval", |recipe| {
        recipe.drafts = Box::new(|drafts| drop(drafts.remove(APPROVED)));
    }
    collection_9_under_an_order_that_was_cancelled: Collection9 "its order was cancelled before", |recipe| {
        recipe.drafts = Box::new(|drafts| drafts.insert(STARTED, cancelled(drafts, "09:50:00")));
    }
    collection_9_under_an_order_that_was_rejected: Collection9 "its order was rejected before", |recipe| {
        recipe.drafts = Box::new(|drafts| drafts[APPROVED] = decided(drafts, Decision::Reject, "09:50:00"));
    }
    collection_10_an_attempt_too_many: Collection10 "attempt 2 of an order for 1", |recipe| {
        recipe.order = Box::new(|paper| paper.document.attempts = 1);
    }
    collection_11_by_an_endpoint_that_is_no_target: Collection11 "web-03#1 is no target of its order", |recipe| {
        recipe.order = Box::new(|paper| paper.document.targets_root = targets(99).root());
    }
    collection_11_of_a_list_of_another_length: Collection11 "web-03#1 is no target of its order", |recipe| {
        recipe.order = Box::new(|paper| paper.document.targets_count = 3);
    }
    collection_12_started_twice: Collection12 "the collection was started before", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let first = &drafts[STARTED];
            let mut again: Delegation = first.act.read().unwrap();
            again.at = at("10:00:30");
            let (chain, refs) = (first.chain.clone(), first.refs.clone());
            let act = sign(&again, &[EVIDENCE]).into();
            drafts.insert(STARTED + 1, Draft { type_: first.type_, chain, time: first.time, refs, act });
        });
    }
    collection_13_an_attempt_twice: Collection13 "attempt 1 or a later one began before", |recipe| {
        attempt(recipe, 2, 1);
    }
    collection_13_an_attempt_that_falls: Collection13 "attempt 2 or a later one began before", |recipe| {
        attempt(recipe, 1, 3);
    }
    collection_14_begun_when_the_order_expired: Collection14 "the order expired at 2026-11-21T10:00:00.000Z", |recipe| {
        recipe.order = Box::new(|paper| paper.document.expires = at("10:00:00"));
    }
    collection_15_of_a_collection_that_never_started:
        Collection15 "it is about a collection that was never started", |recipe| {
        recipe.drafts = Box::new(|drafts| drop(drafts.remove(STARTED)));
    }
    collection_15_in_another_incident: Collection15 "the collection belongs to another incident", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let progress = &mut drafts[PROGRESS];
            progress.chain = other_incident();
            progress.act = own(&progress.act_by("collector:c1"));
        });
    }
    collection_16_repaired_and_never_started:
        Collection16 "it is about a collection that was never started", |recipe| {
        recipe.drafts = Box::new(|drafts| drafts.push(repaired(Digest::ZERO)));
    }
    collection_17_stored_twice: Collection17 "the collection was stored before", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let first = &drafts[STORED];
            let mut again: Manifest = first.act.read().unwrap();
            again.limitations.push("again".into());
            let signed = sign(&again, &[SEALER, EVIDENCE]);
            let (chain, refs) = (first.chain.clone(), first.refs.clone());
            let (digest, act) = (signed.digest().to_string(), signed.into());
            let mut again = Draft { type_: first.type_, chain, time: first.time, refs, act };
            set(&mut again, "manifest", &digest);
            drafts.insert(STORED + 1, again);
        });
    }
    collection_18_signed_by_a_stranger:
        Collection18 "manifest is not signed by its sealer and its endpoint's evidence key", |recipe| {
        recipe.manifest = Box::new(|paper| paper.keys = vec![SEALER, MALLORY]);
    }
    collection_18_of_another_delegation: Collection18 "manifest's delegation is not that of its delegation", |recipe| {
        recipe.manifest = Box::new(|paper| paper.document.delegation = Digest::ZERO);
    }
    collection_19_of_another_incident: Collection19 "its manifest is of incident INC-2026-0008", |recipe| {
        recipe.manifest = Box::new(|paper| paper.document.incident = "INC-2026-0008".parse().unwrap());
    }
    collection_20_another_order_than_the_delegations: Collection20 "it names another order than its act", |recipe| {
        recipe.drafts = Box::new(|drafts| set(&mut drafts[STORED], "order", &Digest::ZERO.to_string()));
    }
    collection_21_a_step_too_few: Collection21 "the manifest's steps are not those of the order's plan", |recipe| {
        recipe.manifest = Box::new(|paper| drop(paper.document.steps.pop()));
    }
    collection_22_wider_limits: Collection22 "the manifest's limits are wider than the order's", |recipe| {
        recipe.manifest = Box::new(|paper| paper.document.limits.items += 1);
    }
    collection_26_stored_after_it_was_malformed: Collection26 "the collection had ended before", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let named = |name| pairs::find(&drafts[STORED].refs, name).unwrap().to_owned();
            let refs = [("collection", named("collection")), ("seal", Digest::ZERO.to_string())];
            let malformed = Draft::new(EntryType::CollectionMalformed, incident(), "10:25:00", refs, |draft| {
                own(&draft.act_by("collector:c1"))
            });
            drafts.insert(STORED, malformed);
        });
    }
    collection_26_stored_after_it_was_interrupted: Collection26 "the collection had ended before", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let stored = pairs::find(&drafts[STORED].refs, "collection").unwrap().to_owned();
            let mut interrupted = drafts.remove(INTERRUPTED);
            set(&mut interrupted, "collection", &stored);
            interrupted.time = at("10:25:00");
            interrupted.act = own(&interrupted.act_by("collector:c1"));
            drafts.insert(STORED - 1, interrupted);
        });
    }
    mirror_1_no_cosigner_key: Mirror1 "witness_key is no cosigner key named backup-1/witness", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let mut admitted = mirror_admitted();
            let plain = signer(BACKUP_WITNESS, "backup-1/witness").verifier_key(ledger::KeyType::Ed25519);
            set(&mut admitted, "witness_key", &plain.to_string());
            admitted.act = admitted.signed("person:cat", CAT);
            drafts.insert(SECOND_ROSTER + 1, admitted);
        });
    }
    mirror_2_admitted_twice: Mirror2 "mirror backup-1 was admitted before", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let mut again = mirror_admitted();
            again.time = at("09:06:00");
            again.act = again.signed("person:cat", CAT);
            drafts.splice(SECOND_ROSTER + 1..SECOND_ROSTER + 1, [mirror_admitted(), again]);
        });
    }
    mirror_4_a_mirror_that_nobody_admitted_retires: Mirror4 "there is no mirror backup-9", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let refs = [("mirror", "backup-9".to_owned())];
            let chain = evidence::id::Chain::Deployment;
            drafts.push(Draft::new(EntryType::MirrorRetired, chain, "11:40:00", refs, |draft| {
                draft.signed("person:cat", CAT)
            }));
        });
    }
    mirror_5_retired_twice: Mirror5 "mirror backup-1 was retired before", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            mirrored(drafts, &Told { retired: Retired::After, ..Told::default() });
            let refs = [("mirror", "backup-1".to_owned())];
            let chain = evidence::id::Chain::Deployment;
            drafts.push(Draft::new(EntryType::MirrorRetired, chain, "11:40:00", refs, |draft| {
                draft.signed("person:cat", CAT)
            }));
        });
    }
    mirror_6_in_the_name_of_a_person: Mirror6 "a mirror's statement in the name of person:alice", |recipe| {
        told(recipe, Told { by: "person:alice", ..Told::default() });
    }
    mirror_7_signed_by_a_stranger: Mirror7 "signed by SHA256:ZsrOVCtcb1bouzun0GIHz5vL5oCjVhVIQ3jfIBIgZ8g, not the act key of backup-1", |recipe| {
        told(recipe, Told { signer: MALLORY, ..Told::default() });
    }
    mirror_7_by_a_mirror_that_nobody_admitted: Mirror7 "no mirror backup-2 was admitted before", |recipe| {
        told(recipe, Told { by: "mirror:backup-2", mirror: "backup-2", ..Told::default() });
    }
    mirror_8_by_a_mirror_that_was_retired: Mirror8 "mirror backup-1 was retired before", |recipe| {
        told(recipe, Told { retired: Retired::Before, ..Told::default() });
    }
    mirror_9_another_manifest: Mirror9 "it names another manifest than its act", |recipe| {
        told(recipe, Told { manifest: Some(Digest::ZERO), ..Told::default() });
    }
    mirror_9_before_it_was_stored: Mirror9 "the collection was not stored before", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            mirrored(drafts, &Told::default());
            let statement = drafts.remove(STORED + 2);
            let stored = drafts.remove(STORED + 1);
            drafts.insert(STORED + 1, Draft { time: at("10:25:00"), ..statement });
            drafts.insert(STORED + 2, stored);
        });
    }
    mirror_10_a_tree_before_the_collection: Mirror10 "it names a size that the log did not have between", |recipe| {
        told(recipe, Told { above: 0, ..Told::default() });
    }
    mirror_10_a_tree_of_the_future: Mirror10 "it names a size that the log did not have between", |recipe| {
        told(recipe, Told { above: 2, ..Told::default() });
    }
    mirror_11_stated_twice: Mirror11 "the mirror stated it before", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            mirrored(drafts, &Told::default());
            let first = &drafts[STORED + 2];
            let (chain, refs) = (first.chain.clone(), first.refs.clone());
            let again = Draft { type_: first.type_, chain, time: at("10:41:00"), refs, act: first.act.clone() };
            let act = again.signed("mirror:backup-1", BACKUP);
            drafts.insert(STORED + 3, Draft { act, ..again });
        });
    }
    disposal_1_while_the_incident_is_open: Disposal1 "the incident is open", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let refs = [("count", "9".to_owned()), ("plan", Digest::of(b"plan").to_string())];
            drafts.push(by(EntryType::DispositionApproved, "11:40:00", BY_ALICE, &refs));
        });
    }
    disposal_1_while_no_retention_is_set: Disposal1 "no retention is set", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let refs = [("count", "10".to_owned()), ("plan", Digest::of(b"plan").to_string())];
            drafts.push(by(EntryType::IncidentClosed, "11:39:00", BY_ALICE, &[]));
            drafts.push(by(EntryType::DispositionApproved, "11:40:00", BY_ALICE, &refs));
        });
    }
    disposal_2_approved_by_a_third_person: Disposal2 "the plan is approved by two persons already", |recipe| {
        ended(recipe, |ending| {
            let plan = ending.approved();
            ending.approve(&plan, "bob", BOB);
        });
    }
    disposal_3_entries_came_after_it:
        Disposal3 "the plan is not what the incident's chain holds: entries came after it, or it names something else. Propose again", |recipe| {
        ended(recipe, |ending| {
            let plan = ending.plan();
            ending.person(EntryType::IncidentReopened, "alice", ALICE, &[]);
            ending.person(EntryType::IncidentClosed, "alice", ALICE, &[]);
            ending.approve(&plan, "bob", BOB);
        });
    }
    disposal_4_names_something_else:
        Disposal4 "the plan is not what the incident's chain holds: entries came after it, or it names something else. Propose again", |recipe| {
        ended(recipe, |ending| {
            let mut plan = ending.plan();
            plan.collections.pop_first().unwrap();
            ending.approve(&plan, "bob", BOB);
        });
    }
    disposal_5_a_plan_of_nothing: Disposal5 "the plan names nothing", |recipe| {
        ended(recipe, |ending| {
            let plan = ending.approved();
            ending.destroyed(&plan);
            let plan = ending.plan();
            ending.approve(&plan, "bob", BOB);
        });
    }
    disposal_6_twice_by_one_person:
        Disposal6 "bob has approved this plan; the second approval is another person's", |recipe| {
        ended(recipe, |ending| {
            let plan = ending.plan();
            ending.approve(&plan, "bob", BOB);
            ending.approve(&plan, "bob", BOB);
        });
    }
    disposal_7_by_two_who_are_no_approvers: Disposal7 "neither of the two persons has the role approver", |recipe| {
        recipe.roster = Box::new(|paper| {
            for person in &mut paper.document.persons {
                if ["alice", "dan"].contains(&person.id.as_str()) {
                    person.roles = vec![Role::Responder];
                }
            }
        });
        ended(recipe, |ending| {
            let plan = ending.plan();
            ending.approve(&plan, "alice", ALICE);
            ending.approve(&plan, "dan", DAN);
        });
    }
    disposal_8_while_a_collection_runs: Disposal8 "a collection of the incident is running", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            drop(drafts.remove(INTERRUPTED));
            let mut ending = Ending::of(drafts);
            let plan = ending.plan();
            ending.approve(&plan, "alice", ALICE);
        });
    }
    disposal_9_destroyed_while_the_incident_is_open: Disposal9 "the incident is open", |recipe| {
        ended(recipe, |ending| {
            let plan = ending.approved();
            ending.person(EntryType::IncidentReopened, "alice", ALICE, &[]);
            let object = plan.objects().remove(0);
            ending.executed(&plan, &object, "store-a");
        });
    }
    disposal_10_approved_by_one_person: Disposal10 "the plan is not approved by two persons", |recipe| {
        ended(recipe, |ending| {
            let plan = ending.plan();
            ending.approve(&plan, "bob", BOB);
            let object = plan.objects().remove(0);
            ending.executed(&plan, &object, "store-a");
        });
    }
    disposal_10_an_object_that_the_plan_does_not_name:
        Disposal10 "the approved plan does not name 0000000000000000000000000000000000000000000000000000000000000000/evidence", |recipe| {
        ended(recipe, |ending| {
            let plan = ending.approved();
            ending.executed(&plan, &Object::Collection(Digest::ZERO), "store-a");
        });
    }
    disposal_11_gone_twice: Disposal11 "INC-2026-0007/details was recorded as gone from store:store-a before", |recipe| {
        ended(recipe, |ending| {
            let plan = ending.approved();
            let object = Object::Details(INCIDENT.parse().unwrap());
            ending.executed(&plan, &object, "store-a");
            ending.executed(&plan, &object, "store-a");
        });
    }
}
