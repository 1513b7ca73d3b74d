//! Lists the item records of a collection. The index finds them; the reader gets the sealed lines.

use std::collections::BTreeSet;

use evidence::id::PersonId;
use proto::v1;
use tokio::sync::mpsc;
use tonic::Status;

use super::access;
use super::lines::{self, SealReader};
use crate::collector::Collector;
use crate::failure::{Failure, OrFailure as _};
use crate::rows;
use crate::rows::collections::{CollectionRow, SegmentRow};
use crate::services::reads::Reads;

/// Most answers that wait for the reader.
pub const ANSWERS_LEN: usize = 8;

/// Index rows fetched in one page.
const PAGE_ROWS: u32 = 4096;

/// Bytes of records in one answer: well below the wire's 16 MiB.
const BATCH_BYTES: usize = 1 << 20;

/// The channel for a list.
pub type Answers = mpsc::Sender<Result<v1::ItemBatch, Status>>;

/// Lists records by the prefix of their path.
///
/// # Errors
/// If database, stores or the cage do not answer.
pub async fn list(
    reads: &Reads,
    person: &PersonId,
    request: v1::ListItemsRequest,
    answers: &Answers,
) -> Result<(), Failure> {
    let collector = &*reads.collector;
    let row = access::readable(collector, &request.collection).await?;
    let (number, not_ok_only) = (row.number, request.not_ok_only);
    let prefix = request.prefix.to_vec();
    let _place = reads.readers.acquire().await.or_unavailable("read evidence")?;
    let mut lister = Lister::new(reads, &row, answers).await?;
    access::record(collector, &row, person, "items", &request.purpose).await?;
    let mut from = 0;
    loop {
        let prefix = prefix.clone();
        let page = collector
            .db
            .read_async(move |db| {
                rows::collections::items_page(db, number, &prefix, not_ok_only, from, PAGE_ROWS)
            })
            .await?;
        let Some(last) = page.last() else { break };
        let next = last.n.checked_add(1);
        for item in &page {
            lister.item(item.segment, item.n).await?;
        }
        match next {
            Some(next) => from = next,
            None => break,
        }
    }
    lister.end().await
}

/// Gathers the wanted ordinals of one seal, opens the seal once, and sends its lines.
struct Lister<'l> {
    collector: &'l Collector,
    row: &'l CollectionRow,
    answers: &'l Answers,
    segments: Vec<SegmentRow>,
    seals: SealReader,
    segment: Option<u64>,
    wanted: BTreeSet<u64>,
    batch: Vec<bytes::Bytes>,
    batch_bytes: usize,
}

impl<'l> Lister<'l> {
    async fn new(reads: &'l Reads, row: &'l CollectionRow, answers: &'l Answers) -> Result<Self, Failure> {
        let collector = &*reads.collector;
        Ok(Self {
            collector,
            row,
            answers,
            segments: collector.segments_of(row.number).await?,
            seals: SealReader::start(&reads.program)?,
            segment: None,
            wanted: BTreeSet::new(),
            batch: Vec::new(),
            batch_bytes: 0,
        })
    }

    async fn item(&mut self, segment: u64, n: u64) -> Result<(), Failure> {
        if self.segment != Some(segment) {
            self.flush_segment().await?;
            self.segment = Some(segment);
        }
        self.wanted.insert(n);
        Ok(())
    }

    async fn flush_segment(&mut self) -> Result<(), Failure> {
        let wanted = std::mem::take(&mut self.wanted);
        let Some(segment) = self.segment.filter(|_| !wanted.is_empty()) else {
            return Ok(());
        };
        let segment = lines::segment(&self.segments, segment)?;
        let lines = self.seals.lines(self.collector, self.row, segment).await?;
        for (n, line) in (lines::first_ordinal(segment)?..).zip(lines) {
            if wanted.contains(&n) {
                self.batch_bytes += line.len();
                self.batch.push(line.into());
                if self.batch_bytes >= BATCH_BYTES {
                    self.flush_batch().await?;
                }
            }
        }
        Ok(())
    }

    async fn flush_batch(&mut self) -> Result<(), Failure> {
        self.batch_bytes = 0;
        let records = std::mem::take(&mut self.batch);
        if records.is_empty() {
            return Ok(());
        }
        self.answers
            .send(Ok(v1::ItemBatch { records }))
            .await
            .map_err(|_closed| Failure::new(proto::status::Class::Unavailable, "the reader is gone"))
    }

    async fn end(mut self) -> Result<(), Failure> {
        self.flush_segment().await?;
        self.flush_batch().await
    }
}
