//! The clock of this machine. No other file asks for the time.

use std::time::{SystemTime, UNIX_EPOCH};

use evidence::time::Time;

use crate::failure::could_not;

/// Now, in milliseconds since 1970.
pub fn now() -> anyhow::Result<Time> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    let ms = since.and_then(|since| u64::try_from(since.as_millis()).ok());
    ms.and_then(Time::from_unix_ms).ok_or_else(|| {
        could_not("this machine's clock shows no year from 1970 to 9999", "set the clock and try again")
    })
}
