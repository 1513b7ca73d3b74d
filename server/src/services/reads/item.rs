//! Reads the content of one item: fetches the frames that hold it, opens them in a cage, checks the digest at the end.
//!
//! Guarantee: it reads only segments that hold the item and checks each against its digest. If a copy is damaged, it reads another
//! and queues the damaged one for repair. It calls the content checked only after it checked the digest of the whole item. For a hard
//! link it reads the item that holds the content, and records both reads.

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use evidence::container::SeekTable;
use evidence::id::PersonId;
use evidence::item::{ItemRecord, Stage};
use evidence::length::{len, to_u64, to_usize};
use proto::status::Class;
use proto::v1::read_response::Message;
use proto::v1::{ReadBegin, ReadEnd, ReadResponse};
use store::{Key, ReplicaError, Replicas, StoreError};
use tokio::sync::mpsc;
use tonic::Status;

use super::access;
use super::lines::{self, SealReader};
use crate::blocking::blocking;
use crate::collector::Collector;
use crate::failure::{Failure, OrFailure as _};
use crate::metrics;
use crate::rows;
use crate::rows::collections::{CollectionRow, SegmentRow};
use crate::services::ingest::child::{Defect, Frames, Item};
use crate::services::ingest::pipe::Kind;
use crate::services::ingest::verifier::{Caged, VerifierError, parse};
use crate::services::reads::Reads;

/// Most answers that wait for the reader.
pub const ANSWERS_LEN: usize = 8;

/// Largest range that the cage may ask for: a frame, or a segment of an interrupted collection.
const RANGE_BYTES_MAX: u64 = proto::limits::SEGMENT_BYTES_MAX + (32 << 20);

/// The channel for the answers of a read.
pub type Answers = mpsc::Sender<Result<ReadResponse, Status>>;

/// The item to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// By its raw path: the first item with content.
    Path(Vec<u8>),
    /// By its ordinal.
    Ordinal(u64),
}

/// Reads an item for `person`.
///
/// # Errors
/// A refusal before the entry is recorded, or a failure during the read. In the second case the reader holds unverified bytes.
pub async fn read(
    reads: &Reads,
    person: &PersonId,
    collection: &str,
    wanted: Wanted,
    purpose: &str,
    answers: &Answers,
) -> Result<(), Failure> {
    let collector = &*reads.collector;
    let row = access::readable(collector, collection).await?;
    let segments = collector.segments_of(row.number).await?;
    let asked = find(reads, &row, &segments, wanted).await?;
    let linked = match &asked.record.link {
        Some(link) => Some(find(reads, &row, &segments, Wanted::Ordinal(link.n)).await?),
        None => None,
    };
    // The item that holds the content: the item itself, or the one that a hard link names.
    let Found { record, line } = linked.as_ref().unwrap_or(&asked);
    check_readable(&asked.record, record)?;
    let shelf = Shelf::default();
    let frames = frames(collector, &row, &segments, record, &shelf).await?;
    let _place = reads.readers.acquire().await.or_unavailable("read evidence")?;
    // Start the process before the entry: if it cannot start, nothing is read.
    let mut caged = Caged::start(&reads.program).or_unavailable("read evidence")?;
    if linked.is_some() {
        access::record(collector, &row, person, &format!("item/{}", record.n), purpose).await?;
    }
    let object = format!("item/{}", asked.record.n);
    let accessed = access::record(collector, &row, person, &object, purpose).await?;
    let begin = ReadBegin {
        record: asked.line.clone().into(),
        size: record.size.unwrap_or(0),
        accessed: Some(accessed.into()),
    };
    send(answers, Message::Begin(begin)).await?;

    let mut content = Content::begin(collector, &row, &segments, line, frames, shelf, &mut caged).await?;
    while let Some(bytes) = content.next().await? {
        send(answers, Message::Data(bytes)).await?;
    }
    let digest = record.sha256.or(record.sha256_read);
    let end = ReadEnd {
        digest_checked: digest.is_some(),
        // Empty if nobody computed a digest. `digest_checked` says so.
        sha256: digest.map(|digest| digest.to_string()).unwrap_or_default(),
    };
    send(answers, Message::End(end)).await
}

