//! The program inside the cage: it verifies a container as it arrives, lists the records of a seal, or reads one item.
//!
//! Guarantee: only [`evidence::container::Verifier`] makes the answer `Accepted`. Any other failure ends the process without a
//! verdict. The process holds no key and opens nothing: bytes come and go through the pipe. Not here: the cage (crate `cage`); the
//! other end of the pipe (`ingest::verifier`, `reads::item`).

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cage::{CageError, Profile};
use evidence::causes::chain;
use evidence::container::{
    ContainerSummary, Expect, ItemReader, Limits, Malformed, ReadError, SeekTable, Verifier,
};
use evidence::digest::Digest;
use evidence::frames::{FRAME_BYTES, FrameDecoder};
use evidence::item::{ItemRecord, Stage};
use evidence::keys::PublicKey;
use evidence::length::to_usize;
use evidence::seal::{Identity, Seal};
use serde::{Deserialize, Serialize};

use super::pipe::{self, Frame, Input, Kind, Output};

/// Most address space of the process: 1 GiB. A seal, its segment, the decoder and 18 bytes for each of 10^7 members fit.
const MEMORY_BYTES_MAX: u64 = 1 << 30;

/// Most CPU seconds of a read: content of 1 TiB at a tenth of an idle core's speed.
const READ_CPU_S_MAX: u64 = 6_000;

/// Bytes of record lines or content in one frame of the answer.
const BATCH_BYTES: usize = 1 << 20;

/// The container that the child must expect, as a message on the pipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    pub deployment: String,
    pub collection: Digest,
    /// Digest of the order document.
    pub order: Digest,
    pub attempt: u64,
    /// The sealer's public key.
    pub sealer: String,
    /// Limit on the stored bytes of the container.
    pub stored_bytes: u64,
    /// Limit on the plain bytes of the container.
    pub plain_bytes: u64,
    /// Limit on the logical size of one item.
    pub item_bytes: u64,
    /// Limit on the logical size of all items.
    pub logical_bytes: u64,
    pub items: u64,
    /// Limit on CPU seconds for the whole container.
    pub cpu_s: u64,
}

impl Begin {
    /// CPU seconds for a container: ten minutes, plus the time that its bytes take at a twentieth of an idle core's speed.
    #[must_use]
    pub const fn cpu_s(logical_bytes: u64) -> u64 {
        600 + (logical_bytes >> 25)
    }
}

/// The verdict on one good segment, as a message on the pipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    pub index: u64,
    /// Its seal's digest.
    pub seal: Digest,
    /// Plain bytes so far.
    pub plain_end: u64,
    /// Records so far.
    pub items_total: u64,
    /// True if the segment ends the container.
    pub is_final: bool,
}

/// The verdict on a good container, as a message on the pipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finished {
    pub segments: u64,
    /// Stored length.
    pub stored_len: u64,
    /// Plain length.
    pub plain_len: u64,
    /// Digest of the concatenated segments.
    pub container_sha256: Digest,
    pub items: u64,
    /// RFC 6962 root over the record lines.
    pub items_root: Digest,
    /// Digest of the last seal.
    pub seal_head: Digest,
    /// Items by outcome, sorted.
    pub outcomes: Vec<(String, u64)>,
    /// Sum of the sizes of members with content.
    pub content_bytes: u64,
}

/// The verdict on bad bytes, as a message on the pipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defect {
    /// True if the container only passed a limit of the order.
    pub over_limit: bool,
    /// The reason, for people.
    pub reason: String,
}

/// The item to read, as a message on the pipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// The item's record line, base64.
    pub record: String,
    /// The place of the container's frames.
    pub frames: Frames,
}

/// The place of a container's frames.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frames {
    /// The seek table of a finished container, base64.
    Table(String),
    /// An interrupted container has no table. Instead: stored and plain length of each segment, and the first and last segment
    /// with bytes of the item. The child asks for those two and all between, whole, and finds their frames.
    Segments {
        /// All segments in order.
        lengths: Vec<(u64, u64)>,
        /// First segment with bytes of the item.
        first: usize,
        /// Last segment with bytes of the item.
        last: usize,
    },
}

