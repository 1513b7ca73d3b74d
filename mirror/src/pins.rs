//! The operator's pins from when the mirror was made, and the log's keys: the pinned one and each successor
//! that the authority signed.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use evidence::causes::chain;
use evidence::digest::Digest;
use evidence::id::DeploymentId;
use evidence::log_key::{LOG_KEY_CHANGES_MAX, LogKeys};
use evidence::roster::AuthoritySet;
use evidence::signed::Signed;
use ledger::VerifierKey;
use store::{Key, Replicas, StoreErrorClass};

/// The operator's pins from when the mirror was made.
#[derive(Debug, Clone)]
pub struct Pins {
    pub deployment: DeploymentId,
    /// The ledger's keys, starting with the pinned one.
    pub log_keys: KeyRing,
    /// SHA-256 of the CA certificate.
    pub ca_sha256: Digest,
    /// The authority's keys, which sign rosters.
    pub authority: AuthoritySet,
}

impl Pins {
    /// Name of the log.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("exhibit/{}", self.deployment)
    }
}

/// Folder of the signed key changes in a mirror's directory.
pub const LOG_KEYS: &str = "log-keys";

/// The keys of the log, as every part of a mirror knows them. Clones share one list.
#[derive(Debug, Clone)]
pub struct KeyRing(Arc<RwLock<LogKeys>>);

impl From<LogKeys> for KeyRing {
    fn from(keys: LogKeys) -> Self {
        Self(Arc::new(RwLock::new(keys)))
    }
}

impl KeyRing {
    /// The keys in a mirror's directory, starting with the pinned one.
    ///
    /// # Errors
    /// If a file is not a signed change, or the changes do not follow from each other.
    pub fn load(
        directory: &Path,
        deployment: &DeploymentId,
        authority: &AuthoritySet,
        pinned: &VerifierKey,
    ) -> Result<Self, String> {
        held(&directory.join(LOG_KEYS), deployment, authority, pinned).map(Self::from)
    }

    /// The keys as they are now.
    #[must_use]
    pub fn keys(&self) -> LogKeys {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, keys: LogKeys) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }
}

/// The keys that the signed changes in a folder lead to, starting with the pinned one.
///
/// # Errors
/// If a file is not a signed change, or the changes do not follow from each other.
pub fn held(
    folder: &Path,
    deployment: &DeploymentId,
    authority: &AuthoritySet,
    pinned: &VerifierKey,
) -> Result<LogKeys, String> {
    LogKeys::signed(deployment, authority, pinned, &documents(folder)?).map_err(|error| chain(&error))
}

pub(crate) fn file_name(number: usize) -> String {
    format!("{number:06}.signed")
}

pub(crate) fn documents(folder: &Path) -> Result<Vec<Signed>, String> {
    let mut documents = Vec::new();
    for number in 1..=LOG_KEY_CHANGES_MAX {
        let path = folder.join(file_name(number));
        match fs_err::read(&path) {
            Ok(bytes) => {
                let signed = Signed::parse(&bytes);
                documents.push(signed.map_err(|error| format!("{}: {}", path.display(), chain(&error)))?);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(documents)
}

/// The signed changes in the mirror's own stores.
pub fn of_stores(stores: &Replicas) -> Result<Vec<Signed>, String> {
    let mut documents = Vec::new();
    for number in (1..).take(LOG_KEY_CHANGES_MAX) {
        match stores.read(&Key::log_key(number)) {
            Ok(bytes) => documents.push(Signed::parse(&bytes).map_err(|error| chain(&error))?),
            Err(error) if error.class() == StoreErrorClass::NotFound => break,
            Err(error) => return Err(chain(&error)),
        }
    }
    Ok(documents)
}
