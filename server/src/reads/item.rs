//! One item's content: the frames that hold it are fetched, opened in a cage, and its digest is checked at the end.
//!
//! Guarantee: only the ranges that the cage asks for, and only of this collection, are read; what was sent is called
//! checked only after the whole item's digest was. Not here: hard links, whose content is the item they name.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evidence::container::SeekTable;
use evidence::digest::Digest;
use evidence::id::PersonId;
use evidence::item::{ItemRecord, Stage};
use proto::status::Class;
use proto::v1::read_response::Message;
use proto::v1::{ReadBegin, ReadEnd, ReadResponse};
use tokio::sync::mpsc;
use tonic::Status;

use super::access;
use super::lines::{self, SealReader};
use crate::collector::{Collector, blocking};
use crate::db;
use crate::db::collections::{CollectionRow, ItemRow, SegmentRow};
use crate::grpc::failure::Failure;
use crate::ingest::child::{Defect, Frames, Item};
use crate::ingest::pipe::Kind;
use crate::ingest::verifier::{Caged, parse};
use crate::metrics;
use crate::store::Key;

/// Answers that wait for the reader.
pub const ANSWERS_LEN: usize = 8;

/// Largest range the cage may ask for: a frame, or a segment of an interrupted collection.
const RANGE_BYTES_MAX: u64 = proto::limits::SEGMENT_BYTES_MAX + (32 << 20);

/// Where a stream of a read goes.
pub type Answers = mpsc::Sender<Result<ReadResponse, Status>>;

/// Which item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// By its raw path; the first one with content.
    Path(Vec<u8>),
    /// By its ordinal.
    Ordinal(u64),
}

/// Reads an item for `person`.
///
/// # Errors
/// A refusal before the entry, or a failure in the midst: the reader then holds bytes that are not verified.
pub async fn read(
    collector: &Collector,
    person: &PersonId,
    collection: &str,
    wanted: Wanted,
    purpose: &str,
    answers: &Answers,
) -> Result<(), Failure> {
    let row = access::resolve(collector, collection).await?;
    let segments = collector.segments_of(row.number).await?;
    let (item, line) = find(collector, &row, &segments, wanted).await?;
    let record = ItemRecord::parse_line(&line, Stage::Final)
        .map_err(|error| Failure::internal("read an item record", error))?;
    // The index only finds; what was sealed decides.
    if record.n != item.n {
        return Err(Failure::internal(
            "read an item record",
            format!("the index says {}, the seal {}", item.n, record.n),
        ));
    }
    if !record.has_content() {
        let hint = record
            .link
            .as_ref()
            .map(|link| format!("; it is a hard link to item {}", link.n));
        return Err(Failure::precondition(format!(
            "item {} has no content of its own (outcome {}){}",
            item.n,
            record.outcome.as_str(),
            hint.unwrap_or_default()
        )));
    }
    let frames = frames(collector, &row, &segments, &record).await?;
    let _place = collector
        .readers
        .acquire()
        .await
        .map_err(|error| Failure::unavailable("read evidence", error))?;
    // Before the entry: a process that cannot start is no read.
    let mut caged =
        Caged::start(&collector.program).map_err(|error| Failure::unavailable("read evidence", error))?;
    let accessed = access::record(collector, &row, person, &format!("item/{}", item.n), purpose).await?;
    let begin = ReadBegin {
        record: line.clone().into(),
        size: record.size.unwrap_or(0),
        accessed: Some(accessed.into()),
    };
    send(answers, Message::Begin(begin)).await?;

    let task = Item {
        record: STANDARD.encode(&line),
        frames,
    };
    let died = |error| Failure::unavailable("read evidence", error);
    caged.send_json(Kind::Item, &task).await.map_err(died)?;
    loop {
        let frame = caged.receive().await.map_err(died)?;
        match frame.kind {
            Kind::Want => {
                let (start, end): (u64, u64) = parse(&frame.payload).map_err(died)?;
                let bytes = range(collector, &row, &segments, start, end).await?;
                caged.send(Kind::Range, &bytes).await.map_err(died)?;
            }
            Kind::Plain => {
                metrics::read_bytes(u64::try_from(frame.payload.len()).unwrap_or(u64::MAX));
                send(answers, Message::Data(frame.payload.into())).await?;
            }
            Kind::Finished => {
                let digest = record.sha256.or(record.sha256_read);
                let end = ReadEnd {
                    digest_checked: digest.is_some(),
                    sha256: digest.map(|digest| digest.to_string()).unwrap_or_default(),
                };
                return send(answers, Message::End(end)).await;
            }
            Kind::Malformed => {
                let defect: Defect = parse(&frame.payload).map_err(died)?;
                return Err(altered(&row, &defect.reason));
            }
            other => {
                return Err(Failure::internal(
                    "read evidence",
                    format!("the cage answered {other:?}"),
                ));
            }
        }
    }
}

fn altered(row: &CollectionRow, reason: &str) -> Failure {
    tracing::error!(collection = %Digest(row.id), reason, "Stored evidence does not open any more: run fsck");
    metrics::fixity_failed();
    Failure::new(
        Class::Contradiction,
        "what is stored is not the item its record names; do not use what was sent",
    )
}

