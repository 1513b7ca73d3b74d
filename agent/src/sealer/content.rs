//! Reads one file's bytes, every byte once and in order, and reports exactly which bytes it could not read.
//!
//! Guarantee: the sink receives, in order, data or a gap with its reason. Together they cover the promised
//! runs of the [`Source`]. An I/O error loses only the 4 KiB blocks that it touches, not the file. Not here:
//! hashing and packing (`evidence::container`), what the looks before and after mean ([`judge`] says it, the
//! caller makes them).

use std::time::Duration;

use evidence::item::outcome::Outcome;
use evidence::item::{GapWhy, Stat};
use evidence::time::FileTime;
use rustix::io::Errno;

use crate::ipc::Checked;
use crate::platform::Identity;
use crate::source::{Source, When};

/// Bytes per read: 1 MiB, a frame.
pub(crate) const READ_BYTES: usize = 1 << 20;

/// Objects up to this size are read before their header is written: 1 MiB (docs/spec/container.md, *Missing bytes*).
pub(crate) const SMALL_BYTES_MAX: u64 = 1 << 20;

/// Bytes per retry after an I/O error: a page, the unit in which the kernel fails.
const RETRY_BYTES: u64 = 4096;

/// How many blocks of one file may be unreadable before the rest is given up. Each costs the medium's own
/// retries.
const FAILED_BLOCKS_MAX: u32 = 1024;

/// The next bytes of the promised runs.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes that were read.
    Data(&'a [u8]),
    /// Bytes that could not be read.
    Gap {
        /// How many data bytes the gap stands for.
        len: u64,
        /// Why they are missing.
        why: GapWhy,
        /// Error number.
        errno: Option<u32>,
    },
}

/// The events of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Read {
    /// Some blocks failed. Holds the first error.
    pub failed: Option<u32>,
    /// The file ended before its size at open.
    pub is_short: bool,
    /// The item's deadline passed.
    pub is_late: bool,
    /// A limit of the collection ended the read.
    pub is_limited: bool,
}

/// The caller's decision between two pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// Continue.
    On,
    /// The item's deadline has passed.
    Late,
    /// A limit of the collection is reached.
    Limited,
}

/// Reads the runs of `source` in order into `sink`. Asks `leave` before every read.
pub(crate) fn pump<E>(
    source: &impl Source,
    runs: &[(u64, u64)],
    mut leave: impl FnMut() -> Leave,
    mut sink: impl FnMut(Piece<'_>) -> Result<(), E>,
) -> Result<Read, E> {
    let mut read = Read::default();
    let mut buffer = vec![0_u8; READ_BYTES];
    let mut blocks_failed = 0_u32;
    for (position, (off, len)) in runs.iter().enumerate() {
        let rest_behind: u64 = runs.iter().skip(position + 1).map(|(_, len)| *len).sum();
        let end = off + len;
        let mut at = *off;
        while at < end {
            let rest = end - at + rest_behind;
            let why = match leave() {
                Leave::On => None,
                Leave::Late => Some(GapWhy::Timeout),
                Leave::Limited => Some(GapWhy::Limit),
            };
            if let Some(why) = why {
                read.is_late = why == GapWhy::Timeout;
                read.is_limited = why == GapWhy::Limit;
                sink(Piece::Gap { len: rest, why, errno: None })?;
                return Ok(read);
            }
            // After a failure, read page by page until a whole read succeeds again.
            let step = if blocks_failed > 0 { RETRY_BYTES - at % RETRY_BYTES } else { u64::MAX };
            let take = step.min(end - at);
            let piece = match usize::try_from(take).ok().and_then(|take| buffer.get_mut(..take)) {
                Some(last) => last,
                None => buffer.as_mut_slice(),
            };
            let wanted = piece.len() as u64;
            source.around(at, wanted, When::Before);
            let answer = source.read_at(piece, at);
            source.around(at, wanted, When::After);
            match answer {
                Ok(0) => {
                    read.is_short = true;
                    sink(Piece::Gap { len: rest, why: GapWhy::Truncated, errno: None })?;
                    return Ok(read);
                }
                Ok(got) => {
                    let bytes = given(piece, got);
                    sink(Piece::Data(bytes))?;
                    at += bytes.len() as u64;
                }
                Err(Errno::INTR) => {}
                Err(_) if blocks_failed == 0 && take > RETRY_BYTES => blocks_failed = 1,
                Err(errno) => {
                    let number = errno.raw_os_error().unsigned_abs();
                    read.failed.get_or_insert(number);
                    blocks_failed += 1;
                    let is_given_up = blocks_failed > FAILED_BLOCKS_MAX;
                    let len = if is_given_up { rest } else { take.min(RETRY_BYTES) };
                    sink(Piece::Gap { len, why: GapWhy::IoError, errno: Some(number) })?;
                    if is_given_up {
                        return Ok(read);
                    }
                    at += len;
                }
            }
        }
    }
    Ok(read)
}

/// The bytes that a read returned. To hash fewer without a report would make a wrong digest.
#[expect(clippy::expect_used, reason = "a source gives at most as many bytes as it was asked for")]
fn given(piece: &[u8], got: usize) -> &[u8] {
    piece.get(..got).expect("a read gave more bytes than it was asked for")
}

/// What the looks at the file and the read say together.
#[derive(Debug)]
pub struct Looks<'a> {
    /// At open.
    pub before: &'a Stat,
    /// At the descriptor, after the read.
    pub after: Option<&'a Stat>,
    /// At the path, after the read.
    pub path: Option<&'a Checked>,
    /// When the read began, by the endpoint's clock.
    pub begun: FileTime,
    /// A change within this time of `begun` may not have changed a time stamp: two ticks.
    pub resolution: Duration,
}

