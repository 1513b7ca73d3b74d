//! One process at a time: an advisory lock on a file (`File::try_lock`, which is flock(2) on Linux).
//!
//! The kernel releases the lock when the holder dies, so a crash leaves a lock file but no lock. The lock keeps out only processes
//! that ask for it. A file system without locks is refused: without locks, two writers would each take the other's files for
//! those that a dead writer left.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

use fs_err::os::unix::fs::OpenOptionsExt as _;
use rustix::io::Errno;

/// How often to ask again for a refused lock: 50 times, every 10 ms.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// Locks an open file or folder, or says `WouldBlock` after half a second. A lock that this process has just given up may
/// still be held for milliseconds: a child that another thread is starting has a copy of the descriptor until it calls
/// `execve` (flock(2): the lock belongs to the open file description).
pub fn lock_or_refuse(file: &File) -> io::Result<()> {
    for _ in 1..ATTEMPTS {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            other => return other.map_err(|error| explained(error.into())),
        }
    }
    file.try_lock().map_err(|error| explained(error.into()))
}

/// Locks an open file or folder, and waits for its holder.
///
/// # Errors
/// `Unsupported` if the file system has no locks.
pub(crate) fn lock(file: &File) -> io::Result<()> {
    file.lock().map_err(explained)
}

/// The errors of flock(2) on a file system without locks: NFS whose lock service does not run says ENOLCK, others EOPNOTSUPP or
/// ENOSYS.
const WITHOUT_LOCKS: [Errno; 3] = [Errno::NOLCK, Errno::OPNOTSUPP, Errno::NOSYS];

/// Adds the cause and the next step to the error of a file system without locks.
fn explained(error: io::Error) -> io::Error {
    if !Errno::from_io_error(&error).is_some_and(|errno| WITHOUT_LOCKS.contains(&errno)) {
        return error;
    }
    let text = format!(
        "this file system has no locks (flock: {error}), and two writers could destroy each other's files. Use a folder on \
         a local disk, or give this file system locks (NFS: start rpc-statd on the client; Lustre: mount with `-o flock`)"
    );
    io::Error::new(io::ErrorKind::Unsupported, text)
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
    pub fn try_take_open(file: File) -> io::Result<Self> {
        lock_or_refuse(&file)?;
        Ok(Self { _file: file })
    }

    /// As [`Lock::try_take`], but waits for the holder.
    pub fn wait(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        lock(&file)?;
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
    fn only_a_file_system_without_locks_gets_the_advice_for_it() {
        for errno in WITHOUT_LOCKS {
            let refused = explained(errno.into());
            assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
            assert!(refused.to_string().contains("local disk"), "{refused}");
        }
        assert_eq!(explained(Errno::IO.into()).raw_os_error(), Some(Errno::IO.raw_os_error()));
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
