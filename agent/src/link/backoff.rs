//! How long to wait before the next connection.
//!
//! Guarantee: waits grow to five minutes and are spread at random (full jitter), so that a thousand agents do not come
//! back in the same second; a connection that lasted starts over at the lower bound. Not here: clocks.

use std::time::Duration;

/// Default longest wait. A collector that comes back is found within five minutes.
pub const MAX: Duration = Duration::from_secs(300);

/// Default shortest wait.
pub const MIN: Duration = Duration::from_secs(1);

/// A connection that stood this long was a good one.
const LASTED: Duration = Duration::from_secs(30);

/// Waits between connections.
#[derive(Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// Waits of `min` up to `max`.
    #[must_use]
    pub fn new(min: Duration, max: Duration) -> Self {
        let min = min.max(Duration::from_millis(1));
        Self { min, max: max.max(min), failures: 0 }
    }

    /// As the warden set it.
    #[must_use]
    pub fn of(identity: &crate::message::Identity) -> Self {
        Self::new(
            Duration::from_millis(identity.backoff_min_ms),
            Duration::from_millis(identity.backoff_max_ms),
        )
    }

    /// The next wait, after a connection that stood for `stood`. `random` is uniform over all values.
    pub fn next(&mut self, stood: Duration, random: u32) -> Duration {
        if stood >= LASTED {
            self.failures = 0;
        }
        let doubled = self.min.saturating_mul(1_u32.checked_shl(self.failures.min(20)).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        let cap = doubled.min(self.max);
        self.min + (cap - self.min).mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes_and_start_over_after_a_good_connection() {
        let mut backoff = Backoff::new(MIN, MAX);
        let caps: Vec<u64> = (0..12).map(|_| backoff.next(Duration::ZERO, u32::MAX).as_secs()).collect();
        assert_eq!(caps, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(backoff.next(Duration::ZERO, 0), MIN, "jitter reaches down to the lower bound");
        assert_eq!(backoff.next(Duration::from_secs(31), u32::MAX).as_secs(), 1);
        for _ in 0..100 {
            assert!(backoff.next(Duration::ZERO, u32::MAX) <= MAX);
        }
    }
}
