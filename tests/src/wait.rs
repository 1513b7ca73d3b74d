//! The waiter of the system tests: as `testkit::wait`, for conditions whose check can fail.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Longest wait for anything that is said to happen soon. Generous: the machine may be busy with other suites.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long to let others run before the condition is asked again.
const LOOK: Duration = Duration::from_millis(50);

/// Waits until `done` says so; fails with `what` after [`PATIENCE`]. Level-triggered: the condition is asked, not an event awaited.
///
/// # Errors
/// When the time is up, with the last error of `done`.
pub fn wait_for<T>(what: &str, mut done: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begun = Instant::now();
    loop {
        let last = done();
        if let Ok(Some(value)) = last {
            return Ok(value);
        }
        if begun.elapsed() > PATIENCE {
            return match last {
                Err(cause) => Err(cause.context(format!("{what} did not happen in {PATIENCE:?}"))),
                Ok(_) => bail!("{what} did not happen in {PATIENCE:?}"),
            };
        }
        std::thread::sleep(LOOK);
    }
}
