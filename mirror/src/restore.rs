//! Gives a mirror's copy back to a collector that lost its stores: every object is verified and written into
//! new stores.
//!
//! Guarantee: the ledger is written last, and only if every object that it names is there. A copy is refused
//! if somebody holds a newer note: the log would continue from the older size a second time. Not here: the
//! database (`exhibit-server rebuild`) and keys (the backup).

pub mod named;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use evidence::causes::chain;
use evidence::entry::{Entry, EntryType};
use evidence::id::MirrorId;
use evidence::log_key::LogKeys;
use evidence::signed::Signed;
use ledger::AuthenticatedReader;
use ledger::tile::{bundles_for_growth, tiles_for_growth};
use store::{ContentCheck, DirectoryStore, Key, KeyKind, Replicas, Store, StoreErrorClass};

use crate::config::{Layout, replicas};
use crate::cosign::state::State;
use crate::note::{LogNote, NoteRefused};
use crate::objects::Objects;
use crate::pins::LOG_KEYS;
use crate::restore::named::Here;

/// How much was given back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// Entries of the ledger.
    pub entries: u64,
    /// Objects that were written, or found whole.
    pub objects: u64,
    pub bytes: u64,
    /// Objects that the ledger or a listing names and of which the mirror has no intact copy. Evidence is
    /// among them only if a mirror stated that it holds the collection.
    pub damaged: Vec<String>,
    /// True if the ledger has its head: the collector exists again.
    pub is_whole: bool,
}

/// A mirror's copy, opened for a restoration.
pub struct Left {
    pub stores: Vec<Arc<dyn Store>>,
    /// Notes that this mirror signed itself, each with the file that holds it.
    pub signed: Vec<(PathBuf, String)>,
    /// Changes of the log key in the mirror's directory.
    pub log_keys: Vec<Signed>,
    /// Which mirror it was; `None` if only a store is left.
    pub mirror: Option<MirrorId>,
}

/// Opens a mirror's copy: its directory (with settings), or one of its stores.
pub fn open(from: &Path) -> Result<Left, RestoreError> {
    let layout = Layout(from.to_owned());
    if !from.join(crate::config::CONFIG_FILE).exists() {
        return Ok(Left {
            stores: vec![Arc::new(DirectoryStore::open(from)?)],
            signed: Vec::new(),
            log_keys: Vec::new(),
            mirror: None,
        });
    }
    let config = layout.config().map_err(|error| RestoreError::Mirror(chain(error.as_ref())))?;
    let stores =
        crate::config::open_stores(&config).map_err(|error| RestoreError::Mirror(chain(error.as_ref())))?;
    let state = State::read(from).map_err(|error| RestoreError::Mirror(chain(&error)))?;
    let path = from.join(crate::cosign::state::STATE_FILE);
    Ok(Left {
        mirror: Some(config.mirror),
        stores: stores.stores().to_vec(),
        signed: [state.witnessed, state.held]
            .into_iter()
            .flatten()
            .map(|note| (path.clone(), note))
            .collect(),
        log_keys: crate::pins::documents(&from.join(LOG_KEYS)).map_err(RestoreError::Mirror)?,
    })
}

/// The changes of the log key in a mirror's copy.
pub fn log_keys(left: &Left) -> Result<Vec<Signed>, RestoreError> {
    let of_stores = crate::pins::of_stores(&replicas(left.stores.clone())).map_err(RestoreError::Mirror)?;
    // The mirror's directory had them first.
    let of_directory = left.log_keys.clone();
    Ok(if of_directory.len() > of_stores.len() { of_directory } else { of_stores })
}

/// The target of a restoration.
pub struct Target<'a> {
    /// The new stores. They must hold no other ledger.
    pub into: &'a Replicas,
    /// The log's keys.
    pub key: &'a LogKeys,
    /// Files with notes of the lost log.
    pub newer: &'a [PathBuf],
    /// Restore every intact object even if others are damaged.
    pub accept_damaged: bool,
}

