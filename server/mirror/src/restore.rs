//! Gives a mirror's copy back to a collector that lost its stores: every object, verified, into fresh stores.
//!
//! Guarantee: the ledger is written last, and only when all it names is there; a mirror that is behind a note somebody holds is
//! refused: the log would go on from there twice. Not here: the database (`exhibit-server rebuild`), keys (the backup).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use evidence::log_key::LogKeys;
use evidence::signed::Signed;
use ledger::tile::{bundles_for_growth, tiles_for_growth};
use ledger::{AuthenticatedReader, Note};
use store::{ContentCheck, DirectoryStore, Key, KeyKind, Replicas, Store, StoreErrorClass};

use crate::chain;
use crate::config::{Layout, replicas};
use crate::cosign::LogNote;
use crate::objects::Objects;

/// What was given back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// Entries of the ledger.
    pub entries: u64,
    /// Objects written or found whole.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that no copy of the mirror has whole; evidence of collections that no mirror held is not among them.
    pub damaged: Vec<String>,
}

/// Opens what a mirror left: its directory (with settings), or one store of it.
///
/// # Errors
/// When it is neither.
pub fn open(from: &Path) -> Result<Vec<Arc<dyn Store>>, RestoreError> {
    let layout = Layout(from.to_owned());
    if from.join(crate::config::CONFIG_FILE).exists() {
        let config = layout
            .config()
            .map_err(|error| RestoreError::Mirror(chain(&error)))?;
        let stores =
            crate::config::open_stores(&config).map_err(|error| RestoreError::Mirror(chain(&error)))?;
        return Ok(stores.stores().to_vec());
    }
    Ok(vec![Arc::new(DirectoryStore::open(from)?)])
}

/// The changes of the log key that a mirror's copy has.
///
/// # Errors
/// When one cannot be read.
pub fn log_keys(from: &[Arc<dyn Store>]) -> Result<Vec<Signed>, RestoreError> {
    crate::log_keys::of_stores(&replicas(from.to_vec())).map_err(RestoreError::Mirror)
}

/// Copies everything from a mirror's stores into `into`, which must hold no other ledger.
///
/// # Errors
/// `RestoreError`; a second try goes on.
pub fn restore(
    from: &[Arc<dyn Store>],
    into: &Replicas,
    key: &LogKeys,
    newer: &[PathBuf],
    progress: &dyn Fn(u64, u64),
) -> Result<Restored, RestoreError> {
    let from = replicas(from.to_vec());
    let origin = key.current().name().to_owned();
    let note = from
        .read(&Key::checkpoint())
        .map_err(|error| RestoreError::Mirror(chain(&error)))?;
    let head = LogNote::read(&note, &origin, key).map_err(|error| RestoreError::Mirror(chain(&error)))?;
    let (size, root) = (head.checkpoint.size, head.checkpoint.root);
    let repaired = AtomicU64::new(0);
    let objects = Objects::new(&from, None, &repaired);
    let reader = AuthenticatedReader::new(&objects, size, &root)
        .map_err(|error| RestoreError::Mirror(format!("its tree: {}", chain(&error))))?;
    for path in newer {
        not_behind(path, &origin, key, &reader, &head)?;
    }
    for store in into.stores() {
        fresh(store.as_ref(), &origin, key, &head)?;
    }
    let mut restored = Restored {
        entries: size,
        ..Restored::default()
    };
    let all = from
        .list("")
        .map_err(|error| RestoreError::Mirror(chain(&error)))?;
    let total = u64::try_from(all.len()).unwrap_or(u64::MAX);
    for (number, object) in (1..).zip(all) {
        if matches!(
            object.kind(),
            KeyKind::Marker | KeyKind::Checkpoint | KeyKind::Tile
        ) {
            continue;
        }
        progress(number, total);
        match from.read(&object) {
            Ok(bytes) if object.check(&bytes) != ContentCheck::Wrong => {
                into.create(&object, &bytes)
                    .map_err(|error| RestoreError::Into(chain(&error)))?;
                restored.objects = restored.objects.saturating_add(1);
                restored.bytes = restored
                    .bytes
                    .saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            }
            _ => restored.damaged.push(object.to_string()),
        }
    }
    tree(into, &reader, size)?;
    // Read back from the new stores before anything says that it is there.
    let repaired = AtomicU64::new(0);
    let written = Objects::new(into, None, &repaired);
    let check = AuthenticatedReader::new(&written, size, &root)
        .map_err(|error| RestoreError::Into(format!("the tree as written: {}", chain(&error))))?;
    for bundle in 0..size.div_ceil(256) {
        check
            .entries(bundle)
            .map_err(|error| RestoreError::Into(format!("bundle {bundle} as written: {}", chain(&error))))?;
    }
    for store in into.stores() {
        store.replace_checkpoint(head.note.to_string().as_bytes())?;
    }
    Ok(restored)
}

