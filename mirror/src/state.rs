//! `state.json`: what this mirror signed last, for each role, and whether it is stopped by a fraud (docs/spec/mirror.md, *State and crashes*).
//!
//! Guarantee: replaced as a whole and durable before anything that follows from it leaves; made by `init` only; one process.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

/// Name of the file in the mirror's directory.
pub const STATE_FILE: &str = "state.json";
const TYPE: &str = "exhibit-mirror-state-v1";
/// Longest file: two notes of the largest kind, escaped.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    state: String,
    /// Deployment.
    pub deployment: String,
    /// Newest note this mirror vouches consistency for, with its `/witness` line.
    pub witnessed: Option<String>,
    /// Newest note whose tree it holds, with its `/mirror` line.
    pub held: Option<String>,
    /// File of a fraud proof that nobody acknowledged.
    pub fraud: Option<String>,
}

impl State {
    /// Before anything was signed.
    #[must_use]
    pub fn new(deployment: &str) -> Self {
        Self {
            state: TYPE.to_owned(),
            deployment: deployment.to_owned(),
            witnessed: None,
            held: None,
            fraud: None,
        }
    }

    /// Reads the file, locking nothing: for `status`.
    ///
    /// # Errors
    /// When it is not there or is none.
    pub fn read(directory: &Path) -> Result<Self, StateError> {
        let path = directory.join(STATE_FILE);
        let length = fs_err::metadata(&path).map_err(StateError::Io)?.len();
        let refused = |reason: String| StateError::Content { path: path.clone(), reason };
        if length > FILE_BYTES_MAX {
            return Err(refused(format!("it has {length} bytes")));
        }
        let bytes = fs_err::read(&path).map_err(StateError::Io)?;
        let state: Self = serde_json::from_slice(&bytes).map_err(|error| refused(error.to_string()))?;
        if state.state == TYPE { Ok(state) } else { Err(refused(format!("it is a {}", state.state))) }
    }

    /// The line.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings cannot fail to serialise.
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

/// The file, held by this process alone.
#[derive(Debug)]
pub struct StateFile {
    directory: PathBuf,
    _lock: File,
}

impl StateFile {
    /// Locks a mirror's directory and reads its state.
    ///
    /// # Errors
    /// `Busy` when another process has it; otherwise of the file.
    pub fn open(directory: &Path) -> Result<(Self, State), StateError> {
        let file = lock(directory)?;
        let state = State::read(directory)?;
        let held = Self { directory: directory.to_owned(), _lock: file };
        Ok((held, state))
    }

    /// Makes the first state. Refuses where one is.
    ///
    /// # Errors
    /// Of the file.
    pub fn create(directory: &Path, state: &State) -> Result<(), StateError> {
        let _lock = lock(directory)?;
        if directory.join(STATE_FILE).exists() {
            return Err(StateError::Exists { path: directory.join(STATE_FILE) });
        }
        replace(directory, STATE_FILE, &state.to_bytes()).map_err(StateError::Io)
    }

    /// Makes a state the one in force, durably.
    ///
    /// # Errors
    /// Of the file: the state of before or this one is in force, and nothing may leave that follows from this one.
    pub fn write(&self, state: &State) -> Result<(), StateError> {
        replace(&self.directory, STATE_FILE, &state.to_bytes()).map_err(StateError::Io)
    }
}

fn lock(directory: &Path) -> Result<File, StateError> {
    let path = directory.join("lock");
    let file = fs_err::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(StateError::Io)?;
    let file = File::from(file);
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StateError::Busy { path: directory.to_owned() }),
        Err(errno) => Err(StateError::Io(errno.into())),
    }
}

/// Temporary file → fsync → rename → fsync of the directory.
///
/// # Errors
/// Of the file system; the old content or the new one is there then.
pub fn replace(directory: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = directory.join(format!(".{name}.next"));
    let mut file = fs_err::File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs_err::rename(&temporary, directory.join(name))?;
    fs_err::File::open(directory)?.sync_all()
}

/// No usable state.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another process works here.
    #[error("{} is in use by another mirror process; stop it first", path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// Not a state.
    #[error("{} is not this mirror's state: {reason}. Restore the newest copy of it; never make one up: it says what was signed", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// There is one.
    #[error("{} is there already; it is never begun anew", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file.
    #[error("the mirror's state")]
    Io(#[source] std::io::Error),
}
