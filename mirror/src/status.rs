//! The state of a mirror, for its operator: a file, metrics and an exit code.
//!
//! Guarantee: an alarm stays until its cause is gone. The file is replaced as a whole. Not here: what is signed ([`crate::cosign::state`]).

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::cosign::state::{STATE_FILE, State, StateError};

/// Name of the file below `run/`.
pub(crate) const STATUS_FILE: &str = "status.json";
/// How many failing collections are named one by one.
const NAMED_MAX: usize = 20;

/// The content of the status file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    pub mirror: String,
    pub deployment: String,
    /// When this status was written.
    pub written: String,
    /// When the collector last sent a note.
    pub last_contact: String,
    /// Size of that note.
    pub offered: u64,
    /// Newest size that the mirror vouches for as `/witness`.
    pub witnessed: u64,
    /// Newest size that the mirror holds and vouches for as `/mirror`.
    pub held: u64,
    /// How many entries of the running round are done.
    pub done: u64,
    /// The problem with the log, the collector or the own store; empty if there is none.
    pub alarm: String,
    /// The reason for a pause that is no alarm: the collector is away.
    pub waiting: String,
    /// File of a fraud proof that nobody has acknowledged.
    pub fraud: Option<String>,
    /// Number of collections that were copied, verified and stated.
    pub collections_held: u64,
    /// Number of collections that still must be copied or stated.
    pub collections_waiting: u64,
    /// Collections that do not verify or cannot be fetched, with the reason.
    pub collections_failing: Vec<(String, String)>,
    /// Bytes of segments copied since the start.
    pub bytes_copied: u64,
    /// Objects put back into the own store since the start.
    pub repaired: u64,
    /// Objects given back to the collector since the start.
    pub given_back: u64,
    /// Number of texts that the collector did not have.
    pub details_missing: u64,
    /// When the last scrub ended; empty before the first.
    pub scrub_finished: String,
    /// Objects that the running or last scrub has read.
    pub scrub_objects: u64,
    /// Objects that the running or last scrub found damaged or lost.
    pub scrub_damaged: u64,
    /// How many of these could not be put back.
    pub scrub_lost: u64,
}

impl Status {
    /// True when somebody must act.
    #[must_use]
    pub fn is_alarm(&self) -> bool {
        self.fraud.is_some()
            || !self.alarm.is_empty()
            || !self.collections_failing.is_empty()
            || self.scrub_lost > 0
    }

    /// Reads the status that the running (or last) process wrote, and the signed state beside it.
    ///
    /// # Errors
    /// [`StateError`] if the directory is not a mirror's, or the file is damaged: a status that cannot be read hides alarms.
    pub fn read(directory: &Path) -> Result<Self, StateError> {
        let state = State::read(directory)?;
        let file = directory.join("run").join(STATUS_FILE);
        let mut status: Self = match fs_err::read(&file) {
            // An object, and nothing else: serde would read `[]` as a status of which nothing is known.
            Ok(bytes) => serde_json::from_slice::<serde_json::Map<_, _>>(&bytes)
                .and_then(|fields| serde_json::from_value(fields.into()))
                .map_err(|error| StateError::Status { path: file, reason: error.to_string() })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::default(),
            Err(error) => return Err(StateError::Io(error)),
        };
        // The state decides. The status may come from before a crash.
        let size = |note: Option<&str>| -> Result<u64, StateError> {
            let Some(note) = note else { return Ok(0) };
            let line = note.lines().nth(1).and_then(|line| line.parse().ok());
            line.ok_or_else(|| StateError::Content {
                path: directory.join(STATE_FILE),
                reason: "a kept note has no size".to_owned(),
            })
        };
        status.witnessed = size(state.witnessed.as_deref())?;
        status.held = size(state.held.as_deref())?;
        status.deployment = state.deployment;
        status.fraud = state.fraud;
        Ok(status)
    }

