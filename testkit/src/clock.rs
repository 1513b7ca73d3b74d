//! The time of this machine, for documents that must be in force while a test runs.

use std::time::{Duration, SystemTime};

use evidence::time::Time;

/// The time by the machine's clock.
pub fn now() -> Time {
    Time::EPOCH.checked_add(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap()).unwrap()
}

/// The time `seconds` before [`now`].
pub fn ago(seconds: u64) -> Time {
    now().checked_sub(Duration::from_secs(seconds)).unwrap()
}

/// The time `seconds` after [`now`].
pub fn later(seconds: u64) -> Time {
    now().checked_add(Duration::from_secs(seconds)).unwrap()
}
