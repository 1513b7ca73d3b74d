//! Whole files: create, replace, rename, remove, read with a bound. The crate's head lists the order of system calls.

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::OpenOptionsExt as _;
use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::folder::{folder_of, sync_folder};
use crate::lock::lock;

/// Creates the file `path`, which must not exist, with `mode` less the umask.
///
/// # Errors
/// `AlreadyExists` if there is such a file; it is unchanged. After another error there is no file under this name, unless a
/// step after the naming failed (the removal of the second name where a link made the first, the flush of the folder): then
/// the whole file is there and may be gone after power loss.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let next = Next::write(path, bytes, mode)?;
    match renameat_with(CWD, &next.path, CWD, path, RenameFlags::NOREPLACE) {
        Ok(()) => {}
        // This file system cannot rename without replacing (rename(2), EINVAL). A link never replaces a file either.
        Err(Errno::INVAL) => {
            std::fs::hard_link(&next.path, path).map_err(|error| without_rename(path, &error))?;
            // Crash now: the whole file has both names. The next writer of this file removes the second name and does not
            // write through it.
            fs_err::remove_file(&next.path)?;
        }
        Err(errno) => return Err(named("create", path, errno.into())),
    }
    next.keep();
    sync_folder(folder_of(path))
}

/// Writes the file `path`, which must not exist, with `mode` less the umask, and flushes its content: for a folder that has no
/// name of its own yet, where nobody looks for the file.
///
/// The folder gets its name by one [`rename`], after [`crate::sync_folders`]: that names all of its files at once, so no file
/// needs a rename, a link or a lock of its own. Media for handing over often have none of these (vboxsf, exfat-fuse).
///
/// # Errors
/// `AlreadyExists` if the name is taken, by a link as well; what has it is unchanged. After another error a piece of the file
/// may lie there: the caller gives up the whole folder.
pub fn write_in_new_folder(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = file_in_new_folder(path, mode)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// As [`write_in_new_folder`], for content that comes in pieces: the empty file, which the caller writes and flushes.
///
/// # Errors
/// `AlreadyExists` if the name is taken, by a link as well.
pub fn file_in_new_folder(path: &Path, mode: u32) -> io::Result<fs_err::File> {
    let mut options = fs_err::OpenOptions::new();
    // O_EXCL never goes through a link (POSIX open); O_NOFOLLOW says so to file systems that take it lightly.
    options
        .write(true)
        .create_new(true)
        .mode(mode)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
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

/// Moves a file or folder whose content the caller has flushed to `to`, in the same file system.
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
        let file = create_locked(&next, mode)?;
        let mut next = Self { path: next, file, is_kept: false };
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
            // Best effort: the next writer removes what stays.
            drop(fs_err::remove_file(&self.path));
        }
    }
}

/// Creates `path` and locks it, after a live writer that has it is done.
///
/// A file that a dead writer left is removed and never reused: it may have a wider mode, or somebody may hold it open, and
/// then a private key would lie open to others.
fn create_locked(path: &Path, mode: u32) -> io::Result<fs_err::File> {
    loop {
        let mut options = fs_err::OpenOptions::new();
        match options.write(true).create_new(true).mode(mode).open(path) {
            Ok(file) => {
                if let Err(error) = lock(file.file()) {
                    // We made it, and without locks nobody may judge later if its writer is dead.
                    drop(fs_err::remove_file(path));
                    return Err(named("lock", path, error));
                }
                // Between the creation and the lock another writer may have taken this file for a dead writer's.
                if is_at(&file, path)? {
                    return Ok(file);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => remove_left_over(path)?,
            Err(error) => return Err(error),
        }
    }
}

/// Waits for a live writer of `path`. If the file still has this name afterwards, its writer is dead.
fn remove_left_over(path: &Path) -> io::Result<()> {
    let mut options = fs_err::OpenOptions::new();
    let file = match options.write(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    lock(file.file()).map_err(|error| named("lock", path, error))?;
    if is_at(&file, path)? {
        fs_err::remove_file(path)?;
    }
    Ok(())
}

/// True if `path` still names the open file.
fn is_at(file: &fs_err::File, path: &Path) -> io::Result<bool> {
    match fs_err::symlink_metadata(path) {
        Ok(named) => Ok(is_same(&named, &file.metadata()?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_same(one: &std::fs::Metadata, other: &std::fs::Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Why `path` was not created by a link, on a file system that cannot rename without replacing.
fn without_rename(path: &Path, error: &io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::AlreadyExists {
        return named("create", path, error.kind().into());
    }
    let text = format!(
        "create `{}`: this file system can neither rename without replacing (renameat2: EINVAL) nor link ({error}). Use a \
         folder on another file system",
        path.display()
    );
    io::Error::new(error.kind(), text)
}

/// An error that names its file, as `fs_err` gives them.
fn named(action: &str, path: &Path, source: io::Error) -> io::Error {
    io::Error::new(source.kind(), format!("{action} `{}`: {source}", path.display()))
}
