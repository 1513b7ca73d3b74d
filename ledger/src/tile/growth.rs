//! The tiles that a log must write when it grows, and their content.

use super::path::hashes_at;
use super::reader::fetch;
use super::{TILE_WIDTH, Tile, TileError, TileKind, TilePath, TileReadError, TileSource};
use crate::encoding::low_byte;
use crate::hash::Hash;
use crate::tree::SIZE_MAX;

/// Most tiles of one level that one call plans: 2^20, for 268 million new entries. Bounds the answer to some
/// 24 MiB if the sizes come from a stranger's checkpoint. A mirror that is far behind plans in steps.
pub(crate) const GROWTH_TILES_MAX: u64 = 1 << 20;

/// Levels that a tree below 2^63 leaves can have: 8 bits of the size each.
const LEVELS: u8 = 8;

/// Every tile of hashes that must be written when a log grows: new full tiles, and the partial ones at the new size.
///
/// # Errors
/// `TileError::SizesReversed`, `TileError::SizeTooLarge`, `TileError::GrowthTooLarge`.
pub fn tiles_for_growth(old_size: u64, new_size: u64) -> Result<Vec<TilePath>, TileError> {
    check(old_size, new_size)?;
    let mut paths = Vec::new();
    for level in 0..LEVELS {
        add_level(
            &mut paths,
            TileKind::Hashes(level),
            hashes_at(level, old_size),
            hashes_at(level, new_size),
        )?;
    }
    Ok(paths)
}

/// Every entry bundle that must be written when a log grows.
///
/// # Errors
/// `TileError::SizesReversed`, `TileError::SizeTooLarge`, `TileError::GrowthTooLarge`.
pub fn bundles_for_growth(old_size: u64, new_size: u64) -> Result<Vec<TilePath>, TileError> {
    check(old_size, new_size)?;
    let mut paths = Vec::new();
    add_level(&mut paths, TileKind::Entries, old_size, new_size)?;
    Ok(paths)
}

/// The tiles of [`tiles_for_growth`] with their content, when `leaves` (leaf hashes) are appended.
///
/// Reads only the partial tiles of the old right edge from `source`, at most 8.
///
/// # Errors
/// As `tiles_for_growth` (in `TileReadError::Plan`), or what fetching an old tile said.
pub fn grow<S: TileSource>(
    source: &S,
    old_size: u64,
    leaves: &[Hash],
) -> Result<Vec<(TilePath, Tile)>, TileReadError<S::Error>> {
    let new_size = u64::try_from(leaves.len())
        .ok()
        .and_then(|count| old_size.checked_add(count))
        .ok_or(TileReadError::Plan(TileError::SizeTooLarge { size: u64::MAX }))?;
    check(old_size, new_size).map_err(TileReadError::Plan)?;
    let mut written = Vec::new();
    let mut arriving = leaves.to_vec();
    for level in 0..LEVELS {
        if arriving.is_empty() {
            break;
        }
        let kind = TileKind::Hashes(level);
        let first = hashes_at(level, old_size) >> 8;
        let mut hashes = match TilePath::in_tree(kind, first, old_size) {
            Some(edge) => fetch(source, edge)?.hashes().to_vec(),
            None => Vec::new(),
        };
        hashes.append(&mut arriving);
        for (index, chunk) in (first..).zip(hashes.chunks(usize::from(TILE_WIDTH))) {
            let tile = Tile::new(chunk.to_vec()).map_err(TileReadError::Plan)?;
            let path = TilePath::new(kind, index, tile.width()).map_err(TileReadError::Plan)?;
            if !path.is_partial() {
                arriving.push(tile.root());
            }
            written.push((path, tile));
        }
    }
    Ok(written)
}

fn check(old_size: u64, new_size: u64) -> Result<(), TileError> {
    if old_size > new_size {
        Err(TileError::SizesReversed { old_size, new_size })
    } else if new_size > SIZE_MAX {
        Err(TileError::SizeTooLarge { size: new_size })
    } else if (new_size >> 8) - (old_size >> 8) > GROWTH_TILES_MAX {
        Err(TileError::GrowthTooLarge { old_size, new_size })
    } else {
        Ok(())
    }
}

/// Adds the tiles of one kind when its hashes (or entries) grow from `old` to `new`.
fn add_level(paths: &mut Vec<TilePath>, kind: TileKind, old: u64, new: u64) -> Result<(), TileError> {
    for index in (old >> 8)..(new >> 8) {
        paths.push(TilePath::new(kind, index, TILE_WIDTH)?);
    }
    let width = u16::from(low_byte(new));
    if new != old && width != 0 {
        paths.push(TilePath::new(kind, new >> 8, width)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(paths: Result<Vec<TilePath>, TileError>) -> Vec<String> {
        paths.unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn seventy_thousand_leaves_make_the_tiles_of_the_specification() {
        let paths = tiles_for_growth(0, 70_000).unwrap();
        let count =
            |kind, width| paths.iter().filter(|path| (path.kind(), path.width()) == (kind, width)).count();
        assert_eq!(count(TileKind::Hashes(0), 256), 273);
        assert_eq!(count(TileKind::Hashes(0), 112), 1);
        assert_eq!(count(TileKind::Hashes(1), 256), 1);
        assert_eq!(count(TileKind::Hashes(1), 17), 1);
        assert_eq!(count(TileKind::Hashes(2), 1), 1);
        assert_eq!(paths.len(), 277);
        assert_eq!(bundles_for_growth(0, 70_000).unwrap().len(), 274);
    }

    #[test]
    fn growth_names_only_what_changed() {
        assert_eq!(names(tiles_for_growth(256, 256)), Vec::<String>::new());
        assert_eq!(names(tiles_for_growth(0, 256)), ["tile/0/000", "tile/1/000.p/1"]);
        assert_eq!(names(tiles_for_growth(256, 257)), ["tile/0/001.p/1"]);
        assert_eq!(names(tiles_for_growth(255, 257)), ["tile/0/000", "tile/0/001.p/1", "tile/1/000.p/1"]);
        assert_eq!(names(tiles_for_growth(257, 258)), ["tile/0/001.p/2"]);
        assert_eq!(names(bundles_for_growth(255, 257)), ["tile/entries/000", "tile/entries/001.p/1"]);
    }

    #[test]
    fn sizes_of_a_stranger_cannot_ask_for_all_memory() {
        assert_eq!(
            tiles_for_growth(0, SIZE_MAX),
            Err(TileError::GrowthTooLarge { old_size: 0, new_size: SIZE_MAX })
        );
        assert!(matches!(bundles_for_growth(0, u64::MAX), Err(TileError::SizeTooLarge { .. })));
        assert!(matches!(tiles_for_growth(1, 0), Err(TileError::SizesReversed { .. })));
        // A growth over the last level boundary is small again.
        assert_eq!(tiles_for_growth(SIZE_MAX - 1, SIZE_MAX).unwrap().len(), 1);
    }
}
