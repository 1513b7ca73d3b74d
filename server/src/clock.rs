//! The wall clock, read in one place.
//!
//! Guarantee: what is written into documents and entries has their precision and range. Not here: monotonic time
//! (`tokio::time::Instant`), other people's clocks.

use std::time::{SystemTime, UNIX_EPOCH};

use evidence::time::Time;

/// Now. A clock before 1970 reads as 1970: expiry then errs to the past, where nothing is admitted.
#[must_use]
pub fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::EPOCH.checked_add(since).unwrap_or(Time::MAX)
}
