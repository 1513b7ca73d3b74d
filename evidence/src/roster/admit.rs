//! Which roster is in force: signed by the pinned authority, unexpired, never older than one seen before.

use crate::digest::Digest;
use crate::id::DeploymentId;
use crate::keys::PublicKey;
use crate::length::to_usize;
use crate::signed::{Signed, SignedError};
use crate::time::Time;

use super::{AuthoritySet, Roster};

/// A roster whose signatures were verified under a pinned authority set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmittedRoster {
    roster: Roster,
    digest: Digest,
}

impl AdmittedRoster {
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The digest of its document.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What to remember of it, so that no older one is taken later.
    pub fn floor(&self) -> RosterFloor {
        RosterFloor { version: self.roster.version, digest: Some(self.digest) }
    }

    /// Refuses a roster that is past its `not_after`.
    pub fn in_force(&self, now: Time) -> Result<(), RosterError> {
        if now < self.roster.not_after {
            Ok(())
        } else {
            Err(RosterError::Expired { version: self.roster.version, not_after: self.roster.not_after })
        }
    }
}

/// The highest roster version seen, and its digest where one is known (a token knows only the version).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RosterFloor {
    /// No lower version is admitted.
    pub version: u64,
    /// The roster of that version.
    pub digest: Option<Digest>,
}

impl Roster {
    /// Reads a roster and checks signatures and its place behind `floor`, **not** its expiry: verifying an old
    /// bundle must not fail because time passed. Who acts on it now also asks [`AdmittedRoster::in_force`].
    pub fn verify(
        signed: &Signed,
        deployment: &DeploymentId,
        authority: &AuthoritySet,
        floor: Option<&RosterFloor>,
    ) -> Result<AdmittedRoster, RosterError> {
        let (roster, signers) = signed.open::<Self>().map_err(|source| RosterError::Document { source })?;
        if roster.deployment != *deployment {
            return Err(RosterError::Foreign { deployment: roster.deployment });
        }
        authority.check(&signers)?;
        let digest = signed.digest();
        if let Some(floor) = floor {
            if roster.version < floor.version {
                return Err(RosterError::Older { version: roster.version, seen: floor.version });
            }
            let same = roster.version == floor.version;
            if same && floor.digest.is_some_and(|seen| seen != digest) {
                return Err(RosterError::Contradiction { version: roster.version });
            }
            // Across a gap the links between cannot be checked; the threshold of signatures stands alone.
            let next = floor.version.checked_add(1) == Some(roster.version);
            if next && floor.digest.is_some() && roster.previous != floor.digest {
                return Err(RosterError::Unlinked { version: roster.version });
            }
        }
        Ok(AdmittedRoster { roster, digest })
    }

    /// [`Roster::verify`], and the roster is in force at `now`.
    pub fn admit(
        signed: &Signed,
        deployment: &DeploymentId,
        authority: &AuthoritySet,
        floor: Option<&RosterFloor>,
        now: Time,
    ) -> Result<AdmittedRoster, RosterError> {
        let admitted = Self::verify(signed, deployment, authority, floor)?;
        admitted.in_force(now)?;
        Ok(admitted)
    }
}

impl AuthoritySet {
    /// Counts distinct authority keys among `signers`; other keys count for nothing.
    ///
    /// # Errors
    /// [`RosterError::Threshold`] when they are too few.
    pub fn check(&self, signers: &[PublicKey]) -> Result<(), RosterError> {
        let found = self.keys.iter().filter(|key| signers.contains(key)).count();
        let needed = to_usize(u64::from(self.threshold));
        if needed > 0 && found >= needed {
            Ok(())
        } else {
            Err(RosterError::Threshold { found, needed: self.threshold })
        }
    }
}

/// A roster that is not in force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RosterError {
    /// Two rosters with one version: the authority contradicts itself, or its keys are stolen.
    #[error("another roster of version {version} was seen before")]
    Contradiction { version: u64 },
    /// The bytes are not a signed roster.
    #[error("roster")]
    Document {
        #[source]
        source: SignedError,
    },
    /// Past its `not_after`.
    #[error("roster {version} expired at {not_after}; publish a newer one")]
    Expired {
        version: u64,
        /// When it expired.
        not_after: Time,
    },
    /// The roster is of another deployment.
    #[error("roster is of deployment {deployment}")]
    Foreign {
        /// The deployment that it names.
        deployment: DeploymentId,
    },
    /// Older than one seen before.
    #[error("roster version {version} is older than version {seen}, which was seen before")]
    Older {
        /// The version offered.
        version: u64,
        /// The version seen.
        seen: u64,
    },
    /// Signed by too few authority keys.
    #[error("{found} of the {needed} authority signatures it needs")]
    Threshold {
        /// Distinct authority keys that signed.
        found: usize,
        needed: u32,
    },
    /// Its `previous` is not the roster before.
    #[error("roster {version} does not name the roster before it")]
    Unlinked { version: u64 },
}
