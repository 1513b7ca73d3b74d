//! A forked child of this process that runs no new program: it has the same sandbox and the same
//! capabilities, and executes nothing. The helper that reads files that may block is such a child, so that
//! the reader can kill it and leave it behind.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, set_parent_process_death_signal, waitpid};

use super::CallError;

/// A running child.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    is_reaped: bool,
}

impl Child {
    /// Its process id, for the manifest's list of our own processes.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Kills the child. A child that is stuck in the kernel dies when the kernel releases it; we do not wait
    /// for that.
    pub(crate) fn abandon(mut self) {
        self.kill();
    }

    fn kill(&mut self) {
        if self.is_reaped {
            return;
        }
        kill_process(self.pid, Signal::KILL).ok();
        self.is_reaped = matches!(waitpid(Some(self.pid), WaitOptions::NOHANG), Ok(Some(_)));
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
        // A child that is not stuck is gone within a moment. Wait that long, so that it does not stay a
        // zombie.
        for _ in 0..20 {
            if self.is_reaped {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
            self.is_reaped = !matches!(waitpid(Some(self.pid), WaitOptions::NOHANG), Ok(None));
        }
    }
}

/// Runs `body` in a forked child, which ends when `body` returns. The child keeps only the descriptors `kept`
/// and the three standard ones: it must not hold the reader's sockets open when it is left behind.
///
/// `body` must take no lock: another thread may have held it at the fork. (Allocating is allowed: glibc and
/// musl make their allocators usable in the child.) It uses only memory that was allocated before the fork,
/// and `kept`.
pub fn fork(kept: OwnedFd, body: impl FnOnce(BorrowedFd<'_>)) -> Result<Child, CallError> {
    // SAFETY: the child runs only `close_others`, `body` (see its contract above) and `_exit`.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        let error = std::io::Error::last_os_error();
        let errno = rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::AGAIN);
        return Err(CallError { op: "fork", errno });
    }
    if pid == 0 {
        set_parent_process_death_signal(Some(Signal::KILL)).ok();
        close_others(kept.as_fd());
        body(kept.as_fd());
        // SAFETY: ends the child at once, without destructors or exit handlers of the parent's image.
        unsafe { libc::_exit(0) };
    }
    match Pid::from_raw(pid) {
        Some(pid) => Ok(Child { pid, is_reaped: false }),
        None => Err(CallError { op: "fork", errno: rustix::io::Errno::CHILD }),
    }
}

/// Closes every descriptor of the calling process except the standard three and `kept`.
fn close_others(kept: BorrowedFd<'_>) {
    let kept = kept.as_raw_fd().unsigned_abs();
    let close = |descriptors: std::ops::RangeInclusive<u32>| {
        // SAFETY: plain numbers. The descriptors closed belong to values of the parent's image that the child never
        // uses or drops again.
        descriptors.is_empty()
            || unsafe {
                libc::syscall(libc::SYS_close_range, *descriptors.start(), *descriptors.end(), 0_u32) == 0
            }
    };
    // A descriptor is below 2^31, so the one behind it is a number as well. `u32::MAX` means all (close_range(2)).
    let (below, behind) = if kept < STANDARD { (0, STANDARD) } else { (kept, kept + 1) };
    if (below <= STANDARD || close(STANDARD..=below - 1)) && close(behind..=u32::MAX) {
        return;
    }
    // Linux < 5.9.
    for descriptor in 3..READER_DESCRIPTORS_MAX {
        if descriptor.unsigned_abs() != kept {
            // SAFETY: as above; a number that is not open is refused.
            unsafe { libc::close(descriptor) };
        }
    }
}

/// The first descriptor behind standard input, output and error.
const STANDARD: u32 = 3;

/// Most descriptors that a reader may have (its limit in the sandbox).
const READER_DESCRIPTORS_MAX: i32 = 4096;
