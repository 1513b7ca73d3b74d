//! The warden's lasting state, from one start to the next: keys, pins, roster, counters. One directory, 0700, for
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

/// Suffixes that versions before `durable` added to a name while they wrote the file: the agent's and that of `certs`.
const OLD_SUFFIXES: [&str; 2] = [".part", ".next"];

/// Removes what a crash of an older version left: `NAME.part` and `NAME.next` beside the files that the agent writes. Such a
/// file may hold a private key, and no version reads it or writes it again. Everything else stays.
fn remove_old_left_overs(dir: &Path) -> io::Result<()> {
    remove_in(dir, |name| [identity::PINS, clock::NAME, counter::COUNTER, seen::NAME].contains(&name))?;
    remove_in(&dir.join(receipts::DIR), receipts::is_receipt)?;
    for entry in fs_err::read_dir(dir)? {
        let entry = entry?;
        let is_generation = entry.file_name().to_str().is_some_and(|name| name.starts_with("gen-"));
        if is_generation && entry.file_type()?.is_dir() {
            remove_in(&entry.path(), |name| identity::NAMES.contains(&name))?;
        }
    }
    Ok(())
}

fn remove_in(folder: &Path, is_ours: impl Fn(&str) -> bool) -> io::Result<()> {
    let entries = match fs_err::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let base = OLD_SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix));
        if base.is_some_and(&is_ours) && entry.file_type()?.is_file() {
            durable::remove(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn what_older_versions_left_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let collection = evidence::digest::Digest::of(b"x");
        let left = [
            "identity.json.part".to_owned(),
            "counter.part".to_owned(),
            "clock.json.part".to_owned(),
            "seen.jsonl.part".to_owned(),
            "gen-1/evidence.key.part".to_owned(),
            "gen-1/tls.pem.next".to_owned(),
            "gen-2/roster.json.part".to_owned(),
            format!("receipts/{collection}.entry.part"),
            format!("receipts/{collection}.tlog-proof.part"),
        ];
        let kept = [
            "identity.json".to_owned(),
            "counter".to_owned(),
            "notes.part".to_owned(),
            "gen-1/evidence.key".to_owned(),
            "gen-1/.evidence.key.next".to_owned(),
            "gen-1/other.next".to_owned(),
            "other/evidence.key.part".to_owned(),
            format!("receipts/{collection}.entry"),
        ];
        remove_old_left_overs(dir.path()).unwrap();
        for name in left.iter().chain(&kept) {
            let path = dir.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, name).unwrap();
        }
        // A folder of such a name is not what an older version wrote.
        fs_err::create_dir(dir.path().join("gen-1/ca.der.part")).unwrap();
        remove_old_left_overs(dir.path()).unwrap();
        for name in &left {
            assert!(!dir.path().join(name).exists(), "{name}");
        }
        for name in kept.iter().map(String::as_str).chain(["gen-1/ca.der.part"]) {
            assert!(dir.path().join(name).exists(), "{name}");
        }
    }

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
