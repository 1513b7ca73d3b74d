//! Before a lost collector is restored: asks the witnesses of its policy what they hold of its log.
//!
//! Guarantee: what a witness shows under the log's own key is stored in a file and compared with the copy, like any note that
//! people still have. What it shows under another key counts for nothing. A witness that is away is named and delays nothing.
//! Not here: the comparison (`mirror::restore`); the last question before something is signed (`start`).

use std::path::{Path, PathBuf};

use evidence::log_key::LogKeys;

use super::start::shown_notes;
use super::{PolicyFileError, policy_of};
use crate::failure::chain;

/// Folder of the collector's directory with what witnesses held.
const FOLDER: &str = "witnessed";

/// What the witnesses said.
#[derive(Debug, Default)]
pub struct Held {
    /// A file for each note that the log's key signed.
    pub notes: Vec<PathBuf>,
    /// Who said nothing of this log, and why.
    pub silent: Vec<(String, String)>,
}

/// Asks each witness with a URL that `ledger.policy` names; without the file there is nobody to ask.
///
/// # Errors
/// When the file is no policy of this log, or a note cannot be kept.
pub async fn held_by_witnesses(directory: &Path, keys: &LogKeys) -> Result<Held, PolicyFileError> {
    let (policy, clients) = policy_of(directory, keys)?;
    let mut held = Held::default();
    for (name, answer) in shown_notes(&policy, &clients, keys.current().name()).await {
        let note = answer.and_then(|note| match policy.verify_note(&note) {
            Ok(_) => Ok(note),
            Err(error) => Err(format!("the log's key did not sign what it shows: {}", chain(&error))),
        });
        match note {
            Ok(note) => held.notes.push(keep_note(directory, &name, &note.to_string())?),
            Err(why) => held.silent.push((name, why)),
        }
    }
    Ok(held)
}

fn keep_note(directory: &Path, witness: &str, note: &str) -> Result<PathBuf, PolicyFileError> {
    let plain = |letter: char| {
        if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' }
    };
    let folder = directory.join(FOLDER);
    let path = folder.join(format!("{}.note", witness.chars().map(plain).collect::<String>()));
    durable::create_private_folder(&folder)
        .and_then(|()| durable::replace(&path, note.as_bytes(), 0o644))
        .map_err(|source| PolicyFileError::Read { source })?;
    Ok(path)
}
