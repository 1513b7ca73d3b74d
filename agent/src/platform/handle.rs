//! A descriptor on our own `/proc/self/fd`, through which `O_PATH` descriptors are reopened for reading.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::path::DecInt;

use super::CallError;

/// `/proc/self/fd`, opened once at the start of a process, before its sandbox.
#[derive(Debug)]
pub struct SelfFds {
    directory: OwnedFd,
}

impl SelfFds {
    /// Opens the calling process's descriptor directory. After a fork the descriptor still means the parent's
    /// directory, so the child must open it anew.
    ///
    /// # Errors
    /// The error of `openat`. Without `/proc` nothing can be reopened.
    pub fn open() -> Result<Self, CallError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory =
            openat(CWD, "/proc/self/fd", flags, Mode::empty()).map_err(CallError::of("openat"))?;
        Ok(Self { directory })
    }

    /// The directory itself.
    #[must_use]
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// The name of `fd` in that directory.
    #[must_use]
    pub fn name(fd: BorrowedFd<'_>) -> DecInt {
        DecInt::from_fd(fd)
    }
}
