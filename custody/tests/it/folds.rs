//! Honest logs fold to their end.

use std::collections::BTreeSet;

use custody::State;
use evidence::digest::Digest;
use testkit::bundles::{Ending, Recipe, Told, all_collect, at, mirrored};

use crate::world::{fold, take};

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
fn a_refused_entry_changes_nothing() {
    let logged = Recipe::one_endpoint().logged();
    let mut state = fold(&logged).unwrap();
    let before = format!("{state:?}");
    for index in 0..logged.leaves.len() {
        take(&mut state, &logged, index).unwrap_err();
    }
    assert_eq!(Digest::of(format!("{state:?}").as_bytes()), Digest::of(before.as_bytes()));
}