/// An item's content as it leaves the cage, one piece after another. After the last piece, its digest was checked.
#[derive(Debug)]
pub struct Content<'c> {
    collector: &'c Collector,
    row: &'c CollectionRow,
    segments: &'c [SegmentRow],
    shelf: Shelf,
    caged: &'c mut Caged,
}

impl<'c> Content<'c> {
    /// Begins to read an item of a finished container, given its record and the record's line.
    ///
    /// # Errors
    /// If the seek table cannot be read or the cage does not answer.
    pub async fn of(
        collector: &'c Collector,
        row: &'c CollectionRow,
        segments: &'c [SegmentRow],
        record: &ItemRecord,
        line: &[u8],
        caged: &'c mut Caged,
    ) -> Result<Self, Failure> {
        let shelf = Shelf::default();
        let frames = frames(collector, row, segments, record, &shelf).await?;
        Self::begin(collector, row, segments, line, frames, shelf, caged).await
    }

    async fn begin(
        collector: &'c Collector,
        row: &'c CollectionRow,
        segments: &'c [SegmentRow],
        line: &[u8],
        frames: Frames,
        shelf: Shelf,
        caged: &'c mut Caged,
    ) -> Result<Self, Failure> {
        let task = Item { record: STANDARD.encode(line), frames };
        caged.send_json(Kind::Item, &task).await.map_err(died)?;
        Ok(Self { collector, row, segments, shelf, caged })
    }

    /// The next piece; `None` after the last, if the digest of the whole item is right.
    ///
    /// # Errors
    /// If the stored bytes are not the item, or a store or the cage does not answer. The earlier pieces are then not evidence.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let frame = self.caged.receive().await.map_err(died)?;
            match frame.kind {
                Kind::Want => {
                    let (start, end): (u64, u64) = parse(&frame.payload).map_err(died)?;
                    let bytes =
                        range(self.collector, self.row, self.segments, start, end, &self.shelf).await?;
                    self.caged.send(Kind::Range, &bytes).await.map_err(died)?;
                }
                Kind::Plain => {
                    metrics::read_bytes(len(&frame.payload));
                    return Ok(Some(frame.payload.into()));
                }
                Kind::Finished => return Ok(None),
                Kind::Malformed => {
                    let defect: Defect = parse(&frame.payload).map_err(died)?;
                    return Err(altered(self.row, &defect.reason));
                }
                other => {
                    return Err(Failure::internal("read evidence", format!("the cage answered {other:?}")));
                }
            }
        }
    }
}

fn died(error: VerifierError) -> Failure {
    Failure::unavailable("read evidence", error)
}

fn altered(row: &CollectionRow, reason: &str) -> Failure {
    tracing::error!(collection = %row.id, reason, "Stored evidence does not open any more: run fsck");
    metrics::fixity_failed();
    Failure::new(
        Class::Contradiction,
        "no copy of what is stored is the item its record names; do not use what was sent. The operator runs \
         `exhibit-server fsck --evidence` and restores the segments it names",
    )
}

/// A store that does not answer may answer later. If every copy is wrong, it stays wrong.
fn unreadable(row: &CollectionRow, error: ReplicaError) -> Failure {
    let is_lost =
        |failure: &StoreError| matches!(failure, StoreError::Conflict { .. } | StoreError::NotFound { .. });
    match &error {
        ReplicaError::Unreadable { failures, .. } if failures.iter().all(is_lost) => {
            altered(row, &crate::failure::chain(&error))
        }
        _ => Failure::unavailable("read evidence", error),
    }
}

/// An item's record, and the line of the seal that it was read from.
struct Found {
    record: ItemRecord,
    line: Vec<u8>,
}

/// Refuses an item without content, and a hard link whose record would not say what its content lacks.
fn check_readable(asked: &ItemRecord, holder: &ItemRecord) -> Result<(), Failure> {
    let n = asked.n;
    let why = if let Some(target) = &asked.target {
        format!("item {n} is a symlink to {0}: read what it names, {0}", target.shown())
    } else if !holder.has_content() {
        format!("item {n} has no content (outcome {}): its record says all there is", asked.outcome.as_str())
    } else if asked.link.is_some() && (!holder.outcome.is_ok() || !holder.gaps.is_empty()) {
        format!(
            "item {n} is a hard link to item {0}, whose outcome is {1}: read '#{0}'",
            holder.n,
            holder.outcome.as_str()
        )
    } else {
        return Ok(());
    };
    Err(Failure::precondition(why))
}

