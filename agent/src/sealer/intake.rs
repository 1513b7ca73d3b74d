//! The sealer's work: takes what the reader hands over, reads, hashes, packs and seals it, and decodes rows.
//!
//! Guarantee: everything that the reader announced becomes a record in the container, or the run ends with an
//! error. The sealer enforces the limits, whatever the reader says. If the reader is lost, the container is
//! still finished, as `limited`. Memory is bounded by a few MiB, two tables of at most [`LINKS_MAX`] entries,
//! and the container writer's own bounds. Not here: opening (the reader has no keys, this process opens
//! nothing), what happens to segments ([`SegmentSink`]).

mod file;
mod program;
mod record;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use evidence::container::{self, Clocks, ContainerSummary, MemberEnd, SealedSegment, WriteError, Writer};
use evidence::digest::Digest;
use evidence::item::outcome::Outcome;
use evidence::item::{ItemRecord, Kind, RawBytes};
use evidence::keys::SigningKey;
use evidence::manifest::StepEnd;
use evidence::order::Limits;
use evidence::time::FileTime;

use super::throttle::Throttle;
use crate::footprint::Footprint;
use crate::ipc::{self, CollectorEnd, IpcError, Message, Received, Seen, Use};
use crate::platform::{self, Clock, Identity};
use crate::rows::Rows;

/// Hard-linked contents and program digests remembered: 200,000 each, about 30 MiB. Beyond that, the content
/// of a hard link is stored again.
pub(crate) const LINKS_MAX: usize = 200_000;

/// A source of unknown length, and rows, become members of at most this size: 4 MiB (docs/spec/container.md).
pub(crate) const PART_BYTES: usize = 4 << 20;

/// Most bytes of holes in all sparse members: 64 GiB. The sealer and every verifier hash them as zeros.
/// Collectors refuse more.
pub(crate) const HOLES_BYTES_MAX: u64 = 64 << 30;

/// Deadline of one file: a minute, plus a second for each MiB.
const ITEM_DEADLINE: Duration = Duration::from_secs(60);

/// How long the second look at a path may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(20);

/// Most limitations of one collection. The last says that others are left out.
const LIMITATIONS_MAX: usize = 256;

/// How often to report progress to the sink.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// The receiver of sealed segments.
pub trait SegmentSink {
    /// Takes a segment; waits while too many segments are unacknowledged. That wait is the back-pressure of
    /// the collection.
    ///
    /// # Errors
    /// If no further segment can be taken. The collection then ends without a manifest.
    fn segment(&mut self, segment: SealedSegment) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;

    /// Learns that work continues.
    fn progress(&mut self, _items: u64, _plain_bytes: u64) {}
}

/// The parameters of an intake.
pub struct Params {
    /// For the container's writer.
    pub container: container::Params,
    /// The plan's collectors, in order.
    pub collectors: Vec<String>,
    /// Effective limits.
    pub limits: Limits,
}

/// The sealer's ends of the reader's sockets.
#[derive(Debug)]
pub struct Sockets {
    /// Messages from the reader.
    pub reader: OwnedFd,
    /// Questions to it.
    pub check: OwnedFd,
}

/// One step: what the plan asked for and what happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepSummary {
    /// Its collector.
    pub collector: String,
    /// When it began. For a step that never began, when the collection ended.
    pub begun: FileTime,
    /// When it ended.
    pub ended: FileTime,
    /// Items recorded during it.
    pub items: u64,
    /// How it ended. A step whose reader was lost failed.
    pub result: StepEnd,
}

/// A finished container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Its totals.
    pub container: ContainerSummary,
    /// The results of its steps.
    pub steps: Vec<StepSummary>,
    /// What the container does not show.
    pub limitations: Vec<String>,
    /// What the collection changed on the endpoint.
    pub footprint: Footprint,
    /// The limit that ended the collection: a field of [`Limits`].
    pub limit: Option<&'static str>,
}

