//! `exhibit-server log-key propose`: makes the new key, and the document for the authority to sign.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use evidence::document::Document as _;
use evidence::json;
use evidence::log_key::{LogKeyChange, LogKeyChangeType, Reason};
use evidence::time::Time;
use ledger::{Checkpoint, KeyType, Note, NoteSigner};

use crate::config::Config;
use crate::config::layout::Layout;
use crate::log::ledger::{create_log_key, origin, verify_head};
use crate::log::log_key::Purpose;
use crate::log::log_key::{HeldKeysError, key_in, keys_held, recorded};
use crate::ops::foundation::{FoundationError, open_for_check};
use crate::rows::Db;

/// The proposed change.
#[derive(Debug, Clone)]
pub struct Proposed {
    /// The document, unsigned.
    pub change: LogKeyChange,
    /// Its file.
    pub path: PathBuf,
}

const OPEN: &str = "open the collector's directory";
const KEYS: &str = "read the log's keys";
const NEWEST: &str = "read the newest checkpoint";

/// Makes the next log key, once, and a document about it. It changes nothing else and may be repeated.
pub fn propose(directory: &Path, reason: Reason, now: Time) -> Result<Proposed> {
    let layout = Layout::new(directory);
    let config = Config::load(directory).context("read settings")?;
    layout.check_modes().map_err(FoundationError::from).context(OPEN)?;
    let mut keys = keys_held(&layout, &config).context(KEYS)?;
    // Make one change at a time: the previous change must be recorded.
    if layout.database().exists() {
        let db = Db::open(&layout.database(), 1).context(NEWEST)?;
        keys = recorded(keys, &db, Purpose::Service).context(KEYS)?;
    }
    let deployment = config.deployment.as_str();
    if key_in(&layout.log_key(), deployment).context(KEYS)?.is_none() && reason == Reason::Planned {
        bail!(
            "keys/log is not there, so this is no planned change. Give `--reason lost`, or `--reason compromised` if somebody else may have the key"
        );
    }
    let newest = newest(&layout, &config, reason)?;
    let next = layout.log_key_next();
    let new = match key_in(&next, deployment).context(KEYS)? {
        Some(key) => key,
        None => {
            let seed = create_log_key(&next).context("make the new log key")?;
            let signer = NoteSigner::new(&origin(deployment), &seed)
                .map_err(|source| HeldKeysError::Key { source })
                .context(KEYS)?;
            signer.verifier_key(KeyType::Ed25519)
        }
    };
    let key = |key: &ledger::VerifierKey| {
        key.to_string().parse().map_err(|source| HeldKeysError::Key { source }).context(KEYS)
    };
    let change = LogKeyChange {
        type_: LogKeyChangeType,
        deployment: config.deployment.clone(),
        number: keys.number() + 1,
        reason,
        old: key(keys.current())?,
        new: key(&new)?,
        size: newest.size,
        root: newest.root.into(),
        issued: now,
    };
    change.validate().map_err(|rule| anyhow!("the document would not be valid: {rule}"))?;
    let path = directory.join(format!("log-key-{}.json", change.number));
    let document = json::to_document(&change).context("write the document")?;
    durable::replace(&path, &document, 0o644).context("write the document")?;
    Ok(Proposed { change, path })
}

/// The newest checkpoint: from the stores or, while a collector has them open, the last one in the database.
fn newest(layout: &Layout, config: &Config, reason: Reason) -> Result<Checkpoint> {
    let no_head = || {
        anyhow!("no store has a checkpoint to start from. Stop the collector and try again; mount its stores")
    };
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
        Err(FoundationError::Store(_)) if reason == Reason::Compromised => bail!(
            "the collector runs. Stop it until the change is adopted: whatever it signs with a key that others may have counts for nothing"
        ),
        Err(FoundationError::Store(_)) => {
            let db = Db::open(&layout.database(), 1).context(NEWEST)?;
            let state = db.read(crate::rows::log::state).context(NEWEST)?;
            let note = Note::parse(&state.checkpoint).map_err(|_none| no_head())?;
            best = Checkpoint::from_text(note.text()).ok();
        }
        Err(other) => return Err(anyhow::Error::new(other).context(OPEN)),
    }
    best.filter(|checkpoint| checkpoint.size > 0).ok_or_else(no_head)
}
