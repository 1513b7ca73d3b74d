//! The wall clock, read in one place.
//!
//! Guarantee: its times have the precision and range of documents and entries. Not here: monotonic time
//! (`tokio::time::Instant`), other people's clocks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use evidence::time::Time;

/// Now. A clock before 1970 reads as 1970, and a clock after 9999 as the last time that a document can hold. On both
/// days no roster is in force, so the collector does not start and admits nothing.
#[must_use]
pub fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    end_of_wait(Time::EPOCH, since)
}

/// When a wait that begins at `begin` ends; at the latest at the last time that a document can hold.
#[must_use]
pub(crate) fn end_of_wait(begin: Time, wait: Duration) -> Time {
    begin.checked_add(wait).unwrap_or(Time::MAX)
}
