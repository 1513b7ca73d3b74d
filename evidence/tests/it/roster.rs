//! Rosters: which one is in force, and what a roster may not say.

use evidence::keys::PublicKey;
use evidence::roster::*;
use evidence::signed::Signed;

use testkit::packages::*;

fn verify(signed: &Signed, floor: Option<&RosterFloor>) -> Result<AdmittedRoster, RosterError> {
    Roster::verify(signed, &"acme".parse().unwrap(), &authority(), floor)
}

#[test]
fn a_roster_needs_the_threshold_of_distinct_authority_keys_others_may_sign_too() {
    for keys in [&[1, 2][..], &[3, 1], &[1, 2, 3], &[MALLORY, 1, 3]] {
        assert_eq!(verify(&sign(&first_roster(), keys), None).unwrap().roster(), &first_roster());
    }
    for keys in [&[1][..], &[1, 1], &[1, MALLORY], &[ADA, BOB, CAT]] {
        assert!(
            matches!(verify(&sign(&first_roster(), keys), None), Err(RosterError::Threshold { .. })),
            "{keys:?}"
        );
    }
    let mut one_broken = sign(&first_roster(), &[1, 2, 3]);
    one_broken.signatures[2] = sign(&second_roster(), &[3]).signatures[0].clone();
    assert!(matches!(verify(&one_broken, None), Err(RosterError::Document { .. })));
}

#[test]
fn versions_only_rise_and_are_linked() {
    let first = verify(&sign(&first_roster(), &[1, 2]), None).unwrap();
    let second = verify(&sign(&second_roster(), &[2, 3]), Some(&first.floor())).unwrap();
    assert!(matches!(
        verify(&sign(&first_roster(), &[1, 2]), Some(&second.floor())),
        Err(RosterError::Older { version: 1, seen: 2 })
    ));
    assert!(verify(&sign(&second_roster(), &[1, 3]), Some(&second.floor())).is_ok(), "the same one again");
    let other = Roster { persons: vec![], ..second_roster() };
    assert!(matches!(
        verify(&sign(&other, &[1, 2]), Some(&second.floor())),
        Err(RosterError::Contradiction { .. })
    ));
    let unlinked = Roster { previous: Some(second.digest()), ..second_roster() };
    assert!(matches!(
        verify(&sign(&unlinked, &[1, 2]), Some(&first.floor())),
        Err(RosterError::Unlinked { .. })
    ));
    let later = Roster { version: 9, previous: Some(second.digest()), ..second_roster() };
    assert!(
        verify(&sign(&later, &[1, 2]), Some(&second.floor())).is_ok(),
        "a gap is bridged by the signatures"
    );
}

#[test]
fn a_roster_that_nobody_renewed_admits_nothing() {
    let roster = verify(&sign(&first_roster(), &[1, 2]), None).unwrap();
    assert!(roster.in_force(at("2026-12-01T07:59:59.999Z")).is_ok());
    assert!(matches!(roster.in_force(at("2026-12-01T08:00:00.000Z")), Err(RosterError::Expired { .. })));
}

#[test]
fn an_impossible_roster_cannot_even_be_signed() {
    let good = second_roster();
    let change = |change: &dyn Fn(&mut Roster)| {
        let mut roster = good.clone();
        change(&mut roster);
        roster
    };
    let key_of = |number: u8| -> PublicKey { key(number).public() };
    for (why, roster) in [
        ("version 0", change(&|roster| roster.version = 0)),
        ("version 1 with previous", change(&|roster| roster.version = 1)),
        ("version 2 without", change(&|roster| roster.previous = None)),
        ("91 days", change(&|roster| roster.not_after = at("2027-02-14T08:00:00.000Z"))),
        ("ends before it begins", change(&|roster| roster.not_after = roster.issued)),
        ("unsorted", change(&|roster| roster.persons.swap(0, 1))),
        ("person twice", change(&|roster| roster.persons[1].id = "ada".parse().unwrap())),
        ("no key", change(&|roster| roster.persons[0].keys.clear())),
        ("nine keys", change(&|roster| roster.persons[0].keys = (100..109).map(key_of).collect())),
        ("no role", change(&|roster| roster.persons[0].roles.clear())),
        ("role twice", change(&|roster| roster.persons[0].roles = vec![Role::Auditor, Role::Auditor])),
        ("key of two persons", change(&|roster| roster.persons[1].keys = vec![key_of(ADA)])),
        ("key twice", change(&|roster| roster.persons[0].keys = vec![key_of(ADA), key_of(ADA)])),
        ("person with an authority key", change(&|roster| roster.persons[1].keys = vec![key_of(1)])),
        ("threshold above keys", change(&|roster| roster.authority.threshold = 4)),
        ("threshold 0", change(&|roster| roster.authority.threshold = 0)),
        ("no hours", change(&|roster| roster.rules.order_hours_max = 0)),
        ("721 hours", change(&|roster| roster.rules.order_hours_max = 721)),
    ] {
        assert!(Signed::sign(&roster, &[&key(1), &key(2)]).is_err(), "{why}");
    }
}

#[test]
fn people_are_found_by_key_and_role() {
    let roster = second_roster();
    assert_eq!(roster.person_of_key(&key(ADA_SECOND).public()).unwrap().id.as_str(), "ada");
    assert!(roster.person_of_key(&key(MALLORY).public()).is_none());
    assert!(roster.person_of_key(&key(1).public()).is_none(), "an authority key is nobody's");
    let approvers = roster.persons.iter().filter(|person| person.has(Role::Approver));
    assert_eq!(
        approvers.flat_map(|person| &person.keys).collect::<Vec<_>>(),
        [&key(ADA).public(), &key(ADA_SECOND).public(), &key(BOB).public()]
    );
    let ada = "ada".parse().unwrap();
    assert!(roster.speaks_for(&key(ADA).public(), &ada, &[Role::Analyst, Role::Responder]));
    assert!(!roster.speaks_for(&key(ADA).public(), &ada, &[Role::Analyst]));
    assert!(!roster.speaks_for(&key(BOB).public(), &ada, &[Role::Approver]));
}
