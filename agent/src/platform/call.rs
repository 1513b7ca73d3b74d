//! A failed system call, as item records carry it.

use evidence::item::ItemError;
use evidence::item::outcome::Outcome;
use rustix::io::Errno;

/// Name and error number of a system call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{op} failed: {errno}")]
pub struct CallError {
    /// The call, such as `openat2`.
    pub op: &'static str,
    /// The kernel's answer.
    pub errno: Errno,
}

impl CallError {
    /// For `map_err`: `openat(..).map_err(CallError::of("openat"))`.
    pub fn of(op: &'static str) -> impl Fn(Errno) -> Self {
        move |errno| Self { op, errno }
    }

    /// The failure as the item record's `error`.
    #[must_use]
    pub(crate) fn item_error(self) -> ItemError {
        ItemError { op: self.op.to_owned(), errno: self.errno.raw_os_error().unsigned_abs() }
    }

    /// The outcome of an object that was listed but could not then be opened or looked at.
    #[must_use]
    pub fn outcome(self) -> Outcome {
        match self.errno {
            Errno::ACCESS | Errno::PERM => Outcome::Denied,
            // ESRCH: the process behind /proc/PID is gone. ESTALE: the object behind a handle is gone.
            Errno::NOENT | Errno::NOTDIR | Errno::SRCH | Errno::STALE => Outcome::Vanished,
            // ELOOP: the object became a symbolic link after it was listed.
            Errno::LOOP => Outcome::Replaced,
            Errno::NOSYS | Errno::OPNOTSUPP => Outcome::Unsupported,
            Errno::TIMEDOUT => Outcome::Timeout,
            _ => Outcome::IoError,
        }
    }

    /// True if no object has this name.
    #[must_use]
    pub(crate) fn is_absent(self) -> bool {
        matches!(self.errno, Errno::NOENT | Errno::NOTDIR | Errno::SRCH)
    }
}
