//! The log key on disk: one line, readable by its owner alone.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

const HEADER: &str = "exhibit-log-key-v1 ";

/// Makes a new log key. Never replaces one: its notes would contradict those of the old.
///
/// # Errors
/// When the file exists or cannot be written, or the kernel gives no randomness.
pub fn create_log_key(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    Ok(durable::create_seed(path, HEADER)?)
}

/// Reads the log key through the descriptor whose mode was checked; refuses a file that others may read.
///
/// # Errors
/// `Mode` and `Form` name the next step.
pub fn read_log_key(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    Ok(durable::read_seed(path, HEADER)?)
}

impl From<durable::KeyFileError> for KeyFileError {
    fn from(error: durable::KeyFileError) -> Self {
        match error {
            durable::KeyFileError::Form { path } | durable::KeyFileError::Kind { path, .. } => {
                Self::Form { path }
            }
            durable::KeyFileError::Io(source) => Self::Io { source },
            durable::KeyFileError::Mode { path, mode } => Self::Mode { path, mode },
            durable::KeyFileError::Random { source } => Self::Random { source },
            other => Self::Io { source: std::io::Error::other(other) },
        }
    }
}

/// A log key that cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// Not one line of our form.
    #[error("{} is not a log key. Restore it from the backup; if it is lost, have a new key follow: `exhibit-server log-key propose --reason lost`", path.display())]
    Form {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("log key file")]
    Io {
        /// Cause, naming the file.
        #[source]
        source: std::io::Error,
    },
    /// Others may read it.
    #[error("{} has mode {mode:04o}, others may read it. Run `chmod 600` on it, and consider the key known", path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// No randomness.
    #[error("draw a log key from the kernel")]
    Random {
        /// Cause.
        #[source]
        source: getrandom::Error,
    },
}
