//! Stores two signed notes that cannot both be true: portable proof of a fork or a rollback.
//! Guarantee: both notes are on disk before the collector tells anybody. A later pair never replaces the first pair for a size and
//! witness.

use std::path::{Path, PathBuf};

use evidence::digest::Digest;

/// Writes both notes and returns the path of ours.
pub(super) fn keep_notes(
    folder: &Path,
    witness: &str,
    size: u64,
    ours: &[u8],
    theirs: Option<&[u8]>,
) -> std::io::Result<PathBuf> {
    durable::create_private_folder(folder)?;
    let witness = Digest::of(witness.as_bytes()).to_string();
    let stem = format!("{size}-{}", witness.get(..16).unwrap_or(&witness));
    let path = folder.join(format!("{stem}.ours"));
    write_new(&path, ours)?;
    if let Some(theirs) = theirs {
        write_new(&folder.join(format!("{stem}.theirs")), theirs)?;
    }
    Ok(path)
}

fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    match durable::create(path, bytes, 0o644) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        created => created,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pair_stays() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("contradictions");
        let path = keep_notes(&inside, "m1", 7, b"a", Some(b"b")).unwrap();
        assert_eq!(keep_notes(&inside, "m1", 7, b"c", Some(b"d")).unwrap(), path);
        assert_eq!(fs_err::read(&path).unwrap(), b"a");
        assert_eq!(fs_err::read(path.with_extension("theirs")).unwrap(), b"b");
    }
}
