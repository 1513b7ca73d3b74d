//! The roster in force: who a person is, which roles they hold, whose signature an act carries.
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

/// All published rosters, and the newest opened.
#[derive(Debug)]
pub struct People {
    deployment: DeploymentId,
    authority: AuthoritySet,
    newest: RwLock<Arc<Published>>,
}

/// One published roster.
#[derive(Debug, Clone)]
pub struct Published {
    /// Verified.
    pub admitted: AdmittedRoster,
    /// As published.
    pub signed: Signed,
}

impl People {
    /// Opens the newest roster under the pinned authority.
    ///
    /// # Errors
    /// When it is not signed by enough of the authority's keys. An expired one opens: reading goes on, orders do not.
    pub fn open(
        deployment: DeploymentId,
        authority: AuthoritySet,
        newest: &[u8],
    ) -> Result<Self, PeopleError> {
        let published = verify(&deployment, &authority, newest, None)?;
        Ok(Self { deployment, authority, newest: RwLock::new(Arc::new(published)) })
    }

    /// Verifies a roster that is to follow the newest.
    ///
    /// # Errors
    /// When it is not signed by enough of the authority's keys, or does not follow.
    pub fn successor(&self, signed: &[u8]) -> Result<Published, PeopleError> {
        let newest = self.newest();
        let published = verify(&self.deployment, &self.authority, signed, Some(&newest))?;
        if published.admitted.roster().version <= newest.admitted.roster().version {
            return Err(PeopleError::NotNewer { version: newest.admitted.roster().version });
        }
        Ok(published)
    }

    /// Puts a roster in force whose `roster.published` is in the ledger.
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
    /// still names who may read: otherwise its end would hide the evidence from everyone.
    pub fn roles(&self, person: &PersonId) -> Vec<String> {
        let newest = self.newest();
        let Some(person) = newest.admitted.roster().person(person) else {
            return Vec::new();
        };
        person.roles.iter().map(|role| role.as_str().to_owned()).collect()
    }

    /// The roster, if it is in force at `now`: what orders and approvals need.
    ///
    /// # Errors
    /// A refusal that says since when it is not.
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

    /// The person whose key this is, when it is `claimed` and holds one of `roles`.
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

/// A roster that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeopleError {
    /// Not signed by the authority, or not following.
    #[error("roster")]
    Roster(#[from] RosterError),
    /// Not a signed object.
    #[error("read roster")]
    Signed(#[from] SignedError),
    /// The version in force, or an older one.
    #[error("roster {version} is in force already; publish a newer version")]
    NotNewer {
        /// Version in force.
        version: u64,
    },
}
