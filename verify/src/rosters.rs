//! The check `roster`: the pinned authority signed each roster, each links to the one before, and its `roster.published` entry says since
//! when it is in force.

use std::collections::BTreeMap;

use custody::rule::{RuleId, must};
use evidence::id::DeploymentId;
use evidence::keys::PublicKey;
use evidence::roster::Person;
use evidence::roster::{AdmittedRoster, Role, Roster, RosterFloor};

use crate::documents::signed;
use crate::entries::Proven;
use crate::files::Files;
use crate::trust::Trust;
use evidence::causes::chain;

/// Verified rosters by version.
#[derive(Debug, Default)]
pub(crate) struct Rosters {
    by_version: BTreeMap<u64, AdmittedRoster>,
    /// Log index of `roster.published` → version.
    published: BTreeMap<u64, u64>,
}

impl Rosters {
    /// Reads and verifies every `deployment/roster-<version>.json`.
    pub(crate) fn load(files: &Files<'_>, deployment: &DeploymentId, trust: &Trust) -> Result<Self, String> {
        let mut versions: Vec<u64> = files
            .below("deployment/roster-")
            .filter_map(|name| name.strip_prefix("deployment/roster-")?.strip_suffix(".json")?.parse().ok())
            .collect();
        versions.sort_unstable();
        let mut rosters = Self::default();
        let mut floor: Option<RosterFloor> = None;
        for version in versions {
            let signed = signed(files, &format!("deployment/roster-{version}"))?;
            let roster = Roster::verify(&signed, deployment, &trust.authority, floor.as_ref())
                .map_err(|cause| format!("roster-{version}: {}", chain(&cause)))?;
            if roster.roster().version != version {
                return Err(format!("roster-{version} is version {}", roster.roster().version));
            }
            floor = Some(roster.floor());
            rosters.by_version.insert(version, roster);
        }
        let Some(newest) = rosters.newest() else {
            return Err("the bundle has no roster".to_owned());
        };
        if newest.roster().version < trust.roster_version_min {
            return Err(format!(
                "newest roster is version {}, the pinned minimum is {}",
                newest.roster().version,
                trust.roster_version_min
            ));
        }
        Ok(rosters)
    }

    pub(crate) fn newest(&self) -> Option<&AdmittedRoster> {
        self.by_version.values().next_back()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_version.len()
    }

    pub(crate) fn version(&self, version: u64) -> Option<&AdmittedRoster> {
        self.by_version.get(&version)
    }

    /// Records that this entry published its roster. Versions only rise.
    pub(crate) fn place(&mut self, proven: &Proven) -> Result<(), String> {
        let (digest, index) = (&proven.entry.envelope.event, proven.index);
        let version = self
            .by_version
            .iter()
            .find(|(_, roster)| roster.digest() == *digest)
            .map(|(version, _)| *version);
        let version = version
            .ok_or_else(|| format!("roster.published at {index} names a roster that is not in the bundle"))?;
        let named = proven.reference("version") == Some(version.to_string().as_str())
            && proven.reference("roster") == Some(digest.to_string().as_str());
        if !named {
            return Err(format!("roster.published at {index} names another roster than it records"));
        }
        if self.published.values().any(|earlier| *earlier >= version) {
            return Err(format!("roster {version} was published again, or after a newer one"));
        }
        let before = self.published.values().max();
        must(
            RuleId::Roster4,
            before.is_none_or(|before| before.checked_add(1) == Some(version)),
            format_args!("roster {version} does not follow the roster before it"),
        )
        .map_err(|broken| broken.to_string())?;
        self.published.insert(index, version);
        Ok(())
    }

    /// Checks that an entry published every roster in the bundle.
    pub(crate) fn check_all_published(&self) -> Result<(), String> {
        match self
            .by_version
            .keys()
            .find(|version| !self.published.values().any(|published| published == *version))
        {
            None => Ok(()),
            Some(version) => Err(format!("roster {version} has no roster.published entry")),
        }
    }

    /// The roster in force when the entry at `index` was recorded.
    pub(crate) fn in_force(&self, index: u64) -> Option<&Roster> {
        let version = self.published.range(..index).map(|(_, version)| *version).max()?;
        self.by_version.get(&version).map(AdmittedRoster::roster)
    }

    /// The person who owned `key` with one of `roles` at `index`.
    pub(crate) fn person(&self, index: u64, key: &PublicKey, roles: &[Role]) -> Option<&Person> {
        self.in_force(index)?.person_of_key(key).filter(|person| roles.iter().any(|role| person.has(*role)))
    }
}
