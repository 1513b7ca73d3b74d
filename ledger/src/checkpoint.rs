//! Checkpoints (c2sp.org/tlog-checkpoint): the size and root of a log, as the text of a note.
//! Guarantee: one checkpoint has one text. Extension lines are refused: no mirror could audit them.
//! Not here: signatures (`note`), whether they suffice (`policy`).
//!
//! ```text
//! example.com/behind-the-sofa
//! 20852163
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//! ```

use crate::encoding::decimal;
use crate::hash::{EMPTY_ROOT, Hash};
use crate::tree::SIZE_MAX;

/// Longest origin: 255 bytes, as long as a key name, because it is one.
pub(crate) const ORIGIN_BYTES_MAX: usize = 255;

/// The size and root of the log called `origin`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checkpoint {
    /// Identity of the log: one line, by habit a URL without its scheme.
    pub origin: String,
    /// Leaves of the tree.
    pub size: u64,
    /// Root of the tree.
    pub root: Hash,
}

impl Checkpoint {
    /// A checkpoint of these values.
    ///
    /// # Errors
    /// `CheckpointError::Origin` when the origin is empty, too long or holds a control character;
    /// `CheckpointError::Size` above 2^63 - 1; `CheckpointError::EmptyRoot` when only one of size and root is that
    /// of the empty tree.
    pub fn new(origin: &str, size: u64, root: Hash) -> Result<Self, CheckpointError> {
        if origin.is_empty() || origin.len() > ORIGIN_BYTES_MAX || origin.chars().any(char::is_control) {
            return Err(CheckpointError::Origin);
        }
        if size > SIZE_MAX {
            return Err(CheckpointError::Size);
        }
        if (size == 0) != (root == EMPTY_ROOT) {
            return Err(CheckpointError::EmptyRoot);
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }

    /// The note text: three lines.
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64())
    }

    /// Reads a note text in its one spelling.
    ///
    /// # Errors
    /// `CheckpointError::Lines` for fewer or more than three lines, else the line that is wrong.
    pub fn from_text(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root), Some(""), None) =
            (lines.next(), lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Lines);
        };
        let size = decimal(size).ok_or(CheckpointError::Size)?;
        let root = Hash::from_base64(root).or(Err(CheckpointError::Root))?;
        Self::new(origin, size, root)
    }
}

/// Why a text is not a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Size 0 goes with the root of the empty tree, and no other size does.
    #[error("checkpoint size and root contradict each other about an empty tree")]
    EmptyRoot,
    /// The text is not exactly three lines: origin, size and root.
    #[error("checkpoint does not have exactly three lines")]
    Lines,
    /// The origin is empty, too long or holds a control character.
    #[error("checkpoint origin is empty, too long or holds a control character")]
    Origin,
    /// The root is not canonical base64 of 32 bytes.
    #[error("checkpoint root is not canonical base64 of 32 bytes")]
    Root,
    /// The size is not a decimal number below 2^63 without leading zeros.
    #[error("checkpoint size is not a decimal number below 2^63")]
    Size,
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    #[test]
    fn the_example_of_the_specification_parses_and_prints() {
        let checkpoint = Checkpoint::from_text(TEXT).unwrap();
        assert_eq!(
            (checkpoint.origin.as_str(), checkpoint.size),
            ("example.com/behind-the-sofa", 20_852_163)
        );
        assert_eq!(checkpoint.to_text(), TEXT);
    }

    #[test]
    fn every_other_text_is_refused_by_what_is_wrong() {
        use CheckpointError::{EmptyRoot, Lines, Origin, Root, Size};
        let replaced = |from: &str, to: &str| Checkpoint::from_text(&TEXT.replacen(from, to, 1)).unwrap_err();
        assert_eq!(replaced("20852163", "020852163"), Size);
        assert_eq!(replaced("20852163", "+20852163"), Size);
        assert_eq!(replaced("20852163", "9223372036854775808"), Size);
        assert_eq!(replaced("20852163", ""), Size);
        assert_eq!(replaced("20852163", "0"), EmptyRoot);
        assert_eq!(
            replaced("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=", &EMPTY_ROOT.to_base64()),
            EmptyRoot
        );
        assert_eq!(replaced("q2I=", "q2J="), Root);
        assert_eq!(replaced("q2I=", "q2I"), Root);
        assert_eq!(replaced("q2I=\n", "q2I="), Lines);
        assert_eq!(replaced("q2I=\n", "q2I=\nextension\n"), Lines);
        assert_eq!(replaced("q2I=\n", "q2I=\n\n"), Lines);
        assert_eq!(replaced("example.com/behind-the-sofa", ""), Origin);
        assert_eq!(replaced("example.com/", "example.com/\r"), Origin);
        assert_eq!(replaced("example.com", &"e".repeat(255)), Origin);
        assert_eq!(Checkpoint::from_text(""), Err(Lines));
    }
}
