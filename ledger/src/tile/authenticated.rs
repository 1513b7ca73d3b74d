//! Tiles from a stranger. The reader checks each against a root that the caller trusts, before it believes any hash.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::path::hashes_at;
use super::reader::{TileSpan, fetch};
use super::{Tile, TileKind, TilePath, TileReadError, TileSource, decode_bundle};
use crate::hash::{Hash, leaf_hash};
use crate::proof::{self, HashReader, ProveError};

/// Checked full tiles kept for the next question: 64, or 512 KiB.
const KEPT_TILES_MAX: usize = 64;

/// Subtree hashes and entries of the tree that `size` and `root` name; altered tiles are refused.
///
/// The partial tiles of the right edge are checked together against the root when the reader is made; every
/// full tile is checked against its hash in the tile above when it is fetched.
#[derive(Debug)]
pub struct AuthenticatedReader<S> {
    source: S,
    size: u64,
    edge: BTreeMap<TilePath, Tile>,
    kept: RefCell<BTreeMap<TilePath, Tile>>,
}

impl<S: TileSource> AuthenticatedReader<S> {
    /// Fetches and checks the right edge of the tree.
    ///
    /// # Errors
    /// `TileReadError::RootMismatch` when the edge has another root, or what fetching said.
    pub fn new(source: S, size: u64, root: &Hash) -> Result<Self, TileReadError<S::Error>> {
        let mut edge = BTreeMap::new();
        for level in 0..8 {
            let last = TilePath::in_tree(TileKind::Hashes(level), hashes_at(level, size) >> 8, size);
            if let Some(path) = last {
                edge.insert(path, fetch(&source, path)?);
            }
        }
        let reader = Self { source, size, edge, kept: RefCell::default() };
        // The root is made of nodes of the edge tiles only, and of all of them.
        let actual = proof::root(&Edge(&reader), size).map_err(|error| match error {
            ProveError::Read(error) => error,
            // The other variants speak of the size only.
            _ => TileReadError::Plan(super::TileError::SizeTooLarge { size }),
        })?;
        if actual == *root {
            Ok(reader)
        } else {
            Err(TileReadError::RootMismatch { size, expected: *root, actual })
        }
    }

    /// Leaves of the tree.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The entries of bundle `index`, each checked against its leaf hash.
    ///
    /// # Errors
    /// `TileReadError::NoBundle` if the tree has no such bundle, `TileReadError::Altered` if the root does not commit to an
    /// entry; otherwise the error of fetching.
    pub fn entries(&self, index: u64) -> Result<Vec<Vec<u8>>, TileReadError<S::Error>> {
        let outside = || TileReadError::NoBundle { index, size: self.size };
        let path = TilePath::in_tree(TileKind::Entries, index, self.size).ok_or_else(outside)?;
        let leaves = TilePath::in_tree(TileKind::Hashes(0), index, self.size).ok_or_else(outside)?;
        let bundle = self.source.tile(&path).map_err(|source| TileReadError::Source { path, source })?;
        let entries = decode_bundle(&bundle, path.width())
            .map_err(|source| TileReadError::Malformed { path, source })?;
        let expected = self.tile(leaves)?;
        let same = expected.hashes().iter().zip(&entries).all(|(leaf, entry)| *leaf == leaf_hash(entry));
        if !same || expected.hashes().len() != entries.len() {
            return Err(TileReadError::Altered { path });
        }
        Ok(entries.into_iter().map(<[u8]>::to_vec).collect())
    }

    /// Bytes of a tile or bundle of this tree, whatever its source has under that path.
    pub fn content(&self, path: &TilePath) -> Result<Vec<u8>, TileReadError<S::Error>> {
        match path.kind() {
            TileKind::Hashes(_) => Ok(self.tile(*path)?.encode()),
            TileKind::Entries => {
                super::encode_bundle(&self.entries(path.index())?).map_err(TileReadError::Plan)
            }
        }
    }

    /// A tile that the root commits to.
    fn tile(&self, path: TilePath) -> Result<Tile, TileReadError<S::Error>> {
        if let Some(tile) = self.edge.get(&path) {
            return Ok(tile.clone());
        }
        if let Some(tile) = self.kept.borrow().get(&path) {
            return Ok(tile.clone());
        }
        let TileKind::Hashes(level) = path.kind() else {
            return Err(TileReadError::Altered { path });
        };
        let tile = fetch(&self.source, path)?;
        // Ends at the edge after at most 7 tiles: above the last full tile there is a partial one.
        let above = level.checked_add(1).and_then(|level| level.checked_mul(8));
        let expected = self.node(above.ok_or(TileReadError::Altered { path })?, path.index())?;
        if path.is_partial() || tile.root() != expected {
            return Err(TileReadError::Altered { path });
        }
        let mut kept = self.kept.borrow_mut();
        if kept.len() >= KEPT_TILES_MAX {
            kept.clear();
        }
        kept.insert(path, tile.clone());
        Ok(tile)
    }
}

impl<S: TileSource> HashReader for AuthenticatedReader<S> {
    type Error = TileReadError<S::Error>;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let span = TileSpan::of(level, index, self.size)?;
        span.read(&self.tile(span.path)?)
    }
}

/// The edge alone, not yet checked: only [`AuthenticatedReader::new`] may look at it.
struct Edge<'reader, S>(&'reader AuthenticatedReader<S>);

impl<S: TileSource> HashReader for Edge<'_, S> {
    type Error = TileReadError<S::Error>;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let span = TileSpan::of(level, index, self.0.size)?;
        let tile = self.0.edge.get(&span.path).ok_or(TileReadError::Altered { path: span.path })?;
        span.read(tile)
    }
}
