//! Before an operator restores a lost collector: asks the witnesses of its policy what they hold of its log.
//!
//! Guarantee: if a witness shows a note under the log's own key, this module stores it in a file, and `restore` compares it with the
//! copy as it compares any note that people still have. A note under another key counts for nothing. A witness that is away is named
//! and delays nothing. Not here: the comparison (`mirror::restore`); the last question before the first signature (`start`).

use std::path::{Path, PathBuf};

use evidence::log_key::LogKeys;

use super::start::shown_notes;
use super::{PolicyFileError, policy_of};
use crate::failure::chain;

/// Folder in the collector's directory for the notes that witnesses showed.
const FOLDER: &str = "witnessed";

/// The answers of the witnesses.
#[derive(Debug, Default)]
pub struct Held {
    /// A file for each note that the log's key signed.
    pub notes: Vec<PathBuf>,
    /// Witnesses that showed nothing of this log, and why.
    pub silent: Vec<(String, String)>,
}

/// Asks each witness that `ledger.policy` names with a URL. Without the file it asks nobody.
///
/// # Errors
/// If the file is not a policy of this log, or a note cannot be stored.
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
