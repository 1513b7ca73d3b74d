//! Durable files of the state directory.
//!
//! Guarantee: directories are 0700 and files 0600; after a crash a replaced file is either the whole old one or the
//! whole new one. Not here: files that only grow (`lines`).

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;

use fs_err::os::unix::fs::OpenOptionsExt as _;

/// No state file is larger; bounds what a start reads into memory. 64 MiB of seen orders are 200,000 attempts.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Creates `dir` (0700) with its parents, or checks that an existing one is ours alone.
///
/// # Errors
/// The system's error, or `PermissionDenied` when group or others have any access.
pub fn private_dir(dir: &Path) -> io::Result<()> {
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs_err::create_dir_all(parent)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let mode = fs_err::metadata(dir)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        let text = format!(
            "`{}` has mode {mode:04o}, so others can read keys in it. Run `chmod 0700` on it",
            dir.display()
        );
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    Ok(())
}

/// Replaces `dir/name` by `bytes`, durably.
///
/// # Errors
/// The system's error; the old file is then still whole.
pub fn replace(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let part = dir.join(format!("{name}.part"));
    match fs_err::remove_file(&part) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = fs_err::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    // Crash now: the old file stands, `.part` is removed by the next replacement.
    fs_err::rename(&part, dir.join(name))?;
    sync_dir(dir)
}

/// Makes names created in or removed from `dir` durable: after a crash a rename alone may be lost (POSIX rename).
///
/// # Errors
/// The system's error.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    fs_err::File::open(dir)?.sync_all()
}

/// Reads a state file; `None` when there is none.
///
/// # Errors
/// The system's error, or `InvalidData` when it is larger than any state file.
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match fs_err::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("`{}` is over 64 MiB", path.display()),
        ));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_and_files_are_for_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("a/state");
        private_dir(&state).unwrap();
        replace(&state, "key", b"one").unwrap();
        replace(&state, "key", b"two").unwrap();
        crate::lines::Lines::open(&state.join("lines"), |_| Ok(())).unwrap();
        assert_eq!(read(&state.join("key")).unwrap().unwrap(), b"two");
        assert_eq!(fs_err::metadata(&state).unwrap().mode() & 0o7777, 0o700);
        for name in ["key", "lines"] {
            assert_eq!(fs_err::metadata(state.join(name)).unwrap().mode() & 0o7777, 0o600, "{name}");
        }
        assert!(read(&state.join("none")).unwrap().is_none());
        use std::os::unix::fs::PermissionsExt as _;
        fs_err::set_permissions(&state, std::fs::Permissions::from_mode(0o750)).unwrap();
        assert_eq!(private_dir(&state).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
