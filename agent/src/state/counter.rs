//! How often an agent started with this state, and the lock that limits it to one warden.
//!
//! Guarantee: the counter is raised durably before anything else happens. So a restored snapshot or a clone
//! sends a number that went back or that was sent before. Not here: judging that (the collector warns, people
//! decide).

use std::io;
use std::path::Path;

pub(super) const COUNTER: &str = "counter";
const LOCK: &str = "lock";

/// Locks the state for this process.
///
/// # Errors
/// `WouldBlock` if another warden has it.
pub fn lock(dir: &Path) -> io::Result<durable::Lock> {
    durable::Lock::try_take(&dir.join(LOCK)).map_err(|error| {
        if error.kind() != io::ErrorKind::WouldBlock {
            return error;
        }
        let text = format!(
            "another exhibit-agent uses `{}` ({error}). Stop it first: `systemctl stop exhibit-agent`",
            dir.display()
        );
        io::Error::new(io::ErrorKind::WouldBlock, text)
    })
}

/// Counts one start and returns the number, from 1.
///
/// # Errors
/// The system's error, or `InvalidData` for a damaged counter.
pub fn count(dir: &Path) -> io::Result<u64> {
    let next =
        read(dir)?.checked_add(1).ok_or_else(|| io::Error::other("the counter of starts is at its end"))?;
    super::replace(dir, COUNTER, format!("{next}\n").as_bytes())?;
    Ok(next)
}

/// The number of starts so far.
pub fn read(dir: &Path) -> io::Result<u64> {
    let Some(bytes) = super::read(&dir.join(COUNTER))? else {
        return Ok(0);
    };
    let number = str::from_utf8(&bytes)
        .ok()
        .and_then(|text| text.strip_suffix('\n'))
        .and_then(|text| text.parse().ok());
    number.ok_or_else(|| {
        let text = format!(
            "`{}` is damaged. Restore it, or write the last known number into it",
            dir.join(COUNTER).display()
        );
        io::Error::new(io::ErrorKind::InvalidData, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_start_counts_once_and_two_wardens_never_share_a_state() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!([count(dir.path()).unwrap(), count(dir.path()).unwrap()], [1, 2]);
        let held = lock(dir.path()).unwrap();
        assert_eq!(lock(dir.path()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(held);
        lock(dir.path()).unwrap();
        fs_err::write(dir.path().join(COUNTER), "two\n").unwrap();
        assert_eq!(count(dir.path()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
