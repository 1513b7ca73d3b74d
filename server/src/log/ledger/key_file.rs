//! The log key on disk: one line, readable by its owner alone.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

const HEADER: &str = "exhibit-log-key-v1 ";

/// Makes a new log key. Never replaces one: its notes would contradict those of the old.
///
/// # Errors
/// When the file exists or cannot be written, or the kernel gives no randomness.
pub fn create_log_key(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).map_err(|source| KeyFileError::Random { source })?;
    let mut options = fs_err::OpenOptions::new();
    fs_err::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let failed = |source| KeyFileError::Io { source };
    let mut file = options.write(true).create_new(true).open(path).map_err(failed)?;
    let line = Zeroizing::new(format!("{HEADER}{}\n", STANDARD.encode(seed.as_ref())));
    file.write_all(line.as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    let parent = path.parent().unwrap_or(Path::new("."));
    fs_err::File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed)?;
    Ok(seed)
}

/// Reads the log key; refuses a file that others may read.
///
/// # Errors
/// `Mode`, `Form`, or of the operating system.
pub fn read_log_key(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let failed = |source| KeyFileError::Io { source };
    let file = fs_err::File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Mode { path: path.to_owned(), mode });
    }
    let text = Zeroizing::new(fs_err::read_to_string(path).map_err(failed)?);
    let form = || KeyFileError::Form { path: path.to_owned() };
    let encoded = text.strip_prefix(HEADER).and_then(|rest| rest.strip_suffix('\n')).ok_or_else(form)?;
    let bytes = Zeroizing::new(STANDARD.decode(encoded).or(Err(form()))?);
    let mut seed = Zeroizing::new([0; 32]);
    if bytes.len() != seed.len() {
        return Err(form());
    }
    seed.copy_from_slice(&bytes);
    Ok(seed)
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
