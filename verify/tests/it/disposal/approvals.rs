//! Approvals that are not valid, and plans that differ from the chain.

use super::*;

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
            "no key of alice as approver or responder then",
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
            "no key of dan as approver or responder then",
            approvals(|ending, plan| {
                ending.approve(plan, "bob", BOB);
                ending.approve(plan, "dan", DAN);
            }),
        ),
        (
            "a stranger",
            "custody.acts",
            "no key of alice as approver or responder then",
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
