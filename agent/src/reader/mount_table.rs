//! Finds the mounted file systems for which another machine or process must answer. The reader reads the mount
//! table for this in advance, because even looking at a dead file system may never return.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::fd::BorrowedFd;

use rustix::fs::{Mode, OFlags, openat};

/// Most bytes of the mount table: 4 MiB, about 30,000 mounts.
const TABLE_BYTES_MAX: u64 = 4 << 20;

/// Remote mounts by path.
#[derive(Debug, Default)]
pub(super) struct MountTable {
    remote: BTreeMap<Vec<u8>, String>,
}

impl MountTable {
    /// Reads the table of process 1, or our own if the kernel refuses that.
    ///
    /// The second value is for the manifest. If the reader has no complete table, it says what the reader does not know.
    pub(super) fn read(proc: BorrowedFd<'_>) -> (Self, Option<String>) {
        let table = read(proc, "1/mountinfo").or_else(|_refused| read(proc, "self/mountinfo"));
        match table {
            Ok((table, true)) => (Self::parse(&table), None),
            Ok((table, false)) => (
                Self::parse(&table),
                Some(
                    "the mount table is longer than 4 MiB: mounts behind that may be remote ones".to_owned(),
                ),
            ),
            Err(error) => (
                Self::default(),
                Some(format!(
                    "the mount table could not be read ({error}): remote file systems are not recognised by path"
                )),
            ),
        }
    }

    /// The type of the remote file system mounted at `path`.
    pub(super) fn remote(&self, path: &[u8]) -> Option<&str> {
        self.remote.get(path).map(String::as_str)
    }

    fn parse(table: &[u8]) -> Self {
        let mut remote = BTreeMap::new();
        for line in table.split(|byte| *byte == b'\n') {
            let mut fields = line.split(|byte| *byte == b' ');
            let Some(point) = fields.nth(4) else { continue };
            let Some(kind) = fields.skip_while(|field| *field != b"-").nth(1) else {
                continue;
            };
            let kind = String::from_utf8_lossy(kind).into_owned();
            if is_remote(&kind) {
                remote.insert(unescape(point), kind);
            }
        }
        Self { remote }
    }
}

/// At most [`TABLE_BYTES_MAX`] bytes of the table, and whether that is all of it.
fn read(proc: BorrowedFd<'_>, name: &str) -> std::io::Result<(Vec<u8>, bool)> {
    let file = openat(proc, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut table = Vec::new();
    std::fs::File::from(file).take(TABLE_BYTES_MAX + 1).read_to_end(&mut table)?;
    let is_whole = table.len() as u64 <= TABLE_BYTES_MAX;
    Ok((table, is_whole))
}

fn is_remote(kind: &str) -> bool {
    const KINDS: &[&str] = &[
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "autofs",
        "9p",
        "virtiofs",
        "ceph",
        "afs",
        "ncpfs",
        "coda",
        "lustre",
        "glusterfs",
        "gfs2",
        "ocfs2",
        "beegfs",
        "gpfs",
        "davfs",
        "orangefs",
        "pvfs2",
    ];
    KINDS.contains(&kind) || kind.starts_with("fuse")
}

/// Decodes `\040` and the like: the kernel writes blank, tab, newline and backslash that way.
pub(crate) fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, behind)) = rest.split_first() {
        if let (b'\\', Some(([a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7'], after))) =
            (first, behind.split_first_chunk::<3>())
        {
            plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
            rest = after;
        } else {
            plain.push(*first);
            rest = behind;
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn remote_mounts_are_found_by_their_real_path() {
        let table = b"22 1 8:1 / / rw shared:1 - ext4 /dev/root rw\n\
            30 22 0:40 / /mnt/a\\040b rw - nfs4 host:/x rw\n31 22 0:41 / /home/u/m rw master:2 shared:3 - fuse.sshfs x rw\nbad\n";
        let mounts = MountTable::parse(table);
        assert_eq!(mounts.remote(b"/mnt/a b"), Some("nfs4"));
        assert_eq!(mounts.remote(b"/home/u/m"), Some("fuse.sshfs"));
        assert_eq!(mounts.remote(b"/"), None);
    }

    #[test]
    fn a_table_that_cannot_be_read_whole_is_a_limitation_and_not_an_empty_table() {
        let proc = tempfile::tempdir().unwrap();
        let directory = std::fs::File::open(proc.path()).unwrap();
        let read = || MountTable::read(directory.as_fd());
        let said = |(_, limitation): (MountTable, Option<String>)| limitation.unwrap();
        assert!(said(read()).contains("could not be read"));
        fs_err::create_dir(proc.path().join("self")).unwrap();
        let own = proc.path().join("self/mountinfo");
        fs_err::write(&own, "30 22 0:40 / /mnt/a rw - nfs4 host:/x rw\n").unwrap();
        let (mounts, limitation) = read();
        assert_eq!((mounts.remote(b"/mnt/a"), limitation), (Some("nfs4"), None));
        let line = b"22 1 8:1 / /x rw shared:1 - ext4 /dev/root rw\n";
        fs_err::write(&own, line.repeat((4 << 20) / line.len() + 1)).unwrap();
        assert!(said(read()).contains("longer than 4 MiB"));
    }
}
