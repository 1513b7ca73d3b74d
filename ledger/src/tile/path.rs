//! The address of a tile or bundle inside a log.

use std::fmt;
use std::str::FromStr;

use super::{TileError, width_of};
use crate::encoding::{decimal, low_byte};

/// Hashes in a full tile, entries in a full bundle.
pub const TILE_WIDTH: u16 = 256;

/// Longest path there is: `tile/entries/`, seven groups, `.p/255`; anything longer is refused unread.
const PATH_BYTES_MAX: usize = 64;

/// The content of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TileKind {
    /// Entries, each with its length: `tile/entries/`.
    Entries,
    /// Hashes of subtrees over 256^level leaves: `tile/<level>/`, level 0 to 63.
    Hashes(u8),
}

/// Address of a tile or entry bundle: kind, number, width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TilePath {
    kind: TileKind,
    index: u64,
    width: u16,
}

impl TilePath {
    /// An address from its parts; `width` is 256 for a full tile.
    ///
    /// # Errors
    /// `TileError::Level` above 63, `TileError::Width` outside 1..=256.
    pub fn new(kind: TileKind, index: u64, width: u16) -> Result<Self, TileError> {
        match kind {
            TileKind::Hashes(level) if level > 63 => Err(TileError::Level { level }),
            TileKind::Hashes(_) | TileKind::Entries => {
                Ok(Self { kind, index, width: width_of(usize::from(width))? })
            }
        }
    }

    /// The tile of `level` and `index` as it is in a tree of `size` leaves, if it exists there.
    pub fn in_tree(kind: TileKind, index: u64, size: u64) -> Option<Self> {
        let level = match kind {
            TileKind::Entries => 0,
            TileKind::Hashes(level) => level,
        };
        let hashes = hashes_at(level, size);
        let width = match index.cmp(&(hashes >> 8)) {
            std::cmp::Ordering::Less => TILE_WIDTH,
            std::cmp::Ordering::Equal => u16::from(low_byte(hashes)),
            std::cmp::Ordering::Greater => 0,
        };
        Self::new(kind, index, width).ok()
    }

    /// Reads a path such as `tile/0/x001/234` or `tile/entries/000.p/7`.
    ///
    /// # Errors
    /// `TileError::Path` for every text that [`TilePath`] would not print itself.
    pub fn parse(text: &str) -> Result<Self, TileError> {
        if text.len() > PATH_BYTES_MAX {
            return Err(TileError::Path);
        }
        let path = Self::parse_any_spelling(text).ok_or(TileError::Path)?;
        // Groups that could be left out, leading zeros, a width of 256 spelled out: printing shows them.
        if path.to_string() == text { Ok(path) } else { Err(TileError::Path) }
    }

    fn parse_any_spelling(text: &str) -> Option<Self> {
        let (kind, rest) = text.strip_prefix("tile/")?.split_once('/')?;
        let kind = match kind {
            "entries" => TileKind::Entries,
            level => TileKind::Hashes(u8::try_from(decimal(level)?).ok()?),
        };
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (number, u16::try_from(decimal(width)?).ok()?),
            None => (rest, TILE_WIDTH),
        };
        let mut index = 0_u64;
        for group in number.split('/') {
            let digits = group.strip_prefix('x').unwrap_or(group);
            if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
        }
        Self::new(kind, index, width).ok()
    }

    /// The kind of the tile's content.
    pub fn kind(&self) -> TileKind {
        self.kind
    }

    /// Number of the tile within its level.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Hashes or entries in it, 1 to 256.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// True for a tile that is not full and will be superseded as the log grows.
    pub fn is_partial(&self) -> bool {
        self.width < TILE_WIDTH
    }
}

/// Hashes that tiles of `level` hold in a tree of `size` leaves: complete subtrees of 256^level leaves.
pub(super) fn hashes_at(level: u8, size: u64) -> u64 {
    // A level whose subtrees are wider than 64 bits has no hash in any tree.
    size.checked_shr(u32::from(level) * 8).unwrap_or(0)
}

impl fmt::Display for TilePath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Entries => out.write_str("tile/entries/")?,
            TileKind::Hashes(level) => write!(out, "tile/{level}/")?,
        }
        let mut rest = self.index;
        let mut groups = vec![rest % 1000];
        while rest >= 1000 {
            rest /= 1000;
            groups.push(rest % 1000);
        }
        for (place, group) in groups.iter().enumerate().rev() {
            if place == 0 {
                write!(out, "{group:03}")?;
            } else {
                write!(out, "x{group:03}/")?;
            }
        }
        if self.is_partial() {
            write!(out, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

impl FromStr for TilePath {
    type Err = TileError;

    fn from_str(text: &str) -> Result<Self, TileError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_specification_parse_and_print() {
        let cases = [
            ("tile/0/x001/x234/067", TileKind::Hashes(0), 1_234_067, 256),
            ("tile/1/000.p/17", TileKind::Hashes(1), 0, 17),
            ("tile/entries/273.p/112", TileKind::Entries, 273, 112),
            ("tile/63/x018/x446/x744/x073/x709/x551/615.p/255", TileKind::Hashes(63), u64::MAX, 255),
            ("tile/entries/x001/000", TileKind::Entries, 1000, 256),
        ];
        for (text, kind, index, width) in cases {
            let path = TilePath::new(kind, index, width).unwrap();
            assert_eq!(path.to_string(), text);
            assert_eq!(TilePath::parse(text), Ok(path));
        }
    }

    #[test]
    fn every_other_spelling_is_refused() {
        let bad = [
            "",
            "tile",
            "tile/",
            "tile/0",
            "tile/0/",
            "/tile/0/000",
            "tile/0/000/",
            "tile/00/000",
            "tile/64/000",
            "tile/256/000",
            "tile/-1/000",
            "tile/+1/000",
            "tile/data/000",
            "tile/8/0/000.p/",
            "tile/0/00",
            "tile/0/0000",
            "tile/0/x000",
            "tile/0/x000/001",
            "tile/0/001/001",
            "tile/0/x001/x001",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p/257",
            "tile/0/000.p/1/",
            "tile/0/000.p/1.p/1",
            "tile/0/+00",
            "tile/0/x001/x001/x001/x001/x001/x001/x001/001",
            "tile/0/٠٠٠",
            "tile/0/000\n",
            "Tile/0/000",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
        ];
        for text in bad {
            assert_eq!(TilePath::parse(text), Err(TileError::Path), "{text:?}");
        }
        assert_eq!(TilePath::new(TileKind::Hashes(64), 0, 1), Err(TileError::Level { level: 64 }));
        assert_eq!(TilePath::new(TileKind::Entries, 0, 0), Err(TileError::Width { width: 0 }));
        assert_eq!(TilePath::new(TileKind::Entries, 0, 257), Err(TileError::Width { width: 257 }));
    }

    #[test]
    fn a_tree_knows_which_of_its_tiles_are_partial() {
        let width = |kind, index| TilePath::in_tree(kind, index, 70_000).map(|path| path.width());
        assert_eq!(width(TileKind::Hashes(0), 272), Some(256));
        assert_eq!(width(TileKind::Hashes(0), 273), Some(112));
        assert_eq!(width(TileKind::Hashes(0), 274), None);
        assert_eq!(width(TileKind::Entries, 273), Some(112));
        assert_eq!(width(TileKind::Hashes(1), 1), Some(17));
        assert_eq!(width(TileKind::Hashes(2), 0), Some(1));
        assert_eq!(width(TileKind::Hashes(3), 0), None);
        assert_eq!(width(TileKind::Hashes(63), 0), None);
    }
}
