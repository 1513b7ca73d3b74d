//! Brings all stores to one size before the log key changes: it copies what the old key signed, since no other key may sign it.
//! Guarantee: it writes only what verified against a head that the log's key signed, and gives a store that head only after the
//! whole tree. A store with another history gets nothing. It may be repeated.

use std::sync::Arc;

use evidence::log_key::LogKeys;
use ledger::tile::{bundles_for_growth, tiles_for_growth};
use ledger::{AuthenticatedReader, Checkpoint, Hash};
use store::{Key, Replicas, Store};

use crate::failure::chain;
use crate::log::ledger::{HeadAtStore, StartError, StoreTiles, verify_head};

/// Stores that all have one size.
pub(super) struct Level {
    replicas: Replicas,
    /// The head that all of them have.
    pub(super) head: Checkpoint,
}

impl Level {
    /// Gives every store the tree and the head of the store with the largest tree.
    ///
    /// # Errors
    /// `LevelError`. What was copied stays.
    pub(super) fn bring(replicas: Replicas, keys: &LogKeys) -> Result<Self, LevelError> {
        let head = bring_level(&replicas, keys)?;
        Ok(Self { replicas, head })
    }

    /// Whether the tree of every store begins with `size` entries of this root.
    ///
    /// # Errors
    /// The reason why a store cannot be read.
    pub(super) fn begins_with(&self, size: u64, root: &Hash) -> Result<bool, String> {
        for store in self.replicas.stores() {
            let tiles = StoreTiles::new(store.as_ref());
            let reader = AuthenticatedReader::new(&tiles, self.head.size, &self.head.root)
                .map_err(|error| error.to_string())?;
            if ledger::root(&reader, size).map_err(|error| error.to_string())? != *root {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn bring_level(replicas: &Replicas, keys: &LogKeys) -> Result<Checkpoint, LevelError> {
    let mut heads: Vec<(&Arc<dyn Store>, HeadAtStore)> = Vec::new();
    for store in replicas.stores() {
        let head = verify_head(store.as_ref(), keys).map_err(|source| LevelError::Unread {
            store: store.identity().store.clone(),
            source: Box::new(source),
        })?;
        heads.push((store, head));
    }
    let farthest = heads
        .iter()
        .filter_map(|(store, head)| Some((*store, head.checkpoint.clone()?, head.note.clone())))
        .max_by_key(|(_, checkpoint, _)| checkpoint.size);
    let Some((source, checkpoint, note)) = farthest else {
        return Err(LevelError::NoHead);
    };
    let tiles = StoreTiles::new(source.as_ref());
    let unreadable = |why: String| LevelError::Source { store: source.identity().store.clone(), why };
    let reader = AuthenticatedReader::new(&tiles, checkpoint.size, &checkpoint.root)
        .map_err(|error| unreadable(error.to_string()))?;
    for (store, head) in &heads {
        if head.checkpoint.as_ref() == Some(&checkpoint) {
            continue;
        }
        let name = || store.identity().store.clone();
        if let Some(own) = &head.checkpoint {
            let root = ledger::root(&reader, own.size).map_err(|error| unreadable(error.to_string()))?;
            if root != own.root {
                return Err(LevelError::Fork { store: name() });
            }
        }
        let failed = |why: String| LevelError::Write { store: name(), why };
        let mut paths =
            bundles_for_growth(0, checkpoint.size).map_err(|error| unreadable(error.to_string()))?;
        paths.extend(tiles_for_growth(0, checkpoint.size).map_err(|error| unreadable(error.to_string()))?);
        for path in paths {
            let bytes = reader.content(&path).map_err(|error| unreadable(error.to_string()))?;
            store.create(&Key::tile(&path), &bytes).map_err(|error| failed(chain(&error)))?;
        }
        store.replace_checkpoint(&note).map_err(|error| failed(chain(&error)))?;
    }
    Ok(checkpoint)
}

/// Why the stores do not have one size.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LevelError {
    /// The stores have two histories.
    #[error(
        "store {store} tells another history than the farthest one: keep both, they are evidence, and find out who forked"
    )]
    Fork {
        /// Which.
        store: String,
    },
    /// No store has a ledger.
    #[error("no store has a ledger. Mount the stores")]
    NoHead,
    /// The store with the largest tree cannot be read.
    #[error(
        "store {store} has the newest head and not its whole tree: {why}. Bring the ledger of that store back first"
    )]
    Source {
        /// Which.
        store: String,
        /// Why.
        why: String,
    },
    /// A store cannot be read at all.
    #[error(
        "store {store} cannot be read. Mount it; if it is lost for good, `exhibit-server store add` another, `store drain` this one, and adopt again"
    )]
    Unread {
        /// Which.
        store: String,
        /// Why.
        #[source]
        source: Box<StartError>,
    },
    /// A store does not accept what it lacks.
    #[error("store {store} does not take what it lacks: {why}. Make room or mend it, and adopt again")]
    Write {
        /// Which.
        store: String,
        /// Why.
        why: String,
    },
}
