//! Reading directories with `getdents64` on our own descriptor: the standard library's walker sets neither
//! `O_NOATIME` nor `O_NOFOLLOW`, so it would change the access time of every directory that it lists.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, RawDir, SeekFrom, seek};

use super::{CallError, SelfFds, reopen};
use evidence::item::AtimeMethod;

/// Names held in memory at a time: 65,536. A larger directory is walked in batches of this many names, each
/// sorted.
const BATCH_NAMES_MAX: usize = 1 << 16;

/// Buffer of one `getdents64` call: 32 KiB, what glibc uses.
const BUFFER_BYTES: usize = 32 << 10;

/// One name of a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Raw name; never empty, `.` or `..`.
    pub name: Vec<u8>,
    /// Directory, symbolic link or unknown: something that a path may lead through. Never rely on it for
    /// opening.
    pub may_lead_on: bool,
}

/// An open directory and how its access time is protected.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    method: AtimeMethod,
    position: u64,
    is_at_end: bool,
    /// The error that ended the listing, kept until the names before it are given out.
    failed: Option<CallError>,
}

impl Directory {
    /// Opens the directory behind an `O_PATH` descriptor for listing.
    pub fn open(fds: &SelfFds, object: BorrowedFd<'_>, view: AtimeMethod) -> Result<Self, CallError> {
        let (fd, method) = reopen(fds, object, view, true)?;
        Ok(Self { fd, method, position: 0, is_at_end: false, failed: None })
    }

    /// How listing protects the directory's access time.
    #[must_use]
    pub fn method(&self) -> AtimeMethod {
        self.method
    }

    /// The next names, sorted by raw bytes. Empty at the end.
    ///
    /// # Errors
    /// The error of `getdents64`, after all names that were read before it.
    pub(crate) fn next_batch(&mut self) -> Result<Vec<Entry>, CallError> {
        let mut names = Vec::new();
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if self.is_at_end {
            return Ok(names);
        }
        seek(self.fd.as_fd(), SeekFrom::Start(self.position)).map_err(CallError::of("lseek"))?;
        let mut buffer = vec![MaybeUninit::<u8>::uninit(); BUFFER_BYTES];
        let mut listing = RawDir::new(self.fd.as_fd(), &mut buffer);
        loop {
            let Some(entry) = listing.next() else {
                self.is_at_end = true;
                break;
            };
            let entry = match entry.map_err(CallError::of("getdents64")) {
                Ok(entry) => entry,
                Err(error) if names.is_empty() => return Err(error),
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            };
            self.position = entry.next_entry_cookie();
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"" | b"." | b"..") && !name.contains(&b'/') {
                let leading = [FileType::Directory, FileType::Symlink, FileType::Unknown];
                names.push(Entry { name: name.to_vec(), may_lead_on: leading.contains(&entry.file_type()) });
            }
            if names.len() >= BATCH_NAMES_MAX {
                break;
            }
        }
        names.sort();
        Ok(names)
    }
}
