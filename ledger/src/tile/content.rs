//! The hashes inside one tile.

use super::{TileError, width_of};
use crate::hash::{HASH_BYTES, Hash};
use crate::tree::root_of;

/// 1 to 256 hashes of neighbouring subtrees, each 32 bytes, nothing between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    hashes: Vec<Hash>,
    width: u16,
}

impl Tile {
    /// A tile of these hashes.
    ///
    /// # Errors
    /// `TileError::Width` unless there are 1 to 256.
    pub fn new(hashes: Vec<Hash>) -> Result<Self, TileError> {
        let width = width_of(hashes.len())?;
        Ok(Self { hashes, width })
    }

    /// Reads a tile of `width` hashes.
    ///
    /// # Errors
    /// `TileError::Width` outside 1..=256, `TileError::Length` unless there are exactly `32 * width` bytes.
    pub fn decode(bytes: &[u8], width: u16) -> Result<Self, TileError> {
        let expected = usize::from(width_of(usize::from(width))?) * HASH_BYTES;
        if bytes.len() != expected {
            return Err(TileError::Length { expected, actual: bytes.len() });
        }
        let (chunks, _) = bytes.as_chunks();
        Ok(Self { hashes: chunks.iter().map(|chunk| Hash(*chunk)).collect(), width })
    }

    /// The bytes to store or serve.
    pub fn encode(&self) -> Vec<u8> {
        self.hashes.iter().flat_map(|hash| hash.0).collect()
    }

    /// The hashes, left to right.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// How many hashes it holds, 1 to 256.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Root over the hashes: for a full tile, its hash in the tile above.
    pub fn root(&self) -> Hash {
        root_of(&self.hashes)
    }

    /// Root over `count` hashes from `start` on; `None` when they are not all here.
    pub fn node(&self, start: usize, count: usize) -> Option<Hash> {
        self.hashes.get(start..start.checked_add(count)?).map(root_of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::EMPTY_ROOT;

    #[test]
    fn a_tile_of_another_length_than_its_width_is_refused() {
        let tile = Tile::new(vec![EMPTY_ROOT; 17]).unwrap();
        let bytes = tile.encode();
        assert_eq!(bytes.len(), 544);
        assert_eq!(Tile::decode(&bytes, 17), Ok(tile));
        assert_eq!(Tile::decode(&bytes, 16), Err(TileError::Length { expected: 512, actual: 544 }));
        assert_eq!(Tile::decode(&bytes[1..], 17), Err(TileError::Length { expected: 544, actual: 543 }));
        assert_eq!(Tile::decode(&[], 0), Err(TileError::Width { width: 0 }));
        assert_eq!(Tile::decode(&[0; 257 * 32], 257), Err(TileError::Width { width: 257 }));
        for count in [0, 257, 65_536, 65_792] {
            let refused = Err(TileError::Width { width: count });
            assert_eq!(Tile::new(vec![EMPTY_ROOT; count]), refused, "a width is never cut to 16 bits");
        }
    }
}