    /// For people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut lines = vec![
            format!("mirror {} of deployment {}", self.mirror, self.deployment),
            format!("  held            {} entries, checked and cosigned as /mirror", self.held),
            format!("  witnessed       {} entries, cosigned as /witness", self.witnessed),
            format!(
                "  collector       {} entries, last heard {}",
                self.offered,
                or_never(&self.last_contact)
            ),
            format!(
                "  evidence        {} collections held, {} waiting, {} failing",
                self.collections_held,
                self.collections_waiting,
                self.collections_failing.len()
            ),
            format!(
                "  scrub           last ended {}, {} objects read, {} damaged, {} lost",
                or_never(&self.scrub_finished),
                self.scrub_objects,
                self.scrub_damaged,
                self.scrub_lost
            ),
        ];
        if self.details_missing > 0 {
            lines.push(format!("  texts           {} erased or withheld", self.details_missing));
        }
        if !self.waiting.is_empty() {
            lines.push(format!("  waiting         {}", self.waiting));
        }
        if !self.alarm.is_empty() {
            lines.push(format!("ALARM {}", self.alarm));
        }
        for (collection, why) in &self.collections_failing {
            lines.push(format!("ALARM collection {collection}: {why}"));
        }
        if let Some(file) = &self.fraud {
            lines.push(format!(
                "FRAUD the log signed two histories: fraud/{file}. Give it to whoever must know; then `exhibit-server mirror acknowledge`"
            ));
        }
        lines.join("\n")
    }
}

fn or_never(text: &str) -> &str {
    if text.is_empty() { "never" } else { text }
}

/// The status, shared by the threads of a mirror.
#[derive(Debug, Default)]
pub struct Board {
    status: Mutex<Status>,
    /// The status as last written to the file. An unchanged status is not written again.
    written: Mutex<Option<Status>>,
}

impl Board {
    /// Changes the status.
    pub fn update(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.lock());
    }

    /// Notes that a collection fails, or (`None`) that it no longer fails.
    pub fn collection(&self, id: &str, failure: Option<String>) {
        let mut status = self.lock();
        status.collections_failing.retain(|(failing, _)| failing != id);
        if let Some(why) = failure
            && status.collections_failing.len() < NAMED_MAX
        {
            status.collections_failing.push((id.to_owned(), why));
        }
    }

    /// The status as it is now.
    #[must_use]
    pub fn read(&self) -> Status {
        self.lock().clone()
    }

    /// Writes the file. A failure is only logged, because nothing depends on the file.
    pub fn write(&self, run: &Path) {
        let mut status = self.read();
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written.as_ref() == Some(&status) {
            return;
        }
        *written = Some(status.clone());
        status.written = crate::now().to_string();
        #[expect(clippy::expect_used, reason = "strings and numbers cannot fail to serialise")]
        let mut bytes = serde_json::to_vec(&status).expect("strings and numbers");
        bytes.push(b'\n');
        if let Err(error) = durable::replace(&run.join(STATUS_FILE), &bytes, 0o644) {
            tracing::warn!(%error, "The status file could not be written");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cosign::state::StateFile;

    #[test]
    fn a_status_that_cannot_be_read_is_an_error_and_hides_no_alarm() {
        let directory = tempfile::tempdir().unwrap();
        StateFile::create(directory.path(), &State::new("acme")).unwrap();
        assert_eq!(Status::read(directory.path()).unwrap().deployment, "acme");

        let file = directory.path().join("run").join(STATUS_FILE);
        fs_err::create_dir(directory.path().join("run")).unwrap();
        for damaged in [&b"{\"alarm\":"[..], b"[]", b""] {
            fs_err::write(&file, damaged).unwrap();
            let error = Status::read(directory.path()).unwrap_err();
            assert!(matches!(error, StateError::Status { .. }), "{error}");
        }
        fs_err::remove_file(&file).unwrap();
        fs_err::create_dir(&file).unwrap();
        assert!(matches!(Status::read(directory.path()).unwrap_err(), StateError::Io(_)));
        fs_err::remove_dir(&file).unwrap();

        let (state_file, mut state) = StateFile::open(directory.path()).unwrap();
        state.witnessed = Some("exhibit/acme\n17\n".to_owned());
        state_file.write(&state).unwrap();
        let status = Status::read(directory.path()).unwrap();
        assert_eq!((status.witnessed, status.held), (17, 0));
        state.held = Some("exhibit/acme\nmany\n".to_owned());
        state_file.write(&state).unwrap();
        let error = Status::read(directory.path()).unwrap_err();
        assert!(matches!(error, StateError::Content { .. }), "{error}");
    }
}
