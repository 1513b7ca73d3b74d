//! Points in time as documents write them, with our own civil-date arithmetic.
//! Guarantee: one point in time has one text, and only real dates of the years 1970 to 9999 are read.
//! Not here: reading a clock (this crate has none), leap seconds (POSIX time has none).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::text;

const DAY_MS: u64 = 86_400_000;

/// A point in time with milliseconds: `YYYY-MM-DDThh:mm:ss.mmmZ`, years 1970 to 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// 1970-01-01T00:00:00.000Z.
    pub const EPOCH: Self = Self(0);
    /// 9999-12-31T23:59:59.999Z: the last point in time that a four-digit year can express.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// Milliseconds since 1970; `None` after [`Time::MAX`].
    pub fn from_unix_ms(ms: u64) -> Option<Self> {
        (ms <= Self::MAX.0).then_some(Self(ms))
    }

    /// Milliseconds since 1970.
    pub fn unix_ms(self) -> u64 {
        self.0
    }

    /// Whole seconds since 1970.
    pub fn unix_seconds(self) -> u64 {
        self.0 / 1000
    }

    /// The time `duration` later (whole milliseconds); `None` after [`Time::MAX`].
    pub fn checked_add(self, duration: Duration) -> Option<Self> {
        let ms = u64::try_from(duration.as_millis()).ok()?;
        self.0.checked_add(ms).and_then(Self::from_unix_ms)
    }

    /// The time `duration` earlier (whole milliseconds); `None` before 1970.
    pub fn checked_sub(self, duration: Duration) -> Option<Self> {
        let ms = u64::try_from(duration.as_millis()).ok()?;
        self.0.checked_sub(ms).map(Self)
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        // Saturating is the meaning; the line above promises it.
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date_of(self.0 / DAY_MS);
        let ms = self.0 % DAY_MS;
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        let ms = ms % 1000;
        write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl FromStr for Time {
    type Err = TimeError;

    fn from_str(written: &str) -> Result<Self, TimeError> {
        let bytes: &[u8; 24] = written.as_bytes().as_array().ok_or(TimeError::Form)?;
        let form = b"0000-00-00T00:00:00.000Z";
        let fits = |(byte, form): (&u8, &u8)| {
            if *form == b'0' { byte.is_ascii_digit() } else { byte == form }
        };
        if !bytes.iter().zip(form).all(fits) {
            return Err(TimeError::Form);
        }
        let number = |from: usize, digits: usize| {
            let digits = bytes.iter().skip(from).take(digits);
            digits.fold(0_u64, |number, digit| number * 10 + u64::from(digit & 0x0f))
        };
        let days = days_before(number(0, 4), number(5, 2), number(8, 2)).ok_or(TimeError::Date)?;
        let (hour, minute, second) = (number(11, 2), number(14, 2), number(17, 2));
        if hour > 23 || minute > 59 || second > 59 {
            return Err(TimeError::Date);
        }
        let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
        Self::from_unix_ms(seconds * 1000 + number(20, 3)).ok_or(TimeError::Date)
    }
}

text::serde_as_text!(Time);

/// Days from 1970-01-01 to the given date; `None` when there is no such date in 1970..=9999.
fn days_before(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year)
        || !(1..=12).contains(&month)
        || day < 1
        || day > month_days(year, month)
    {
        return None;
    }
    // Whole years up to the last day of the year before, counted from year 1, less those before 1970.
    let before = |year: u64| year * 365 + year / 4 - year / 100 + year / 400;
    let months: u64 = (1..month).map(|month| month_days(year, month)).sum();
    Some(before(year - 1) - before(1969) + months + day - 1)
}

fn month_days(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// Year, month and day of the day `days` after 1970-01-01 (proleptic Gregorian calendar).
fn date_of(days: u64) -> (u64, u64, u64) {
    // The calendar repeats every 400 years of 146,097 days. Within such an era the year is counted from
    // 1 March, so that the leap day is the last of its year: 719,468 days lie between 0000-03-01 and 1970-01-01.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March have 31 30 31 30 31 days, twice and a bit: 153 days in five months.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

/// A point in time with nanoseconds, as file systems and clocks give it: seconds + nanos / 10^9 since 1970.
///
/// Seconds may be negative: half a second before 1970 is `-1.500000000`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FileTime {
    seconds: i64,
    nanos: u32,
}

impl FileTime {
    /// `None` when `nanos` is a second or more.
    pub fn new(seconds: i64, nanos: u32) -> Option<Self> {
        (nanos < 1_000_000_000).then_some(Self { seconds, nanos })
    }

    /// Seconds since 1970, rounded down.
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    /// Nanoseconds after `seconds`, below 10^9.
    pub fn nanos(self) -> u32 {
        self.nanos
    }
}

impl fmt::Display for FileTime {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{:09}", self.seconds, self.nanos)
    }
}

impl fmt::Debug for FileTime {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl FromStr for FileTime {
    type Err = TimeError;

