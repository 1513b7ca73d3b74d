//! Whole files: create, replace, rename, remove, read with a bound. The order of system calls stands in the crate's head.

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::OpenOptionsExt as _;
use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::folder::{folder_of, sync_folder};

/// Creates the file `path`, which must not exist, with `mode` less the umask.
///
/// # Errors
/// `AlreadyExists` if there is such a file; it is unchanged. After another error there is no file under this name, unless the
/// last step failed, the flush of the folder: then the whole file is there and may be gone after power loss.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let next = Next::write(path, bytes, mode)?;
    match renameat_with(CWD, &next.path, CWD, path, RenameFlags::NOREPLACE) {
        Ok(()) => {}
        Err(Errno::INVAL) => {
            fs_err::hard_link(&next.path, path)?;
            // Crash now: the whole file has both names. The next writer removes the second and does not write through it.
            fs_err::remove_file(&next.path)?;
        }
        Err(errno) => return Err(named("create", path, errno.into())),
    }
    next.keep();
    sync_folder(folder_of(path))
}

/// Replaces the file `path`, or creates it, with `mode` less the umask.
///
/// # Errors
/// The old file is still whole, unless the last step failed, the flush of the folder: then the new file is there, and power
/// loss may bring the old one back. So nothing that follows from the new content may leave before `Ok`.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let next = Next::write(path, bytes, mode)?;
    fs_err::rename(&next.path, path)?;
    next.keep();
    sync_folder(folder_of(path))
}

/// Moves a file whose content the caller has flushed over `to`, in the same file system.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs_err::rename(from, to)?;
    if folder_of(from) != folder_of(to) {
        sync_folder(folder_of(from))?;
    }
    sync_folder(folder_of(to))
}

/// Removes the file `path`. A file that is not there is removed already; the folder is flushed in this case as well,
/// because whoever removed it may have died before doing so.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => sync_folder(folder_of(path)),
    }
}

/// Reads the file `path` of at most `bytes_max` bytes; `None` if there is no such file.
///
/// # Errors
/// `InvalidData` if the file is longer.
pub fn read_at_most(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match fs_err::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?; // u64::MAX is no bound; then all of it is read
    if bytes.len() as u64 > bytes_max {
        let text = format!("`{}` has over {bytes_max} bytes", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(Some(bytes))
}

/// The flushed file that waits for its name. Dropped before it has one, it is removed.
struct Next {
    path: PathBuf,
    /// Held until the file has its name: the lock is released when this is closed.
    file: fs_err::File,
    is_kept: bool,
}

impl Next {
    fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<Self> {
        let name =
            path.file_name().ok_or_else(|| named("write", path, io::ErrorKind::InvalidInput.into()))?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(".next");
        let next = folder_of(path).join(hidden);
        let file = open_locked(&next, mode)?;
        let mut next = Self { path: next, file, is_kept: false };
        next.file.set_len(0)?;
        next.file.write_all(bytes)?;
        next.file.sync_all()?;
        Ok(next)
    }

    fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Next {
    fn drop(&mut self) {
        if !self.is_kept {
            // Best effort: the next writer reuses what stays.
            drop(fs_err::remove_file(&self.path));
        }
    }
}

/// Opens `path` and locks it, waiting for a writer that has it.
fn open_locked(path: &Path, mode: u32) -> io::Result<fs_err::File> {
    loop {
        let mut options = fs_err::OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(mode);
        options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        let file = options.open(path)?;
        file.lock()?;
        // The writer that had the lock has given this file its name, or removed it: open the next one.
        match fs_err::symlink_metadata(path) {
            Ok(named) if named.nlink() > 1 => fs_err::remove_file(path)?,
            Ok(named) if is_same(&named, &file.metadata()?) => return Ok(file),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
}

fn is_same(one: &std::fs::Metadata, other: &std::fs::Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// An error that names its file, as `fs_err` gives them.
fn named(action: &str, path: &Path, source: io::Error) -> io::Error {
    io::Error::new(source.kind(), format!("{action} `{}`: {source}", path.display()))
}
