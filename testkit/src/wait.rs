//! The waiters. Test code waits for a condition here and never sleeps: a fixed pause would decide what is tested.
//!
//! Guarantee: a waiter checks its condition again and again, so that it misses no event. After [`PATIENCE`] it fails with the condition's
//! name. `tests/house` refuses `sleep` in test code, except in the files that it names.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// Longest wait for anything. It is generous because the machine may be busy; a working test never waits this long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long to let others run before checking the condition again.
const LOOK: Duration = Duration::from_millis(2);

/// The same for a condition whose check runs a program.
const LOOK_OUTSIDE: Duration = Duration::from_millis(50);

/// Waits until the condition holds.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    until_some(what, || holds().then_some(()));
}

/// Waits until there is a value, and returns it.
#[track_caller]
pub fn until_some<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    poll(what, LOOK, || Ok(find())).unwrap()
}

/// As [`until_some`], for a check that can fail because it runs a program.
///
/// # Errors
/// When the time is up, with the last error of `find` as the cause.
pub fn wait_for<T>(what: &str, find: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    poll(what, LOOK_OUTSIDE, find)
}

fn poll<T>(what: &str, look: Duration, mut find: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begun = Instant::now();
    loop {
        let found = find();
        if let Ok(Some(value)) = found {
            return Ok(value);
        }
        if begun.elapsed() > PATIENCE {
            let late = format!("{what}: not within {PATIENCE:?}");
            return match found {
                Err(cause) => Err(cause.context(late)),
                Ok(_) => Err(anyhow!(late)),
            };
        }
        std::thread::sleep(look);
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
