//! Files of lines that only grow: the endpoint's log and the orders it has seen.
//!
//! Guarantee: an acknowledged line survives power loss; a last line that a crash tore is treated as never written.
//! Not here: what the lines say (`diary`, `state::seen`).

use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::OpenOptionsExt as _;

/// Longest line: 64 MiB, as long as any state file may be. Bounds what one line reads into memory.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// A file of lines that only grows.
#[derive(Debug)]
pub struct Lines {
    file: fs_err::File,
    path: PathBuf,
    /// Bytes up to the last acknowledged LF.
    len: u64,
    /// An append failed half way: nothing more may be written behind it.
    broken: bool,
}

impl Lines {
    /// Opens or creates `path`, hands each whole line (without LF) to `each`, and cuts off a torn last line: whoever
    /// wrote it was never told that it is durable, and so did not act on it.
    ///
    /// # Errors
    /// The system's error, or what `each` returns.
    pub fn open(path: &Path, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<Self> {
        let mut options = fs_err::OpenOptions::new();
        options.read(true).write(true).create(true).mode(0o600);
        let mut file = options.open(path)?;
        if let Some(parent) = path.parent() {
            fs_err::File::open(parent)?.sync_all()?;
        }
        let mut reader = io::BufReader::new(&mut file);
        let (mut len, mut line) = (0, Vec::new());
        loop {
            line.clear();
            let read = io::BufRead::read_until(&mut (&mut reader).take(LINE_BYTES_MAX), b'\n', &mut line)?;
            if line.pop() != Some(b'\n') {
                break;
            }
            each(&line)?;
            len += read as u64;
        }
        if file.metadata()?.len() != len {
            file.set_len(len)?;
            file.sync_all()?;
        }
        file.seek(SeekFrom::Start(len))?;
        Ok(Self { file, path: path.to_owned(), len, broken: false })
    }

    /// Appends `line` and LF, and returns when they are durable.
    ///
    /// # Errors
    /// The system's error; nothing can be appended any more until the file was opened again.
    pub fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.write(line)?;
        self.sync()
    }

    /// Appends `line` and LF without waiting for the disk.
    ///
    /// # Errors
    /// As [`Lines::append`].
    pub fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other(format!("`{}`: an earlier write failed", self.path.display())));
        }
        let mut bytes = Vec::with_capacity(line.len() + 1);
        bytes.extend_from_slice(line);
        bytes.push(b'\n');
        // One write: a reader (`exhibit-agent log`) sees whole lines.
        self.file.write_all(&bytes).inspect_err(|_| self.broken = true)?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Waits until all that was written is durable.
    ///
    /// # Errors
    /// As [`Lines::append`].
    pub fn sync(&mut self) -> io::Result<()> {
        // After a failed fsync the kernel may have dropped the dirty pages: trying again would lie (fsyncgate, 2018).
        self.file.sync_data().inspect_err(|_| self.broken = true)
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
            let mut lines = Lines::open(&path, |line| {
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
