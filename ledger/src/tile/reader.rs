//! Tiles as a source of subtree hashes. This reader believes them as they are; `authenticated` checks them first.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use super::{Tile, TileError, TileKind, TilePath};
use crate::encoding::low_byte;
use crate::hash::{EMPTY_ROOT, Hash};
use crate::proof::{HashReader, ProveError, consistency_proof, inclusion_proof, root};
use crate::tree::SIZE_MAX;

/// Gives the bytes of tiles and bundles.
///
/// Contract: returns exactly what is stored under the path. Asked for a partial tile that was collected after its
/// full tile appeared, it may return the first `width` hashes of the full one. A missing tile is an error.
pub trait TileSource {
    /// Why a tile is not available.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The bytes of one tile.
    ///
    /// # Errors
    /// When the tile is missing or cannot be read.
    fn tile(&self, path: &TilePath) -> Result<Vec<u8>, Self::Error>;
}

impl<S: TileSource + ?Sized> TileSource for &S {
    type Error = S::Error;

    fn tile(&self, path: &TilePath) -> Result<Vec<u8>, Self::Error> {
        (**self).tile(path)
    }
}

/// Tiles fetched beforehand: the bridge from an asynchronous store to the synchronous proof functions.
///
/// `tiles_for_inclusion`, `tiles_for_consistency` and `tiles_for_root` list the tiles to put in.
#[derive(Debug, Clone, Default)]
pub struct TileSet(pub BTreeMap<TilePath, Vec<u8>>);

/// The tile was not put into the [`TileSet`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tile {0} is missing")]
pub struct MissingTile(pub TilePath);

impl TileSource for TileSet {
    type Error = MissingTile;

    fn tile(&self, path: &TilePath) -> Result<Vec<u8>, MissingTile> {
        self.0.get(path).cloned().ok_or(MissingTile(*path))
    }
}

/// Subtree hashes of a tree of known size, recomputed from its tiles.
///
/// It believes the tiles. A proof made from altered tiles does not verify, so this is enough for a log that
/// serves proofs from its own store. A verifier uses [`super::AuthenticatedReader`].
#[derive(Debug, Clone)]
pub struct TileReader<S> {
    source: S,
    size: u64,
}

impl<S: TileSource> TileReader<S> {
    /// Reads the tree of `size` leaves out of `source`.
    pub fn new(source: S, size: u64) -> Self {
        Self { source, size }
    }

    /// Leaves of the tree.
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl<S: TileSource> HashReader for TileReader<S> {
    type Error = TileReadError<S::Error>;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let span = TileSpan::of(level, index, self.size)?;
        span.read(&fetch(&self.source, span.path)?)
    }
}

/// Where a node lies: a tile and a run of its hashes.
#[derive(Debug, Clone, Copy)]
pub(super) struct TileSpan {
    pub(super) path: TilePath,
    start: usize,
    count: usize,
}

impl TileSpan {
    /// Finds the node of `level` and `index` in the tiles of a tree of `size` leaves.
    pub(super) fn of<E>(level: u8, index: u64, size: u64) -> Result<Self, TileReadError<E>> {
        let outside = || TileReadError::OutsideTree { level, index, size };
        if size > SIZE_MAX || level > 62 || index >= size >> level {
            return Err(outside());
        }
        let (tile_level, height) = (level / 8, level % 8);
        // No overflow: index < size >> level, so this is below the number of hashes of the tile level.
        let first = index << height;
        let path = TilePath::in_tree(TileKind::Hashes(tile_level), first >> 8, size).ok_or_else(outside)?;
        Ok(Self { path, start: usize::from(low_byte(first)), count: 1 << height })
    }

    /// The node, out of the tile that [`TileSpan::path`] names.
    pub(super) fn read<E>(&self, tile: &Tile) -> Result<Hash, TileReadError<E>> {
        // `in_tree` gives the width at this size, and a complete node lies within it.
        tile.node(self.start, self.count).ok_or(TileReadError::Altered { path: self.path })
    }
}

/// Fetches and decodes one tile of hashes.
pub(super) fn fetch<S: TileSource>(source: &S, path: TilePath) -> Result<Tile, TileReadError<S::Error>> {
    let bytes = source.tile(&path).map_err(|source| TileReadError::Source { path, source })?;
    Tile::decode(&bytes, path.width()).map_err(|source| TileReadError::Malformed { path, source })
}

/// Tiles that `proof::inclusion_proof` reads, in path order.
pub fn tiles_for_inclusion(index: u64, size: u64) -> Result<Vec<TilePath>, ProveError<Infallible>> {
    let recorder = Recorder::new(size);
    inclusion_proof(&recorder, index, size)?;
    Ok(recorder.paths())
}

/// Tiles that `proof::consistency_proof` reads, in path order.
pub fn tiles_for_consistency(old_size: u64, new_size: u64) -> Result<Vec<TilePath>, ProveError<Infallible>> {
    let recorder = Recorder::new(new_size);
    consistency_proof(&recorder, old_size, new_size)?;
    Ok(recorder.paths())
}

/// Tiles that `proof::root` and `proof::frontier` read: the right edge of the tree.
pub fn tiles_for_root(size: u64) -> Result<Vec<TilePath>, ProveError<Infallible>> {
    let recorder = Recorder::new(size);
    root(&recorder, size)?;
    Ok(recorder.paths())
}

/// Returns no tile, and remembers which were requested.
struct Recorder {
    size: u64,
    asked: RefCell<BTreeSet<TilePath>>,
}

impl Recorder {
    fn new(size: u64) -> Self {
        Self { size, asked: RefCell::default() }
    }

    fn paths(self) -> Vec<TilePath> {
        self.asked.into_inner().into_iter().collect()
    }
}

impl HashReader for Recorder {
    type Error = Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
        // Proof functions ask only for nodes inside the tree, so there always is a span.
        if let Ok(span) = TileSpan::of::<Infallible>(level, index, self.size) {
            self.asked.borrow_mut().insert(span.path);
        }
        Ok(EMPTY_ROOT)
    }
}

/// A node that could not be read from tiles.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TileReadError<E> {
    /// The content is not what the trusted root commits to.
    #[error("{path} does not belong to the tree of the trusted root")]
    Altered {
        /// The tile or bundle.
        path: TilePath,
    },
    /// The content is not a tile or bundle of that width.
    #[error("{path} is malformed")]
    Malformed {
        /// The tile or bundle.
        path: TilePath,
        /// What is wrong with it.
        #[source]
        source: TileError,
    },
    /// The tree ends before that bundle.
    #[error("no entry bundle {index} in a tree of size {size}")]
    NoBundle {
        /// Number of the wanted bundle.
        index: u64,
        /// Leaves of the tree.
        size: u64,
    },
    /// The plan itself is impossible.
    #[error("plan the tiles of the tree")]
    Plan(#[source] TileError),
    /// No complete subtree is there.
    #[error("no complete node at level {level}, index {index} in a tree of size {size}")]
    OutsideTree {
        /// Height of the wanted node; leaves are at 0.
        level: u8,
        /// Index of the wanted node within its level.
        index: u64,
        /// Leaves of the tree.
        size: u64,
    },
    /// The tiles of the right edge have another root than the trusted one.
    #[error("tiles of size {size} have root {actual}, not {expected}")]
    RootMismatch {
        /// Leaves of the tree.
        size: u64,
        /// Root the caller trusts.
        expected: Hash,
        /// Root of the tiles.
        actual: Hash,
    },
    /// The source failed.
    #[error("fetch {path}")]
    Source {
        /// The tile or bundle.
        path: TilePath,
        /// Why.
        #[source]
        source: E,
    },
}