/// The outcome of a file that was read.
#[must_use]
pub fn judge(read: Read, looks: &Looks<'_>) -> Outcome {
    if read.failed.is_some() {
        return Outcome::IoError;
    }
    if read.is_late {
        return Outcome::Timeout;
    }
    if read.is_limited {
        return Outcome::SkippedLimit;
    }
    let Some(after) = looks.after else {
        return Outcome::IoError;
    };
    let before = looks.before;
    let is_unlinked = after.nlink == 0 && before.nlink > 0;
    match looks.path {
        Some(Checked::Gone) => return Outcome::Vanished,
        Some(Checked::Found(now)) if Identity::from(now.as_ref()) != Identity::from(before) => {
            return Outcome::Replaced;
        }
        _ if is_unlinked => return Outcome::Vanished,
        _ => {}
    }
    if read.is_short || after.size < before.size {
        return Outcome::Truncated;
    }
    if after.size > before.size {
        return Outcome::Grew;
    }
    // Ignore the access time: our own read may change it.
    let stable = |stat: &Stat| (stat.mtime, stat.ctime, stat.mode, stat.uid, stat.gid, stat.nlink);
    if stable(before) != stable(after) {
        return Outcome::Modified;
    }
    let latest = after.mtime.max(after.ctime);
    if is_within(latest, looks.begun, looks.resolution) { Outcome::PossiblyChanged } else { Outcome::Ok }
}

