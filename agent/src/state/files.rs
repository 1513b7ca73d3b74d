//! Durable files of the state directory.
//!
//! Guarantee: directories are 0700 and files 0600; a replaced file is after a crash either whole old or whole new; what
//! a line file has acknowledged survives power loss, and a torn last line is seen as never written.

use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

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
            sync_dir(parent)?;
        }
        let mut reader = io::BufReader::new(&mut file);
        let (mut len, mut line) = (0, Vec::new());
        loop {
            line.clear();
            let read = io::BufRead::read_until(&mut (&mut reader).take(FILE_BYTES_MAX), b'\n', &mut line)?;
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
    fn directories_and_files_are_for_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("a/state");
        private_dir(&state).unwrap();
        replace(&state, "key", b"one").unwrap();
        replace(&state, "key", b"two").unwrap();
        Lines::open(&state.join("lines"), |_| Ok(())).unwrap();
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
