//! Tiles of 256 hashes and bundles of 256 entries: the form in which a log is stored and served (c2sp.org/tlog-tiles).
//! Guarantee: paths and contents have one spelling. A decoder allocates no more than the tile that it was asked for.
//! Not here: fetching and storing (the caller's `TileSource`).
//!
//! ```text
//! tile/0/x001/x234/067          full tile of 256 leaf hashes, number 1,234,067 (8,192 bytes)
//! tile/1/000.p/17               first tile of level 1 while it holds 17 hashes (544 bytes)
//! tile/entries/273.p/112        112 entries, each 2 bytes of length (big-endian) and the entry
//! ```

mod authenticated;
mod bundle;
mod content;
mod growth;
mod path;
mod reader;

pub use authenticated::AuthenticatedReader;
pub use bundle::{ENTRY_BYTES_MAX, decode_bundle, encode_bundle};
pub use content::Tile;
use growth::GROWTH_TILES_MAX;
pub use growth::{bundles_for_growth, grow, tiles_for_growth};
pub use path::{TILE_WIDTH, TileKind, TilePath};
pub use reader::{
    MissingTile, TileReadError, TileReader, TileSet, TileSource, tiles_for_consistency, tiles_for_inclusion,
    tiles_for_root,
};

/// Why a path, tile or bundle is not what the specification allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TileError {
    /// An entry does not fit the 16-bit length of a bundle.
    #[error("entry of {bytes} bytes is above 65535")]
    EntryTooLong {
        /// Length of the entry.
        bytes: usize,
    },
    /// A bundle holds another number of entries than its path says.
    #[error("bundle does not hold {expected} whole entries and nothing else")]
    EntryCount {
        /// Entries its path announces.
        expected: u16,
    },
    /// The growth needs more tiles than one call plans.
    #[error("growth from {old_size} to {new_size} needs more than {GROWTH_TILES_MAX} tiles of one level")]
    GrowthTooLarge {
        /// Size before.
        old_size: u64,
        /// Size after.
        new_size: u64,
    },
    /// A tile has another length than its width says.
    #[error("tile has {actual} bytes instead of {expected}")]
    Length {
        /// 32 times the width.
        expected: usize,
        /// Bytes found.
        actual: usize,
    },
    /// A level above 63.
    #[error("tile level {level} is above 63")]
    Level {
        /// The refused level.
        level: u8,
    },
    /// Text that is not a tile path in its one spelling.
    #[error("not a tile path")]
    Path,
    /// A tree cannot shrink.
    #[error("old size {old_size} is above new size {new_size}")]
    SizesReversed {
        /// Size before.
        old_size: u64,
        /// Size after.
        new_size: u64,
    },
    /// The size is above 2^63 - 1.
    #[error("tree size {size} is above 2^63 - 1")]
    SizeTooLarge {
        /// The refused size.
        size: u64,
    },
    /// A width outside 1..=256.
    #[error("tile width {width} is not 1 to 256")]
    Width {
        /// The refused width.
        width: usize,
    },
}

/// The width of a tile or bundle that holds `count` hashes or entries.
fn width_of(count: usize) -> Result<u16, TileError> {
    match u16::try_from(count) {
        Ok(width @ 1..=TILE_WIDTH) => Ok(width),
        _ => Err(TileError::Width { width: count }),
    }
}
