//! `exhibit-server log-key adopt`: puts the change that the authority signed into effect. Guarantee: each
//! step is durable before the next. Each step finds out by itself whether it was done, so that a second call
//! continues where the first one stopped. From the first step to the last, the collector does not start.
//!
//! 1. the old key, if it is here, publishes what is committed; stores and database are then at one size, and
//!    this history is the one for which the authority vouches
//! 2. `log-keys/<number>.signed`
//! 3. `ledger/keys/<number>.signed` in every store
//! 4. `keys/log` → `keys/retired/` (or nowhere), `keys/log.next` → `keys/log`
//! 5. card, `ledger.policy`
//! 6. the entry, committed and published under the new key

use std::path::{Path, PathBuf};

use durable::{create_private_folder, sync_folder};
use evidence::entry::ActObject;
use evidence::id::Chain;
use evidence::log_key::{LogKeyChange, LogKeyError, LogKeys, Reason};
use evidence::signed::{Signed, SignedError};
use ledger::{Checkpoint, Note, VerifierKey};
use store::{Key, ReplicaError};

use crate::config::Config;
use crate::config::layout::{Layout, read_authority};
use crate::log::cosigning::{PolicyFileError, held_by_witnesses};
use crate::log::ledger::{PendingEntry, SubmitError};
use crate::log::log_key::Purpose;
use crate::log::log_key::files;
use crate::log::log_key::{HeldKeysError, documents, key_in, keys_held, put};
use crate::ops::foundation::{Foundation, FoundationError, open_for_check};
use crate::ops::log_key::level::{Level, LevelError};
use crate::rows::{Db, DbError};

/// What took effect.
#[derive(Debug, Clone)]
pub struct Adopted {
    /// The change.
    pub change: LogKeyChange,
    /// Index of its entry.
    pub index: u64,
    /// Where the old private key is, if it is still here.
    pub retired: Option<PathBuf>,
}

/// Puts a signed change into effect. The collector must not be running.
///
/// # Errors
/// [`AdoptError`]. Remove the cause, then call it again.
pub fn adopt(
    directory: &Path,
    program: &Path,
    file: &Path,
    destroy_old: bool,
) -> Result<Adopted, AdoptError> {
    let layout = Layout::new(directory);
    let config = Config::load(directory)?;
    layout.check_modes().map_err(FoundationError::from)?;
    let signed = Signed::parse(&fs_err::read(file)?).map_err(|source| AdoptError::Document { source })?;
    let authority = read_authority(&layout.authority()).map_err(FoundationError::from)?;
    let change = LogKeyChange::verify(&signed, &config.deployment, &authority)?;
    let mut case = Case { layout, config, change, signed };
    match case.begun()? {
        // Keep the signatures that were stored first: stores keep one object under one key.
        Some(signed) => case.signed = signed,
        None => {
            case.check_new_key()?;
            case.publish_with_old_key(program)?;
            case.write_change()?;
        }
    }
    case.tell_stores()?;
    let retired = case.change_keys(destroy_old)?;
    case.rewrite()?;
    let index = case.record(program)?;
    Ok(Adopted { change: case.change, index, retired })
}

struct Case {
    layout: Layout,
    config: Config,
    change: LogKeyChange,
    signed: Signed,
}

impl Case {
    /// The change as step 2 kept it, if that step was done before. Refuses a change that does not follow.
    fn begun(&self) -> Result<Option<Signed>, AdoptError> {
        let last = documents(&self.layout.log_keys())?.pop();
        if let Some(last) = last
            && last.digest() == self.signed.digest()
        {
            return Ok(Some(last));
        }
        let mut keys = keys_held(&self.layout, &self.config)?;
        keys.append(self.change.clone(), self.signed.digest(), None)?;
        Ok(None)
    }

    fn key_in(&self, path: &Path) -> Result<Option<VerifierKey>, AdoptError> {
        Ok(key_in(path, self.config.deployment.as_str())?)
    }

    fn check_new_key(&self) -> Result<(), AdoptError> {
        if self.key_in(&self.layout.log_key_next())?.as_ref() == Some(self.change.new.key()) {
            Ok(())
        } else {
            Err(AdoptError::NewKey { new: self.change.new.to_string() })
        }
    }

