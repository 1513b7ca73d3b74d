//! Says which key signs this collector's ledger, and which keys signed it before (docs/spec/ledger.md, *Change of the log key*).
//! Guarantee: a key is in force only if the authority signed its succession, and the collector serves only if its ledger records it.
//! Not here: signing (`log::ledger`); the rules by which others believe a change (`evidence::log_key`).

pub(crate) mod files;

use std::path::{Path, PathBuf};

use evidence::digest::Digest;
use evidence::log_key::{LOG_KEY_CHANGES_MAX, LogKeyError, LogKeys};
use evidence::signed::Signed;
use ledger::{KeyType, NoteSigner, VerifierKey};
use store::{Key, ReplicaError, Replicas, Store, StoreError, StoreErrorClass};

use crate::config::Config;
use crate::config::layout::{Layout, LayoutError, read_authority};
use crate::log::ledger::{origin, read_log_key};
use crate::rows::{Db, DbError};

/// Reads the keys in the collector's directory, each signed by the authority. Where the ledger records them is not known here.
///
/// # Errors
/// If `log-keys/` lacks a file in between, if a file is not a signed change, or if the changes do not connect to the card's key.
pub(crate) fn keys_held(layout: &Layout, config: &Config) -> Result<LogKeys, HeldKeysError> {
    let pinned = layout.log_verifier_key().map_err(boxed)?;
    let documents = documents(&layout.log_keys())?;
    if documents.is_empty() {
        return Ok(LogKeys::unchanged(pinned));
    }
    let authority = read_authority(&layout.authority()).map_err(boxed)?;
    Ok(LogKeys::signed(&config.deployment, &authority, &pinned, &documents)?)
}

fn boxed(source: LayoutError) -> HeldKeysError {
    HeldKeysError::Directory { source }
}

/// Name of a change's file in `log-keys/`.
#[must_use]
pub(crate) fn file_name(number: u64) -> String {
    format!("{number:06}.signed")
}

/// Reads the signed changes in a folder, from number 1 on.
pub(crate) fn documents(folder: &Path) -> Result<Vec<Signed>, HeldKeysError> {
    let mut documents = Vec::new();
    for number in 1.. {
        let path = folder.join(file_name(number));
        let bytes = match fs_err::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
            Err(source) => return Err(HeldKeysError::Io { source }),
        };
        documents.push(
            Signed::parse(&bytes).map_err(|source| HeldKeysError::File { path: path.clone(), source })?,
        );
    }
    Ok(documents)
}

/// Adds to the keys the places where the database records their changes.
pub(crate) fn recorded(mut keys: LogKeys, db: &Db, purpose: Purpose) -> Result<LogKeys, HeldKeysError> {
    let changes: Vec<(u64, Digest)> =
        keys.changes().iter().map(|placed| (placed.change.number, placed.digest)).collect();
    for (number, digest) in changes {
        let row = db.read(|reader| crate::rows::entries::by_event(reader, &digest))?;
        match row {
            Some(row) if keys.place(number, &digest, row.index) => {}
            None if purpose == Purpose::Adopt && number == keys.number() => {}
            _ => return Err(HeldKeysError::Unrecorded { number }),
        }
    }
    Ok(keys)
}

/// The key in a key file; `None` if there is no file.
pub(crate) fn key_in(path: &Path, deployment: &str) -> Result<Option<VerifierKey>, HeldKeysError> {
    if !path.exists() {
        return Ok(None);
    }
    let seed = read_log_key(path).map_err(|source| HeldKeysError::KeyFile { source })?;
    let signer =
        NoteSigner::new(&origin(deployment), &seed).map_err(|source| HeldKeysError::Key { source })?;
    Ok(Some(signer.verifier_key(KeyType::Ed25519)))
}

/// True if `keys/log` is the log key in force.
///
/// # Errors
/// As [`keys_held`], and if the key file cannot be read.
pub(crate) fn is_in_place(layout: &Layout, config: &Config) -> Result<bool, HeldKeysError> {
    let keys = keys_held(layout, config)?;
    Ok(key_in(&layout.log_key(), config.deployment.as_str())?.as_ref() == Some(keys.current()))
}

/// Reads the changes on the stores, from number 1 on.
pub(crate) fn of_stores(replicas: &Replicas) -> Result<Vec<Signed>, HeldKeysError> {
    let mut documents = Vec::new();
    for number in (1..).take(LOG_KEY_CHANGES_MAX) {
        let key = Key::log_key(number);
        match replicas.read(&key) {
            Ok(bytes) => documents.push(
                Signed::parse(&bytes)
                    .map_err(|source| HeldKeysError::File { path: key.to_string().into(), source })?,
            ),
            Err(error) if error.class() == StoreErrorClass::NotFound => break,
            Err(source) => return Err(HeldKeysError::Stores { source }),
        }
    }
    Ok(documents)
}

