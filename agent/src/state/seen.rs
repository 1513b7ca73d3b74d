//! Orders on which this endpoint has acted (`seen.jsonl`). Admission step *not replayed* counts with it.
//!
//! Guarantee: an attempt is durable here before the first read of its collection. So a crash at any point
//! costs an attempt and never grants one. A stored or cancelled order stays ended. A line that the agent does
//! not understand stops it: a guess could grant attempts. Not here: whether an order is genuine
//! (`evidence::admission`).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use evidence::digest::Digest;
use evidence::manifest::CollectionResult;
use evidence::time::Time;
use serde::{Deserialize, Serialize};

use durable::LineFile;

pub(super) const NAME: &str = "seen.jsonl";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    /// An attempt is about to begin.
    Attempt { order: Digest, expires: Time, attempt: u32, collection: Digest, at: Time },
    /// Its manifest was signed with the evidence key.
    Signed { order: Digest, attempt: u32, manifest: Digest, result: CollectionResult, at: Time },
    /// It ended.
    Ended { order: Digest, attempt: u32, end: End, detail: String, at: Time },
    /// Its end was handed to the link while the link was connected.
    Reported { order: Digest, attempt: u32, at: Time },
    /// No further attempt is allowed, whatever the count says (`order.cancelled`).
    Cancelled { order: Digest, expires: Time, at: Time },
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The manifest was signed, the collector has it, and the collector's receipt verified.
    Stored,
    /// The attempt was cut off: by a crash, a deadline, a cancellation or a contradiction.
    Interrupted,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// Its collection.
    pub collection: Digest,
    /// When it began, by the endpoint's clock.
    pub at: Time,
    /// Digest and result of its manifest, once signed.
    pub manifest: Option<(Digest, CollectionResult)>,
    /// How and why it ended; `None` while it runs.
    pub end: Option<(End, String)>,
    /// Whether the collector was told of the end.
    pub reported: bool,
}

/// The attempts of one order, and when it expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// When the order expires. It tells when the order may be forgotten.
    pub expires: Time,
    /// Attempts, in order.
    pub attempts: Vec<Attempt>,
    /// True if a signed cancellation was seen.
    pub cancelled: bool,
}

impl Seen {
    /// Whether an attempt of this order was stored.
    pub(crate) fn is_stored(&self) -> bool {
        self.attempts.iter().any(|attempt| matches!(attempt.end, Some((End::Stored, _))))
    }
}

/// The file, and its content.
#[derive(Debug)]
pub struct SeenOrders {
    lines: LineFile,
    orders: BTreeMap<Digest, Seen>,
    path: PathBuf,
}

/// Why no attempt may begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeenError {
    /// The order is used up.
    #[error("{0}")]
    Replay(Replay),
    /// The disk did not accept the line.
    #[error("record the attempt in `seen.jsonl`")]
    Write {
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

/// Why an order may not be tried (again).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Replay {
    /// The order is already done.
    #[error("an attempt of this order is already stored")]
    Stored,
    /// No attempt is left.
    #[error("all {0} attempts of this order are used up")]
    UsedUp(u32),
    /// A responder cancelled it.
    #[error("this order was cancelled")]
    Cancelled,
    /// An attempt is running.
    #[error("an attempt of this order is running")]
    Running,
}

impl SeenOrders {
    /// Reads the file of `dir`. Attempts that were running when the agent died are ended as interrupted,
    /// durably. Orders that expired a day or more before `floor` are forgotten: admission refuses them as
    /// expired, because the clock floor never goes back.
    ///
    /// # Errors
    /// The system's error, or `InvalidData` for a line that the agent does not understand.
    pub fn open(dir: &Path, floor: Time, now: Time) -> io::Result<Self> {
        let path = dir.join(NAME);
        let mut kept = Vec::new();
        let mut orders = BTreeMap::new();
        drop(LineFile::open(&path, |bytes| {
            let line: Line = serde_json::from_slice(bytes).map_err(|source| {
                let text = format!(
                    "`{}` line {} is not understood ({source}), so it is unknown which orders were obeyed. \
                     Restore the file, or enrol anew with `exhibit-agent enrol --replace`",
                    path.display(),
                    kept.len() + 1
                );
                io::Error::new(io::ErrorKind::InvalidData, text)
            })?;
            apply(&mut orders, &line);
            kept.push((line.order(), bytes.to_vec()));
            Ok(())
        })?);
        let day = std::time::Duration::from_secs(86_400);
        let forgotten = |seen: &Seen| seen.expires.checked_add(day).is_some_and(|end| end < floor);
        let before = orders.len();
        orders.retain(|_, seen| !forgotten(seen));
        if orders.len() != before {
            let mut text = Vec::new();
            for (_, line) in kept.iter().filter(|(order, _)| orders.contains_key(order)) {
                text.extend_from_slice(line);
                text.push(b'\n');
            }
            super::replace(dir, NAME, &text)?;
        }
        let lines = LineFile::open(&path, |_| Ok(()))?;
        let mut this = Self { lines, orders, path };
        for (order, attempt) in this.running() {
            this.end(order, attempt, End::Interrupted, "the agent stopped during the attempt", now)?;
        }
        Ok(this)
    }

