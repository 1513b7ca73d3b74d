//! Brings all stores to one size before the log key changes: it copies what the old key signed, since no other key may sign it.
//! Guarantee: it writes only what verified against a head that the log's key signed, and gives a store that head only after the
//! whole tree. A store with another history gets nothing. It may be repeated.

use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use evidence::log_key::LogKeys;
use ledger::tile::{bundles_for_growth, tiles_for_growth};
use ledger::{AuthenticatedReader, Checkpoint, Hash};
use store::{Key, Replicas, Store};

use crate::failure::chain;
use crate::log::ledger::{HeadAtStore, StoreTiles, verify_head};

/// Stores that all have one size.
pub(super) struct Level {
    replicas: Replicas,
    /// The head that all of them have.
    pub(super) head: Checkpoint,
}

impl Level {
    /// Gives every store the tree and the head of the store with the largest tree.
    /// After an error, what was copied stays.
    pub(super) fn bring(replicas: Replicas, keys: &LogKeys) -> Result<Self> {
        let head = bring_level(&replicas, keys)?;
        Ok(Self { replicas, head })
    }

    /// Whether the tree of every store begins with `size` entries of this root.
    /// The error says why a store cannot be read.
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

fn bring_level(replicas: &Replicas, keys: &LogKeys) -> Result<Checkpoint> {
    let mut heads: Vec<(&Arc<dyn Store>, HeadAtStore)> = Vec::new();
    for store in replicas.stores() {
        let head = verify_head(store.as_ref(), keys).with_context(|| {
            format!(
                "store {} cannot be read. Mount it; if it is lost for good, `exhibit-server store add` another, `store drain` this one, and adopt again",
                store.identity().store
            )
        })?;
        heads.push((store, head));
    }
    let farthest = heads
        .iter()
        .filter_map(|(store, head)| Some((*store, head.checkpoint.clone()?, head.note.clone())))
        .max_by_key(|(_, checkpoint, _)| checkpoint.size);
    let Some((source, checkpoint, note)) = farthest else {
        bail!("no store has a ledger. Mount the stores");
    };
    let tiles = StoreTiles::new(source.as_ref());
    let unreadable = |why: &dyn std::fmt::Display| {
        let store = &source.identity().store;
        anyhow!(
            "store {store} has the newest head and not its whole tree: {why}. Bring the ledger of that store back first"
        )
    };
    let reader = AuthenticatedReader::new(&tiles, checkpoint.size, &checkpoint.root)
        .map_err(|error| unreadable(&error))?;
    for (store, head) in &heads {
        if head.checkpoint.as_ref() == Some(&checkpoint) {
            continue;
        }
        let name = &store.identity().store;
        if let Some(own) = &head.checkpoint {
            let root = ledger::root(&reader, own.size).map_err(|error| unreadable(&error))?;
            if root != own.root {
                bail!(
                    "store {name} tells another history than the farthest one: keep both, they are evidence, and find out who forked"
                );
            }
        }
        let failed = |why: String| {
            anyhow!("store {name} does not take what it lacks: {why}. Make room or mend it, and adopt again")
        };
        let mut paths = bundles_for_growth(0, checkpoint.size).map_err(|error| unreadable(&error))?;
        paths.extend(tiles_for_growth(0, checkpoint.size).map_err(|error| unreadable(&error))?);
        for path in paths {
            let bytes = reader.content(&path).map_err(|error| unreadable(&error))?;
            store.create(&Key::tile(&path), &bytes).map_err(|error| failed(chain(&error)))?;
        }
        store.replace_checkpoint(&note).map_err(|error| failed(chain(&error)))?;
    }
    Ok(checkpoint)
}
