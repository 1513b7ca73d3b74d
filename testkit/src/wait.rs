//! The waiters. Test code waits for a condition here and never sleeps: a fixed pause would decide what is tested.
//!
//! Guarantee: a waiter asks the condition again and again, so that no event is missed, and fails by name after [`PATIENCE`]. `tests/house`
//! refuses `sleep` in every other file of test code that it does not name.

use std::time::{Duration, Instant};

/// Longest wait for anything. Generous, since the machine may be busy; nothing waits this long when it works.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long to let others run before the condition is asked again.
const LOOK: Duration = Duration::from_millis(2);

/// Waits until the condition holds.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    until_some(what, || holds().then_some(()));
}

/// Waits until there is a value, and gives it.
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

/// [`until`] for a condition that is asked over a connection.
#[cfg(feature = "tokio")]
pub async fn until_async(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(5 * LOOK).await;
    }
}
