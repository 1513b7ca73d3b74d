//! Which paths are mounts of file systems for which another machine or process must answer. The reader takes
//! them from the mount table beforehand, because even to look at a dead one may never return.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Mode, OFlags, openat};

/// Most bytes of the mount table: 4 MiB, about 30,000 mounts.
const TABLE_BYTES_MAX: usize = 4 << 20;

/// Remote mounts by path.
#[derive(Debug, Default)]
pub(super) struct MountTable {
    remote: BTreeMap<Vec<u8>, String>,
}

impl MountTable {
    /// Reads the table of process 1, or our own if the kernel refuses that.
    pub(super) fn read(proc: BorrowedFd<'_>) -> Self {
        let table = ["1/mountinfo", "self/mountinfo"].into_iter().find_map(|name| read(proc, name));
        Self::parse(&table.unwrap_or_default())
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

fn read(proc: BorrowedFd<'_>, name: &str) -> Option<Vec<u8>> {
    let file = openat(proc, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut table = Vec::new();
    let mut buffer = vec![0_u8; 64 << 10];
    while table.len() < TABLE_BYTES_MAX {
        let len = rustix::io::read(file.as_fd(), buffer.as_mut_slice()).ok()?;
        if len == 0 {
            break;
        }
        table.extend_from_slice(buffer.get(..len)?);
    }
    Some(table)
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
        if let (b'\\', Some([a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7'])) =
            (first, behind.first_chunk::<3>())
        {
            plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
            rest = behind.get(3..).unwrap_or_default();
        } else {
            plain.push(*first);
            rest = behind;
        }
    }
    plain
}

#[cfg(test)]
mod tests {
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
}
