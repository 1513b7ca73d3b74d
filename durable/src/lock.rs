//! One process at a time: an advisory lock on a file (`File::try_lock`, which is flock(2) on Linux).
//!
//! The kernel releases the lock when the holder dies, so a crash leaves a lock file but no lock. Whoever does not ask for the
//! lock is not kept out.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

use fs_err::os::unix::fs::OpenOptionsExt as _;

/// How long a refused lock is asked for again: 50 times 10 ms.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// Locks an open file or folder, or says `WouldBlock` after half a second. A lock that this process has just given up may
/// still be held for milliseconds: a child that another thread is starting has a copy of the descriptor until it calls
/// `execve` (flock(2): the lock belongs to the open file description).
pub fn lock_or_refuse(file: &File) -> io::Result<()> {
    for _ in 1..ATTEMPTS {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            other => return Ok(other?),
        }
    }
    Ok(file.try_lock()?)
}

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock on `path`, which is created (0600) if it does not exist.
    ///
    /// # Errors
    /// `WouldBlock` if another process, or another `Lock` of this one, holds it.
    pub fn try_take(path: &Path) -> io::Result<Self> {
        Self::try_take_open(open(path)?)
    }

    /// Takes the lock on an open file or folder.
    ///
    /// # Errors
    /// As [`Lock::try_take`].
    pub fn try_take_open(file: File) -> io::Result<Self> {
        lock_or_refuse(&file)?;
        Ok(Self { _file: file })
    }

    /// As [`Lock::try_take`], but waits for the holder.
    pub fn wait(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        file.lock()?;
        Ok(Self { _file: file })
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = fs_err::OpenOptions::new();
    Ok(options.write(true).create(true).truncate(false).mode(0o600).open(path)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_once_and_free_after_its_holder() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("lock");
        let held = Lock::try_take(&path).unwrap();
        assert_eq!(Lock::try_take(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let waiter = std::thread::spawn({
            let path = path.clone();
            move || Lock::wait(&path).unwrap()
        });
        drop(held);
        let waited = waiter.join().unwrap();
        assert_eq!(Lock::try_take(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(waited);
        Lock::try_take(&path).unwrap();
    }

    #[test]
    fn a_folder_can_be_locked_as_well() {
        let place = tempfile::tempdir().unwrap();
        let open = || File::open(place.path()).unwrap();
        let held = Lock::try_take_open(open()).unwrap();
        assert_eq!(Lock::try_take_open(open()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(held);
        Lock::try_take_open(open()).unwrap();
    }
}
