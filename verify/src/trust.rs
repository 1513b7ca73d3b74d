//! The trust directory: the keys and minimum versions that the verifier pinned beforehand. No bundle can change them.

use std::collections::BTreeSet;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evidence::causes::chain;
use evidence::roster::AuthoritySet;
use ledger::Policy;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Deserialize;

const LOG_KEYS: &str = "log-keys.json";

/// A change of the log key: its entry and the entry's `.tlog-proof`, as its owner received them.
pub type ShownChange = (Vec<u8>, Vec<u8>);

/// Pinned keys and minimum versions (docs/spec/bundle.md, Trust directory).
#[derive(Debug, Clone)]
pub struct Trust {
    /// Authority keys and threshold.
    pub authority: AuthoritySet,
    /// Log key, witnesses, quorum.
    pub policy: Policy,
    /// Changes of the log key that lead to or from the pinned one: entries and their proofs, from change 1 on.
    pub log_keys: Vec<ShownChange>,
    /// Certificates of time-stamping authorities; empty: stamps are not checked.
    pub tsa: Vec<CertificateDer<'static>>,
    /// A bundle whose newest roster is older fails.
    pub roster_version_min: u64,
    /// If true, a bundle that is marked as exported without quorum need not meet the policy's quorum. The directory cannot set this.
    pub accept_without_quorum: bool,
}

/// Why a trust directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {why}")]
pub struct TrustError {
    pub file: String,
    /// The fault.
    pub why: String,
}

impl Trust {
    /// Reads a trust directory. The error names the file that is missing or malformed.
    pub fn load(dir: &Path) -> Result<Self, TrustError> {
        let error = |file: &str, why: String| TrustError { file: dir.join(file).display().to_string(), why };
        let required =
            |file: &str| fs_err::read(dir.join(file)).map_err(|cause| error(file, cause.to_string()));
        let authority = String::from_utf8(required("authority")?)
            .map_err(|cause| error("authority", cause.to_string()))?;
        let authority =
            AuthoritySet::from_trust_file(&authority).map_err(|cause| error("authority", chain(&cause)))?;
        let policy = Policy::parse(&required("policy")?).map_err(|cause| error("policy", chain(&cause)))?;
        let names: BTreeSet<&str> = policy.logs().iter().map(|log| log.key.name()).collect();
        if names.len() < policy.logs().len() {
            return Err(error("policy", "two logs have keys of one name".to_owned()));
        }
        let tsa = optional(dir, "tsa.pem").map_err(|cause| error("tsa.pem", cause.to_string()))?;
        let tsa = match tsa {
            None => Vec::new(),
            Some(pem) => {
                let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
                let certificates = certificates.map_err(|cause| error("tsa.pem", cause.to_string()))?;
                if certificates.is_empty() {
                    return Err(error("tsa.pem", "holds no certificate".to_owned()));
                }
                certificates
            }
        };
        let log_keys = optional(dir, LOG_KEYS).map_err(|cause| error(LOG_KEYS, cause.to_string()))?;
        let log_keys = match log_keys {
            None => Vec::new(),
            Some(bytes) => changes(&bytes).map_err(|why| error(LOG_KEYS, why))?,
        };
        let minimum = optional(dir, "roster_version_min")
            .map_err(|cause| error("roster_version_min", cause.to_string()))?;
        let roster_version_min = match minimum {
            None => 1,
            Some(bytes) => str::from_utf8(&bytes)
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .ok_or_else(|| error("roster_version_min", "is not a number".to_owned()))?,
        };
        Ok(Self { authority, policy, log_keys, tsa, roster_version_min, accept_without_quorum: false })
    }
}

/// One change in `log-keys.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    entry: String,
    proof: String,
}

fn changes(bytes: &[u8]) -> Result<Vec<ShownChange>, String> {
    let changes: Vec<Change> = serde_json::from_slice(bytes).map_err(|cause| cause.to_string())?;
    let decode = |text: &str| STANDARD.decode(text).map_err(|cause| cause.to_string());
    let pairs = changes.iter().map(|change| Ok((decode(&change.entry)?, decode(&change.proof)?)));
    pairs.collect()
}

fn optional(dir: &Path, file: &str) -> std::io::Result<Option<Vec<u8>>> {
    match fs_err::read(dir.join(file)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(cause),
    }
}
