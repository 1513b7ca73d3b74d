//! Spares the machine's page cache: pages that our read brought in leave it again, and pages that were there
//! stay.

use std::num::NonZeroU64;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Advice, fadvise};

/// How much of a range was in memory before it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residence {
    /// Nothing was resident: after reading, the range may be dropped.
    Absent,
    /// Something was resident, or this kernel cannot tell: leave the range alone.
    PresentOrUnknown,
}

/// `cachestat`, Linux 6.5. Its number is the same on all architectures (the table is common since 5.1).
const CACHESTAT: libc::c_long = 451;

static CACHESTAT_IS_MISSING: AtomicBool = AtomicBool::new(false);

#[repr(C)]
struct CacheRange {
    off: u64,
    len: u64,
}

#[repr(C)]
#[derive(Default)]
struct CacheStat {
    cached: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

impl Residence {
    /// Asks the kernel about `len` bytes at `off`.
    #[must_use]
    pub fn of(fd: BorrowedFd<'_>, off: u64, len: u64) -> Self {
        if CACHESTAT_IS_MISSING.load(Ordering::Relaxed) || len == 0 {
            return Self::PresentOrUnknown;
        }
        let range = CacheRange { off, len };
        let mut found = CacheStat::default();
        // SAFETY: both structures have the kernel's layout (uapi/linux/mman.h) and outlive the call; the
        // descriptor is borrowed; flags are 0.
        let answer =
            unsafe { libc::syscall(CACHESTAT, fd.as_raw_fd(), &raw const range, &raw mut found, 0_u32) };
        if answer != 0 {
            CACHESTAT_IS_MISSING.store(true, Ordering::Relaxed);
            return Self::PresentOrUnknown;
        }
        if found.cached == 0 { Self::Absent } else { Self::PresentOrUnknown }
    }
}

/// Lets the kernel drop a clean range that was not resident before. This is advice only: a failure changes
/// nothing.
pub fn drop_range(fd: BorrowedFd<'_>, off: u64, len: u64) {
    let Some(len) = NonZeroU64::new(len) else { return };
    fadvise(fd, off, Some(len), Advice::DontNeed).ok();
}
