//! The pins of this home: authority, log key, certificate authority, and the newest roster seen.
//! Guarantee: a roster counts only if the pinned authority signed it and this home has seen no newer one.
//! Not here: how a person pins them (`commands::setup`).

use evidence::digest::Digest;
use evidence::log_key::LogKeys;
use evidence::roster::{AdmittedRoster, AuthoritySet, Roster, RosterFloor};
use evidence::signed::Signed;
use ledger::Policy;
use rustls::pki_types::CertificateDer;

use crate::clock;
use crate::failure::{because, could_not, failed};
use crate::home::{Config, Home};
use crate::log_keys;

/// The pins of a home.
#[derive(Debug)]
pub struct Pins {
    /// The keys that sign rosters.
    pub authority: AuthoritySet,
    /// The pinned log, and the cosigners that its policy requires.
    pub policy: Policy,
    /// The line of keys that signed it, as far as the collector showed it to this home.
    pub log_keys: LogKeys,
    /// The deployment's certificate authority.
    pub ca: CertificateDer<'static>,
    /// No older roster is admitted.
    pub roster_version_min: u64,
}

impl Pins {
    /// Reads `trust/`.
    pub fn load(home: &Home) -> anyhow::Result<Self> {
        let read = |name: &str| {
            let bytes = home.read(&format!("trust/{name}"))?;
            bytes.ok_or_else(|| {
                could_not(format!("trust/{name} is missing"), "set up again in another --home DIR")
            })
        };
        let broken = |name: &str, why: String| {
            could_not(format!("trust/{name}: {why}"), "set up again in another --home DIR")
        };
        let authority = String::from_utf8(read("authority")?)?;
        let authority = AuthoritySet::from_trust_file(&authority)
            .map_err(|cause| broken("authority", because(&cause)))?;
        let policy = Policy::parse(&read("policy")?).map_err(|cause| broken("policy", because(&cause)))?;
        let log_keys = log_keys::load(home, &authority, &policy)?;
        let policy = log_keys.extend(policy).map_err(|cause| broken("policy", because(&cause)))?;
        let roster_version_min = match home.read("trust/roster_version_min")? {
            None => 1,
            Some(bytes) => String::from_utf8_lossy(&bytes)
                .trim_end()
                .parse()
                .map_err(|cause| broken("roster_version_min", format!("not a number: {cause}")))?,
        };
        Ok(Self {
            authority,
            policy,
            log_keys,
            ca: CertificateDer::from(read("ca.der")?),
            roster_version_min,
        })
    }

    /// The log's verifier key in force.
    /// Fails if the policy names no log.
    pub fn log_key(&self) -> anyhow::Result<String> {
        let log = self.policy.logs().first().map(|log| log.key.to_string());
        log.ok_or_else(|| could_not("trust/policy names no log", "set up again in another --home DIR"))
    }

    /// SHA-256 of the pinned certificate authority.
    pub fn ca_sha256(&self) -> Digest {
        Digest::of(&self.ca)
    }

    /// Admits the newest of `rosters` on top of the newest seen, and remembers it.
    /// Fails if none is in force, one is forged, or two contradict each other.
    pub fn admit_rosters(
        &self,
        home: &Home,
        config: &Config,
        rosters: Vec<Signed>,
    ) -> anyhow::Result<AdmittedRoster> {
        let _guard = home.lock()?;
        let seen = match home.read("roster.signed")? {
            Some(bytes) => Some(
                Signed::parse(&bytes)
                    .map_err(|cause| could_not(because(&cause), "remove roster.signed from the home"))?,
            ),
            None => None,
        };
        let start = RosterFloor { version: self.roster_version_min, digest: None };
        let mut newest: Option<(AdmittedRoster, Signed)> = None;
        let mut all: Vec<(u64, Signed)> = Vec::new();
        for signed in seen.into_iter().chain(rosters) {
            let version = signed
                .read::<Roster>()
                .map_err(|cause| failed(because(&cause), "tell the operator"))?
                .version;
            if version >= start.version {
                all.push((version, signed));
            }
        }
        all.sort_by_key(|(version, _)| *version);
        for (_, signed) in all {
            let floor = newest.as_ref().map_or(start, |(roster, _)| roster.floor());
            let admitted = Roster::verify(&signed, &config.deployment, &self.authority, Some(&floor))
                .map_err(|cause| failed(because(&cause), "the collector shows a roster that the pinned authority did not sign so: tell the admins"))?;
            newest = Some((admitted, signed));
        }
        let (roster, signed) = newest.ok_or_else(|| {
            could_not(
                format!("the collector shows no roster from version {} on", start.version),
                "ask the operator to publish it",
            )
        })?;
        roster.in_force(clock::now()?).map_err(|cause| {
            could_not(because(&cause), "ask the admins for the next roster: exhibit authority roster")
        })?;
        home.write("roster.signed", &signed.encode())?;
        Ok(roster)
    }
}
