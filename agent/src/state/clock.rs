//! The clock floor: the latest time in anything that was verified (rosters, orders, ledger entries,
//! cosignatures).
//!
//! Guarantee: if somebody sets the machine's clock back, even across restarts, no expired order or roster
//! becomes valid again. Expiry is judged by the wall clock or the floor, whichever is later, and the floor
//! advances with CLOCK_BOOTTIME. Not here: a clock that runs ahead. It makes the agent refuse orders as
//! `expired`, and the answer names both times.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use evidence::time::Time;
use rustix::time::{ClockId, Timespec, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::platform::duration;

pub(super) const NAME: &str = "clock.json";

/// One reading of the machine's clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// CLOCK_REALTIME.
    pub wall: Time,
    /// CLOCK_BOOTTIME: time since boot, sleep included. Nobody can set it.
    pub boot: Duration,
}

impl Reading {
    /// Reads both clocks now.
    pub fn now() -> Self {
        Self { wall: wall(clock_gettime(ClockId::Realtime)), boot: boot() }
    }
}

/// What the machine believes the time to be. It can be set to anything, so both ends saturate: a clock before 1970
/// reads as 1970, one after 9999 as the last time there is. At the late end no order is in force, and the floor
/// below prevents that a clock before 1970 makes old orders valid.
fn wall(time: Timespec) -> Time {
    let Ok(seconds) = u64::try_from(time.tv_sec) else { return Time::EPOCH };
    let within = u64::try_from(time.tv_nsec / 1_000_000).ok();
    let ms = seconds.checked_mul(1000).zip(within).and_then(|(ms, within)| ms.checked_add(within));
    ms.and_then(Time::from_unix_ms).unwrap_or(Time::MAX)
}

/// CLOCK_BOOTTIME.
pub(crate) fn boot() -> Duration {
    duration(clock_gettime(ClockId::Boottime))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    floor: Time,
}

/// The floor, and the moment from which it advances.
#[derive(Debug)]
pub struct ClockFloor {
    dir: PathBuf,
    floor: Time,
    /// CLOCK_BOOTTIME at the moment when the time was `floor`.
    since: Duration,
}

impl ClockFloor {
    /// Reads the floor from `dir`; 1970 if there is none.
    ///
    /// # Errors
    /// The system's error, or `InvalidData`.
    pub fn open(dir: &Path, now: Reading) -> io::Result<Self> {
        let floor = match super::read(&dir.join(NAME))? {
            None => Time::EPOCH,
            Some(bytes) => {
                let stored: Stored = serde_json::from_slice(&bytes).map_err(|source| {
                    io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("`{}`: {source}", dir.join(NAME).display()),
                    )
                })?;
                stored.floor
            }
        };
        Ok(Self { dir: dir.to_owned(), floor, since: now.boot })
    }

    /// The time to judge expiry by.
    pub fn time(&self, now: Reading) -> Time {
        now.wall.max(self.running(now))
    }

    /// The floor plus the time that has passed since. Saturating is correct here: boot time never goes back,
    /// and past the year 9999 every order has expired.
    fn running(&self, now: Reading) -> Time {
        self.floor.checked_add(now.boot.saturating_sub(self.since)).unwrap_or(Time::MAX)
    }

    /// The floor itself, without the time that has passed since.
    pub(crate) fn floor(&self) -> Time {
        self.floor
    }

    /// Takes a verified time in. If it is later than every time before, it becomes durable.
    ///
    /// # Errors
    /// The system's error. The floor in memory is raised all the same.
    pub(crate) fn raise(&mut self, verified: Time, now: Reading) -> io::Result<()> {
        if verified <= self.running(now) {
            return Ok(());
        }
        self.floor = verified;
        self.since = now.boot;
        let text = format!("{{\"floor\":\"{verified}\"}}\n");
        super::replace(&self.dir, NAME, text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(ms: u64) -> Time {
        Time::from_unix_ms(ms).unwrap()
    }

    fn at(wall: u64, boot: u64) -> Reading {
        Reading { wall: time(wall), boot: Duration::from_millis(boot) }
    }

    #[test]
    fn a_clock_set_back_gains_nothing_even_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut floor = ClockFloor::open(dir.path(), at(5_000, 0)).unwrap();
        assert_eq!(floor.time(at(5_000, 0)), time(5_000));
        floor.raise(time(9_000), at(5_000, 100)).unwrap();
        floor.raise(time(8_000), at(5_000, 100)).unwrap();
        assert_eq!(floor.time(at(1_000, 100)), time(9_000));
        assert_eq!(floor.time(at(1_000, 700)), time(9_600), "boot time runs on");
        assert_eq!(floor.time(at(20_000, 700)), time(20_000), "the later clock wins");
        let floor = ClockFloor::open(dir.path(), at(1_000, 0)).unwrap();
        assert_eq!(floor.time(at(1_000, 0)), time(9_000));
    }

    #[test]
    fn a_clock_that_is_set_to_anything_reads_as_a_time_that_makes_no_old_order_valid() {
        let at = |tv_sec, tv_nsec| wall(Timespec { tv_sec, tv_nsec });
        assert_eq!(at(1, 999_999_999), time(1_999));
        assert_eq!(at(-1, 999_999_999), Time::EPOCH);
        assert_eq!(at(i64::MIN, 0), Time::EPOCH);
        for late in [i64::MAX, i64::MAX / 1000, 300_000_000_000] {
            assert_eq!(at(late, 999_999_999), Time::MAX, "{late}");
        }
    }

    #[test]
    fn a_verified_time_behind_the_running_floor_does_not_pull_it_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut floor = ClockFloor::open(dir.path(), at(0, 0)).unwrap();
        floor.raise(time(10_000), at(0, 0)).unwrap();
        floor.raise(time(10_500), at(0, 2_000)).unwrap();
        assert_eq!(floor.time(at(0, 2_000)), time(12_000));
    }
}
