//! Bandwidth: a budget of bytes per second, for threads. The collector's scrub is a task and computes its own pauses, because its rate
//! changes during a pass (`server/src/config/pace.rs`).

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A budget of bytes per second; 0 means no limit.
#[derive(Debug)]
pub struct Throttle {
    rate: u64,
    /// When the budget has paid for all bytes spent so far.
    paid: Mutex<Instant>,
    ended: Mutex<bool>,
    wake: Condvar,
}

impl Throttle {
    /// Limits to this many bytes per second.
    #[must_use]
    pub fn new(rate: u64) -> Self {
        Self { rate, paid: Mutex::new(Instant::now()), ended: Mutex::new(false), wake: Condvar::new() }
    }

    /// Spends `bytes` of the budget and waits until the budget has paid for them. Several threads may share
    /// it.
    pub fn spend(&self, bytes: u64) {
        if self.rate == 0 {
            return;
        }
        let until = {
            let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
            let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.rate);
            // Saturating is correct here: a wait of over 580 years ends with the process.
            let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            // Unused time is not saved up, so that no burst follows a pause.
            *paid = (*paid).max(Instant::now()).checked_add(cost).unwrap_or_else(Instant::now);
            *paid
        };
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        while !*ended {
            // Saturating is the meaning: the bytes are paid for.
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.wake.wait_timeout(ended, left);
            ended = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Releases every waiting thread, because the process ends.
    pub fn end(&self) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_holds_over_several_takes() {
        let throttle = Throttle::new(1 << 20);
        let begun = Instant::now();
        for _ in 0..4 {
            throttle.spend(64 << 10);
        }
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(240), "{took:?}");
    }
}