    /// The record of `order`, if there is one.
    pub fn get(&self, order: Digest) -> Option<&Seen> {
        self.orders.get(&order)
    }

    /// Whether `order`, which grants `attempts_max` attempts, may be tried now.
    pub(crate) fn may_try(&self, order: Digest, attempts_max: u32) -> Result<u32, Replay> {
        let Some(seen) = self.orders.get(&order) else {
            return Ok(1);
        };
        if seen.is_stored() {
            return Err(Replay::Stored);
        }
        if seen.cancelled {
            return Err(Replay::Cancelled);
        }
        if seen.attempts.iter().any(|attempt| attempt.end.is_none()) {
            return Err(Replay::Running);
        }
        let last = seen.attempts.iter().map(|attempt| attempt.number).max().unwrap_or(0);
        let next = last.checked_add(1).filter(|next| *next <= attempts_max);
        next.ok_or(Replay::UsedUp(attempts_max))
    }

    /// Counts one attempt, durably, and returns its number. Call it before anything is read.
    ///
    /// # Errors
    /// [`SeenError`]. Then nothing may be read.
    pub fn begin(
        &mut self,
        order: Digest,
        expires: Time,
        attempts_max: u32,
        collection: impl FnOnce(u32) -> Digest,
        at: Time,
    ) -> Result<(u32, Digest), SeenError> {
        let attempt = self.may_try(order, attempts_max).map_err(SeenError::Replay)?;
        let collection = collection(attempt);
        self.record(&Line::Attempt { order, expires, attempt, collection, at })
            .map_err(|source| SeenError::Write { source })?;
        // Crash now: the attempt counts although nothing was read. The next start ends it as interrupted.
        Ok((attempt, collection))
    }

    /// Notes the manifest before it is sent, so that its receipt is recognised after a restart.
    pub fn sign(
        &mut self,
        order: Digest,
        attempt: u32,
        manifest: Digest,
        result: CollectionResult,
        at: Time,
    ) -> io::Result<()> {
        self.record(&Line::Signed { order, attempt, manifest, result, at })
    }

    /// The attempt that made `collection`, and its order.
    pub(crate) fn of_collection(&self, collection: Digest) -> Option<(Digest, &Attempt)> {
        let each = self
            .orders
            .iter()
            .flat_map(|(order, seen)| seen.attempts.iter().map(|attempt| (*order, attempt)));
        each.into_iter().find(|(_, attempt)| attempt.collection == collection)
    }

    /// Number of orders and attempts, for the owner.
    pub fn orders(&self) -> &BTreeMap<Digest, Seen> {
        &self.orders
    }

    /// Ends an attempt.
    pub fn end(&mut self, order: Digest, attempt: u32, end: End, detail: &str, at: Time) -> io::Result<()> {
        self.record(&Line::Ended { order, attempt, end, detail: detail.to_owned(), at })
    }

    /// Notes that the collector was told of the end of an attempt.
    pub fn reported(&mut self, order: Digest, attempt: u32, at: Time) -> io::Result<()> {
        self.record(&Line::Reported { order, attempt, at })
    }

    /// Ends an order for good.
    pub(crate) fn cancel(&mut self, order: Digest, expires: Time, at: Time) -> io::Result<()> {
        self.record(&Line::Cancelled { order, expires, at })
    }

    /// Ended attempts about whose end the collector was not told yet.
    pub(crate) fn unreported(&self) -> Vec<(Digest, Attempt)> {
        let each = self
            .orders
            .iter()
            .flat_map(|(order, seen)| seen.attempts.iter().map(|attempt| (*order, attempt)));
        each.filter(|(_, attempt)| attempt.end.is_some() && !attempt.reported)
            .map(|(order, attempt)| (order, attempt.clone()))
            .collect()
    }

    fn running(&self) -> Vec<(Digest, u32)> {
        let each = self
            .orders
            .iter()
            .flat_map(|(order, seen)| seen.attempts.iter().map(|attempt| (*order, attempt)));
        each.filter(|(_, attempt)| attempt.end.is_none())
            .map(|(order, attempt)| (order, attempt.number))
            .collect()
    }

    fn record(&mut self, line: &Line) -> io::Result<()> {
        let text = serde_json::to_vec(line).map_err(|source| {
            io::Error::other(format!("write a line of `{}`: {source}", self.path.display()))
        })?;
        self.lines.append(&text)?;
        apply(&mut self.orders, line);
        Ok(())
    }
}

impl Line {
    fn order(&self) -> Digest {
        match self {
            Self::Attempt { order, .. }
            | Self::Signed { order, .. }
            | Self::Ended { order, .. }
            | Self::Reported { order, .. }
            | Self::Cancelled { order, .. } => *order,
        }
    }
}

