//! The right edge of the log's tree: all that the sequencer needs to append.

use ledger::tile::{
    TileKind, TilePath, TileReadError, bundles_for_growth, decode_bundle, encode_bundle, grow, tiles_for_root,
};
use ledger::{AuthenticatedReader, Hash, TileReader, TileSet, TileSource, leaf_hash, proof};
use store::{Key, Store};

use super::tiles::{StoreTiles, TileFetchError};

/// Partial tiles and the partial bundle at one size.
#[derive(Debug, Clone)]
pub(super) struct Edge {
    pub(super) size: u64,
    pub(super) root: Hash,
    tiles: TileSet,
    /// The entries of the last bundle, which is not full.
    tail: Vec<Vec<u8>>,
}

/// The objects that make the log grow: keys with their bytes.
pub(super) type Growth = Vec<(Key, Vec<u8>)>;

impl Edge {
    pub(super) fn empty() -> Self {
        Self { size: 0, root: ledger::EMPTY_ROOT, tiles: TileSet::default(), tail: Vec::new() }
    }

    /// Reads the edge from a store. Checks every tile against the root and every entry against its leaf.
    pub(super) fn load(store: &dyn Store, size: u64, root: &Hash) -> Result<Self, EdgeError> {
        let source = StoreTiles::new(store);
        let reader = AuthenticatedReader::new(&source, size, root)?;
        let mut tiles = TileSet::default();
        for path in tiles_for_root(size).or(Err(EdgeError::Size))? {
            let bytes = source.tile(&path).map_err(|source| TileReadError::Source { path, source })?;
            tiles.0.insert(path, bytes);
        }
        let tail = match TilePath::in_tree(TileKind::Entries, size >> 8, size) {
            Some(bundle) => reader.entries(bundle.index())?,
            None => Vec::new(),
        };
        Ok(Self { size, root: *root, tiles, tail })
    }

    /// Returns the edge after appending `entries`, and the objects to write for it.
    pub(super) fn append(&self, entries: &[Vec<u8>]) -> Result<(Self, Growth), EdgeError> {
        let leaves: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
        let added = u64::try_from(entries.len()).or(Err(EdgeError::Size))?;
        let size = self.size.checked_add(added).ok_or(EdgeError::Size)?;
        let mut growth = Growth::new();
        let mut all = self.tiles.clone();
        for (path, tile) in grow(&self.tiles, self.size, &leaves).or(Err(EdgeError::Grow))? {
            growth.push((Key::tile(&path), tile.encode()));
            all.0.insert(path, tile.encode());
        }
        let mut tail: Vec<Vec<u8>> = self.tail.iter().chain(entries).cloned().collect();
        for path in bundles_for_growth(self.size, size).or(Err(EdgeError::Grow))? {
            let rest = tail.split_off(usize::from(path.width()).min(tail.len()));
            growth.push((Key::tile(&path), encode_bundle(&tail).or(Err(EdgeError::Grow))?));
            // The entries of a full bundle leave the edge; a partial bundle is the last one and stays.
            if !path.is_partial() {
                tail = rest;
            }
        }
        if size.is_multiple_of(256) {
            tail.clear();
        }
        let root = proof::root(&TileReader::new(&all, size), size).or(Err(EdgeError::Grow))?;
        let mut tiles = TileSet::default();
        for path in tiles_for_root(size).or(Err(EdgeError::Size))? {
            tiles.0.insert(path, all.0.get(&path).cloned().ok_or(EdgeError::Grow)?);
        }
        Ok((Self { size, root, tiles, tail }, growth))
    }
}

/// Proves from the bytes that a store gives back that `indices` are in the tree of (size, root) with these entries.
pub(super) fn verify_stored(
    store: &dyn Store,
    size: u64,
    root: &Hash,
    indices: &[u64],
) -> Result<(), EdgeError> {
    let source = StoreTiles::new(store);
    for index in indices {
        let hashes = proof::inclusion_proof(&TileReader::new(&source, size), *index, size).map_err(
            |error| match error {
                proof::ProveError::Read(error) => EdgeError::Read(Box::new(error)),
                _ => EdgeError::Size,
            },
        )?;
        let path = TilePath::in_tree(TileKind::Entries, index >> 8, size).ok_or(EdgeError::Size)?;
        let bundle = source.tile(&path).map_err(|source| TileReadError::Source { path, source })?;
        let entries = decode_bundle(&bundle, path.width())
            .map_err(|source| TileReadError::Malformed { path, source })?;
        let place = usize::try_from(index & 0xff).or(Err(EdgeError::Size))?;
        let leaf = leaf_hash(entries.get(place).ok_or(EdgeError::Size)?);
        proof::verify_inclusion(*index, size, &leaf, &hashes, root)
            .map_err(|source| EdgeError::NotProven { index: *index, source })?;
    }
    Ok(())
}

/// Why the log's right edge cannot be read or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EdgeError {
    /// The tiles do not grow from the edge. This is a defect of ours; nothing was written.
    #[error("tiles do not grow from the right edge")]
    Grow,
    /// The bytes that the store gives back do not prove the entry.
    #[error("entry {index} is not proven by what the store gives back")]
    NotProven {
        /// Index.
        index: u64,
        /// Why.
        #[source]
        source: proof::ProofError,
    },
    /// A tile is missing or altered.
    #[error("read the right edge of the log")]
    Read(#[source] Box<TileReadError<TileFetchError>>),
    /// A size no log can have.
    #[error("log size out of range")]
    Size,
}

impl From<TileReadError<TileFetchError>> for EdgeError {
    fn from(error: TileReadError<TileFetchError>) -> Self {
        Self::Read(Box::new(error))
    }
}
