//! Who signs the ledger that is followed (docs/spec/ledger.md, *Change of the log key*).
//!
//! Guarantee: a key is used only after the authority's signed change to it is durable in the mirror's directory; what is held
//! under it is cosigned only when the entries record that change where its term begins.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use evidence::id::DeploymentId;
use evidence::log_key::{LOG_KEY_CHANGES_MAX, LogKeyError, LogKeys, Placed};
use evidence::roster::AuthoritySet;
use evidence::signed::Signed;
use ledger::{AuthenticatedReader, TileSource, VerifierKey};
use store::{Key, Replicas, StoreErrorClass};

use crate::chain;
use crate::cosign::LogNote;
use crate::objects::ObjectError;
use crate::pull::{Nodes, Parts, PullError, prove};
use crate::rules::Vouched;
use crate::source::SourceError;
use crate::state::replace;

/// Folder of the signed changes in a mirror's directory.
pub const LOG_KEYS: &str = "log-keys";

/// The keys of the log, as all parts of a mirror know them; clones share one.
#[derive(Debug, Clone)]
pub struct KeyRing(Arc<RwLock<LogKeys>>);

impl From<LogKeys> for KeyRing {
    fn from(keys: LogKeys) -> Self {
        Self(Arc::new(RwLock::new(keys)))
    }
}

impl KeyRing {
    /// The keys that a mirror's directory has, from the pinned one on.
    ///
    /// # Errors
    /// When a file is none, or the line does not hold.
    pub fn load(
        directory: &Path,
        deployment: &DeploymentId,
        authority: &AuthoritySet,
        pinned: &VerifierKey,
    ) -> Result<Self, String> {
        held(&directory.join(LOG_KEYS), deployment, authority, pinned).map(Self::from)
    }

    /// The keys as they are now.
    #[must_use]
    pub fn keys(&self) -> LogKeys {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, keys: LogKeys) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }
}

/// The keys that the signed changes in a folder lead to, from the pinned one.
///
/// # Errors
/// When a file is none, or the line does not hold.
pub fn held(
    folder: &Path,
    deployment: &DeploymentId,
    authority: &AuthoritySet,
    pinned: &VerifierKey,
) -> Result<LogKeys, String> {
    LogKeys::signed(deployment, authority, pinned, &documents(folder)?).map_err(|error| chain(&error))
}

fn file_name(number: usize) -> String {
    format!("{number:06}.signed")
}

