//! Folders for the owner alone, and the flush of a folder's names.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;

/// Creates `path` and every missing folder above it, each 0700, and flushes their names. An existing folder stays as it is.
///
/// `mkdir` makes a name in the folder above, and that folder's `fsync` makes it durable (POSIX mkdir; fsync(2), NOTES).
/// Crash in between: some of the folders exist, all empty, and the next call continues.
pub fn create_private_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() || path.as_os_str().is_empty() {
        return Ok(());
    }
    let parent = folder_of(path);
    create_private_folder(parent)?;
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        // Another process made it just now; that it is a folder is seen when it is used.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => {
            let text = format!("failed to create directory `{}`: {error}", path.display());
            return Err(io::Error::new(error.kind(), text));
        }
        Ok(()) => {}
    }
    sync_folder(parent)
}

/// As [`create_private_folder`], for a folder that holds keys.
///
/// # Errors
/// `PermissionDenied`, with the command that mends it, if group or others have any access to the folder.
pub fn require_private_folder(path: &Path) -> io::Result<()> {
    create_private_folder(path)?;
    let mode = fs_err::metadata(path)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        let text = format!(
            "`{}` has mode {mode:04o}, so others can read keys in it. Run `chmod 0700` on it",
            path.display()
        );
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    Ok(())
}

/// Makes the names in a folder durable: files that were created in it, renamed or removed (fsync(2), NOTES).
///
/// # Errors
/// After an error none of these names may be believed durable.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    fs_err::File::open(path)?.sync_all()
}

/// Makes the names in a folder and in all folders below it durable. The caller has flushed the files.
///
/// # Errors
/// After an error none of these names may be believed durable.
pub fn sync_folders(path: &Path) -> io::Result<()> {
    for entry in fs_err::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    sync_folder(path)
}

/// The folder that holds the name of `path`; `.` for a bare name.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn every_folder_that_was_made_is_its_owners_alone() {
        let place = tempfile::tempdir().unwrap();
        let deep = place.path().join("a/b/c");
        create_private_folder(&deep).unwrap();
        create_private_folder(&deep).unwrap();
        for made in ["a", "a/b", "a/b/c"] {
            let mode = fs_err::metadata(place.path().join(made)).unwrap().mode();
            assert_eq!(mode & 0o7777, 0o700, "{made}");
        }
        fs_err::write(place.path().join("file"), "").unwrap();
        let refused = create_private_folder(&place.path().join("file/d")).unwrap_err();
        assert!(refused.to_string().contains("file"), "{refused}");
    }

    #[test]
    fn a_folder_of_keys_that_others_may_enter_is_refused_and_not_repaired() {
        let place = tempfile::tempdir().unwrap();
        let keys = place.path().join("keys");
        require_private_folder(&keys).unwrap();
        for mode in [0o750, 0o705, 0o701, 0o710] {
            fs_err::set_permissions(&keys, std::fs::Permissions::from_mode(mode)).unwrap();
            let refused = require_private_folder(&keys).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied, "{mode:o}");
            assert!(refused.to_string().contains(&format!("{mode:04o}")), "{refused}");
            assert_eq!(fs_err::metadata(&keys).unwrap().mode() & 0o7777, mode);
        }
    }
}
