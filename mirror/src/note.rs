//! A note of the log that the mirror follows: its checkpoint, verified under the key that the log had at that
//! size. Not here: whether two notes belong to one history ([`crate::pull`]).

use evidence::log_key::LogKeys;
use ledger::{Checkpoint, Note, VerifierKey};

/// A note that a key of the log signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogNote {
    /// The checkpoint in it.
    pub checkpoint: Checkpoint,
    /// Text and the log's line, nothing else.
    pub note: Note,
}

impl LogNote {
    /// Reads a note. Keeps only what verifies under the log's key.
    ///
    /// # Errors
    /// `Foreign` for another origin, `Unsigned` without a valid line of the log.
    pub fn read(bytes: &[u8], origin: &str, keys: &LogKeys) -> Result<Self, NoteRefused> {
        let read = Self::read_of_any_size(bytes, origin, keys)?;
        match read.outside_term(keys) {
            None => Ok(read),
            Some(refused) => Err(refused),
        }
    }

    /// As [`Self::read`], for a note that was judged before it was stored: accepts any key that the log ever
    /// had.
    pub(crate) fn read_of_any_size(bytes: &[u8], origin: &str, keys: &LogKeys) -> Result<Self, NoteRefused> {
        let malformed = |error: &dyn std::fmt::Display| NoteRefused::Malformed(error.to_string());
        let note = Note::parse(bytes).map_err(|error| malformed(&error))?;
        let checkpoint = Checkpoint::from_text(note.text()).map_err(|error| malformed(&error))?;
        if checkpoint.origin != origin {
            return Err(NoteRefused::Foreign(checkpoint.origin));
        }
        let size = checkpoint.size;
        // If there are several lines of the log, take the one whose key may sign this size.
        let mut terms = keys.terms();
        terms.sort_by_key(|term| !(term.from..=term.to).contains(&size));
        let line = terms
            .into_iter()
            .find_map(|term| Some(note.verify(&[term.key]).ok()?.first()?.signature.clone()))
            .ok_or(NoteRefused::Unsigned)?;
        let note = Note::new(note.text(), vec![line]).map_err(|error| malformed(&error))?;
        Ok(Self { checkpoint, note })
    }

    /// Why the note's key may not sign its size, if it may not.
    pub(crate) fn outside_term(&self, keys: &LogKeys) -> Option<NoteRefused> {
        let size = self.checkpoint.size;
        let term = keys.terms().into_iter().find(|term| self.is_of(&term.key))?;
        (!(term.from..=term.to).contains(&size))
            .then(|| NoteRefused::OutsideTerm { key: term.key.to_string(), size })
    }

    /// True if this key signed the note.
    #[must_use]
    pub(crate) fn is_of(&self, key: &VerifierKey) -> bool {
        self.note.verify(std::slice::from_ref(key)).is_ok()
    }
}

/// Why a text is not a note of the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteRefused {
    /// The note belongs to another log.
    #[error("the note is of {0}")]
    Foreign(String),
    /// The text is not a checkpoint.
    #[error("not a checkpoint: {0}")]
    Malformed(String),
    /// A key of the log signed a size that only another key may sign.
    #[error(
        "the note of size {size} is signed by {key}, which is not the log's key at that size: the authority let another follow it, or it came later. It counts for nothing"
    )]
    OutsideTerm { key: String, size: u64 },
    /// The log did not sign it.
    #[error("no signature of the log's key holds")]
    Unsigned,
}