/// True if `time` is later than `begun`, or less than `resolution` earlier.
fn is_within(time: FileTime, begun: FileTime, resolution: Duration) -> bool {
    // 96 bits: no sum of two comes near the end.
    let nanos = |seconds: i128, nanos: u32| seconds * 1_000_000_000 + i128::from(nanos);
    let at = |time: FileTime| nanos(time.seconds().into(), time.nanos());
    at(time) > at(begun) - nanos(resolution.as_secs().into(), resolution.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;
    use std::os::fd::AsFd as _;

    use super::*;
    use crate::platform::look;

    /// A medium with bad pages.
    struct Medium {
        bytes: Vec<u8>,
        bad_pages: BTreeSet<u64>,
        reads: RefCell<u32>,
    }

    impl Source for Medium {
        fn read_at(&self, buffer: &mut [u8], off: u64) -> Result<usize, Errno> {
            *self.reads.borrow_mut() += 1;
            let start = usize::try_from(off).unwrap().min(self.bytes.len());
            let len = buffer.len().min(self.bytes.len() - start);
            let pages = off / 4096..=(off + len.max(1) as u64 - 1) / 4096;
            if let Some(bad) = self.bad_pages.range(pages).next() {
                // Like the kernel: it returns what lies before the bad page, then the error.
                let good = (bad * 4096).saturating_sub(off);
                if good == 0 {
                    return Err(Errno::IO);
                }
                let good = usize::try_from(good).unwrap();
                buffer[..good].copy_from_slice(&self.bytes[start..start + good]);
                return Ok(good);
            }
            buffer[..len].copy_from_slice(&self.bytes[start..start + len]);
            Ok(len)
        }
    }

    fn read(
        medium: &Medium,
        runs: &[(u64, u64)],
        leave: impl FnMut() -> Leave,
    ) -> (Vec<u8>, Vec<(u64, u64, GapWhy)>, Read) {
        let (mut bytes, mut gaps) = (Vec::new(), Vec::<(u64, u64, GapWhy)>::new());
        let read = pump(medium, runs, leave, |piece| {
            match piece {
                Piece::Data(data) => bytes.extend_from_slice(data),
                Piece::Gap { len, why, .. } => {
                    gaps.push((bytes.len() as u64, len, why));
                    bytes.resize(bytes.len() + usize::try_from(len).unwrap(), 0);
                }
            }
            Ok::<(), ()>(())
        });
        (bytes, gaps, read.unwrap())
    }

    fn medium(len: usize, bad: &[u64]) -> Medium {
        let bytes = (0..len).map(|at| u8::try_from(at % 251).unwrap() | 1).collect();
        Medium { bytes, bad_pages: bad.iter().copied().collect(), reads: RefCell::new(0) }
    }

    #[test]
    fn an_unreadable_page_costs_that_page_and_nothing_else() {
        let medium = medium(5 << 20, &[3, 700]);
        let (bytes, gaps, end) = read(&medium, &[(0, 5 << 20)], || Leave::On);
        assert_eq!(gaps, [(3 * 4096, 4096, GapWhy::IoError), (700 * 4096, 4096, GapWhy::IoError)]);
        assert_eq!(end.failed, Some(5));
        let mut expected = medium.bytes.clone();
        for page in [3_usize, 700] {
            expected[page * 4096..(page + 1) * 4096].fill(0);
        }
        assert!(bytes == expected);
    }

    #[test]
    fn a_medium_that_fails_for_ever_is_given_up() {
        let all: Vec<u64> = (0..4096).collect();
        let medium = medium(16 << 20, &all);
        let (bytes, gaps, end) = read(&medium, &[(0, 16 << 20)], || Leave::On);
        assert_eq!(bytes.len(), 16 << 20);
        assert!(end.failed.is_some() && gaps.len() <= 1025, "{}", gaps.len());
        assert!(*medium.reads.borrow() < 1100);
    }

    #[test]
    fn what_is_short_late_or_limited_is_filled_to_the_promise_over_all_runs() {
        let medium = medium(10_000, &[]);
        let runs = [(0, 4096), (8192, 4096), (20_000, 50)];
        let (bytes, gaps, end) = read(&medium, &runs, || Leave::On);
        assert_eq!(gaps, [(4096 + 1808, 4096 - 1808 + 50, GapWhy::Truncated)]);
        assert!(end.is_short && bytes.len() == 8242);
        let (_, gaps, end) = read(&medium, &runs, || Leave::Late);
        assert_eq!(gaps, [(0, 8242, GapWhy::Timeout)]);
        assert!(end.is_late);
        let mut calls = 0;
        let limited = || {
            calls += 1;
            if calls > 1 { Leave::Limited } else { Leave::On }
        };
        let (_, gaps, end) = read(&medium, &runs, limited);
        assert_eq!(gaps, [(4096, 4146, GapWhy::Limit)]);
        assert!(end.is_limited);
    }

    #[test]
    fn looks_before_and_after_decide_the_outcome() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let stat = look(file.as_file().as_fd()).unwrap().stat;
        let long_ago = FileTime::new(1_000, 0).unwrap();
        let old = Stat { mtime: long_ago, ctime: long_ago, size: 10, ..stat.clone() };
        let judge_after = |after: Stat, path: Checked| {
            let looks = Looks {
                before: &old,
                after: Some(&after),
                path: Some(&path),
                begun: FileTime::new(2_000, 0).unwrap(),
                resolution: Duration::from_millis(20),
            };
            judge(Read::default(), &looks)
        };
        let same = || Checked::Found(Box::new(old.clone()));
        assert_eq!(judge_after(old.clone(), same()), Outcome::Ok);
        assert_eq!(judge_after(Stat { size: 11, ..old.clone() }, same()), Outcome::Grew);
        assert_eq!(judge_after(Stat { size: 9, ..old.clone() }, same()), Outcome::Truncated);
        assert_eq!(
            judge_after(Stat { ctime: FileTime::new(1_500, 0).unwrap(), ..old.clone() }, same()),
            Outcome::Modified
        );
        assert_eq!(judge_after(Stat { nlink: 0, ..old.clone() }, Checked::Unknown), Outcome::Vanished);
        assert_eq!(judge_after(old.clone(), Checked::Gone), Outcome::Vanished);
        let other = Checked::Found(Box::new(Stat { ino: old.ino + 1, ..old.clone() }));
        assert_eq!(judge_after(old.clone(), other), Outcome::Replaced);
        let recent = FileTime::new(1_999, 990_000_000).unwrap();
        let young = Stat { mtime: recent, ctime: recent, ..old.clone() };
        let looks = Looks {
            before: &young,
            after: Some(&young),
            path: None,
            begun: FileTime::new(2_000, 0).unwrap(),
            resolution: Duration::from_millis(20),
        };
        assert_eq!(judge(Read::default(), &looks), Outcome::PossiblyChanged);
    }
}
