//! `deployment.json`: the part of the deployment's public card that a mirror uses.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evidence::causes::chain;
use evidence::digest::Digest;
use evidence::enrolment::Address;
use evidence::id::{CollectorId, DeploymentId};
use ledger::VerifierKey;
use serde::Deserialize;

use super::ConfigError;

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
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let refused = |reason: String| ConfigError::Content { path: path.to_owned(), reason };
        let bytes = fs_err::read(path).map_err(ConfigError::Io)?;
        let raw: RawCard = serde_json::from_slice(&bytes).map_err(|error| refused(error.to_string()))?;
        let ca = STANDARD.decode(&raw.ca).map_err(|error| refused(format!("ca: {error}")))?;
        if Digest::of(&ca) != raw.ca_sha256 {
            return Err(refused("ca_sha256 is not the digest of ca".to_owned()));
        }
        let log_key = VerifierKey::parse(&raw.log_key).map_err(|error| refused(chain(&error)))?;
        if log_key.name() != format!("exhibit/{}", raw.deployment) {
            return Err(refused(format!("the log key is of {}", log_key.name())));
        }
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
