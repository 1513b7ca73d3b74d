//! `state.json`: what this mirror signed last in each role, and the fraud that stops it (docs/spec/mirror.md, *State and crashes*).
//!
//! Guarantee: the file is replaced as a whole. It is durable before anything that depends on it leaves the
//! process. Only `init` creates it. One process at a time holds it.

use std::path::{Path, PathBuf};

use durable::Lock;
use serde::{Deserialize, Serialize};

/// Name of the file in the mirror's directory.
pub(crate) const STATE_FILE: &str = "state.json";
const TYPE: &str = "exhibit-mirror-state-v1";
/// Longest file: it holds two notes of the largest kind, escaped.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The content of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    state: String,
    pub deployment: String,
    /// Newest note whose consistency this mirror vouches for, with its `/witness` line.
    pub witnessed: Option<String>,
    /// Newest note whose tree this mirror holds, with its `/mirror` line.
    pub held: Option<String>,
    /// The file of a fraud proof that nobody has acknowledged.
    pub fraud: Option<String>,
}

impl State {
    /// The state before anything was signed.
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

    /// Reads the file without a lock, for `status`.
    ///
    /// # Errors
    /// If the file is missing or is not a state file.
    pub fn read(directory: &Path) -> Result<Self, StateError> {
        let path = directory.join(STATE_FILE);
        let refused = |reason: String| StateError::Content { path: path.clone(), reason };
        let missing =
            || std::io::Error::new(std::io::ErrorKind::NotFound, format!("there is no {}", path.display()));
        let bytes = durable::read_at_most(&path, FILE_BYTES_MAX).and_then(|bytes| bytes.ok_or_else(missing));
        let bytes = bytes.map_err(StateError::Io)?;
        let state: Self = serde_json::from_slice(&bytes).map_err(|error| refused(error.to_string()))?;
        if state.state == TYPE { Ok(state) } else { Err(refused(format!("it is a {}", state.state))) }
    }

    /// The state as one line.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        #[expect(clippy::expect_used, reason = "strings cannot fail to serialise")]
        let mut bytes = serde_json::to_vec(self).expect("strings");
        bytes.push(b'\n');
        bytes
    }
}

/// The file, held by this process alone.
#[derive(Debug)]
pub struct StateFile {
    directory: PathBuf,
    _lock: Lock,
}

impl StateFile {
    /// Locks a mirror's directory and reads its state.
    ///
    /// # Errors
    /// `Busy` if another process has it; otherwise an error of the file.
    pub fn open(directory: &Path) -> Result<(Self, State), StateError> {
        let lock = lock(directory)?;
        let state = State::read(directory)?;
        let held = Self { directory: directory.to_owned(), _lock: lock };
        Ok((held, state))
    }

    /// Makes the first state. Refuses if a state exists.
    pub fn create(directory: &Path, state: &State) -> Result<(), StateError> {
        let _lock = lock(directory)?;
        if directory.join(STATE_FILE).exists() {
            return Err(StateError::Exists { path: directory.join(STATE_FILE) });
        }
        write(directory, state)
    }

    /// Puts a state in force, durably.
    ///
    /// # Errors
    /// Either the previous state or this one is in force. Nothing that depends on this one may leave the
    /// process.
    pub fn write(&self, state: &State) -> Result<(), StateError> {
        write(&self.directory, state)
    }
}

fn write(directory: &Path, state: &State) -> Result<(), StateError> {
    durable::replace(&directory.join(STATE_FILE), &state.to_bytes(), 0o644).map_err(StateError::Io)
}

fn lock(directory: &Path) -> Result<Lock, StateError> {
    Lock::try_take(&directory.join("lock")).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => StateError::Busy { path: directory.to_owned() },
        _ => StateError::Io(error),
    })
}

/// Why there is no usable state.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another process uses this directory.
    #[error("{} is in use by another mirror process; stop it first", path.display())]
    Busy { path: PathBuf },
    /// The file does not hold a state.
    #[error("{} is not this mirror's state: {reason}. Restore the newest copy of it; never make one up: it says what was signed", path.display())]
    Content {
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A state exists already.
    #[error("{} is there already; it is never begun anew", path.display())]
    Exists { path: PathBuf },
    /// The status beside it cannot be read.
    #[error("{} is not a mirror's status: {reason}. Remove it; a running mirror writes it again", path.display())]
    Status {
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    #[error("the mirror's state")]
    Io(#[source] std::io::Error),
}
