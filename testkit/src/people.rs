//! Persons, the authority that names them, and their keys. A number identifies a key: its seed is that number, 32 times.

use evidence::digest::Digest;
use evidence::document::Document;
use evidence::keys::SigningKey;
use evidence::order::Sensitivity;
use evidence::roster::{AuthoritySet, Person, Role, Roster, RosterType, Rules};
use evidence::signed::Signed;
use evidence::time::Time;

/// The key with this number.
pub fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32])
}

/// A document signed with the keys of these numbers.
pub fn sign<T: Document>(document: &T, keys: &[u8]) -> Signed {
    let keys: Vec<SigningKey> = keys.iter().map(|number| key(*number)).collect();
    Signed::sign(document, &keys.iter().collect::<Vec<_>>()).unwrap()
}

/// An authority of the keys with these numbers, of which `threshold` must sign.
pub fn authority(threshold: u32, keys: &[u8]) -> AuthoritySet {
    let keys = keys.iter().map(|number| key(*number).public()).collect();
    AuthoritySet::new(threshold, keys).unwrap()
}

/// A person with the keys of these numbers.
pub fn person(id: &str, keys: &[u8], roles: &[Role]) -> Person {
    let keys = keys.iter().map(|number| key(*number).public()).collect();
    Person { id: id.parse().unwrap(), keys, roles: roles.to_vec() }
}

/// The first roster of a deployment, by an authority of one key: sensitive orders need a second person, no order lives longer than a day.
pub fn roster(
    deployment: &str,
    authority: AuthoritySet,
    persons: Vec<Person>,
    issued: Time,
    not_after: Time,
) -> Roster {
    Roster {
        type_: RosterType,
        deployment: deployment.parse().unwrap(),
        version: 1,
        previous: None,
        issued,
        not_after,
        authority,
        persons,
        rules: Rules { two_persons: vec![Sensitivity::Sensitive], order_hours_max: 24 },
    }
}

/// The version after `roster`, linked to it by the digest of its signed form.
pub fn next_roster(roster: &Roster, signed: Digest, issued: Time, not_after: Time) -> Roster {
    Roster { version: roster.version + 1, previous: Some(signed), issued, not_after, ..roster.clone() }
}
