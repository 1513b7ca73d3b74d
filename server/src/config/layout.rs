//! The paths of a collector's directory, and the modes that say which users may read them.
//! Guarantee: the collector refuses a directory or key file that others can read, and names the command that mends it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use evidence::roster::AuthoritySet;
use ledger::VerifierKey;

use super::CONFIG_FILE;

/// The paths of a collector's directory.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The directory.
    pub directory: PathBuf,
}

impl Layout {
    /// A collector's directory.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Key and certificate of the certificate authority.
    pub(crate) fn ca(&self) -> PathBuf {
        self.directory.join("keys/ca")
    }

    /// Seed of the log key.
    pub fn log_key(&self) -> PathBuf {
        self.directory.join("keys/log")
    }

    /// Seed of the next log key.
    pub fn log_key_next(&self) -> PathBuf {
        self.directory.join("keys/log.next")
    }

    /// Folder of earlier log keys.
    pub fn retired_keys(&self) -> PathBuf {
        self.directory.join("keys/retired")
    }

    /// Changes of the log key, as the authority signed them.
    pub fn log_keys(&self) -> PathBuf {
        self.directory.join("log-keys")
    }

    /// The policy of cosigners, `ledger.policy`.
    pub fn policy(&self) -> PathBuf {
        self.directory.join("ledger.policy")
    }

    /// Public keys of the deployment's authority, with their threshold.
    pub(crate) fn authority(&self) -> PathBuf {
        self.directory.join("authority")
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.directory.join("exhibit.db")
    }

    /// The public card.
    pub fn card(&self) -> PathBuf {
        self.directory.join("deployment.json")
    }

    /// The recorded abilities of a bucket.
    pub(crate) fn capabilities(&self, store: &str) -> PathBuf {
        self.directory.join("stores").join(format!("{store}.json"))
    }

    /// The folder for files that exist only while the collector runs.
    pub(crate) fn run(&self) -> PathBuf {
        self.directory.join("run")
    }

    /// The ledger's public key, from the card: checks and rebuilds need no secret.
    ///
    /// # Errors
    /// If the card cannot be read or names no key.
    pub fn log_verifier_key(&self) -> Result<VerifierKey, LayoutError> {
        let text = fs_err::read_to_string(self.card()).map_err(|source| LayoutError::Io { source })?;
        let refused = |reason: String| LayoutError::Card { path: self.card(), reason };
        let card: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| refused(error.to_string()))?;
        let key = card.get("log_key").and_then(serde_json::Value::as_str);
        let key = key.ok_or_else(|| refused("it names no log_key".to_owned()))?;
        VerifierKey::parse(key).map_err(|error| refused(error.to_string()))
    }

    /// Refuses a directory or keys that others can read.
    ///
    /// # Errors
    /// `Mode` names the path and the command that mends it.
    pub(crate) fn check_modes(&self) -> Result<(), LayoutError> {
        check_mode(&self.directory)?;
        check_mode(&self.directory.join("keys"))?;
        for file in [self.ca(), self.log_key(), self.log_key_next(), self.database()] {
            if file.exists() {
                check_mode(&file)?;
            }
        }
        // It holds no secret, but it shows where evidence goes and who listens.
        let settings = self.directory.join(CONFIG_FILE);
        let mode =
            fs_err::metadata(&settings).map_err(|source| LayoutError::Io { source })?.permissions().mode();
        if mode & 0o022 != 0 {
            return Err(LayoutError::Writable { path: settings, mode: mode & 0o7777 });
        }
        Ok(())
    }
}

fn check_mode(path: &Path) -> Result<(), LayoutError> {
    let metadata = fs_err::metadata(path).map_err(|source| LayoutError::Io { source })?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let wanted = if metadata.is_dir() { 0o700 } else { 0o600 };
    Err(LayoutError::Mode { path: path.to_owned(), mode, wanted })
}

/// Reads the file of authority keys that `exhibit authority init` wrote.
///
/// # Errors
/// If it cannot be read or is not such a file.
pub(crate) fn read_authority(path: &Path) -> Result<AuthoritySet, LayoutError> {
    let text = fs_err::read_to_string(path).map_err(|source| LayoutError::Io { source })?;
    AuthoritySet::from_trust_file(&text)
        .map_err(|error| LayoutError::Authority { path: path.to_owned(), reason: error.to_string() })
}

/// Why a part of a collector's directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// The file of authority keys is malformed.
    #[error("{} does not hold authority keys: {reason}", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The public card is malformed.
    #[error("{} does not name the log key: {reason}", path.display())]
    Card {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file cannot be read.
    #[error("open the collector's directory")]
    Io {
        /// Cause, naming the file.
        #[source]
        source: std::io::Error,
    },
    /// Others may read the path.
    #[error("{} has mode {mode:04o}, others may read it. Run `chmod {wanted:o}` on it, and consider what is in it known", path.display())]
    Mode {
        /// The path.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The mode that it should have.
        wanted: u32,
    },
    /// Others may change the path.
    #[error("{} has mode {mode:04o}, others may change it. Look through it, then run `chmod go-w` on it", path.display())]
    Writable {
        /// The path.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}
