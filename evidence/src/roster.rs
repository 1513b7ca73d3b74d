//! Persons, keys, roles and rules of a deployment. Format: docs/spec/roster.md.
//! Guarantee: a role counts only in a roster that a threshold of pinned authority keys signed; a key belongs to one
//! person. Not here: where the pins are kept.

mod admit;
mod allowed_signers;
mod authority;

pub use admit::{AdmittedRoster, RosterError, RosterFloor};
pub use authority::{AuthorityError, AuthoritySet};

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::document::{Document, document_type};
use crate::id::{DeploymentId, PersonId};
use crate::json;
use crate::keys::PublicKey;
use crate::order::Sensitivity;
use crate::time::Time;

/// Longest life of a roster: 90 days. Withholding a newer roster helps a thief no longer than this.
pub(crate) const LIFETIME_MAX: Duration = Duration::from_secs(90 * 86_400);

/// Most keys of one person.
pub(crate) const PERSON_KEYS_MAX: usize = 8;

/// Most hours an order may live under any roster: 30 days.
pub(crate) const ORDER_HOURS_MAX: u32 = 720;

document_type! {
    /// `exhibit-roster-v1`.
    RosterType, "exhibit-roster-v1"
}

/// A roster. Build one, sign it offline with authority keys, and read it by [`Roster::admit`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roster {
    /// Names the document type.
    #[serde(rename = "type")]
    pub type_: RosterType,
    /// The deployment in which it is valid.
    pub deployment: DeploymentId,
    /// Grows by one, from 1.
    pub version: u64,
    /// Digest of the roster before; `None` only in version 1.
    #[serde(deserialize_with = "json::nullable")]
    pub previous: Option<Digest>,
    /// When it was signed.
    pub issued: Time,
    /// From when on no order is admitted under it.
    pub not_after: Time,
    /// Who signs the next one; for display here, pinned elsewhere.
    pub authority: AuthoritySet,
    /// Sorted by id.
    pub persons: Vec<Person>,
    /// The rules for orders.
    pub rules: Rules,
}

/// A person with keys and roles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    pub id: PersonId,
    /// One to eight keys.
    pub keys: Vec<PublicKey>,
    /// At least one role.
    pub roles: Vec<Role>,
}

/// A right that a roster grants to a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Open incidents, sign orders, read and export evidence.
    Responder,
    /// Approve orders of others.
    Approver,
    /// Read evidence and notes.
    Analyst,
    /// Read the ledger.
    Auditor,
    /// Sign enrolment tokens, retire endpoints.
    EndpointAdmin,
}

impl Role {
    pub const ALL: [Self; 5] =
        [Self::Responder, Self::Approver, Self::Analyst, Self::Auditor, Self::EndpointAdmin];

    /// The word that documents use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Responder => "responder",
            Self::Approver => "approver",
            Self::Analyst => "analyst",
            Self::Auditor => "auditor",
            Self::EndpointAdmin => "endpoint-admin",
        }
    }

    /// The role of a word, or `None`.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

/// Rules that orders must satisfy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Sensitivities that need a second person.
    pub two_persons: Vec<Sensitivity>,
    /// Longest life of an order in hours, 1 to 720.
    pub order_hours_max: u32,
}

impl Roster {
    /// The person of that name.
    pub fn person(&self, id: &PersonId) -> Option<&Person> {
        self.persons.iter().find(|person| person.id == *id)
    }

    /// The person a key belongs to.
    pub fn person_of_key(&self, key: &PublicKey) -> Option<&Person> {
        self.persons.iter().find(|person| person.keys.contains(key))
    }

    /// Whether `key` belongs to `id`, who holds one of `roles`.
    pub fn speaks_for(&self, key: &PublicKey, id: &PersonId, roles: &[Role]) -> bool {
        self.person_of_key(key)
            .is_some_and(|person| person.id == *id && roles.iter().any(|role| person.has(*role)))
    }

    /// Whether orders of this sensitivity need a second person.
    pub fn needs_approval(&self, sensitivity: Sensitivity) -> bool {
        self.rules.two_persons.contains(&sensitivity)
    }

    /// Longest life of an order.
    pub fn order_lifetime_max(&self) -> Duration {
        Duration::from_secs(u64::from(self.rules.order_hours_max) * 3600)
    }
}

impl Person {
    /// Whether the person holds the role.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

impl Document for Roster {
    const TYPE: &'static str = RosterType::TEXT;

    fn validate(&self) -> Result<(), &'static str> {
        if self.version == 0 || (self.version == 1) != self.previous.is_none() {
            return Err("roster versions begin at 1, and every later one names the roster before it");
        }
        if self.not_after <= self.issued || self.not_after.since(self.issued) > LIFETIME_MAX {
            return Err("a roster lives at most 90 days");
        }
        self.authority.validate()?;
        if self.persons.windows(2).any(|pair| matches!(pair, [one, other] if one.id >= other.id)) {
            return Err("persons are sorted by id, each once");
        }
        let mut keys: BTreeSet<&PublicKey> = self.authority.keys.iter().collect();
        for person in &self.persons {
            if !(1..=PERSON_KEYS_MAX).contains(&person.keys.len()) || person.roles.is_empty() {
                return Err("a person has 1 to 8 keys and at least one role");
            }
            let mut roles = BTreeSet::new();
            if !person.roles.iter().all(|role| roles.insert(role)) {
                return Err("a role occurs twice");
            }
            // Also across persons and authority: one key, one meaning.
            if !person.keys.iter().all(|key| keys.insert(key)) {
                return Err("a key occurs twice in the roster");
            }
        }
        let mut sensitivities = BTreeSet::new();
        if !self.rules.two_persons.iter().all(|one| sensitivities.insert(one)) {
            return Err("a sensitivity occurs twice");
        }
        if !(1..=ORDER_HOURS_MAX).contains(&self.rules.order_hours_max) {
            return Err("order_hours_max is 1 to 720");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_what_documents_say() {
        for role in Role::ALL {
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
            assert_eq!(Role::from_word(role.as_str()), Some(role));
        }
        assert_eq!(Role::from_word("admin"), None);
        for one in [Sensitivity::Normal, Sensitivity::Sensitive] {
            assert_eq!(serde_json::to_value(one).unwrap(), one.as_str());
        }
    }
}