impl Summary {
    /// True if every step ran to its end.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.limit.is_none() && self.steps.iter().all(|step| step.result == StepEnd::Done)
    }
}

/// Why there is no container.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IntakeError {
    /// The writer failed.
    #[error("write container")]
    Write(#[from] WriteError),
    /// The receiver of segments has gone.
    #[error("hand over segment")]
    Sink(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Runs one collection until its plan has ended, a limit is reached, or the reader is lost.
///
/// # Errors
/// [`IntakeError`]. The segments that were handed over until then are good.
pub fn run(
    sockets: Sockets,
    params: Params,
    signer: SigningKey,
    sink: &mut dyn SegmentSink,
    clock: &dyn Clock,
) -> Result<Summary, IntakeError> {
    let tick = platform::duration(rustix::time::clock_getres(rustix::time::ClockId::RealtimeCoarse));
    let mut intake = Intake {
        writer: Writer::new(params.container, signer)?,
        throttle: Throttle::new(params.limits.cpu_pct, clock),
        limits: params.limits,
        sink,
        clock,
        check: sockets.check,
        check_buffer: ipc::buffer(),
        is_deaf: false,
        begun: clock.elapsed(),
        reported: clock.elapsed(),
        resolution: tick * 2,
        collector: String::from("files"),
        rows: None,
        row_parts: BTreeMap::new(),
        links: BTreeMap::new(),
        programs: BTreeMap::new(),
        piece: None,
        holes: 0,
        limit: None,
        footprint: Footprint::default(),
        limitations: Vec::new(),
        steps: Vec::new(),
        is_in_step: false,
    };
    intake.follow(&sockets.reader)?;
    // Wherever the reader is, it learns here that nobody listens.
    drop(sockets.reader);
    intake.finish(&params.collectors)
}

/// The content of one member, remembered for hard links.
#[derive(Debug, Clone)]
struct Linkable {
    n: u64,
    member: RawBytes,
    size: u64,
    sha256: Digest,
}

/// A source that the reader reads itself.
struct Pending {
    seen: Box<Seen>,
    held: Vec<u8>,
    parts: u64,
    first: Option<u64>,
}

struct Intake<'a> {
    writer: Writer,
    throttle: Throttle,
    limits: Limits,
    sink: &'a mut dyn SegmentSink,
    clock: &'a dyn Clock,
    check: OwnedFd,
    check_buffer: Vec<u8>,
    is_deaf: bool,
    begun: Duration,
    reported: Duration,
    resolution: Duration,
    collector: String,
    rows: Option<Rows>,
    /// How many parts were written, and the ordinal of the first one, by collector: two steps may have the
    /// same collector.
    row_parts: BTreeMap<String, (u64, u64)>,
    links: BTreeMap<(Identity, FileTime), Linkable>,
    programs: BTreeMap<(Identity, FileTime), String>,
    piece: Option<Pending>,
    holes: u64,
    limit: Option<&'static str>,
    footprint: Footprint,
    limitations: Vec<String>,
    steps: Vec<StepSummary>,
    is_in_step: bool,
}

impl Intake<'_> {
    /// Takes messages until the plan ends, a limit is reached, or the reader ends.
    fn follow(&mut self, reader: &OwnedFd) -> Result<(), IntakeError> {
        let mut buffer = ipc::buffer();
        loop {
            self.check_limits(0);
            if self.limit.is_some() {
                return self.cut();
            }
            let received = match ipc::receive_before(reader.as_fd(), &mut buffer, Duration::from_secs(1)) {
                Ok(Some(received)) => received,
                Ok(None) => {
                    self.report_progress();
                    continue;
                }
                Err(error) => return self.lost(&error),
            };
            match received {
                Received::Data(bytes) => self.data(bytes)?,
                Received::Message(message, descriptor) => {
                    let is_end = *message == Message::End;
                    self.message(*message, descriptor)?;
                    if is_end {
                        return Ok(());
                    }
                }
            }
            self.drain()?;
        }
    }

    fn message(&mut self, message: Message, descriptor: Option<OwnedFd>) -> Result<(), IntakeError> {
        // A source that the reader announced becomes a record, also if the reader never says how it ended.
        if !matches!(message, Message::DataEnd { .. }) {
            self.abort_piece(Outcome::Interrupted)?;
        }
        match message {
            Message::StepBegin { collector, .. } => {
                // The reader should have ended the step before.
                self.end_open_step(StepEnd::Failed)?;
                self.rows = Rows::of(&collector);
                self.collector.clone_from(&collector);
                let (now, items) = (self.clock.wall(), self.writer.items());
                let result = StepEnd::Failed;
                self.steps.push(StepSummary { collector, begun: now, ended: now, items, result });
                self.is_in_step = true;
                Ok(())
            }
            Message::Item { seen, use_as: Use::Digest } => {
                self.program(&seen, descriptor);
                self.flush_rows()
            }
            Message::Item { seen, use_as: use_as @ (Use::Member | Use::Journal) } => match descriptor {
                Some(descriptor) => self.file(&seen, descriptor, use_as),
                None => self.plain(&seen),
            },
            Message::DataBegin { seen } => {
                if let Some(rows) = &mut self.rows {
                    rows.begin(&seen.path.0);
                }
                self.piece = Some(Pending { seen, held: Vec::new(), parts: 0, first: None });
                Ok(())
            }
            Message::DataEnd { outcome, error, note, after } => {
                let end = MemberEnd { outcome, after, ended: self.clock.wall(), error, note };
                self.data_end(end)
            }
            Message::StepEnd { end, limitations } => {
                for limitation in limitations {
                    self.note_limitation(limitation);
                }
                let result = if end == CollectorEnd::Done { StepEnd::Done } else { StepEnd::Failed };
                self.end_step(result)
            }
            // A step that the reader did not end did not do its work.
            Message::End => self.end_open_step(StepEnd::Failed),
        }
    }

    /// Notes what the container does not show. Two steps may say the same; report it once.
    fn note_limitation(&mut self, text: String) {
        if self.limitations.len() < LIMITATIONS_MAX && !self.limitations.contains(&text) {
            let is_last = self.limitations.len() + 1 == LIMITATIONS_MAX;
            self.limitations.push(if is_last { "further limitations are left out".to_owned() } else { text });
        }
    }

    fn end_open_step(&mut self, result: StepEnd) -> Result<(), IntakeError> {
        if self.is_in_step { self.end_step(result) } else { Ok(()) }
    }

    /// Ends the step: writes its last rows and its line in the plan.
    fn end_step(&mut self, result: StepEnd) -> Result<(), IntakeError> {
        if let Some(rows) = self.rows.take()
            && let Some(last) = rows.finish()
        {
            self.row_member(&last)?;
        }
        let (now, items) = (self.clock.wall(), self.writer.items());
        if let (Some(step), true) = (self.steps.last_mut(), std::mem::take(&mut self.is_in_step)) {
            step.ended = now;
            step.items = items - step.items;
            step.result = result;
        }
        Ok(())
    }

    /// A limit is reached: ends what is under way.
    fn cut(&mut self) -> Result<(), IntakeError> {
        self.abort_piece(Outcome::SkippedLimit)?;
        if let Some(limit) = self.limit {
            let mut record = ItemRecord::new("limits", Kind::Other, b"/".as_slice(), self.clock.wall());
            record.outcome = Outcome::SkippedLimit;
            record.note =
                Some(format!("{limit}: the collection ended here; what follows in the plan was not read"));
            self.writer.record_only(record)?;
        }
        self.end_open_step(StepEnd::Limit)
    }

    /// The reader ended before the plan did.
    fn lost(&mut self, error: &IpcError) -> Result<(), IntakeError> {
        self.abort_piece(Outcome::Interrupted)?;
        self.note_limitation(format!("the reading process was lost: {error}"));
        self.end_open_step(StepEnd::Failed)
    }

    fn abort_piece(&mut self, outcome: Outcome) -> Result<(), IntakeError> {
        if self.piece.is_none() {
            return Ok(());
        }
        let note = self.limit.map(str::to_owned);
        self.data_end(MemberEnd { outcome, after: None, ended: self.clock.wall(), error: None, note })
    }

    fn finish(mut self, plan: &[String]) -> Result<Summary, IntakeError> {
        self.drain()?;
        let now = self.clock.wall();
        for collector in plan.iter().skip(self.steps.len()) {
            let (collector, result) = (collector.clone(), StepEnd::NotRun);
            self.steps.push(StepSummary { collector, begun: now, ended: now, items: 0, result });
        }
        let clocks = Clocks { wall: now, boot: self.clock.boot() };
        let (segments, container) = self.writer.finish(clocks)?;
        for segment in segments {
            self.sink.segment(segment).map_err(IntakeError::Sink)?;
        }
        Ok(Summary {
            container,
            steps: self.steps,
            limitations: self.limitations,
            footprint: self.footprint,
            limit: self.limit,
        })
    }

    /// Sends what is sealed, reports progress, and keeps to its share of the processor.
    fn drain(&mut self) -> Result<(), IntakeError> {
        loop {
            let clocks = Clocks { wall: self.clock.wall(), boot: self.clock.boot() };
            match self.writer.poll_segment(clocks)? {
                Some(segment) => self.sink.segment(segment).map_err(IntakeError::Sink)?,
                None => break,
            }
        }
        self.report_progress();
        self.throttle.pause(self.clock);
        Ok(())
    }

    fn report_progress(&mut self) {
        let now = self.clock.elapsed();
        // CLOCK_MONOTONIC never goes back.
        if now - self.reported >= PROGRESS_EVERY {
            self.reported = now;
            self.sink.progress(self.writer.items(), self.writer.plain_len());
        }
    }

    /// Notes the first limit that `more` further plain bytes would reach. A part of each limit is reserved
    /// for the rows, the outcomes and the end, which are always written.
    fn check_limits(&mut self, more: u64) {
        let Limits { wall_s, stored_bytes, plain_bytes, items, .. } = self.limits;
        let below = |limit: u64, kept: u64| limit - kept.min(limit / 8);
        let elapsed = (self.clock.elapsed() - self.begun).as_secs();
        let reached = if elapsed >= wall_s {
            Some("wall_s")
        } else if self.writer.stored_len() >= below(stored_bytes, 16 << 20) {
            Some("stored_bytes")
        } else if self
            .writer
            .plain_len()
            .checked_add(more)
            .is_none_or(|sum| sum > below(plain_bytes, 16 << 20))
        {
            Some("plain_bytes")
        } else if self.writer.items() >= below(items, 64) {
            Some("items")
        } else {
            None
        };
        self.limit = self.limit.or(reached);
    }

    /// An item without content, or not collected.
    fn plain(&mut self, seen: &Seen) -> Result<(), IntakeError> {
        let mut record = record::of(&self.collector, seen);
        record.ended = self.clock.wall();
        let has_member =
            seen.outcome.is_ok() && matches!(seen.kind, Kind::Dir | Kind::Symlink) && seen.before.is_some();
        if has_member {
            if let Some(method) = seen.atime_method {
                self.footprint.count(seen.kind, method);
            }
            if let (Some(rows), Some(target)) = (&mut self.rows, &seen.target) {
                rows.link(&seen.path.0, &target.0);
            }
            record::add(&mut self.writer, record)?;
        } else {
            record::skip(&mut self.writer, record)?;
        }
        self.flush_rows()
    }
}
