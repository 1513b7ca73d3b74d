//! Reads record lines from seals in a cage. One process serves as many seals as its owner asks for.

use store::Key;

use crate::blocking::blocking;
use crate::collector::Collector;
use crate::failure::{Failure, OrFailure as _};
use crate::rows::collections::{CollectionRow, SegmentRow};
use crate::services::ingest::child::Defect;
use crate::services::ingest::pipe::Kind;
use crate::services::ingest::verifier::{Caged, Program, VerifierError, parse};

/// A caged process that opens seals.
#[derive(Debug)]
pub struct SealReader(Caged);

impl SealReader {
    /// Starts the process.
    pub fn start(program: &Program) -> Result<Self, Failure> {
        Ok(Self(Caged::start(program).map_err(died)?))
    }

    /// The process itself, for items of the same collection.
    pub fn cage(&mut self) -> &mut Caged {
        &mut self.0
    }

    /// Reads the record lines of one segment's seal. The store checks the seal's digest.
    ///
    /// # Errors
    /// If the seal cannot be read or the cage cannot open it.
    pub async fn lines(
        &mut self,
        collector: &Collector,
        row: &CollectionRow,
        segment: &SegmentRow,
    ) -> Result<Vec<Vec<u8>>, Failure> {
        let (replicas, key) = (
            collector.replicas.clone(),
            Key::seal(row.id.as_bytes(), segment.index, segment.seal_sha256.as_bytes()),
        );
        let seal = blocking(move || replicas.read(&key)).await?.or_unavailable("read a seal")?;
        self.0.send(Kind::Lines, &seal).await.map_err(died)?;
        let mut lines = Vec::new();
        loop {
            let frame = self.0.receive().await.map_err(died)?;
            match frame.kind {
                Kind::Records => {
                    let split = frame.payload.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                    lines.extend(split.map(<[u8]>::to_vec));
                }
                Kind::Finished => return Ok(lines),
                Kind::Malformed => {
                    let defect: Defect = parse(&frame.payload).map_err(died)?;
                    return Err(Failure::internal("open a seal", defect.reason));
                }
                other => {
                    return Err(Failure::internal("open a seal", format!("the cage answered {other:?}")));
                }
            }
        }
    }
}

/// Ordinal of the first record in a segment's seal.
///
/// # Errors
/// If the segment's row counts more records in its seal than in all seals up to it.
pub fn first_ordinal(segment: &SegmentRow) -> Result<u64, Failure> {
    let first = segment.items_total.checked_sub(segment.items);
    first.ok_or_else(|| {
        let index = segment.index;
        Failure::internal(
            "find an item record",
            format!("the counts of segment {index} contradict each other"),
        )
    })
}

/// The segment with an index.
///
/// # Errors
/// If the collection has no such segment: the index row that names it is wrong.
pub fn segment(segments: &[SegmentRow], index: u64) -> Result<&SegmentRow, Failure> {
    let found = segments.iter().find(|segment| segment.index == index);
    found.ok_or_else(|| Failure::internal("find an item record", format!("there is no segment {index}")))
}

fn died(error: VerifierError) -> Failure {
    Failure::unavailable("open a seal", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_row_with_more_records_than_up_to_its_end_is_an_error() {
        let row = |items, items_total| SegmentRow {
            index: 4,
            sha256: evidence::digest::Digest::ZERO,
            seal_sha256: evidence::digest::Digest::ZERO,
            stored_len: 1,
            seal_len: 1,
            plain_start: 0,
            plain_end: 1,
            items,
            items_total,
            is_final: false,
            copies: 2,
        };
        assert_eq!(first_ordinal(&row(2, 9)).unwrap(), 7);
        assert!(first_ordinal(&row(10, 9)).is_err());
    }
}