fn apply(orders: &mut BTreeMap<Digest, Seen>, line: &Line) {
    let fresh = |expires: Time| Seen { expires, attempts: Vec::new(), cancelled: false };
    match line {
        Line::Attempt { order, expires, attempt, collection, at } => {
            let (number, collection, at) = (*attempt, *collection, *at);
            let attempt = Attempt { number, collection, at, manifest: None, end: None, reported: false };
            orders.entry(*order).or_insert_with(|| fresh(*expires)).attempts.push(attempt);
        }
        Line::Signed { order, attempt, manifest, result, .. } => {
            if let Some(attempt) = find(orders, order, *attempt) {
                attempt.manifest = Some((*manifest, *result));
            }
        }
        Line::Ended { order, attempt, end, detail, .. } => {
            if let Some(attempt) = find(orders, order, *attempt) {
                // A receipt may arrive after the attempt was given up. Nothing undoes a receipt.
                if !matches!(attempt.end, Some((End::Stored, _))) {
                    attempt.end = Some((*end, detail.clone()));
                }
            }
        }
        Line::Reported { order, attempt, .. } => {
            if let Some(attempt) = find(orders, order, *attempt) {
                attempt.reported = true;
            }
        }
        Line::Cancelled { order, expires, .. } => {
            orders.entry(*order).or_insert_with(|| fresh(*expires)).cancelled = true;
        }
    }
}

fn find<'orders>(
    orders: &'orders mut BTreeMap<Digest, Seen>,
    order: &Digest,
    number: u32,
) -> Option<&'orders mut Attempt> {
    orders.get_mut(order)?.attempts.iter_mut().find(|attempt| attempt.number == number)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn time(hour: u64) -> Time {
        Time::from_unix_ms(1_800_000_000_000 + hour * 3_600_000).unwrap()
    }

    fn open(dir: &Path) -> SeenOrders {
        SeenOrders::open(dir, Time::EPOCH, time(1)).unwrap()
    }

    const ORDER: Digest = Digest([7; 32]);

    fn begin(seen: &mut SeenOrders) -> Result<(u32, Digest), SeenError> {
        seen.begin(ORDER, time(24), 3, |attempt| Digest::of(&attempt.to_le_bytes()), time(0))
    }

    #[test]
    fn a_death_after_the_count_and_before_the_first_read_costs_an_attempt() {
        let dir = tempfile::tempdir().unwrap();
        for expected in 1..=3 {
            // Each round is one life of a warden that dies right after the fsync.
            assert_eq!(begin(&mut open(dir.path())).unwrap().0, expected);
        }
        let mut seen = open(dir.path());
        assert!(matches!(begin(&mut seen), Err(SeenError::Replay(Replay::UsedUp(3)))));
        assert_eq!(seen.unreported().len(), 3);
    }

    #[test]
    fn a_death_inside_the_append_at_any_byte_grants_no_further_attempt() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        begin(&mut open(dir.path())).unwrap();
        let whole = fs_err::read(&path).unwrap();
        for cut in 0..=whole.len() {
            fs_err::write(&path, &whole[..cut]).unwrap();
            // A torn line was never acknowledged, so no reader had started. The number may be used again.
            let next = open(dir.path()).may_try(ORDER, 3).unwrap();
            assert_eq!(next, if cut == whole.len() { 2 } else { 1 }, "cut at {cut}");
        }
    }

    #[test]
    fn stored_and_cancelled_are_terminal_across_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let mut seen = open(dir.path());
        begin(&mut seen).unwrap();
        assert_eq!(seen.may_try(ORDER, 3), Err(Replay::Running));
        seen.end(ORDER, 1, End::Stored, "", time(1)).unwrap();
        seen.end(ORDER, 1, End::Interrupted, "late", time(1)).unwrap();
        drop(seen);
        assert_eq!(open(dir.path()).may_try(ORDER, 3), Err(Replay::Stored));

        let other = Digest([8; 32]);
        open(dir.path()).cancel(other, time(24), time(2)).unwrap();
        assert_eq!(open(dir.path()).may_try(other, 3), Err(Replay::Cancelled));
    }

    #[test]
    fn only_orders_that_ended_before_the_floor_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        begin(&mut open(dir.path())).unwrap();
        let just_ended = time(24).checked_add(Duration::from_secs(60)).unwrap();
        assert!(SeenOrders::open(dir.path(), just_ended, just_ended).unwrap().get(ORDER).is_some());
        assert!(SeenOrders::open(dir.path(), time(49), time(49)).unwrap().get(ORDER).is_none());
        assert_eq!(fs_err::read(dir.path().join(NAME)).unwrap(), b"");
    }

    #[test]
    fn a_line_that_is_not_understood_stops_the_agent() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join(NAME), "{\"event\":\"forgiven\"}\n").unwrap();
        let error = SeenOrders::open(dir.path(), Time::EPOCH, time(1)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