    fn from_str(written: &str) -> Result<Self, TimeError> {
        let (seconds, nanos) = written.split_once('.').ok_or(TimeError::Form)?;
        let magnitude = seconds.strip_prefix('-').unwrap_or(seconds);
        let digits = magnitude.len() <= 19 && text::decimal(magnitude).is_some();
        if !digits || seconds == "-0" || nanos.len() != 9 || !nanos.bytes().all(|byte| byte.is_ascii_digit())
        {
            return Err(TimeError::Form);
        }
        let (seconds, nanos) = (seconds.parse::<i64>(), nanos.parse::<u32>());
        let (Ok(seconds), Ok(nanos)) = (seconds, nanos) else {
            return Err(TimeError::Form);
        };
        Self::new(seconds, nanos).ok_or(TimeError::Form)
    }
}

text::serde_as_text!(FileTime);

/// A text that is not a point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimeError {
    /// There is no such day, hour, minute or second.
    #[error("no such date or time of day between 1970 and 9999")]
    Date,
    /// A character out of place.
    #[error("not in the form YYYY-MM-DDThh:mm:ss.mmmZ, or <seconds>.<9 digits> for a file time")]
    Form,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates_have_their_text() {
        // Second column: `date -u -d @N +%FT%T`.
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (951_868_800, "2000-03-01T00:00:00.000Z"),
            (1_709_164_800, "2024-02-29T00:00:00.000Z"),
            (1_795_300_496, "2026-11-21T22:34:56.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799, "9999-12-31T23:59:59.000Z"),
        ] {
            let time = Time::from_unix_ms(seconds * 1000).unwrap();
            assert_eq!(time.to_string(), text);
            assert_eq!(text.parse(), Ok(time));
        }
    }

    #[test]
    fn every_day_of_1970_to_9999_follows_the_day_before_and_round_trips() {
        let mut expected = (1970, 1, 1);
        for days in 0..=Time::MAX.0 / DAY_MS {
            assert_eq!(date_of(days), expected);
            let (year, month, day) = expected;
            assert_eq!(days_before(year, month, day), Some(days));
            expected = if day < month_days(year, month) {
                (year, month, day + 1)
            } else if month < 12 {
                (year, month + 1, 1)
            } else {
                (year + 1, 1, 1)
            };
        }
        assert_eq!(expected, (10_000, 1, 1));
    }

    #[test]
    fn times_of_day_round_trip_and_never_pass_the_year_9999() {
        for ms in (0..DAY_MS).step_by(997).chain([DAY_MS - 1]) {
            let time = Time(20_778 * DAY_MS + ms);
            assert_eq!(time.to_string().parse(), Ok(time));
        }
        assert_eq!(Time::MAX.checked_add(Duration::from_millis(1)), None);
        assert_eq!(Time::EPOCH.checked_add(Duration::MAX), None);
        assert_eq!(Time::EPOCH.checked_sub(Duration::from_millis(1)), None);
        assert_eq!(Time(5).since(Time(7)), Duration::ZERO);
    }

    #[test]
    fn anything_but_the_one_form_is_refused() {
        for wrong in [
            "",
            "2026-11-21T22:34:56Z",
            "2026-11-21T22:34:56.000z",
            "2026-11-21 22:34:56.000Z",
            "2026-11-21T22:34:56.0000Z",
            "2026-11-21T22:34:60.000Z",
            "2026-11-21T24:00:00.000Z",
            "2026-11-21T22:60:00.000Z",
            "2026-13-21T22:34:56.000Z",
            "2026-00-21T22:34:56.000Z",
            "2026-11-31T22:34:56.000Z",
            "2026-02-29T22:34:56.000Z",
            "2100-02-29T22:34:56.000Z",
            "1969-12-31T23:59:59.999Z",
            "2026-11-21T22:34:56,000Z",
            "+026-11-21T22:34:56.000Z",
            "２026-11-21T22:34:56.00Z",
        ] {
            assert!(wrong.parse::<Time>().is_err(), "{wrong:?}");
        }
        for wrong in [
            "",
            "1",
            "1.",
            ".000000000",
            "-0.000000000",
            "01.000000000",
            "1.00000000",
            "1.0000000000",
            "+1.000000000",
            "9223372036854775808.000000000",
            "1.00000000a",
        ] {
            assert!(wrong.parse::<FileTime>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn file_times_round_trip_at_the_edges() {
        for (seconds, nanos, text) in [
            (0, 0, "0.000000000"),
            (-1, 500_000_000, "-1.500000000"),
            (i64::MIN, 0, "-9223372036854775808.000000000"),
            (i64::MAX, 999_999_999, "9223372036854775807.999999999"),
        ] {
            let time = FileTime::new(seconds, nanos).unwrap();
            assert_eq!(time.to_string(), text);
            assert_eq!(text.parse(), Ok(time));
        }
        assert_eq!(FileTime::new(0, 1_000_000_000), None);
    }
}
