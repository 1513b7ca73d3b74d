//! Honest logs fold to their end.

use std::collections::BTreeSet;

use custody::act::{Act, Beside};
use custody::line::Vouched;
use custody::rule::RuleId;
use custody::{At, State, View};
use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::order::Target;
use testkit::bundles::{
    Draft, EVIDENCE, Ending, Logged, MALLORY, Recipe, Told, all_collect, at, incident, key, mirrored, own,
};
use testkit::orders::target;

use crate::world::{ENROLLED, STARTED, fold, pins, take};

fn folded(recipe: Recipe<'_>) -> State {
    let logged = recipe.logged();
    let state = fold(&logged).unwrap_or_else(|(index, broken)| panic!("entry {index}: {broken}"));
    assert_eq!(state.next(), logged.leaves.len() as u64);
    state
}

#[test]
fn an_honest_log_of_five_endpoints_two_rosters_and_two_incidents_folds() {
    let state = folded(Recipe { machines: all_collect(), ..Recipe::default() });
    assert_eq!(state.roster().unwrap().roster.version, 2);
    assert!(state.collections().len() > 2);
    let stored = state.collections().values().filter(|one| one.stored.is_some()).count();
    assert!(stored >= 1 && stored < state.collections().len());
    assert_eq!(state.courses().len(), 2);
}

#[test]
fn an_order_dated_ten_minutes_ahead_folds() {
    folded(Recipe {
        order: Box::new(|paper| paper.document.issued = at("09:40:01")),
        ..Recipe::one_endpoint()
    });
}

#[test]
fn an_honest_log_with_a_mirror_folds() {
    let recipe =
        Recipe { drafts: Box::new(|drafts| mirrored(drafts, &Told::default())), ..Recipe::one_endpoint() };
    let state = folded(recipe);
    assert_eq!(state.mirror(&"backup-1".parse().unwrap()).unwrap().since, 6);
    let held: BTreeSet<_> = state.collections().values().flat_map(|one| one.held_by.clone()).collect();
    assert_eq!(held, ["backup-1".parse().unwrap()].into());
}

#[test]
fn an_honest_log_whose_evidence_was_destroyed_folds() {
    let recipe = Recipe {
        drafts: Box::new(|drafts| {
            let mut ending = Ending::of(drafts);
            let plan = ending.approved();
            ending.destroyed(&plan);
        }),
        ..Recipe::one_endpoint()
    };
    let state = folded(recipe);
    let course = state.courses().values().find(|course| course.approved().count() == 1).unwrap();
    assert!(course.destruction(&BTreeSet::new()).is_some());
}

#[test]
fn mirror_12_a_mirrors_statement_names_a_root_for_whoever_has_the_tree() {
    let recipe =
        Recipe { drafts: Box::new(|drafts| mirrored(drafts, &Told::default())), ..Recipe::one_endpoint() };
    let logged = recipe.logged();
    let mut state = State::new(pins(), View::Whole);
    let mut stated = 0;
    for (index, bytes) in logged.leaves.iter().enumerate() {
        let entry = custody::entry::read(bytes).unwrap();
        if entry.envelope.type_ == EntryType::EvidenceReplicated {
            let act = Act::read(&entry, entry.act.as_ref().unwrap(), Beside::default()).unwrap();
            let at = At { index: index as u64, leaf: ledger::leaf_hash(bytes) };
            let change = state.step(at, &entry, &act).unwrap();
            let root = Digest::of(b"a root").into();
            let vouched = Vouched { rule: RuleId::Mirror12, index: at.index, size: at.index, root };
            assert_eq!(change.vouched(), Some(vouched));
            stated += 1;
        }
        take(&mut state, &logged, index).unwrap();
    }
    assert_eq!(stated, 1);
}

#[test]
fn an_order_that_an_endpoint_refused_folds() {
    folded(Recipe {
        drafts: Box::new(|drafts| {
            let issued = drafts.iter().position(|draft| draft.type_ == EntryType::OrderIssued).unwrap();
            for reason in ["malformed", "replay"] {
                let refs = [
                    ("endpoint", "web-03".to_owned()),
                    ("order", drafts[issued].act.event().to_string()),
                    ("reason", reason.to_owned()),
                ];
                drafts.push(Draft::new(EntryType::OrderRefused, incident(), "11:59:00", refs, |draft| {
                    own(&draft.act_by("collector:c1"))
                }));
            }
        }),
        ..Recipe::one_endpoint()
    });
}

#[test]
fn a_refused_entry_changes_nothing() {
    let logged = Recipe::one_endpoint().logged();
    let mut state = fold(&logged).unwrap();
    let before = format!("{state:?}");
    for index in 0..logged.leaves.len() {
        take(&mut state, &logged, index).unwrap_err();
    }
    assert_eq!(Digest::of(format!("{state:?}").as_bytes()), Digest::of(before.as_bytes()));
}

/// The honest log up to an entry, without it.
fn until(logged: &Logged, end: usize) -> State {
    let mut state = State::new(pins(), View::Whole);
    (0..end).for_each(|index| take(&mut state, logged, index).unwrap());
    state
}

#[test]
fn collection_11_a_target_in_the_own_list_of_the_caller_needs_no_proof() {
    let logged = Recipe::one_endpoint().logged();
    let state = until(&logged, STARTED);
    let bytes = &logged.leaves[STARTED];
    let entry = custody::entry::read(bytes).unwrap();
    let judged = |listed: Option<Target>| {
        let beside = Beside { listed, ..Beside::default() };
        let act = Act::read(&entry, entry.act.as_ref().unwrap(), beside).unwrap();
        let at = At { index: STARTED as u64, leaf: ledger::leaf_hash(bytes) };
        state.step(at, &entry, &act).map(drop)
    };
    let public = key(EVIDENCE).public();
    judged(Some(target("web-03", 1, &public))).unwrap();
    for other in [
        None,
        Some(target("db-01", 1, &public)),
        Some(target("web-03", 2, &public)),
        Some(target("web-03", 1, &key(MALLORY).public())),
    ] {
        assert_eq!(judged(other).unwrap_err().rule, RuleId::Collection11);
    }
}

#[test]
fn an_entry_that_is_passed_keeps_its_place_and_changes_nothing_else() {
    let logged = Recipe::one_endpoint().logged();
    let mut state = until(&logged, ENROLLED);
    let bytes = &logged.leaves[ENROLLED];
    let place = At { index: ENROLLED as u64, leaf: ledger::leaf_hash(bytes) };
    state.pass(place, &custody::entry::read(bytes).unwrap());
    for index in ENROLLED + 1..STARTED {
        take(&mut state, &logged, index).unwrap();
    }
    let broken = take(&mut state, &logged, STARTED).unwrap_err();
    assert_eq!(broken.to_string(), "collection-3: web-03#1 was never enrolled");
    let again = take(&mut state, &logged, ENROLLED).unwrap_err();
    assert_eq!(again.rule, RuleId::Entry13);
}
