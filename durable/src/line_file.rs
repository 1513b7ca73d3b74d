//! A file of lines that only grows.
//!
//! Guarantee: a line that `append` or `sync` acknowledged survives power loss; a torn last line reads as never written.
//! Calls: one `write` for a line with its LF, so that a reader sees whole lines (POSIX write with one writer), then `fdatasync`, which
//! flushes content and the length that is needed to read it (POSIX fdatasync). Crash in between: the line is there, torn or
//! missing. `ftruncate` cuts off a torn line at the next open, before anything is appended behind it.

use std::io::{self, BufRead as _, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::OpenOptionsExt as _;

use crate::folder::{folder_of, sync_folder};

/// Longest line: bounds what opening reads into memory.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// A line file, open for appending.
#[derive(Debug)]
pub struct LineFile {
    file: fs_err::File,
    path: PathBuf,
    /// A write or flush failed: nothing more may be written behind it.
    is_broken: bool,
}

impl LineFile {
    /// Opens or creates (0600) the file `path`, hands each whole line (without LF) to `each`, and cuts off a torn last line:
    /// its writer was never told that it is durable, and so did not act on it.
    ///
    /// # Errors
    /// Those of the system, and what `each` returns.
    pub fn open(path: &Path, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<Self> {
        let mut options = fs_err::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(path)?;
        sync_folder(folder_of(path))?;
        let mut reader = io::BufReader::new(&mut file);
        let (mut length, mut line) = (0, Vec::new());
        loop {
            line.clear();
            let read = (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
            if line.pop() != Some(b'\n') {
                break;
            }
            each(&line)?;
            length += read as u64;
        }
        if file.metadata()?.len() != length {
            file.set_len(length)?;
            file.sync_all()?;
        }
        file.seek(SeekFrom::Start(length))?;
        Ok(Self { file, path: path.to_owned(), is_broken: false })
    }

    /// Appends `line` and LF, and returns when they are durable.
    ///
    /// # Errors
    /// Open the file again before the next append: what the disk holds behind the last acknowledged line is unknown.
    pub fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.write(line)?;
        self.sync()
    }

    /// Appends `line` and LF without waiting for the disk.
    pub fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.check()?;
        let bytes = [line, b"\n"].concat();
        self.file.write_all(&bytes).inspect_err(|_| self.is_broken = true)
    }

    /// Waits until all that was written is durable.
    pub fn sync(&mut self) -> io::Result<()> {
        self.check()?;
        self.file.sync_data().inspect_err(|_| self.is_broken = true)
    }

    fn check(&self) -> io::Result<()> {
        if self.is_broken {
            return Err(io::Error::other(format!("`{}`: an earlier write failed", self.path.display())));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_torn_at_any_byte_is_cut_off_and_whole_lines_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        let whole = b"first\nsecond\n";
        for cut in 0..=whole.len() {
            fs_err::write(&path, &whole[..cut]).unwrap();
            let mut seen = Vec::new();
            let mut lines = LineFile::open(&path, |line| {
                seen.push(line.to_vec());
                Ok(())
            })
            .unwrap();
            let complete = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(seen.len(), complete, "cut at {cut}");
            lines.append(b"next").unwrap();
            let text = fs_err::read_to_string(&path).unwrap();
            assert!(text.ends_with("next\n") && text.lines().count() == complete + 1, "{text:?}");
        }
    }
}
