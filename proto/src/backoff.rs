//! The waits of a client before it tries again.
//!
//! Guarantee: waits double up to a cap and start over after progress. With jitter, a thousand clients do
//! not return in the same second. Not here: clocks, randomness, and what counts as progress. The caller brings them.

use std::time::Duration;

/// The waits of one client between failures in a row.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    /// Waits that begin at `first` and double up to `cap`. `first` is at least a millisecond, `cap` at least `first`:
    /// a setting of zero must not turn a retry into a busy loop.
    #[must_use]
    pub fn new(first: Duration, cap: Duration) -> Self {
        let first = first.max(Duration::from_millis(1));
        Self { first, cap: cap.max(first), failures: 0 }
    }

    /// The wait after `failures` failures in a row, for a caller that stores that count itself (a row, a queue).
    /// The first failure counts as 0.
    #[must_use]
    pub fn wait_after(&self, failures: u32) -> Duration {
        // Saturating is the meaning: whatever is too large to compute is above the cap.
        let growth = 2_u32.saturating_pow(failures);
        self.first.saturating_mul(growth).min(self.cap)
    }

    /// The next wait, without jitter.
    pub fn next_wait(&mut self) -> Duration {
        let wait = self.wait_after(self.failures);
        // Saturating is the meaning: the cap was reached long before.
        self.failures = self.failures.saturating_add(1);
        wait
    }

    /// The next wait, spread over the whole range from the first wait to [`Backoff::next_wait`] ("full jitter").
    /// `random` is uniform over all values.
    pub fn next_jittered(&mut self, random: u32) -> Duration {
        let longest = self.next_wait();
        self.first + (longest - self.first).mul_f64(f64::from(random) / f64::from(u32::MAX))
    }

    /// Starts over, after progress.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(1);
    const CAP: Duration = Duration::from_secs(300);

    #[test]
    fn waits_double_up_to_the_cap_and_start_over_after_progress() {
        let mut backoff = Backoff::new(FIRST, CAP);
        let waits: Vec<u64> = (0..12).map(|_| backoff.next_wait().as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        backoff.reset();
        assert_eq!(backoff.next_wait(), FIRST);
    }

    #[test]
    fn jitter_reaches_from_the_first_wait_to_the_longest() {
        let mut backoff = Backoff::new(FIRST, CAP);
        let caps: Vec<u64> = (0..12).map(|_| backoff.next_jittered(u32::MAX).as_secs()).collect();
        assert_eq!(caps, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(backoff.next_jittered(0), FIRST);
        for random in [1, 1 << 16, u32::MAX / 2, u32::MAX] {
            let wait = backoff.next_jittered(random);
            assert!((FIRST..=CAP).contains(&wait), "{wait:?}");
        }
    }

    #[test]
    fn nothing_overflows_and_no_wait_is_zero() {
        assert_eq!(Backoff::new(FIRST, CAP).wait_after(u32::MAX), CAP);
        assert_eq!(Backoff::new(Duration::ZERO, Duration::ZERO).next_wait(), Duration::from_millis(1));
        assert_eq!(
            Backoff::new(CAP, FIRST).wait_after(7),
            CAP,
            "a cap below the first wait is the first wait"
        );
    }
}