/// Writes a change to one store. The first signatures win.
pub(crate) fn put_change(store: &dyn Store, key: &Key, signed: &Signed) -> Result<(), StoreError> {
    let Err(error) = store.create(key, &signed.encode()) else {
        return Ok(());
    };
    let there = store.read(key).ok().and_then(|bytes| Signed::parse(&bytes).ok());
    match there {
        Some(there) if there.digest() == signed.digest() => Ok(()),
        _ => Err(error),
    }
}

/// Writes every change in the collector's directory to every store that takes it, because followers of the log look there. Repair
/// takes care of the other stores.
pub(crate) fn tell_stores(layout: &Layout, replicas: &Replicas) -> Result<(), HeldKeysError> {
    for (number, signed) in (1..).zip(documents(&layout.log_keys())?) {
        let key = Key::log_key(number);
        for store in replicas.stores() {
            if let Err(error) = put_change(store.as_ref(), &key, &signed) {
                let store = &store.identity().store;
                tracing::warn!(store, %key, %error, "The store does not take a change of the log key");
            }
        }
    }
    Ok(())
}

/// The keys that these changes lead to, together with those in the directory. Writes nothing.
///
/// # Errors
/// If the changes do not continue from the keys in the directory.
pub(crate) fn keys_after(
    layout: &Layout,
    config: &Config,
    documents: &[Signed],
) -> Result<LogKeys, HeldKeysError> {
    let known = keys_held(layout, config)?;
    if documents.len() <= known.changes().len() {
        return Ok(known);
    }
    let authority = read_authority(&layout.authority()).map_err(boxed)?;
    let keys = LogKeys::signed(&config.deployment, &authority, known.current(), documents)?;
    keys.continues(&known)?;
    Ok(keys)
}

/// Imports changes that are newer than the backup. The authority signed each, and each continues from the one before. It is safe to
/// repeat. Returns the keys that the directory then has.
///
/// # Errors
/// If the changes do not continue from the keys in the directory, or cannot be written.
pub(crate) fn import(
    layout: &Layout,
    config: &Config,
    documents: &[Signed],
) -> Result<LogKeys, HeldKeysError> {
    let keys = keys_after(layout, config, documents)?;
    let here = self::documents(&layout.log_keys())?.len();
    for (number, signed) in (1..).zip(documents).skip(here) {
        files::write_change(layout, number, signed).map_err(|source| HeldKeysError::Io { source })?;
    }
    for placed in keys.changes() {
        files::rename_key(layout, &placed.change).map_err(|source| HeldKeysError::Io { source })?;
    }
    Ok(keys)
}

/// Why the collector is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To record a change of the log key.
    Adopt,
    /// To serve.
    Service,
}

/// Why the collector does not know which key signs the ledger.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeldKeysError {
    /// The changes do not lead to the card's key.
    #[error("`log-keys/`: restore it from the backup, or from `ledger/keys/` of a store")]
    Changes(#[from] LogKeyError),
    /// The database failed.
    #[error("read where the changes of the log key are recorded")]
    Db(#[from] DbError),
    /// Card or authority cannot be read.
    #[error("read card and authority")]
    Directory {
        /// Why.
        #[source]
        source: LayoutError,
    },
    /// A file is not a signed object.
    #[error("{} is no signed change of the log key. Restore it from the backup, or from `ledger/keys/` of a store", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: evidence::signed::SignedError,
    },
    /// A file cannot be read.
    #[error("read a change of the log key")]
    Io {
        /// Cause, naming the file.
        #[source]
        source: std::io::Error,
    },
    /// A seed does not make a key.
    #[error("make the log key")]
    Key {
        /// Why.
        #[source]
        source: ledger::note::NoteError,
    },
    /// A key file cannot be used.
    #[error("read a log key")]
    KeyFile {
        /// Why.
        #[source]
        source: crate::log::ledger::KeyFileError,
    },
    /// The stores' copies of the changes cannot be read.
    #[error("read the changes of the log key from the stores")]
    Stores {
        /// Why.
        #[source]
        source: ReplicaError,
    },
    /// The ledger does not record a change that the directory has.
    #[error(
        "change {number} of the log key is not recorded in the ledger: its adoption was cut off, or the database is an old one. \
         Run `exhibit-server log-key adopt` again with the same signed file"
    )]
    Unrecorded {
        /// Its number.
        number: u64,
    },
}