/// Copies everything from a mirror's stores. The ledger's head comes last, and only if nothing is damaged or
/// the caller accepts the damage. Without the head there is no collector yet, and the same command continues.
///
/// # Errors
/// A second attempt continues where this one stopped.
pub fn restore(
    left: &Left,
    target: &Target<'_>,
    progress: &dyn Fn(u64, u64),
) -> Result<Restored, RestoreError> {
    let (into, key) = (target.into, target.key);
    let from = replicas(left.stores.clone());
    let origin = key.current().name().to_owned();
    let note = from.read(&Key::checkpoint()).map_err(|error| RestoreError::Mirror(chain(&error)))?;
    let head = LogNote::read(&note, &origin, key).map_err(|error| RestoreError::Mirror(chain(&error)))?;
    let (size, root) = (head.checkpoint.size, head.checkpoint.root);
    let repaired = AtomicU64::new(0);
    let objects = Objects::new(&from, None, &repaired);
    let reader = AuthenticatedReader::new(&objects, size, &root)
        .map_err(|error| RestoreError::Mirror(format!("its tree: {}", chain(&error))))?;
    let recorded = recorded(&reader, key, size)?;
    if recorded < key.number() {
        return Err(RestoreError::BehindKey { held: size, change: recorded + 1 });
    }
    for path in target.newer {
        not_behind(path, &fs_err::read(path)?, key, &reader, &head)?;
    }
    // The mirror's own witnessed note counts as well: the mirror may have witnessed a larger tree than it had
    // time to fetch.
    for (path, note) in &left.signed {
        not_behind(path, note.as_bytes(), key, &reader, &head)?;
    }
    for store in into.stores() {
        fresh(store.as_ref(), &origin, key, &head)?;
    }
    let mut restored = Restored { entries: size, ..Restored::default() };
    let mut wanted: BTreeSet<Key> =
        from.list("").map_err(|error| RestoreError::Mirror(chain(&error)))?.into_iter().collect();
    let here = Here { mirror: left.mirror.as_ref(), now: crate::now() };
    wanted
        .extend(crate::restore::named::objects(&reader, &objects, size, here).map_err(RestoreError::Mirror)?);
    let total = wanted.len() as u64;
    for (number, object) in (1..).zip(wanted) {
        if matches!(object.kind(), KeyKind::Marker | KeyKind::Checkpoint | KeyKind::Tile) {
            continue;
        }
        progress(number, total);
        match from.read(&object) {
            Ok(bytes) if object.check(&bytes) != ContentCheck::Wrong => {
                into.create(&object, &bytes).map_err(|error| RestoreError::Into(chain(&error)))?;
                restored.objects += 1;
                restored.bytes += bytes.len() as u64;
            }
            // A text that no store has was erased, or never arrived.
            Err(error) if object.kind() == KeyKind::Detail && error.class() == StoreErrorClass::NotFound => {}
            _ => restored.damaged.push(object.to_string()),
        }
    }
    tree(into, &reader, size)?;
    // Read the ledger back from the new stores before the checkpoint names it.
    let repaired = AtomicU64::new(0);
    let written = Objects::new(into, None, &repaired);
    let check = AuthenticatedReader::new(&written, size, &root)
        .map_err(|error| RestoreError::Into(format!("the tree as written: {}", chain(&error))))?;
    for bundle in 0..size.div_ceil(256) {
        check
            .entries(bundle)
            .map_err(|error| RestoreError::Into(format!("bundle {bundle} as written: {}", chain(&error))))?;
    }
    if !restored.damaged.is_empty() && !target.accept_damaged {
        return Ok(restored);
    }
    for store in into.stores() {
        store.replace_checkpoint(head.note.to_string().as_bytes())?;
    }
    restored.is_whole = true;
    Ok(restored)
}

/// How many changes of the log key the entries record.
fn recorded(
    reader: &AuthenticatedReader<&Objects<'_>>,
    keys: &LogKeys,
    size: u64,
) -> Result<u64, RestoreError> {
    if keys.changes().is_empty() {
        return Ok(0);
    }
    let mut recorded = 0_u64;
    for bundle in 0..size.div_ceil(256) {
        let bodies = reader
            .entries(bundle)
            .map_err(|error| RestoreError::Mirror(format!("bundle {bundle}: {}", chain(&error))))?;
        let changes = bodies.iter().filter(|body| {
            let type_ = Entry::parse(body).map(|entry| entry.envelope.type_);
            matches!(type_, Ok(EntryType::KeyRotated | EntryType::LogSuccession))
        });
        recorded += changes.count() as u64;
    }
    Ok(recorded)
}