/// Bundles and tiles, made anew from verified entries.
fn tree(into: &Replicas, reader: &AuthenticatedReader<&Objects<'_>>, size: u64) -> Result<(), RestoreError> {
    use ledger::HashReader as _;
    use ledger::tile::TileKind;
    let plan = |error: ledger::tile::TileError| RestoreError::Mirror(error.to_string());
    let failed = |error: store::ReplicaError| RestoreError::Into(chain(&error));
    let mirror = |error: &dyn std::error::Error| RestoreError::Mirror(chain(error));
    for path in bundles_for_growth(0, size).map_err(plan)? {
        let bodies = reader.entries(path.index()).map_err(|error| mirror(&error))?;
        let bytes = ledger::tile::encode_bundle(&bodies).map_err(plan)?;
        into.create(&Key::tile(&path), &bytes).map_err(failed)?;
    }
    for path in tiles_for_growth(0, size).map_err(plan)? {
        let TileKind::Hashes(level) = path.kind() else {
            continue;
        };
        let first = path.index() << 8;
        let mut bytes = Vec::with_capacity(usize::from(path.width()) * 32);
        for index in first..first.saturating_add(u64::from(path.width())) {
            let hash = reader
                .node(level.saturating_mul(8), index)
                .map_err(|error| mirror(&error))?;
            bytes.extend_from_slice(hash.as_bytes());
        }
        into.create(&Key::tile(&path), &bytes).map_err(failed)?;
    }
    Ok(())
}

/// Refuses when a note that somebody holds is newer than the mirror's head, or contradicts it.
fn not_behind(
    path: &Path,
    origin: &str,
    key: &LogKeys,
    reader: &AuthenticatedReader<&Objects<'_>>,
    head: &LogNote,
) -> Result<(), RestoreError> {
    let refused = |why: String| RestoreError::Note {
        path: path.to_owned(),
        why,
    };
    let bytes = fs_err::read(path)?;
    // A .tlog-proof ends in the note.
    let bytes = match ledger::ProofFile::parse(&bytes) {
        Ok(proof) => proof.checkpoint().to_string().into_bytes(),
        Err(_) => bytes,
    };
    let note = LogNote::read(&bytes, origin, key).map_err(|error| refused(chain(&error)))?;
    let (held, shown) = (&head.checkpoint, &note.checkpoint);
    if shown.size > held.size {
        return Err(RestoreError::Behind {
            path: path.to_owned(),
            shown: shown.size,
            held: held.size,
        });
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

/// The target has no ledger, or this one.
fn fresh(store: &dyn Store, origin: &str, key: &LogKeys, head: &LogNote) -> Result<(), RestoreError> {
    let used = || RestoreError::NotFresh {
        store: store.identity().store.clone(),
    };
    match store.read(&Key::checkpoint()) {
        Err(error) if error.class() == StoreErrorClass::NotFound => Ok(()),
        Err(error) => Err(error.into()),
        Ok(bytes) => {
            let there = LogNote::read(&bytes, origin, key).or(Err(used()))?;
            if there.checkpoint == head.checkpoint {
                Ok(())
            } else {
                Err(used())
            }
        }
    }
}

/// The head's note as the mirror has it, for the operator.
///
/// # Errors
/// When there is none.
pub fn head(from: &[Arc<dyn Store>], key: &LogKeys) -> Result<(Note, u64), RestoreError> {
    let from = replicas(from.to_vec());
    let note = from
        .read(&Key::checkpoint())
        .map_err(|error| RestoreError::Mirror(chain(&error)))?;
    let head = LogNote::read(&note, key.current().name(), key)
        .map_err(|error| RestoreError::Mirror(chain(&error)))?;
    Ok((head.note, head.checkpoint.size))
}

/// Nothing, or not everything, was given back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// Somebody holds a newer note.
    #[error("{} is a note of size {shown}, this mirror has {held}: the log would go on from {held} a second time. Use a mirror that is not behind, or begin a new log (succession)", path.display())]
    Behind {
        /// The note's file.
        path: PathBuf,
        /// Its size.
        shown: u64,
        /// The mirror's.
        held: u64,
    },
    /// A new store.
    #[error("write to the new stores: {0}")]
    Into(String),
    /// A file.
    #[error("read a file")]
    Io(#[from] std::io::Error),
    /// The mirror's copy.
    #[error("read the mirror's copy: {0}")]
    Mirror(String),
    /// A presented note.
    #[error("{}: {why}", path.display())]
    Note {
        /// The note's file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The target is in use.
    #[error(
        "store {store} holds another ledger head already: restore into fresh stores, and keep the old ones"
    )]
    NotFresh {
        /// Which.
        store: String,
    },
    /// A store.
    #[error(transparent)]
    Store(#[from] store::StoreError),
}
