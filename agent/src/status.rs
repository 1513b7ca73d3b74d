//! The answer of `exhibit-agent status` to the machine's owner, whether the agent runs or not.
//!
//! Guarantee: it only reads, needs no network, and reports what is wrong instead of leaving it out. Not here:
//! the log itself (`diary`).

use std::path::Path;

use certs::certificate::Leaf;
use evidence::digest::Digest;
use evidence::roster::Roster;
use evidence::time::Time;
use serde::Serialize;

use crate::diary;
use crate::policy::Policy;
use crate::state::clock::Reading;
use crate::state::identity::{Identity, IdentityStateError};
use crate::state::{counter, receipts};
use crate::warden::lane;

/// One look at the state.
#[derive(Debug, Serialize)]
pub struct Status {
    /// Deployment.
    pub deployment: String,
    /// Endpoint.
    pub endpoint: String,
    /// Its generation.
    pub generation: u32,
    /// Fingerprint of its evidence key.
    pub evidence_key: String,
    /// The collector's address.
    pub collector: String,
    /// When the certificate ends.
    pub certificate_until: Option<Time>,
    /// Version and end of the roster.
    pub roster: Option<(u64, Time)>,
    /// Whether an agent runs on this state.
    pub is_running: bool,
    /// How often the agent was started.
    pub starts: u64,
    /// Policy in force: file and digest.
    pub policy: Option<(String, Digest)>,
    /// Events in the endpoint's log.
    pub log_events: u64,
    /// Its head, as the next manifest names it.
    pub log_head: Option<Digest>,
    /// Receipts kept.
    pub receipts: usize,
    /// Problems that a person should look at.
    pub warnings: Vec<String>,
}

/// Reads the state of `dir`.
///
/// # Errors
/// If there is no enrolment, or it cannot be read at all.
pub fn read(dir: &Path, policy: Option<&Path>) -> Result<Status, IdentityStateError> {
    let identity = Identity::open(dir)?;
    let now = Reading::now().wall;
    let pins = &identity.pins;
    let mut warnings = Vec::new();
    let leaf = identity.credentials.chain.first().and_then(|leaf| Leaf::parse(leaf).ok());
    let certificate_until = leaf.map(|leaf| leaf.not_after);
    if certificate_until.is_none_or(|until| until < now) {
        warnings
            .push("the TLS certificate has ended; the agent renews it by itself within 90 days".to_owned());
    }
    let roster = identity.roster().ok().and_then(|signed| signed.read::<Roster>().ok());
    let roster = roster.map(|roster| (roster.version, roster.not_after));
    if roster.is_none_or(|(_, until)| until < now) {
        warnings.push(
            "the roster has ended: no order is obeyed until the authority publishes a newer one".to_owned(),
        );
    }
    let policy = match Policy::load(policy) {
        Ok(policy) => {
            if policy.rules.pause {
                warnings.push("the policy pauses all collecting".to_owned());
            }
            let file = policy.file.map_or_else(|| "built in".to_owned(), |file| file.display().to_string());
            Some((file, policy.digest))
        }
        Err(error) => {
            warnings.push(format!("no order is obeyed: {}", evidence::causes::chain(&error)));
            None
        }
    };
    let mut log_events = 0;
    let log_head = match diary::read(dir, |_| log_events += 1) {
        Ok(head) => head.map(|head| head.sha256),
        Err(error) => {
            warnings.push(error.to_string());
            None
        }
    };
    let is_running =
        matches!(counter::lock(dir), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
    if !is_running {
        warnings.push("no agent runs on this state; `systemctl start exhibit-agent`".to_owned());
    }
    if lane::user_named(crate::SERVICE_USER).is_none() {
        warnings.push(format!(
            "there is no user `{}` to run link and sealer as: they run as the agent's user, who can read the evidence key",
            crate::SERVICE_USER
        ));
    }
    Ok(Status {
        deployment: pins.deployment.to_string(),
        endpoint: pins.endpoint.to_string(),
        generation: pins.generation.number(),
        evidence_key: identity.evidence_key.public().fingerprint().to_string(),
        collector: pins.collector.clone(),
        certificate_until,
        roster,
        is_running,
        starts: counter::read(dir)?,
        policy,
        log_events,
        log_head,
        receipts: receipts::count(dir)?,
        warnings,
    })
}

impl std::fmt::Display for Status {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            out,
            "endpoint      {} generation {} of {}",
            self.endpoint, self.generation, self.deployment
        )?;
        writeln!(out, "evidence key  {}", self.evidence_key)?;
        writeln!(out, "collector     {}", self.collector)?;
        writeln!(
            out,
            "agent         {}, started {} times",
            if self.is_running { "running" } else { "stopped" },
            self.starts
        )?;
        if let Some(until) = self.certificate_until {
            writeln!(out, "certificate   until {until}")?;
        }
        if let Some((version, until)) = self.roster {
            writeln!(out, "roster        {version}, until {until}")?;
        }
        if let Some((file, digest)) = &self.policy {
            writeln!(out, "policy        {file}, SHA-256 {digest}")?;
        }
        write!(out, "log           {} events", self.log_events)?;
        if let Some(head) = self.log_head {
            write!(out, ", head {head}")?;
        }
        writeln!(out, "\nreceipts      {}", self.receipts)?;
        for warning in &self.warnings {
            writeln!(out, "! {warning}")?;
        }
        Ok(())
    }
}