/// Writes bundles and tiles, computed again from the entries and checked against the root.
fn tree(into: &Replicas, reader: &AuthenticatedReader<&Objects<'_>>, size: u64) -> Result<(), RestoreError> {
    let plan = |error: ledger::tile::TileError| RestoreError::Mirror(error.to_string());
    let mut paths = bundles_for_growth(0, size).map_err(plan)?;
    paths.extend(tiles_for_growth(0, size).map_err(plan)?);
    for path in paths {
        let bytes = reader.content(&path).map_err(|error| RestoreError::Mirror(chain(&error)))?;
        into.create(&Key::tile(&path), &bytes).map_err(|error| RestoreError::Into(chain(&error)))?;
    }
    Ok(())
}

/// Refuses if a note that somebody holds is newer than the mirror's head or contradicts it.
fn not_behind(
    path: &Path,
    bytes: &[u8],
    key: &LogKeys,
    reader: &AuthenticatedReader<&Objects<'_>>,
    head: &LogNote,
) -> Result<(), RestoreError> {
    let refused = |why: String| RestoreError::Note { path: path.to_owned(), why };
    // A .tlog-proof ends with the note.
    let bytes = match ledger::ProofFile::parse(bytes) {
        Ok(proof) => proof.checkpoint().to_string().into_bytes(),
        Err(_) => bytes.to_vec(),
    };
    let note = match LogNote::read(&bytes, key.current().name(), key) {
        Err(outside @ NoteRefused::OutsideTerm { .. }) => {
            tracing::warn!(note = %path.display(), "{outside}");
            return Ok(());
        }
        note => note.map_err(|error| refused(chain(&error)))?,
    };
    let (held, shown) = (&head.checkpoint, &note.checkpoint);
    if shown.size > held.size {
        return Err(RestoreError::Behind { path: path.to_owned(), shown: shown.size, held: held.size });
    }
    if shown.size == 0 {
        return Ok(());
    }
    let root = ledger::root(reader, shown.size).map_err(|error| refused(chain(&error)))?;
    if root == shown.root {
        Ok(())
    } else {
        Err(refused(
            "it contradicts the mirror's history: the log key signed two. Keep it, and ask who forked"
                .to_owned(),
        ))
    }
}

/// Checks that the target has no ledger, or this one.
fn fresh(store: &dyn Store, origin: &str, key: &LogKeys, head: &LogNote) -> Result<(), RestoreError> {
    let used = || RestoreError::NotFresh { store: store.identity().store.clone() };
    match store.read(&Key::checkpoint()) {
        Err(error) if error.class() == StoreErrorClass::NotFound => Ok(()),
        Err(error) => Err(error.into()),
        Ok(bytes) => {
            let there = LogNote::read(&bytes, origin, key).or(Err(used()))?;
            if there.checkpoint == head.checkpoint { Ok(()) } else { Err(used()) }
        }
    }
}

/// Why nothing, or not everything, was given back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// Somebody holds a newer note.
    #[error("{} is a note of size {shown}, this mirror has {held}: the log would go on from {held} a second time. Use a mirror that is not behind, or begin a new log (succession)", path.display())]
    Behind {
        /// The note's file.
        path: PathBuf,
        shown: u64,
        held: u64,
    },
    /// The mirror knows a key but does not hold the entry that records it.
    #[error(
        "this copy has change {change} of the log key and, with {held} entries, not the one that records it: it is behind, and whoever \
         was shown that key follows no ledger that goes on without it. Use a mirror that is not behind"
    )]
    BehindKey {
        /// The mirror's size.
        held: u64,
        change: u64,
    },
    /// A new store failed.
    #[error("write to the new stores: {0}")]
    Into(String),
    #[error("read a file")]
    Io(#[from] std::io::Error),
    /// The mirror's copy failed.
    #[error("read the mirror's copy: {0}")]
    Mirror(String),
    /// A note that the operator passed is wrong.
    #[error("{}: {why}", path.display())]
    Note {
        /// The note's file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The target is already in use.
    #[error(
        "store {store} holds another ledger head already: restore into fresh stores, and keep the old ones"
    )]
    NotFresh { store: String },
    #[error(transparent)]
    Store(#[from] store::StoreError),
}
