//! How long the link waits before its next connection.
//!
//! Guarantee: waits grow up to the longest that the warden set. They are spread at random, so that a thousand
//! agents do not reconnect in the same second. After a connection that lasted, they start over. Not here:
//! clocks.

use std::time::Duration;

use proto::backoff::Backoff;

/// A connection that stood at least this long counts as good.
const LASTED: Duration = Duration::from_secs(30);

/// Waits between connections.
#[derive(Debug)]
pub(super) struct Reconnects(Backoff);

impl Reconnects {
    /// Makes waits between the bounds that the warden set.
    pub(super) fn of(identity: &crate::message::Identity) -> Self {
        Self(Backoff::new(
            Duration::from_millis(identity.backoff_min_ms),
            Duration::from_millis(identity.backoff_max_ms),
        ))
    }

    /// The next wait, after a connection that stood for `stood`. `random` must be uniform over all values.
    pub(super) fn next_wait(&mut self, stood: Duration, random: u32) -> Duration {
        if stood >= LASTED {
            self.0.reset();
        }
        self.0.next_jittered(random)
    }
}

/// A random number for [`Reconnects::next_wait`]. If the kernel gives none, the middle: this is a wait, no secret.
pub(super) fn random() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes_and_start_over_after_a_good_connection() {
        let (min, max) = (Duration::from_secs(1), Duration::from_secs(300));
        let mut waits = Reconnects(Backoff::new(min, max));
        let caps: Vec<u64> = (0..12).map(|_| waits.next_wait(Duration::ZERO, u32::MAX).as_secs()).collect();
        assert_eq!(caps, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(waits.next_wait(Duration::ZERO, 0), min, "jitter reaches down to the lower bound");
        assert_eq!(waits.next_wait(Duration::from_secs(31), u32::MAX).as_secs(), 1);
        for _ in 0..100 {
            assert!(waits.next_wait(Duration::ZERO, u32::MAX) <= max);
        }
    }
}