/// Reads the item's record from the seal that holds it.
async fn find(
    reads: &Reads,
    row: &CollectionRow,
    segments: &[SegmentRow],
    wanted: Wanted,
) -> Result<Found, Failure> {
    let collector = &*reads.collector;
    let number = row.number;
    let found = collector
        .db
        .read_async(move |db| match wanted {
            Wanted::Ordinal(n) => rows::collections::item(db, number, n),
            Wanted::Path(path) => {
                let items = rows::collections::items_of_path(db, number, &path, 1000)?;
                let with_content = items.iter().position(|item| item.data.is_some() && item.size.is_some());
                Ok(items.into_iter().nth(with_content.unwrap_or(0)))
            }
        })
        .await?;
    let Some(item) = found else {
        return Err(Failure::missing("the collection has no such item"));
    };
    let segment = lines::segment(segments, item.segment)?;
    let mut lines = SealReader::start(&reads.program)?.lines(collector, row, segment).await?.into_iter();
    let place = item.n.checked_sub(lines::first_ordinal(segment)?);
    let line = place.and_then(|place| lines.nth(to_usize(place)));
    let line = line.ok_or_else(|| Failure::internal("read an item record", "its seal does not hold it"))?;
    let record = ItemRecord::parse_line(&line, Stage::Final).or_internal("read an item record")?;
    // The index only finds the item. The sealed record decides.
    if record.n != item.n {
        return Err(Failure::internal(
            "read an item record",
            format!("the index says {}, the seal {}", item.n, record.n),
        ));
    }
    Ok(Found { record, line })
}

/// Where the frames are: the seek table of a finished container, otherwise the lengths of its segments.
async fn frames(
    collector: &Collector,
    row: &CollectionRow,
    segments: &[SegmentRow],
    record: &ItemRecord,
    shelf: &Shelf,
) -> Result<Frames, Failure> {
    if let Some(last) = segments.last().filter(|last| last.is_final) {
        return Ok(Frames::Table(STANDARD.encode(seek_table(collector, row, last, shelf).await?)));
    }
    let start = record.data.unwrap_or(0);
    let end = start.checked_add(record.stored.unwrap_or(0));
    let end = end.ok_or_else(|| altered(row, "a record says that its item ends beyond all bytes"))?;
    let holds = |segment: &SegmentRow| segment.plain_end > start && segment.plain_start < end.max(start + 1);
    let outside = || Failure::precondition("the item goes on behind the last segment that arrived");
    let first = segments.iter().position(holds).ok_or_else(outside)?;
    let last = segments.iter().rposition(holds).ok_or_else(outside)?;
    let lengths = segments
        .iter()
        .map(|segment| Some((segment.stored_len, segment.plain_end.checked_sub(segment.plain_start)?)))
        .collect::<Option<_>>();
    let lengths = lengths
        .ok_or_else(|| Failure::internal("read evidence", "the row of a segment ends before it starts"))?;
    Ok(Frames::Segments { lengths, first, last })
}

async fn seek_table(
    collector: &Collector,
    row: &CollectionRow,
    last: &SegmentRow,
    shelf: &Shelf,
) -> Result<Vec<u8>, Failure> {
    let (replicas, shelf, of, key, length) = (
        collector.replicas.clone(),
        shelf.clone(),
        row.clone(),
        Key::segment(row.id.as_bytes(), last.index, last.sha256.as_bytes()),
        last.stored_len,
    );
    let read = move || {
        let broken = |what: String| Failure::internal("read the seek table", what);
        let tail = |bytes: u64| {
            let start =
                length.checked_sub(bytes).ok_or_else(|| broken("longer than its segment".to_owned()))?;
            shelf.range(&replicas, &key, start, bytes).map_err(|error| range_failed(&of, error))
        };
        let footer = tail(to_u64(SeekTable::FOOTER_BYTES))?;
        let table_len = SeekTable::table_len(&footer).map_err(|error| broken(error.to_string()))?;
        tail(to_u64(table_len))
    };
    blocking(read).await?
}

/// The last segment that was read, whole and with its digest checked. The child asks for frames one after another.
#[derive(Debug, Clone, Default)]
struct Shelf(Arc<Mutex<Option<Taken>>>);

