//! The roster in force: the persons, their roles, and whose signature an act carries.
//!
//! Guarantee: every roster here verified under the authority keys that `init` pinned. An act counts only with the signature of a
//! person who today holds a role that the act's type asks for. Not here: publishing rosters (`services::rosters`).

use std::sync::{Arc, PoisonError, RwLock};

use evidence::digest::Digest;
use evidence::id::{DeploymentId, PersonId};
use evidence::keys::PublicKey;
use evidence::roster::{AdmittedRoster, AuthoritySet, Role, Roster, RosterError};
use evidence::signed::{Signed, SignedError};
use evidence::time::Time;

use crate::failure::Failure;

/// All published rosters, with the newest one opened.
#[derive(Debug)]
pub struct People {
    deployment: DeploymentId,
    authority: AuthoritySet,
    newest: RwLock<Arc<Published>>,
}

/// One published roster.
#[derive(Debug, Clone)]
pub struct Published {
    /// The verified roster.
    pub admitted: AdmittedRoster,
    /// The roster as published.
    pub signed: Signed,
}

impl People {
    /// Opens the newest roster under the pinned authority.
    ///
    /// # Errors
    /// If too few of the authority's keys signed it. An expired roster opens: people can still read, but orders are refused.
    pub fn open(
        deployment: DeploymentId,
        authority: AuthoritySet,
        newest: &[u8],
    ) -> Result<Self, PeopleError> {
        let published = verify(&deployment, &authority, newest, None)?;
        Ok(Self { deployment, authority, newest: RwLock::new(Arc::new(published)) })
    }

    /// Verifies a roster that should follow the newest.
    ///
    /// # Errors
    /// If too few of the authority's keys signed it, or it does not follow.
    pub fn successor(&self, signed: &[u8]) -> Result<Published, PeopleError> {
        let newest = self.newest();
        let published = verify(&self.deployment, &self.authority, signed, Some(&newest))?;
        if published.admitted.roster().version <= newest.admitted.roster().version {
            return Err(PeopleError::NotNewer { version: newest.admitted.roster().version });
        }
        Ok(published)
    }

    /// Puts a roster in force. The ledger must hold its `roster.published`.
    pub fn put_in_force(&self, published: Published) {
        *self.newest.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(published);
    }

    /// The newest roster.
    pub fn newest(&self) -> Arc<Published> {
        Arc::clone(&self.newest.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The pinned authority.
    pub const fn authority(&self) -> &AuthoritySet {
        &self.authority
    }

    /// Roles of a person in the newest roster, as the access table spells them; empty for a stranger. An expired roster
    /// still says who may read: otherwise its expiry would hide the evidence from everyone.
    pub fn roles(&self, person: &PersonId) -> Vec<String> {
        let newest = self.newest();
        let Some(person) = newest.admitted.roster().person(person) else {
            return Vec::new();
        };
        person.roles.iter().map(|role| role.as_str().to_owned()).collect()
    }

    /// The roster, if it is in force at `now`. Orders and approvals need it.
    ///
    /// # Errors
    /// A refusal that says since when it is not in force.
    pub fn in_force(&self, now: Time) -> Result<Arc<Published>, Failure> {
        let newest = self.newest();
        newest.admitted.in_force(now).map_err(|error| Failure::precondition(error.to_string()))?;
        Ok(newest)
    }
}

impl Published {
    /// The roster.
    pub fn roster(&self) -> &Roster {
        self.admitted.roster()
    }

    /// Its digest.
    pub fn digest(&self) -> Digest {
        self.admitted.digest()
    }

    /// Finds the person who owns this key, if it is `claimed` and holds one of `roles`.
    ///
    /// # Errors
    /// A refusal that names what is missing.
    pub fn speaks_for(&self, key: &PublicKey, claimed: &PersonId, roles: &[Role]) -> Result<(), Failure> {
        let roster = self.roster();
        let Some(person) = roster.person_of_key(key) else {
            return Err(Failure::forbidden(format!(
                "the signature is by {}, which is no key of roster {}",
                key.fingerprint(),
                roster.version
            )));
        };
        if person.id != *claimed {
            return Err(Failure::forbidden(format!(
                "the document names {claimed}, but {} signed it",
                person.id
            )));
        }
        if roles.iter().any(|role| person.has(*role)) {
            return Ok(());
        }
        let names: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
        Err(Failure::forbidden(format!(
            "{claimed} does not hold the role {} in roster {}",
            names.join(" or "),
            roster.version
        )))
    }
}

fn verify(
    deployment: &DeploymentId,
    authority: &AuthoritySet,
    bytes: &[u8],
    before: Option<&Published>,
) -> Result<Published, PeopleError> {
    let signed = Signed::parse(bytes)?;
    let floor = before.map(|before| before.admitted.floor());
    let admitted = Roster::verify(&signed, deployment, authority, floor.as_ref())?;
    Ok(Published { admitted, signed })
}

/// Why a roster cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeopleError {
    /// The authority did not sign it, or it does not follow.
    #[error("roster")]
    Roster(#[from] RosterError),
    /// It is not a signed object.
    #[error("read roster")]
    Signed(#[from] SignedError),
    /// It is the version in force, or an older one.
    #[error("roster {version} is in force already; publish a newer version")]
    NotNewer {
        /// Version in force.
        version: u64,
    },
}
