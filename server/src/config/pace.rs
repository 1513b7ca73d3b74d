//! How often and how fast the collector re-reads the stores.
//! Not here: waiting. The scrub is a task: between two objects it sleeps off what is left of its share, at a rate that changes with the
//! amount to read. `store::scrub::Throttle` makes threads wait, at one rate for good.

use std::time::Duration;

/// Slowest pace: 1 MiB/s, so that the pass over a small store ends soon and the store rests.
const RATE_MIN: u64 = 1 << 20;

/// How often and how fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Each object is read at least once in this time.
    pub every: Duration,
    /// Most bytes to read each second from each store.
    pub rate_max: u64,
}

impl Pace {
    /// Time from the start of one pass to the start of the next. Even an object that is read first in one pass and last in the next is
    /// read within `every`.
    pub(crate) fn between(&self) -> Duration {
        self.every / 2
    }

    /// Bytes each second that must be read to finish `bytes` in time, with a quarter to spare.
    fn needed(&self, bytes: u64) -> u64 {
        let seconds = self.between().as_secs().max(1);
        // A rate: any number beyond the range is too much in any case.
        (bytes / seconds).saturating_add(bytes / seconds / 4)
    }

    /// Says why `bytes` cannot be read in time; `None` if they can.
    #[must_use]
    pub fn too_slow(&self, bytes: u64) -> Option<String> {
        let needed = self.needed(bytes);
        (needed > self.rate_max).then(|| {
            format!(
                "re-reading everything in {} days needs {} MiB/s, {} are allowed; raise `rate_mib_s` or `every_days` of [scrub]",
                self.every.as_secs() / 86_400,
                needed.div_ceil(1 << 20),
                self.rate_max >> 20
            )
        })
    }

    /// The rate of a pass.
    pub(crate) fn rate(&self, bytes: u64, is_urgent: bool) -> u64 {
        if is_urgent {
            return self.rate_max;
        }
        self.needed(bytes).max(RATE_MIN).min(self.rate_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    #[test]
    fn the_rate_reads_everything_in_half_the_time_and_stays_below_the_most() {
        let pace = Pace { every: Duration::from_secs(30 * DAY), rate_max: 32 << 20 };
        let tebibyte = 1_u64 << 40;
        let rate = pace.rate(tebibyte, false);
        assert!(rate * 15 * DAY > tebibyte && rate * 15 * DAY < tebibyte * 2, "{rate}");
        assert_eq!(pace.rate(0, false), RATE_MIN);
        assert_eq!(pace.rate(u64::MAX / 2, false), 32 << 20);
        assert_eq!(pace.rate(0, true), 32 << 20);
    }
}