#[derive(Debug)]
struct Taken {
    key: Key,
    bytes: Vec<u8>,
}

impl Shelf {
    /// Reads `length` bytes from `offset` of a segment, from the first store whose copy is whole and right.
    fn range(&self, replicas: &Replicas, key: &Key, offset: u64, length: u64) -> Result<Vec<u8>, RangeError> {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = shelf.take().filter(|taken| taken.key == *key);
        let taken = match known {
            Some(taken) => taken,
            None => Taken { key: key.clone(), bytes: replicas.read(key)? },
        };
        let bytes = &shelf.insert(taken).bytes;
        let end = offset.checked_add(length).ok_or(RangeError::Short)?;
        bytes.get(to_usize(offset)..to_usize(end)).map(<[u8]>::to_vec).ok_or(RangeError::Short)
    }
}

/// Why a range of a segment cannot be read.
#[derive(Debug)]
enum RangeError {
    /// No store has the segment whole.
    Stores(ReplicaError),
    /// The segment has the digest in its row, but ends before the range does.
    Short,
}

impl From<ReplicaError> for RangeError {
    fn from(error: ReplicaError) -> Self {
        Self::Stores(error)
    }
}

fn range_failed(row: &CollectionRow, error: RangeError) -> Failure {
    match error {
        RangeError::Stores(error) => unreadable(row, error),
        RangeError::Short => altered(row, "a stored segment is shorter than its seal says"),
    }
}

/// Reads stored bytes of the container from the segments that hold them.
async fn range(
    collector: &Collector,
    row: &CollectionRow,
    segments: &[SegmentRow],
    start: u64,
    end: u64,
    shelf: &Shelf,
) -> Result<Vec<u8>, Failure> {
    if end <= start || end - start > RANGE_BYTES_MAX {
        return Err(Failure::internal("read evidence", format!("the cage asked for {start}..{end}")));
    }
    let mut pieces = Vec::new();
    let mut at = 0_u64;
    for segment in segments {
        let behind = at.checked_add(segment.stored_len);
        let behind =
            behind.ok_or_else(|| Failure::internal("read evidence", "the rows of segments are too long"))?;
        let (from, until) = (start.max(at), end.min(behind));
        if from < until {
            pieces.push((
                Key::segment(row.id.as_bytes(), segment.index, segment.sha256.as_bytes()),
                from - at,
                until - from,
            ));
        }
        at = behind;
    }
    let (replicas, shelf) = (collector.replicas.clone(), shelf.clone());
    let bytes = blocking(move || {
        let mut bytes = Vec::new();
        for (key, offset, length) in pieces {
            bytes.extend(shelf.range(&replicas, &key, offset, length)?);
        }
        Ok::<_, RangeError>(bytes)
    })
    .await?
    .map_err(|error| range_failed(row, error))?;
    if len(&bytes) != end - start {
        return Err(altered(row, "a stored segment is shorter than its seal says"));
    }
    Ok(bytes)
}

/// Sends one message. If the reader left, the read ends.
pub async fn send(answers: &Answers, message: Message) -> Result<(), Failure> {
    answers
        .send(Ok(ReadResponse { message: Some(message) }))
        .await
        .map_err(|_closed| Failure::new(Class::Unavailable, "the reader is gone"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_behind_the_end_of_a_segment_is_an_error_and_never_fewer_bytes() {
        struct Nobody;
        impl store::WantingSink for Nobody {
            fn wanting(&self, _: &str, _: &Key, _: store::Wanting) {}
        }
        let replicas = Replicas::new(Vec::new(), store::ReplicationPolicy::default(), Arc::new(Nobody));
        let key = Key::segment(&[1; 32], 0, &[2; 32]);
        let shelf = Shelf::default();
        let keep = || *shelf.0.lock().unwrap() = Some(Taken { key: key.clone(), bytes: vec![1, 2, 3] });
        keep();
        assert_eq!(shelf.range(&replicas, &key, 1, 2).unwrap(), [2, 3]);
        for (offset, length) in [(1, 3), (4, 0), (u64::MAX, 1), (1, u64::MAX)] {
            keep();
            let short = shelf.range(&replicas, &key, offset, length);
            assert!(matches!(short, Err(RangeError::Short)), "{offset} {length}");
        }
    }
}