    /// Step 1.
    fn publish_with_old_key(&self, program: &Path) -> Result<(), AdoptError> {
        if self.key_in(&self.layout.log_key())?.as_ref() == Some(self.change.old.key()) {
            let foundation = Foundation::open(&self.layout.directory, program)?;
            foundation.sequencer.stop().map_err(AdoptError::Ledger)?;
        } else if self.change.reason == Reason::Planned {
            return Err(AdoptError::OldKey { old: self.change.old.to_string() });
        }
        let keys = keys_held(&self.layout, &self.config)?;
        let level = self.level(&keys)?;
        self.ask_witnesses(&keys, &level)
    }

    /// Once a change is recorded, a note of the old key beyond it counts for nothing. So if a witness holds more of this ledger
    /// than the stores do, the operator must learn it first. After a theft no witness is asked: the thief may have signed what
    /// it holds.
    fn ask_witnesses(&self, keys: &LogKeys, level: &Level) -> Result<(), AdoptError> {
        if self.change.reason == Reason::Compromised {
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let held = runtime.block_on(held_by_witnesses(&self.layout.directory, keys))?;
        for (witness, why) in &held.silent {
            tracing::warn!(witness, why, "Nothing is known of what the witness holds");
        }
        for path in held.notes {
            let more = |size: u64, why: String| AdoptError::WitnessedMore {
                path: path.clone(),
                size,
                here: level.head.size,
                why,
            };
            let note = Note::parse(&fs_err::read(&path)?).map_err(|error| more(0, error.to_string()))?;
            let shown = Checkpoint::from_text(note.text()).map_err(|error| more(0, error.to_string()))?;
            if shown.size > level.head.size {
                return Err(more(shown.size, "it is larger".to_owned()));
            }
            if shown.size == 0 {
                continue;
            }
            let is_ours = level.begins_with(shown.size, &shown.root);
            if !is_ours.map_err(|why| more(shown.size, why))? {
                return Err(more(shown.size, "its root is another".to_owned()));
            }
        }
        Ok(())
    }

    /// Checks that every store has everything that is committed, under a root that continues the history for
    /// which the authority vouches. Otherwise the new key would have to sign a size outside its term.
    fn level(&self, keys: &LogKeys) -> Result<Level, AdoptError> {
        let state = Db::open(&self.layout.database(), 1)?.read(crate::rows::log::state)?;
        let (replicas, _) = open_for_check(&self.config, &self.layout)?;
        let level = Level::bring(replicas, keys)?;
        let head = &level.head;
        if head.size != state.size || head.root.0 != state.root {
            return Err(AdoptError::NotLevel { found: head.size, committed: state.size });
        }
        let unlike = |why: String| AdoptError::OtherHistory { size: self.change.size, why };
        let stolen = self.change.reason == Reason::Compromised;
        if head.size < self.change.size || (stolen && head.size > self.change.size) {
            return Err(unlike(format!("they have {} entries; propose anew", head.size)));
        }
        if !level.begins_with(self.change.size, &self.change.root.into()).map_err(unlike)? {
            return Err(unlike("their root is another".to_owned()));
        }
        Ok(level)
    }

    /// Step 2.
    fn write_change(&self) -> Result<(), AdoptError> {
        Ok(files::write_change(&self.layout, self.change.number, &self.signed)?)
    }

    /// Step 3.
    fn tell_stores(&self) -> Result<(), AdoptError> {
        let (replicas, _) = open_for_check(&self.config, &self.layout)?;
        let key = Key::log_key(self.change.number);
        for store in replicas.stores() {
            put(store.as_ref(), &key, &self.signed).map_err(FoundationError::from)?;
        }
        Ok(())
    }

    /// Step 4; says where the old key is.
    fn change_keys(&self, destroy_old: bool) -> Result<Option<PathBuf>, AdoptError> {
        let (current, next) = (self.layout.log_key(), self.layout.log_key_next());
        let folder = self.layout.retired_keys();
        let number = self.change.number.saturating_sub(1);
        let retired = folder.join(format!("log-{number}"));
        match self.key_in(&current)? {
            Some(key) if key == *self.change.new.key() => {}
            Some(key) => {
                // This is not the key in force: it comes from a backup that is older than an earlier change.
                // Nobody believes it, and it is kept.
                let place = if key == *self.change.old.key() {
                    retired.clone()
                } else {
                    folder.join(format!("log-{number}-{}", hex::encode(key.id())))
                };
                create_private_folder(&folder)?;
                fs_err::rename(&current, place)?;
                sync_folder(&folder)?;
            }
            None => {}
        }
        if !current.exists() {
            self.check_new_key()?;
            fs_err::rename(&next, &current)?;
        }
        if let Some(parent) = current.parent() {
            sync_folder(parent)?;
        }
        if destroy_old && retired.exists() {
            fs_err::remove_file(&retired)?;
            sync_folder(&folder)?;
        }
        Ok(retired.exists().then_some(retired))
    }

    /// Step 5.
    fn rewrite(&self) -> Result<(), AdoptError> {
        Ok(files::rename_key(&self.layout, &self.change)?)
    }

    /// Step 6.
    fn record(&self, program: &Path) -> Result<u64, AdoptError> {
        let keys = keys_held(&self.layout, &self.config)?;
        let event = self.signed.digest();
        let row = Db::open(&self.layout.database(), 1)?
            .read(|reader| crate::rows::entries::by_event(reader, event.as_bytes()))?;
        if row.is_none() {
            self.level(&keys)?;
        }
        let foundation = Foundation::open_for(&self.layout.directory, program, Purpose::Adopt)?;
        let receipt = foundation.sequencer.submit_blocking(PendingEntry {
            type_: self.change.reason.entry_type(),
            chain: Chain::Deployment,
            refs: self.change.refs(),
            act: ActObject::from(self.signed.clone()),
            guard: None,
        })?;
        foundation.sequencer.stop().map_err(AdoptError::Ledger)?;
        Ok(receipt.index)
    }
}

/// Why the change did not take effect, or only in part.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdoptError {
    /// The change is not believed.
    #[error("the change is not in force. See it with `exhibit authority sign-log-key`, or propose anew")]
    Change(#[from] LogKeyError),
    /// Settings.
    #[error("read settings")]
    Config(#[from] store::settings::SettingsError),
    /// The database.
    #[error("read the database")]
    Db(#[from] DbError),
    /// The file is not a signed object.
    #[error("read the signed change")]
    Document {
        /// Why.
        #[source]
        source: SignedError,
    },
    /// The collector's directory or stores.
    #[error("open the collector, which must not be running")]
    Foundation(#[from] FoundationError),
    /// The keys so far are wrong.
    #[error("read the log's keys")]
    Held(#[from] HeldKeysError),
    /// A file.
    #[error("read or write a file")]
    Io(#[from] std::io::Error),
    /// The ledger stopped.
    #[error("the ledger stopped: {0}")]
    Ledger(String),
    /// Another new key is waiting.
    #[error(
        "keys/log.next does not hold {new}. Put the key that was proposed in its place, or propose anew and have that signed"
    )]
    NewKey {
        /// The document's.
        new: String,
    },
    /// The stores do not all have the same size.
    #[error("bring the stores to one size")]
    Level(#[from] LevelError),
    /// Some entries are committed and not published.
    #[error(
        "the stores have {found} entries, the database {committed}: the new key may not sign what belongs to the old one. Nobody was \
         told of what is beyond the stores: move exhibit.db away, run `exhibit-server rebuild`, and adopt again"
    )]
    NotLevel {
        /// Their size.
        found: u64,
        /// The database's.
        committed: u64,
    },
    /// The old key is not there, or another key is.
    #[error(
        "keys/log does not hold {old}. A planned change needs it; if it is lost, propose with `--reason lost`"
    )]
    OldKey {
        /// The document's.
        old: String,
    },
    /// This is not the history for which the authority vouched.
    #[error("the stores do not continue the {size} entries that the authority vouches for: {why}")]
    OtherHistory {
        /// Entries vouched for.
        size: u64,
        /// How it differs.
        why: String,
    },
    /// A store.
    #[error("write the change to the stores")]
    Store(#[from] ReplicaError),
    /// The entry.
    #[error("record the change")]
    Submit(#[from] SubmitError),
    /// A witness holds entries that are missing here.
    #[error(
        "a witness holds size {size} of this ledger ({}), and here are {here} entries that do not lead there: {why}. Bring back the \
         newest stores, or restore from a mirror that is not behind; then propose anew",
        path.display()
    )]
    WitnessedMore {
        /// Its note.
        path: PathBuf,
        /// The note's size.
        size: u64,
        /// Number of entries here.
        here: u64,
        /// How it differs.
        why: String,
    },
    /// The policy that names the witnesses is wrong.
    #[error("ask the witnesses of ledger.policy")]
    Witnesses(#[from] PolicyFileError),
}
