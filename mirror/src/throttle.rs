//! Bandwidth: so many bytes a second, spent before they are used again.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A budget of bytes a second; 0 is without limit.
#[derive(Debug)]
pub struct Throttle {
    rate: u64,
    /// When the bytes taken so far are paid for.
    paid: Mutex<Instant>,
    ended: Mutex<bool>,
    wake: Condvar,
}

impl Throttle {
    /// So many bytes a second.
    #[must_use]
    pub fn new(rate: u64) -> Self {
        Self { rate, paid: Mutex::new(Instant::now()), ended: Mutex::new(false), wake: Condvar::new() }
    }

    /// Takes `bytes`, and waits until they are paid for. Several threads share the rate.
    pub fn take(&self, bytes: u64) {
        if self.rate == 0 {
            return;
        }
        let until = {
            let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
            let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.rate);
            let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            // Unused time is not saved up: after a pause the line is not flooded.
            *paid = (*paid).max(Instant::now()).checked_add(cost).unwrap_or_else(Instant::now);
            *paid
        };
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        while !*ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.wake.wait_timeout(ended, left);
            ended = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets everyone go: the process ends.
    pub fn end(&self) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_all();
    }
}

/// Reads `20 MiB/s`, `500 KiB/s`, `1 GiB/s`; `0` or `unlimited` for none.
///
/// # Errors
/// What is allowed.
pub fn parse_rate(text: &str) -> Result<u64, String> {
    let refused = || format!("`{text}` is no rate such as \"20 MiB/s\", \"500 KiB/s\" or \"unlimited\"");
    if matches!(text, "0" | "unlimited") {
        return Ok(0);
    }
    let (number, unit) =
        text.strip_suffix("/s").and_then(|text| text.trim_end().split_once(' ')).ok_or_else(refused)?;
    let shift = match unit.trim() {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(refused()),
    };
    let number: u64 = number.parse().or(Err(refused()))?;
    number.checked_mul(1 << shift).filter(|rate| *rate > 0).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_one_form() {
        assert_eq!(parse_rate("20 MiB/s"), Ok(20 << 20));
        assert_eq!(parse_rate("unlimited"), Ok(0));
        for bad in ["", "20", "20MiB", "-1 MiB/s", "0 MiB/s", "20 MB/s", "99999999999 GiB/s"] {
            assert!(parse_rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rate_holds_over_several_takes() {
        let throttle = Throttle::new(1 << 20);
        let begun = Instant::now();
        for _ in 0..4 {
            throttle.take(64 << 10);
        }
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(240), "{took:?}");
    }
}
