//! Keeps a process to its share of one processor: after each piece of work it sleeps until wall time has caught up.

use std::time::Duration;

use crate::platform::Clock;

/// Longest single sleep: short enough to notice limits and deadlines in time.
const SLEEP_MAX: Duration = Duration::from_millis(250);

/// A share of one processor.
#[derive(Debug)]
pub struct Throttle {
    percent: u32,
    begun: Duration,
    cpu_begun: Duration,
}

impl Throttle {
    /// From now on, use at most `percent` of one processor. 100 or more never sleeps.
    #[must_use]
    pub fn new(percent: u64, clock: &dyn Clock) -> Self {
        // A share of more than a whole processor is the same as one.
        let percent = u32::try_from(percent.clamp(1, 100)).unwrap_or(100);
        Self { percent, begun: clock.elapsed(), cpu_begun: clock.cpu() }
    }

    /// How long to sleep now.
    #[must_use]
    pub(crate) fn debt(&self, clock: &dyn Clock) -> Duration {
        if self.percent >= 100 {
            return Duration::ZERO;
        }
        // Saturating is correct here: a rate is kept, nothing is counted.
        let used = clock.cpu().saturating_sub(self.cpu_begun);
        let due = used.saturating_mul(100) / self.percent;
        due.saturating_sub(clock.elapsed().saturating_sub(self.begun)).min(SLEEP_MAX)
    }

    /// Sleeps until the share is kept again.
    pub fn pause(&self, clock: &dyn Clock) {
        let debt = self.debt(clock);
        if debt > Duration::from_millis(1) {
            std::thread::sleep(debt);
        }
    }
}