/// Why the process ended without a verdict.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChildError {
    /// The pipe failed, or the collector broke its protocol.
    #[error("speak with the collector")]
    Pipe(#[from] io::Error),
    /// The cage could not be closed.
    #[error("enter the cage")]
    Cage(#[from] CageError),
    /// The collector sent a message at the wrong time, or of another form.
    #[error("unexpected {0}")]
    Protocol(&'static str),
}

/// The life of the caged process: reads one task from `input`, works on it, and ends when `input` ends.
///
/// # Errors
/// [`ChildError`]. The exit code is then not zero, and the collector has no verdict.
pub fn run() -> Result<(), ChildError> {
    // Make the buffers before the cage closes, and read no hostile byte before.
    let (mut input, mut output) = pipe::of_child();
    let Some(frame) = pipe::read(&mut input)? else {
        return Ok(());
    };
    match frame.kind {
        Kind::Begin => {
            let begin: Begin = parse(&frame.payload)?;
            cage::enter(Profile::Verifier { memory_bytes_max: MEMORY_BYTES_MAX, cpu_s_max: begin.cpu_s })?;
            verify(begin, &mut input, &mut output)
        }
        Kind::Lines | Kind::Item => {
            cage::enter(Profile::Verifier { memory_bytes_max: MEMORY_BYTES_MAX, cpu_s_max: READ_CPU_S_MAX })?;
            read(frame, &mut input, &mut output)
        }
        _ => Err(ChildError::Protocol("first frame")),
    }
}

fn verify(begin: Begin, input: &mut Input, output: &mut Output) -> Result<(), ChildError> {
    let mut verifier = match Verifier::new(begin.expect()?) {
        Ok(verifier) => verifier,
        Err(defect) => return malformed(output, &defect),
    };
    loop {
        let Some(frame) = pipe::read(input)? else {
            return Ok(());
        };
        let seal = match frame.kind {
            Kind::Seal => frame.payload,
            Kind::Finish => return finish(verifier, output),
            _ => return Err(ChildError::Protocol("frame where a seal is due")),
        };
        // Read both before answering: the collector writes both before it listens.
        let segment = match pipe::read(input)? {
            Some(Frame { kind: Kind::Segment, payload }) => payload,
            _ => return Err(ChildError::Protocol("frame where a segment is due")),
        };
        let mut lines = Batches::new(output, Kind::Records);
        match verifier.segment(&seal, &segment, &mut |record| lines.record(record)) {
            Ok(report) => {
                lines.end()?;
                let accepted = Accepted {
                    index: report.header.index,
                    seal: report.seal_digest,
                    plain_end: report.header.plain_end,
                    items_total: report.header.items_total,
                    is_final: report.header.is_final,
                };
                answer(output, Kind::Accepted, &accepted)?;
            }
            Err(defect) => return malformed(output, &defect),
        }
    }
}

fn finish(verifier: Verifier, output: &mut Output) -> Result<(), ChildError> {
    match verifier.finish() {
        Ok(summary) => answer(output, Kind::Finished, &Finished::from(summary)),
        Err(defect) => malformed(output, &defect),
    }
}

fn read(first: Frame, input: &mut Input, output: &mut Output) -> Result<(), ChildError> {
    let mut next = Some(first);
    while let Some(frame) = next {
        match frame.kind {
            Kind::Lines => lines(&frame.payload, output)?,
            Kind::Item => item(&frame.payload, input, output)?,
            _ => return Err(ChildError::Protocol("frame of a read")),
        }
        next = pipe::read(input)?;
    }
    Ok(())
}

/// Sends every record line of a seal. Leaves out an open record, which belongs to a later seal.
fn lines(seal: &[u8], output: &mut Output) -> Result<(), ChildError> {
    let seal = match Seal::parse(seal) {
        Ok(seal) => seal,
        Err(error) => return defect(output, &error),
    };
    let mut lines = Batches::new(output, Kind::Records);
    let records = match seal.records() {
        Ok(records) => records,
        Err(error) => return defect(lines.output, &error),
    };
    for line in records.take(to_usize(seal.header.items)) {
        match line {
            Ok(line) => lines.line(&line),
            Err(error) => return defect(lines.output, &error),
        }
    }
    lines.end()?;
    Ok(pipe::write(output, Kind::Finished, &[])?)
}

fn item(payload: &[u8], input: &mut Input, output: &mut Output) -> Result<(), ChildError> {
    let wanted: Item = parse(payload)?;
    let record = STANDARD.decode(&wanted.record).or(Err(ChildError::Protocol("record")))?;
    let record = match ItemRecord::parse_line(&record, Stage::Final) {
        Ok(record) => record,
        Err(error) => return defect(output, &error),
    };
    let table = match wanted.frames {
        Frames::Table(bytes) => {
            let bytes = STANDARD.decode(&bytes).or(Err(ChildError::Protocol("seek table")))?;
            match SeekTable::parse(&bytes) {
                Ok(table) => table,
                Err(error) => return defect(output, &error),
            }
        }
        Frames::Segments { lengths, first, last } => match scan(&lengths, first, last, input, output)? {
            Ok(table) => table,
            Err(reason) => return refuse(output, false, reason),
        },
    };
    let mut reader = match ItemReader::new::<io::Error>(&record, &table) {
        Ok(reader) => reader,
        Err(error) => return defect(output, &error),
    };
    while let Some(range) = reader.next_range() {
        let stored = fetch(range.start, range.end, input, output)?;
        let fed = reader.feed(&stored, &mut |content: &[u8]| plain(output, content));
        match fed {
            Ok(()) => {}
            Err(ReadError::Sink(error) | ReadError::Fetch(error)) => return Err(error.into()),
            Err(error) => return defect(output, &error),
        }
    }
    match reader.finish(&mut |content: &[u8]| plain(output, content)) {
        Ok(()) => Ok(pipe::write(output, Kind::Finished, &[])?),
        Err(ReadError::Sink(error) | ReadError::Fetch(error)) => Err(error.into()),
        Err(error) => defect(output, &error),
    }
}

/// Builds a table that is true for segments `first..=last`. Each earlier segment is one frame, which keeps the offsets right.
fn scan(
    lengths: &[(u64, u64)],
    first: usize,
    last: usize,
    input: &mut Input,
    output: &mut Output,
) -> Result<Result<SeekTable, String>, ChildError> {
    const TOO_LONG: ChildError = ChildError::Protocol("segment length");
    let mut table = SeekTable::new();
    let mut decoder = FrameDecoder::new().or(Err(ChildError::Protocol("decoder")))?;
    let mut at = 0_u64;
    for (number, &(stored, plain)) in lengths.iter().enumerate().take_while(|(number, _)| *number <= last) {
        let end = at.checked_add(stored).ok_or(TOO_LONG)?;
        if number < first {
            let mut left = plain;
            let mut stored = u32::try_from(stored).or(Err(TOO_LONG))?;
            while left > 0 {
                let frame = left.min(FRAME_BYTES as u64);
                table.push(stored, u32::try_from(frame).or(Err(TOO_LONG))?);
                (left, stored) = (left - frame, 0);
            }
        } else {
            let bytes = fetch(at, end, input, output)?;
            let (mut rest, mut left, mut opened) = (bytes.as_slice(), plain, Vec::new());
            while left > 0 {
                let frame = left.min(FRAME_BYTES as u64);
                let size = usize::try_from(frame).or(Err(TOO_LONG))?;
                let used = match decoder.decode(rest, size, &mut opened) {
                    Ok(used) => used,
                    Err(error) => return Ok(Err(error.to_string())),
                };
                table.push(u32::try_from(used).or(Err(TOO_LONG))?, u32::try_from(frame).or(Err(TOO_LONG))?);
                rest = rest.get(used..).ok_or(ChildError::Protocol("end of a frame"))?;
                left -= frame;
            }
        }
        at = end;
    }
    Ok(Ok(table))
}

fn fetch(start: u64, end: u64, input: &mut Input, output: &mut Output) -> Result<Vec<u8>, ChildError> {
    answer(output, Kind::Want, &(start, end))?;
    match pipe::read(input)? {
        Some(Frame { kind: Kind::Range, payload }) => Ok(payload),
        _ => Err(ChildError::Protocol("frame where a range is due")),
    }
}

fn plain(output: &mut Output, content: &[u8]) -> io::Result<()> {
    content.chunks(BATCH_BYTES).try_for_each(|chunk| pipe::write(output, Kind::Plain, chunk))
}

/// Gathers lines into frames of about [`BATCH_BYTES`].
struct Batches<'o> {
    output: &'o mut Output,
    kind: Kind,
    batch: Vec<u8>,
    failed: Option<ChildError>,
}

impl<'o> Batches<'o> {
    fn new(output: &'o mut Output, kind: Kind) -> Self {
        Self { output, kind, batch: Vec::new(), failed: None }
    }

    fn record(&mut self, record: &ItemRecord) {
        match record.to_line() {
            Ok(line) => self.line(&line),
            Err(_) => self.failed = Some(ChildError::Protocol("record without a line")),
        }
    }

    fn line(&mut self, line: &[u8]) {
        self.batch.extend_from_slice(line);
        self.batch.push(b'\n');
        if self.batch.len() >= BATCH_BYTES && self.failed.is_none() {
            self.failed = pipe::write(self.output, self.kind, &self.batch).err().map(ChildError::Pipe);
            self.batch.clear();
        }
    }

    fn end(self) -> Result<(), ChildError> {
        match self.failed {
            Some(error) => Err(error),
            None if self.batch.is_empty() => Ok(()),
            None => Ok(pipe::write(self.output, self.kind, &self.batch)?),
        }
    }
}

impl Begin {
    fn expect(self) -> Result<Expect, ChildError> {
        let deployment = self.deployment.parse().or(Err(ChildError::Protocol("deployment")))?;
        let sealer: PublicKey = self.sealer.parse().or(Err(ChildError::Protocol("sealer")))?;
        Ok(Expect {
            identity: Identity {
                deployment,
                collection: self.collection,
                order: self.order,
                attempt: self.attempt,
            },
            sealer,
            limits: Limits {
                stored_bytes: self.stored_bytes,
                plain_bytes: self.plain_bytes,
                item_bytes: self.item_bytes,
                logical_bytes: self.logical_bytes,
                items: self.items,
            },
        })
    }
}

impl From<ContainerSummary> for Finished {
    fn from(summary: ContainerSummary) -> Self {
        Self {
            segments: summary.segments,
            stored_len: summary.stored_len,
            plain_len: summary.plain_len,
            container_sha256: summary.container_sha256,
            items: summary.items,
            items_root: summary.items_root,
            seal_head: summary.seal_head,
            outcomes: summary
                .counts_by_outcome
                .iter()
                .map(|(outcome, count)| (outcome.as_str().to_owned(), *count))
                .collect(),
            content_bytes: summary.content_bytes,
        }
    }
}

fn malformed(output: &mut Output, error: &Malformed) -> Result<(), ChildError> {
    refuse(output, matches!(error, Malformed::Limit { .. }), chain(error))
}

fn defect(output: &mut Output, error: &(dyn std::error::Error + 'static)) -> Result<(), ChildError> {
    refuse(output, false, chain(error))
}

fn refuse(output: &mut Output, over_limit: bool, reason: String) -> Result<(), ChildError> {
    answer(output, Kind::Malformed, &Defect { over_limit, reason })
}

fn answer(output: &mut Output, kind: Kind, value: &impl Serialize) -> Result<(), ChildError> {
    let text = serde_json::to_vec(value).map_err(io::Error::from)?;
    Ok(pipe::write(output, kind, &text)?)
}

fn parse<T: serde::de::DeserializeOwned>(payload: &[u8]) -> Result<T, ChildError> {
    Ok(serde_json::from_slice(payload).map_err(io::Error::from)?)
}
