//! The waiters. Test code waits for a condition here and never sleeps: a fixed pause would decide what is tested.
//!
//! Guarantee: a waiter checks its condition again and again, so that it misses no event. After [`PATIENCE`] it fails with the condition's
//! name. `tests/house` refuses `sleep` in test code, except in the files that it names.

use std::time::{Duration, Instant};

/// Longest wait for anything. It is generous because the machine may be busy; a working test never waits this long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long to let others run before checking the condition again.
const LOOK: Duration = Duration::from_millis(2);

/// Waits until the condition holds.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    until_some(what, || holds().then_some(()));
}

/// Waits until there is a value, and returns it.
#[track_caller]
pub fn until_some<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(LOOK);
    }
}

/// As [`until`], for a condition that needs a connection.
#[cfg(feature = "tokio")]
pub async fn until_async(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(5 * LOOK).await;
    }
}
