//! `deployment.json`: the part of the deployment's public card that a mirror uses.

use std::path::Path;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evidence::digest::Digest;
use evidence::enrolment::Address;
use evidence::id::{CollectorId, DeploymentId};
use ledger::VerifierKey;
use serde::Deserialize;

/// The fields of `deployment.json` that a mirror needs.
#[derive(Debug, Clone)]
pub struct Card {
    pub deployment: DeploymentId,
    pub collector: CollectorId,
    /// CA certificate, DER.
    pub ca: Vec<u8>,
    /// The ledger's key.
    pub log_key: VerifierKey,
    pub address: Address,
    pub enrol: Address,
}

#[derive(Deserialize)]
struct RawCard {
    deployment: DeploymentId,
    collector: CollectorId,
    ca: String,
    ca_sha256: Digest,
    log_key: String,
    address: Address,
    enrol_address: Address,
}

impl Card {
    /// Reads a card.
    ///
    /// # Errors
    /// If the file cannot be read, or its values contradict each other. The error names the file and who has another copy.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = fs_err::read(path)
            .context("read the deployment's card. The deployment's admin hands out deployment.json")?;
        Self::parse(&bytes).with_context(|| {
            format!(
                "{} is no card of a deployment. Get deployment.json again from the deployment's admin",
                path.display()
            )
        })
    }

    fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        let raw: RawCard = serde_json::from_slice(bytes)?;
        let ca = STANDARD.decode(&raw.ca).context("ca")?;
        ensure!(Digest::of(&ca) == raw.ca_sha256, "ca_sha256 is not the digest of ca");
        let log_key = VerifierKey::parse(&raw.log_key).context("log_key")?;
        ensure!(
            log_key.name() == format!("exhibit/{}", raw.deployment),
            "the log key is of {}",
            log_key.name()
        );
        Ok(Self {
            deployment: raw.deployment,
            collector: raw.collector,
            ca,
            log_key,
            address: raw.address,
            enrol: raw.enrol_address,
        })
    }
}
