//! What the warden keeps from one start to the next: keys, pins, roster, counters. One directory, 0700, for
//! the agent alone.
//!
//! Guarantee: only enrolment creates state. Each part is durable before anything that depends on it happens.
//! Not here: evidence. The agent never writes collected bytes to this disk.

pub mod clock;
pub(crate) mod counter;
pub mod endpoint;
pub mod identity;
pub(crate) mod receipts;
pub(crate) mod seen;

use std::io;
use std::path::Path;

/// Longest state file. It bounds what a start reads into memory. 64 MiB of seen orders are 200,000 attempts.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Reads a state file; `None` if there is none.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    durable::read_at_most(path, FILE_BYTES_MAX)
}

/// Replaces the state file `name` of `dir`, durably. After an error the old file is still whole.
fn replace(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    durable::replace(&dir.join(name), bytes, 0o600)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn directories_and_files_are_for_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("a/state");
        durable::require_private_folder(&state).unwrap();
        replace(&state, "key", b"one").unwrap();
        replace(&state, "key", b"two").unwrap();
        durable::LineFile::open(&state.join("lines"), |_| Ok(())).unwrap();
        assert_eq!(read(&state.join("key")).unwrap().unwrap(), b"two");
        assert_eq!(fs_err::metadata(&state).unwrap().mode() & 0o7777, 0o700);
        for name in ["key", "lines"] {
            assert_eq!(fs_err::metadata(state.join(name)).unwrap().mode() & 0o7777, 0o600, "{name}");
        }
        assert!(read(&state.join("none")).unwrap().is_none());
        use std::os::unix::fs::PermissionsExt as _;
        fs_err::set_permissions(&state, std::fs::Permissions::from_mode(0o750)).unwrap();
        assert_eq!(
            durable::require_private_folder(&state).unwrap_err().kind(),
            io::ErrorKind::PermissionDenied
        );
    }
}
