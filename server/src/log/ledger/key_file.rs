//! The log key on disk: one line, readable by its owner alone.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

const HEADER: &str = "exhibit-log-key-v1 ";

/// Makes a new log key. Never replaces an existing one: notes of the two keys would contradict each other.
pub fn create_log_key(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    Ok(durable::create_seed(path, HEADER)?)
}

/// Reads the log key. Refuses a file that others may read.
pub fn read_log_key(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    durable::read_seed(path, HEADER).map_err(|error| match error {
        durable::KeyFileError::Form { path } => KeyFileError::Form { path },
        other => KeyFileError::File(other),
    })
}

/// Why there is no usable log key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file cannot be read or written, or others may read it.
    #[error(transparent)]
    File(#[from] durable::KeyFileError),
    /// The file is not one line in our form.
    #[error("{} is not a log key. Restore it from the backup; if it is lost, have a new key follow: `exhibit-server log-key propose --reason lost`", path.display())]
    Form {
        /// The file.
        path: PathBuf,
    },
}
