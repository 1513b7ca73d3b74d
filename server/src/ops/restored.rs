//! Marks a restoration that is not finished. `recovery.performed` has to be the first entry of the restored collector; only the
//! `log.succession` of a collector that lost its log key may come earlier.
//!
//! Guarantee: from the moment before the database exists until that entry is durable, `run` refuses to start. A second `restore`
//! continues from here.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// Name of the mark in the collector's directory.
pub const PENDING_FILE: &str = "restore.pending";

/// The content of the mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    /// Entries that were given back.
    pub size: u64,
}

/// Makes the mark, durably.
pub fn write_mark(directory: &Path, size: u64) -> std::io::Result<()> {
    let mark = format!("{}\n", serde_json::json!(Pending { size }));
    durable::replace(&directory.join(PENDING_FILE), mark.as_bytes(), 0o644)
}

/// The restoration that is not finished, if there is one.
pub fn read_mark(directory: &Path) -> std::io::Result<Option<Pending>> {
    let bytes = match fs_err::read(directory.join(PENDING_FILE)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes?,
    };
    let pending = serde_json::from_slice(&bytes);
    Ok(Some(pending.map_err(|error| std::io::Error::other(format!("{PENDING_FILE}: {error}")))?))
}

/// Removes the mark, durably.
pub fn remove_mark(directory: &Path) -> std::io::Result<()> {
    durable::remove(&directory.join(PENDING_FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_stays_until_it_is_taken_away() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(read_mark(place.path()).unwrap(), None);
        write_mark(place.path(), 41).unwrap();
        assert_eq!(read_mark(place.path()).unwrap(), Some(Pending { size: 41 }));
        fs_err::write(place.path().join(PENDING_FILE), "{").unwrap();
        assert!(read_mark(place.path()).is_err());
        remove_mark(place.path()).unwrap();
        remove_mark(place.path()).unwrap();
        assert_eq!(read_mark(place.path()).unwrap(), None);
    }
}
