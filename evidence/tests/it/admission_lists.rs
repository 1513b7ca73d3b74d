//! Admission of packages with several rosters and several approvals: each of a list counts for itself.

use evidence::admission::Reason;
use evidence::digest::Digest;
use evidence::entry::{Entry, EntryType};
use evidence::roster::{Roster, RosterFloor};

use testkit::packages::*;
use testkit::people;

/// A third roster that follows the second.
fn third_roster() -> Roster {
    let second = second_roster();
    let digest = sign(&second, &[1, 3]).digest();
    people::next_roster(&second, digest, at("2026-11-18T08:00:00.000Z"), second.not_after)
}

/// A package with the second and the third roster, its order under the third.
fn two_rosters(third: Roster) -> Recipe {
    let mut recipe = Recipe::good();
    let digest = sign(&third, &[1, 2]).digest();
    recipe.rosters.push((third, vec![1, 2]));
    recipe.change_order(|order| (order.roster_version, order.roster_sha256) = (3, digest));
    recipe
}

/// Changes the entries before they are hashed: `order.issued` first.
type Change = fn(&mut Vec<Entry>);

fn reason(built: &Built) -> Reason {
    built.judge().unwrap_err().reason
}

#[test]
fn each_roster_of_a_package_follows_the_one_before() {
    let admitted = two_rosters(third_roster()).build().judge().unwrap();
    assert_eq!(admitted.roster.roster().version, 3);
    let stranger = Roster { previous: Some(Digest([9; 32])), ..third_roster() };
    assert_eq!(reason(&two_rosters(stranger).build()), Reason::Roster);
    let mut turned = two_rosters(third_roster());
    turned.rosters.reverse();
    assert_eq!(reason(&turned.build()), Reason::Roster);
}

#[test]
fn a_roster_that_is_kept_must_reach_the_pinned_version() {
    let roster = |roster: &Roster, keys: &[u8]| {
        let signed = sign(roster, keys);
        Roster::verify(&signed, &roster.deployment, &authority(), None).unwrap()
    };
    let mut built = Recipe::good().build();
    built.rosters.clear();
    built.kept = Some(roster(&second_roster(), &[1, 3]));
    built.floor = RosterFloor { version: 2, digest: None };
    built.judge().unwrap();
    // The token named version 2, and only the first was ever delivered.
    built.kept = Some(roster(&first_roster(), &[1, 2]));
    assert_eq!(reason(&built), Reason::Roster);
}

#[test]
fn an_approval_is_proven_by_its_own_entry_only() {
    let changes: [(&str, Reason, Change); 5] = [
        ("order.issued of the same order", Reason::Ledger, |entries| entries[1] = entries[0].clone()),
        ("a rejection", Reason::Ledger, |entries| entries[1].envelope.type_ = EntryType::OrderRejected),
        ("an entry about another order", Reason::Ledger, |entries| {
            entries[1].envelope.refs[0].1 = Digest::ZERO.to_string();
        }),
        ("an entry of another incident", Reason::Ledger, |entries| {
            entries[1].envelope.incident = "INC-2026-0008".parse().unwrap();
        }),
        ("an entry of another deployment", Reason::Foreign, |entries| {
            entries[1].envelope.deployment = "other".parse().unwrap();
        }),
    ];
    for (why, expected, change) in changes {
        let recipe = Recipe { change_entries: change, ..Recipe::good() };
        assert_eq!(reason(&recipe.build()), expected, "{why}");
    }
}
