//! `exhibit-server log-key propose`: makes the new key, and the document for the authority to sign.

use std::path::{Path, PathBuf};

use evidence::document::Document as _;
use evidence::json::{self, JsonError};
use evidence::log_key::{LogKeyChange, LogKeyChangeType, Reason};
use evidence::time::Time;
use ledger::{Checkpoint, KeyType, Note, NoteSigner};

use crate::config::Config;
use crate::config::layout::Layout;
use crate::log::ledger::{KeyFileError, create_log_key, origin, verify_head};
use crate::log::log_key::Purpose;
use crate::log::log_key::{HeldKeysError, key_in, keys_held, recorded};
use crate::ops::foundation::{FoundationError, open_for_check};
use crate::rows::{Db, DbError};

/// What was made.
#[derive(Debug, Clone)]
pub struct Proposed {
    /// The document, unsigned.
    pub change: LogKeyChange,
    /// Its file.
    pub path: PathBuf,
}

/// Makes the next log key, once, and a document about it. It changes nothing else and may be repeated.
pub fn propose(directory: &Path, reason: Reason, now: Time) -> Result<Proposed, ProposeError> {
    let layout = Layout::new(directory);
    let config = Config::load(directory)?;
    layout.check_modes().map_err(FoundationError::from)?;
    let mut keys = keys_held(&layout, &config)?;
    // Make one change at a time: the previous change must be recorded.
    if layout.database().exists() {
        keys = recorded(keys, &Db::open(&layout.database(), 1)?, Purpose::Service)?;
    }
    let deployment = config.deployment.as_str();
    if key_in(&layout.log_key(), deployment)?.is_none() && reason == Reason::Planned {
        return Err(ProposeError::NoOldKey);
    }
    let newest = newest(&layout, &config, reason)?;
    let next = layout.log_key_next();
    let new = match key_in(&next, deployment)? {
        Some(key) => key,
        None => {
            let seed = create_log_key(&next)?;
            let signer = NoteSigner::new(&origin(deployment), &seed)
                .map_err(|source| HeldKeysError::Key { source })?;
            signer.verifier_key(KeyType::Ed25519)
        }
    };
    let key = |key: &ledger::VerifierKey| {
        key.to_string().parse().map_err(|source| ProposeError::Held(HeldKeysError::Key { source }))
    };
    let change = LogKeyChange {
        type_: LogKeyChangeType,
        deployment: config.deployment.clone(),
        number: keys.number().saturating_add(1),
        reason,
        old: key(keys.current())?,
        new: key(&new)?,
        size: newest.size,
        root: newest.root.into(),
        issued: now,
    };
    change.validate().map_err(|rule| ProposeError::Document { rule })?;
    let path = directory.join(format!("log-key-{}.json", change.number));
    fs_err::write(&path, json::to_document(&change)?)?;
    Ok(Proposed { change, path })
}

/// The newest checkpoint: from the stores or, while a collector has them open, the last one in the database.
fn newest(layout: &Layout, config: &Config, reason: Reason) -> Result<Checkpoint, ProposeError> {
    let mut best: Option<Checkpoint> = None;
    match open_for_check(config, layout) {
        Ok((replicas, keys)) => {
            for store in replicas.stores() {
                let Ok(head) = verify_head(store.as_ref(), &keys) else {
                    continue;
                };
                best = best.into_iter().chain(head.checkpoint).max_by_key(|one| one.size);
            }
        }
        // The term of a stolen key ends at exactly this size, so nothing may be added meanwhile.
        Err(FoundationError::Store(_)) if reason == Reason::Compromised => return Err(ProposeError::Runs),
        Err(FoundationError::Store(_)) => {
            let state = Db::open(&layout.database(), 1)?.read(crate::rows::log::state)?;
            let note = Note::parse(&state.checkpoint).map_err(|_none| ProposeError::NoHead)?;
            best = Checkpoint::from_text(note.text()).ok();
        }
        Err(other) => return Err(other.into()),
    }
    best.filter(|checkpoint| checkpoint.size > 0).ok_or(ProposeError::NoHead)
}

/// Why there is no document to sign.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProposeError {
    /// Settings.
    #[error("read settings")]
    Config(#[from] store::settings::SettingsError),
    /// The database.
    #[error("read the newest checkpoint")]
    Db(#[from] DbError),
    /// The document breaks a rule.
    #[error("the document would not be valid: {rule}")]
    Document {
        /// Which.
        rule: &'static str,
    },
    /// Directory or stores.
    #[error("open the collector's directory")]
    Foundation(#[from] FoundationError),
    /// The keys so far are wrong.
    #[error("read the log's keys")]
    Held(#[from] HeldKeysError),
    /// A file.
    #[error("write the document")]
    Io(#[from] std::io::Error),
    /// The document.
    #[error("write the document")]
    Json(#[from] JsonError),
    /// The new key.
    #[error("make the new log key")]
    Key(#[from] KeyFileError),
    /// There is no checkpoint anywhere.
    #[error("no store has a checkpoint to start from. Stop the collector and try again; mount its stores")]
    NoHead,
    /// A planned change needs the old key.
    #[error(
        "keys/log is not there, so this is no planned change. Give `--reason lost`, or `--reason compromised` if somebody else may have the key"
    )]
    NoOldKey,
    /// The last size of a stolen key must be the ledger's last size.
    #[error(
        "the collector runs. Stop it until the change is adopted: whatever it signs with a key that others may have counts for nothing"
    )]
    Runs,
}
