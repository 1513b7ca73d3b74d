//! Tiles and bundles of one store as a source for proofs.

use std::cell::RefCell;
use std::collections::BTreeMap;

use ledger::TileSource;
use ledger::tile::TilePath;
use store::{Key, Store, StoreError};

/// Reads tiles from one store and keeps them: the proofs of one batch share nearly all tiles.
pub struct StoreTiles<'store> {
    store: &'store dyn Store,
    kept: RefCell<BTreeMap<TilePath, Vec<u8>>>,
}

/// Most tiles that it keeps: 256, or 2 MiB of hashes. It keeps no bundles.
const KEPT_MAX: usize = 256;

impl<'store> StoreTiles<'store> {
    /// Reads the log in `store`.
    pub fn new(store: &'store dyn Store) -> Self {
        Self { store, kept: RefCell::default() }
    }
}

impl TileSource for StoreTiles<'_> {
    type Error = TileFetchError;

    fn tile(&self, path: &TilePath) -> Result<Vec<u8>, TileFetchError> {
        if let Some(bytes) = self.kept.borrow().get(path) {
            return Ok(bytes.clone());
        }
        let bytes = self.store.read(&Key::tile(path)).map_err(|source| TileFetchError { source })?;
        let mut kept = self.kept.borrow_mut();
        if matches!(path.kind(), ledger::TileKind::Hashes(_)) && kept.len() < KEPT_MAX {
            kept.insert(*path, bytes.clone());
        }
        Ok(bytes)
    }
}

impl std::fmt::Debug for StoreTiles<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("StoreTiles").field("store", &self.store.identity().store).finish_non_exhaustive()
    }
}

/// Why a tile could not be read.
#[derive(Debug, thiserror::Error)]
#[error("read a tile")]
pub struct TileFetchError {
    /// Why.
    #[source]
    pub source: StoreError,
}
