//! The wall clock, read in one place.
//!
//! Guarantee: what is written into documents and entries has their precision and range. Not here: monotonic time
//! (`tokio::time::Instant`), other people's clocks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use evidence::time::Time;

/// Now. A clock before 1970 reads as 1970, and a clock after 9999 as the last time that a document can say: on both
/// days no roster is in force, so that the collector does not start and admits nothing.
#[must_use]
pub fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    end_of_wait(Time::EPOCH, since)
}

/// When a wait ends that begins at `begin`. It never ends after the last time that a document can say.
#[must_use]
pub(crate) fn end_of_wait(begin: Time, wait: Duration) -> Time {
    begin.checked_add(wait).unwrap_or(Time::MAX)
}
