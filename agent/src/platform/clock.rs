//! The endpoint's clocks.

use std::time::Duration;

use evidence::time::FileTime;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// The clocks that a collection needs. They are passed down, so that tests can control them.
pub trait Clock: Send + Sync {
    /// CLOCK_REALTIME: the time that the endpoint believes.
    fn wall(&self) -> FileTime;
    /// CLOCK_BOOTTIME: never stepped; counts suspended time.
    fn boot(&self) -> FileTime;
    /// CLOCK_MONOTONIC since an arbitrary point.
    fn elapsed(&self) -> Duration;
    /// CPU time this process has used.
    fn cpu(&self) -> Duration;
}

/// The kernel's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall(&self) -> FileTime {
        file_time(clock_gettime(ClockId::Realtime))
    }

    fn boot(&self) -> FileTime {
        file_time(clock_gettime(ClockId::Boottime))
    }

    fn elapsed(&self) -> Duration {
        duration(clock_gettime(ClockId::Monotonic))
    }

    fn cpu(&self) -> Duration {
        duration(clock_gettime(ClockId::ProcessCPUTime))
    }
}

#[expect(
    clippy::expect_used,
    reason = "clock_gettime(2): 0 to 999,999,999 nanoseconds. A wrong time in evidence is worse"
)]
fn file_time(time: Timespec) -> FileTime {
    let nanos = u32::try_from(time.tv_nsec).ok();
    nanos.and_then(|nanos| FileTime::new(time.tv_sec, nanos)).expect("the kernel's clock has no valid time")
}

/// The time of a clock that counts from 0 and is never set.
#[expect(
    clippy::expect_used,
    reason = "clock_gettime(2): these clocks count up from 0, with 0 to 999,999,999 nanoseconds"
)]
pub(crate) fn duration(time: Timespec) -> Duration {
    Duration::try_from(time).expect("a clock of the kernel that is never set went below 0")
}
