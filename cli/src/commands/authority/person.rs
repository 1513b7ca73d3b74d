//! A person as an admin types one: name, roles, public key file.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use evidence::id::PersonId;
use evidence::keys::PublicKey;
use evidence::roster::{Person, Role};
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as ValueError, StrDeserializer};

use crate::failure::{because, usage};
use crate::signer::{create_key, public_text};

/// `alice=responder,analyst:alice.pub`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonText {
    pub(super) id: PersonId,
    pub(super) roles: Vec<Role>,
    pub(super) key: Option<PathBuf>,
}

impl FromStr for PersonText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (id, rest) = text.split_once('=').ok_or("not NAME=ROLE, such as alice=responder")?;
        let (roles, key) = match rest.split_once(':') {
            Some((roles, key)) => (roles, Some(PathBuf::from(key))),
            None => (rest, None),
        };
        let id = id.parse().map_err(|cause| format!("{id:?}: {cause}"))?;
        let roles = roles.split(',').map(role).collect::<Result<_, _>>()?;
        Ok(Self { id, roles, key })
    }
}

fn role(text: &str) -> Result<Role, String> {
    let read: StrDeserializer<'_, ValueError> = text.into_deserializer();
    Role::deserialize(read).map_err(|_unknown| {
        format!("{text:?} is no role: responder, approver, analyst, auditor, endpoint-admin")
    })
}

/// Adds a person, or changes the person if the roster has one of that name.
pub(super) fn put_person(persons: &mut Vec<Person>, text: &PersonText, dir: &Path) -> anyhow::Result<()> {
    let present = persons.iter().position(|person| person.id == text.id);
    let key = match (&text.key, present) {
        (Some(path), _) => Some(public_key(path)?),
        (None, Some(_)) => None,
        (None, None) => {
            let path = dir.join("keys").join(text.id.as_str());
            create_key(&path, text.id.as_str())?;
            Some(public_key(&path)?)
        }
    };
    match present.and_then(|place| persons.get_mut(place)) {
        Some(person) => {
            person.roles = text.roles.clone();
            person.keys.extend(key);
        }
        None => persons.push(Person {
            id: text.id.clone(),
            keys: key.into_iter().collect(),
            roles: text.roles.clone(),
        }),
    }
    persons.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(())
}

pub(super) fn public_key(path: &Path) -> anyhow::Result<PublicKey> {
    public_text(path)?.parse().map_err(|cause| {
        usage(
            format!("{}: {}", path.display(), because(&cause)),
            "use an Ed25519 key (ssh-keygen -t ed25519) or an Ed25519 security key (ssh-keygen -t ed25519-sk)",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn persons_are_read_with_roles_and_key() {
        let person: PersonText = "alice=responder,endpoint-admin:/k/alice.pub".parse().unwrap();
        assert_eq!(person.roles, [Role::Responder, Role::EndpointAdmin]);
        assert_eq!(person.key, Some("/k/alice.pub".into()));
        for wrong in ["alice", "=responder", "Alice=responder", "alice=", "alice=boss", "alice=responder,"] {
            assert!(wrong.parse::<PersonText>().is_err(), "{wrong:?}");
        }
    }
}