/// The item's row and its record line, out of the seal that holds it.
async fn find(
    collector: &Collector,
    row: &CollectionRow,
    segments: &[SegmentRow],
    wanted: Wanted,
) -> Result<(ItemRow, Vec<u8>), Failure> {
    let number = row.number;
    let found = collector
        .db
        .read_async(move |db| match wanted {
            Wanted::Ordinal(n) => db::collections::item(db, number, n),
            Wanted::Path(path) => {
                let items = db::collections::items_of_path(db, number, &path, 1000)?;
                let with_content = items
                    .iter()
                    .position(|item| item.data.is_some() && item.size.is_some());
                Ok(items.into_iter().nth(with_content.unwrap_or(0)))
            }
        })
        .await
        .map_err(|error: db::DbError| Failure::unavailable("reach its database", error))?;
    let Some(item) = found else {
        return Err(Failure::missing("the collection has no such item"));
    };
    let segment = lines::segment(segments, item.segment)?;
    let mut lines = SealReader::start(collector)?
        .lines(collector, row, segment)
        .await?
        .into_iter();
    let place = usize::try_from(item.n.saturating_sub(lines::first_ordinal(segment))).unwrap_or(usize::MAX);
    let line = lines.nth(place);
    let line = line.ok_or_else(|| Failure::internal("read an item record", "its seal does not hold it"))?;
    Ok((item, line))
}

/// Where the frames are: the seek table of a finished container, else the lengths of its segments.
async fn frames(
    collector: &Collector,
    row: &CollectionRow,
    segments: &[SegmentRow],
    record: &ItemRecord,
) -> Result<Frames, Failure> {
    if let Some(last) = segments.last().filter(|last| last.is_final) {
        return Ok(Frames::Table(
            STANDARD.encode(seek_table(collector, row, last).await?),
        ));
    }
    let start = record.data.unwrap_or(0);
    let end = start.saturating_add(record.stored.unwrap_or(0));
    let holds = |segment: &SegmentRow| segment.plain_end > start && segment.plain_start < end.max(start + 1);
    let outside = || Failure::precondition("the item goes on behind the last segment that arrived");
    let first = segments.iter().position(holds).ok_or_else(outside)?;
    let last = segments.iter().rposition(holds).ok_or_else(outside)?;
    let lengths = segments
        .iter()
        .map(|row| (row.stored_len, row.plain_end.saturating_sub(row.plain_start)));
    Ok(Frames::Segments {
        lengths: lengths.collect(),
        first,
        last,
    })
}

async fn seek_table(
    collector: &Collector,
    row: &CollectionRow,
    last: &SegmentRow,
) -> Result<Vec<u8>, Failure> {
    let (replicas, key, length) = (
        collector.replicas.clone(),
        Key::segment(&row.id, last.index, &last.sha256),
        last.stored_len,
    );
    let read = move || {
        let footer_bytes = u64::try_from(SeekTable::FOOTER_BYTES).unwrap_or(u64::MAX);
        let broken = |what: String| Failure::internal("read the seek table", what);
        let tail = |bytes: u64| {
            let start = length
                .checked_sub(bytes)
                .ok_or_else(|| broken("longer than its segment".to_owned()))?;
            replicas
                .read_range(&key, start, bytes)
                .map_err(|error| Failure::unavailable("read evidence", error))
        };
        let footer = tail(footer_bytes)?;
        let table_len = SeekTable::table_len(&footer).map_err(|error| broken(error.to_string()))?;
        tail(u64::try_from(table_len).unwrap_or(u64::MAX))
    };
    blocking(read).await?
}

/// Stored bytes of the container, out of the segments they lie in.
async fn range(
    collector: &Collector,
    row: &CollectionRow,
    segments: &[SegmentRow],
    start: u64,
    end: u64,
) -> Result<Vec<u8>, Failure> {
    if end <= start || end - start > RANGE_BYTES_MAX {
        return Err(Failure::internal(
            "read evidence",
            format!("the cage asked for {start}..{end}"),
        ));
    }
    let mut pieces = Vec::new();
    let mut at = 0_u64;
    for segment in segments {
        let behind = at.saturating_add(segment.stored_len);
        let (from, until) = (start.max(at), end.min(behind));
        if from < until {
            pieces.push((
                Key::segment(&row.id, segment.index, &segment.sha256),
                from - at,
                until - from,
            ));
        }
        at = behind;
    }
    let replicas = collector.replicas.clone();
    let bytes = blocking(move || {
        let mut bytes = Vec::new();
        for (key, offset, length) in pieces {
            bytes.extend(replicas.read_range(&key, offset, length)?);
        }
        Ok::<_, crate::store::ReplicaError>(bytes)
    })
    .await?
    .map_err(|error| Failure::unavailable("read evidence", error))?;
    if u64::try_from(bytes.len()).ok() != Some(end - start) {
        return Err(altered(row, "a stored segment is shorter than its seal says"));
    }
    Ok(bytes)
}

/// Sends one message; a reader that is gone ends the read.
///
/// # Errors
/// When the reader is gone.
pub async fn send(answers: &Answers, message: Message) -> Result<(), Failure> {
    answers
        .send(Ok(ReadResponse {
            message: Some(message),
        }))
        .await
        .map_err(|_closed| Failure::new(Class::Unavailable, "the reader is gone"))
}
