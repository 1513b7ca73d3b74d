//! The check `roster`: the pinned authority signed each roster, each links to the one before, and an entry published it.
//! Not here: which roster was in force at an entry ([`crate::fold`]).

use std::collections::BTreeMap;

use evidence::entry::EntryType;
use evidence::id::DeploymentId;
use evidence::roster::{AdmittedRoster, Roster, RosterFloor};

use crate::documents::signed;
use crate::entries::Entries;
use crate::files::Files;
use crate::trust::Trust;
use evidence::causes::chain;

/// Verified rosters by version.
#[derive(Debug, Default)]
pub(crate) struct Rosters {
    by_version: BTreeMap<u64, AdmittedRoster>,
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

    /// Checks that an entry published every roster in the bundle (`roster-9`).
    pub(crate) fn check_all_published(&self, entries: &Entries) -> Result<(), String> {
        let published = |roster: &AdmittedRoster| {
            let mut entries = entries.of_deployment(EntryType::RosterPublished);
            entries.any(|proven| proven.entry.envelope.event == roster.digest())
        };
        match self.by_version.iter().find(|(_, roster)| !published(roster)) {
            None => Ok(()),
            Some((version, _)) => Err(format!("roster {version} has no roster.published entry")),
        }
    }
}
