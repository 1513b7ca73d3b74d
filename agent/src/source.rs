//! Bytes that can be read at an offset. The sealer reads files and journals through this.
//!
//! Guarantee: reading an open file leaves the page cache as it was found. Not here: the order of reads, and
//! how to treat a failed read (`sealer::content`).

use std::os::fd::{AsFd, OwnedFd};

use evidence::item::{SPARSE_HOLES_MIN, SPARSE_RUNS_MAX, Stat};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use crate::platform::{CallError, Residence, drop_range, look};

/// Something whose bytes can be read at an offset.
pub trait Source {
    /// Reads into `buffer` from `off`. Returns 0 at the end.
    fn read_at(&self, buffer: &mut [u8], off: u64) -> Result<usize, Errno>;

    /// Called before and after a range is read. An implementation can spare the page cache here.
    fn around(&self, _off: u64, _len: u64, _when: When) {}
}

/// Before or after the read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before.
    Before,
    /// After.
    After,
}

/// An open file.
#[derive(Debug)]
pub struct OpenFile {
    fd: OwnedFd,
    was_absent: std::cell::Cell<bool>,
}

impl OpenFile {
    /// Takes a descriptor opened for reading.
    #[must_use]
    pub fn new(fd: OwnedFd) -> Self {
        Self { fd, was_absent: std::cell::Cell::new(false) }
    }

    /// Looks at the file.
    pub fn look(&self) -> Result<Stat, CallError> {
        look(self.fd.as_fd()).map(|look| look.stat)
    }

    /// The runs of data in the first `size` bytes, if it is worth leaving the holes out; otherwise one run.
    #[must_use]
    pub(crate) fn sparse_runs(&self, before: &Stat, size: u64) -> Option<Vec<(u64, u64)>> {
        // The file uses less space on the medium than its size. Only then are there holes (or compression,
        // and then the search finds none).
        if before.blocks >= size.div_ceil(512) || size < SPARSE_HOLES_MIN {
            return None;
        }
        let mut runs: Vec<(u64, u64)> = Vec::new();
        let mut data_bytes = 0_u64;
        let mut from = 0;
        while from < size {
            let start = match seek(self.fd.as_fd(), SeekFrom::Data(from)) {
                Ok(start) => start,
                // There is no data after `from`: the file ends in a hole.
                Err(Errno::NXIO) => break,
                Err(_unsupported) => return None,
            };
            if start >= size {
                break;
            }
            let end = seek(self.fd.as_fd(), SeekFrom::Hole(start)).ok()?.min(size);
            // If the file changes during the search, the answers may be out of order. Then the file is read
            // whole.
            let follows = runs.last().is_none_or(|(off, len)| off + len < start);
            if end <= start || start < from || !follows || runs.len() >= SPARSE_RUNS_MAX {
                return None;
            }
            runs.push((start, end - start));
            data_bytes += end - start;
            from = end;
        }
        (size - data_bytes >= SPARSE_HOLES_MIN).then_some(runs)
    }
}

impl Source for OpenFile {
    fn read_at(&self, buffer: &mut [u8], off: u64) -> Result<usize, Errno> {
        rustix::io::pread(self.fd.as_fd(), buffer, off)
    }

    fn around(&self, off: u64, len: u64, when: When) {
        match when {
            When::Before => {
                self.was_absent.set(Residence::of(self.fd.as_fd(), off, len) == Residence::Absent)
            }
            When::After if self.was_absent.get() => drop_range(self.fd.as_fd(), off, len),
            When::After => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_left_out_when_they_save_enough() {
        use std::os::unix::fs::FileExt as _;
        let file = tempfile::tempfile().unwrap();
        file.set_len(4 << 30).unwrap();
        file.write_all_at(b"data", 1 << 30).unwrap();
        let open = OpenFile::new(file.into());
        let before = open.look().unwrap();
        let runs = open.sparse_runs(&before, before.size).unwrap();
        assert_eq!(runs.len(), 1);
        assert!(runs[0].0 <= 1 << 30 && runs[0].1 < 1 << 20, "{runs:?}");
    }
}
