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

use anyhow::{Context as _, Result, anyhow, bail};
use durable::{create_private_folder, sync_folder};
use evidence::entry::ActObject;
use evidence::id::Chain;
use evidence::log_key::{LogKeyChange, LogKeys, Reason};
use evidence::signed::Signed;
use ledger::{Checkpoint, Note, VerifierKey};
use store::Key;

use crate::config::Config;
use crate::config::layout::{Layout, read_authority};
use crate::log::cosigning::held_by_witnesses;
use crate::log::ledger::PendingEntry;
use crate::log::log_key::Purpose;
use crate::log::log_key::files;
use crate::log::log_key::{documents, key_in, keys_held, put_change};
use crate::ops::foundation::{Foundation, FoundationError, open_for_check};
use crate::ops::log_key::level::Level;
use crate::rows::Db;

const CHANGE: &str =
    "the change is not in force. See it with `exhibit authority sign-log-key`, or propose anew";
const DATABASE: &str = "read the database";
const FILE: &str = "read or write a file";
const KEYS: &str = "read the log's keys";
const OPEN: &str = "open the collector, which must not be running";

/// The adopted change.
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
/// After an error, remove the cause and call it again.
pub fn adopt(directory: &Path, program: &Path, file: &Path, destroy_old: bool) -> Result<Adopted> {
    let layout = Layout::new(directory);
    let config = Config::load(directory).context("read settings")?;
    layout.check_modes().map_err(FoundationError::from).context(OPEN)?;
    let signed = Signed::parse(&fs_err::read(file).context(FILE)?).context("read the signed change")?;
    let authority = read_authority(&layout.authority()).map_err(FoundationError::from).context(OPEN)?;
    let change = LogKeyChange::verify(&signed, &config.deployment, &authority).context(CHANGE)?;
    let mut case = Case { layout, config, change, signed };
    match case.kept_change()? {
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

fn ledger_stopped(reason: String) -> anyhow::Error {
    anyhow!("the ledger stopped: {reason}")
}

struct Case {
    layout: Layout,
    config: Config,
    change: LogKeyChange,
    signed: Signed,
}

impl Case {
    /// The change as step 2 kept it, if that step was done before. Refuses a change that does not follow.
    fn kept_change(&self) -> Result<Option<Signed>> {
        let last = documents(&self.layout.log_keys()).context(KEYS)?.pop();
        if let Some(last) = last
            && last.digest() == self.signed.digest()
        {
            return Ok(Some(last));
        }
        let mut keys = keys_held(&self.layout, &self.config).context(KEYS)?;
        keys.append(self.change.clone(), self.signed.digest(), None).context(CHANGE)?;
        Ok(None)
    }

    fn database(&self) -> Result<Db> {
        Db::open(&self.layout.database(), 1).context(DATABASE)
    }

    fn key_in(&self, path: &Path) -> Result<Option<VerifierKey>> {
        key_in(path, self.config.deployment.as_str()).context(KEYS)
    }

    fn check_new_key(&self) -> Result<()> {
        if self.key_in(&self.layout.log_key_next())?.as_ref() == Some(self.change.new.key()) {
            Ok(())
        } else {
            bail!(
                "keys/log.next does not hold {}. Put the key that was proposed in its place, or propose anew and have that signed",
                self.change.new
            )
        }
    }

    /// Step 1.
    fn publish_with_old_key(&self, program: &Path) -> Result<()> {
        if self.key_in(&self.layout.log_key())?.as_ref() == Some(self.change.old.key()) {
            let foundation = Foundation::open(&self.layout.directory, program).context(OPEN)?;
            foundation.sequencer.stop().map_err(ledger_stopped)?;
        } else if self.change.reason == Reason::Planned {
            bail!(
                "keys/log does not hold {}. A planned change needs it; if it is lost, propose with `--reason lost`",
                self.change.old
            );
        }
        let keys = keys_held(&self.layout, &self.config).context(KEYS)?;
        let level = self.level(&keys)?;
        self.ask_witnesses(&keys, &level)
    }

    /// Once a change is recorded, a note of the old key beyond it counts for nothing. So if a witness holds more of this ledger
    /// than the stores do, the operator must learn it first. After a theft no witness is asked: the thief may have signed what
    /// it holds.
    fn ask_witnesses(&self, keys: &LogKeys, level: &Level) -> Result<()> {
        if self.change.reason == Reason::Compromised {
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context(FILE)?;
        let held = runtime.block_on(held_by_witnesses(&self.layout.directory, keys));
        let held = held.context("ask the witnesses of ledger.policy")?;
        for (witness, why) in &held.silent {
            tracing::warn!(witness, why, "Nothing is known of what the witness holds");
        }
        for path in held.notes {
            let more = |size: u64, why: String| {
                anyhow!(
                    "a witness holds size {size} of this ledger ({}), and here are {} entries that do not lead there: {why}. Bring back the \
                     newest stores, or restore from a mirror that is not behind; then propose anew",
                    path.display(),
                    level.head.size
                )
            };
            let note = Note::parse(&fs_err::read(&path).context(FILE)?)
                .map_err(|error| more(0, error.to_string()))?;
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
    fn level(&self, keys: &LogKeys) -> Result<Level> {
        let state = self.database()?.read(crate::rows::log::state).context(DATABASE)?;
        let (replicas, _) = open_for_check(&self.config, &self.layout).context(OPEN)?;
        let level = Level::bring(replicas, keys).context("bring the stores to one size")?;
        let head = &level.head;
        if head.size != state.size || head.root != state.root {
            bail!(
                "the stores have {} entries, the database {}: the new key may not sign what belongs to the old one. Nobody was \
                 told of what is beyond the stores: move exhibit.db away, run `exhibit-server rebuild`, and adopt again",
                head.size,
                state.size
            );
        }
        let unlike = |why: String| {
            let size = self.change.size;
            anyhow!("the stores do not continue the {size} entries that the authority vouches for: {why}")
        };
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
    fn write_change(&self) -> Result<()> {
        files::write_change(&self.layout, self.change.number, &self.signed).context(FILE)
    }

    /// Step 3.
    fn tell_stores(&self) -> Result<()> {
        let (replicas, _) = open_for_check(&self.config, &self.layout).context(OPEN)?;
        let key = Key::log_key(self.change.number);
        for store in replicas.stores() {
            put_change(store.as_ref(), &key, &self.signed).map_err(FoundationError::from).context(OPEN)?;
        }
        Ok(())
    }

    /// Step 4; says where the old key is.
    fn change_keys(&self, destroy_old: bool) -> Result<Option<PathBuf>> {
        let (current, next) = (self.layout.log_key(), self.layout.log_key_next());
        let folder = self.layout.retired_keys();
        // The first key of a log is number 0. A change was verified, so its number is 1 or more.
        let number = self.change.number - 1;
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
                create_private_folder(&folder).context(FILE)?;
                durable::rename(&current, &place).context(FILE)?;
            }
            None => {}
        }
        if !current.exists() {
            self.check_new_key()?;
            durable::rename(&next, &current).context(FILE)?;
        }
        // A call before this one may have been cut off between a rename and its flush.
        if let Some(parent) = current.parent() {
            sync_folder(parent).context(FILE)?;
        }
        if destroy_old && folder.exists() {
            durable::remove(&retired).context(FILE)?;
        }
        Ok(retired.exists().then_some(retired))
    }

    /// Step 5.
    fn rewrite(&self) -> Result<()> {
        files::rename_key(&self.layout, &self.change).context(FILE)
    }

    /// Step 6.
    fn record(&self, program: &Path) -> Result<u64> {
        let keys = keys_held(&self.layout, &self.config).context(KEYS)?;
        let event = self.signed.digest();
        let row = self
            .database()?
            .read(|reader| crate::rows::entries::by_event(reader, &event))
            .context(DATABASE)?;
        if row.is_none() {
            self.level(&keys)?;
        }
        let foundation =
            Foundation::open_for(&self.layout.directory, program, Purpose::Adopt).context(OPEN)?;
        let receipt = foundation.sequencer.submit_blocking(PendingEntry {
            type_: self.change.reason.entry_type(),
            chain: Chain::Deployment,
            refs: self.change.refs(),
            act: ActObject::from(self.signed.clone()),
            guard: None,
        });
        let receipt = receipt.context("record the change")?;
        foundation.sequencer.stop().map_err(ledger_stopped)?;
        Ok(receipt.index)
    }
}