pub(crate) fn documents(folder: &Path) -> Result<Vec<Signed>, String> {
    let mut documents = Vec::new();
    for number in 1..=LOG_KEY_CHANGES_MAX {
        let path = folder.join(file_name(number));
        match fs_err::read(&path) {
            Ok(bytes) => {
                let signed = Signed::parse(&bytes);
                documents.push(signed.map_err(|error| format!("{}: {}", path.display(), chain(&error)))?);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(documents)
}

/// The changes in a mirror's own stores.
///
/// # Errors
/// When one cannot be read.
pub fn of_stores(stores: &Replicas) -> Result<Vec<Signed>, String> {
    let mut documents = Vec::new();
    for number in (1..).take(LOG_KEY_CHANGES_MAX) {
        match stores.read(&Key::log_key(number)) {
            Ok(bytes) => documents.push(Signed::parse(&bytes).map_err(|error| chain(&error))?),
            Err(error) if error.class() == StoreErrorClass::NotFound => break,
            Err(error) => return Err(chain(&error)),
        }
    }
    Ok(documents)
}

/// Writes every change of the mirror's directory into its own stores, where a restoration looks for them.
pub(crate) fn keep(parts: &Parts<'_>) -> Result<(), PullError> {
    let documents = documents(&parts.cosigner.directory().join(LOG_KEYS)).map_err(PullError::Own)?;
    for (number, signed) in (1..).zip(&documents) {
        own(parts, &Key::log_key(number), signed)?;
    }
    Ok(())
}

/// Asks the source for changes beyond those known; each is durable in the own stores and in the mirror's directory before its key
/// counts. Where the log records it is not known yet.
pub(crate) fn learn(parts: &Parts<'_>) -> Result<(), PullError> {
    let (cosigner, Some(source)) = (parts.cosigner, parts.source) else {
        return Ok(());
    };
    let (pins, folder) = (cosigner.pins(), cosigner.directory().join(LOG_KEYS));
    let before = pins.log_keys.keys();
    let mut all = documents(&folder).map_err(PullError::Own)?;
    while all.len() < LOG_KEY_CHANGES_MAX {
        let number = u64::try_from(all.len()).unwrap_or(u64::MAX).saturating_add(1);
        match source.fetch(&Key::log_key(number)) {
            Ok(bytes) => all.push(Signed::parse(&bytes).map_err(|error| spoiled(number, &error))?),
            Err(SourceError::Missing { .. }) => break,
            Err(error) => return Err(PullError::Object(error.into())),
        }
    }
    let known = before.changes().len();
    if all.len() <= known {
        return Ok(());
    }
    let number = before.number().saturating_add(1);
    let mut keys = LogKeys::signed(&pins.deployment, &pins.authority, before.current(), &all)
        .map_err(|error| spoiled(number, &error))?;
    for placed in before.changes() {
        if let Some(index) = placed.index
            && !keys.place(placed.change.number, &placed.digest, index)
        {
            return Err(spoiled(placed.change.number, &LogKeyError::NoChange));
        }
    }
    keys.continues(&before).map_err(|error| spoiled(number, &error))?;
    let failed = |error: std::io::Error| PullError::Own(error.to_string());
    fs_err::create_dir_all(&folder).map_err(failed)?;
    // What a try before this one wrote is written again: nothing tells how far it came.
    for (place, signed) in all.iter().enumerate().skip(known) {
        let number = place.saturating_add(1);
        let key = Key::log_key(u64::try_from(number).unwrap_or(u64::MAX));
        own(parts, &key, signed)?;
        replace(&folder, &file_name(number), &signed.encode()).map_err(failed)?;
    }
    tracing::warn!(
        key = %keys.current(), change = keys.number(),
        "The log has a new key, signed by the authority"
    );
    pins.log_keys.set(keys);
    cosigner.put_aside().map_err(|error| PullError::Own(chain(&error)))
}

/// Into the own stores; the first signatures win.
fn own(parts: &Parts<'_>, key: &Key, signed: &Signed) -> Result<(), PullError> {
    let Err(error) = parts.own.create(key, &signed.encode()) else {
        return Ok(());
    };
    for store in parts.own.stores() {
        let there = store.read(key).ok().and_then(|bytes| Signed::parse(&bytes).ok());
        if there.is_none_or(|there| there.digest() != signed.digest()) {
            let store = &store.identity().store;
            return Err(PullError::Own(format!(
                "store {store} does not take {key}: {}. If another file is there, move it away",
                chain(&error)
            )));
        }
    }
    Ok(())
}

fn spoiled(number: u64, error: &dyn std::error::Error) -> PullError {
    PullError::Spoiled(format!("change {number} of the log key: {}", chain(error)))
}

/// The note, read as it must be once all its entries are known: its key's term begins where they record it.
pub(crate) fn in_term(parts: &Parts<'_>, note: &[u8]) -> Result<LogNote, PullError> {
    let pins = parts.cosigner.pins();
    let keys = pins.log_keys.keys();
    let read = LogNote::read(note, &pins.origin(), &keys)?;
    // A change that the collector announces and has not recorded yet lies beyond this note.
    let unrecorded = |placed: &&Placed| placed.index.is_none() && read.is_of(placed.change.new.key());
    match keys.changes().iter().find(unrecorded) {
        Some(placed) => Err(PullError::Rule {
            index: read.checkpoint.size,
            why: format!(
                "the note is signed by {}, and no entry below it records the change to that key",
                placed.change.new
            ),
        }),
        None => Ok(read),
    }
}

/// The tree begins with the history that the authority vouched for when it let a key follow.
pub(crate) fn vouched<S: TileSource<Error = ObjectError>>(
    reader: &AuthenticatedReader<S>,
    vouched: Vouched,
) -> Result<(), PullError> {
    let Vouched { index, size, root } = vouched;
    if ledger::root(&Nodes(reader), size).map_err(|error| prove(&error))? == root {
        return Ok(());
    }
    Err(PullError::Rule {
        index,
        why: format!("the authority let the key follow upon another history of {size} entries"),
    })
}
