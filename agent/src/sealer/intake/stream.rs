//! Sources of unknown length, and rows. Each is held up to one part, then written as numbered members.

use evidence::container::MemberEnd;
use evidence::item::outcome::Outcome;
use evidence::item::{AtimeMethod, ItemRecord, Kind};

use super::{Intake, IntakeError, PART_BYTES, Pending, record};

/// From this many bytes of rows on, they become a part. A row is at most 256 KiB, so a part stays near 4 MiB if it
/// is written a little early.
const ROWS_BYTES_MIN: usize = PART_BYTES - (512 << 10);

impl Intake<'_> {
    /// Bytes that the reader read itself.
    pub(super) fn data(&mut self, bytes: &[u8]) -> Result<(), IntakeError> {
        let Some(mut piece) = self.piece.take() else {
            self.note_stray();
            return Ok(());
        };
        if let Some(rows) = &mut self.rows {
            rows.data(bytes);
        }
        piece.held.extend_from_slice(bytes);
        if piece.held.len() > PART_BYTES {
            let rest = piece.held.split_off(PART_BYTES);
            let part = std::mem::replace(&mut piece.held, rest);
            let end = MemberEnd::ok(None, self.clock.wall());
            self.part(&mut piece, &part, end)?;
        }
        self.piece = Some(piece);
        Ok(())
    }

    pub(super) fn data_end(&mut self, mut end: MemberEnd) -> Result<(), IntakeError> {
        if let Some(rows) = &mut self.rows {
            rows.end();
        }
        let Some(mut piece) = self.piece.take() else {
            self.note_stray();
            return Ok(());
        };
        let has_bytes = !piece.held.is_empty() || piece.parts > 0;
        if end.outcome.is_ok() || has_bytes {
            if end.outcome.is_without_content() {
                // The kernel refused after it had returned some bytes.
                end.outcome = Outcome::IoError;
            }
            let part = std::mem::take(&mut piece.held);
            self.part(&mut piece, &part, end)?;
        } else {
            let mut record = record::of(&self.collector, &piece.seen);
            record.outcome = end.outcome;
            record.error = end.error;
            record.note = end.note;
            record.ended = end.ended;
            record::skip(&mut self.writer, record)?;
        }
        self.flush_rows()
    }

    /// Says in the manifest that the reader sent something that belongs to no item.
    fn note_stray(&mut self) {
        self.note_limitation(
            "the reading process sent bytes that belong to no item; they are left out".to_owned(),
        );
    }

    /// Writes one part of a source of unknown length.
    pub(super) fn part(
        &mut self,
        piece: &mut Pending,
        bytes: &[u8],
        mut end: MemberEnd,
    ) -> Result<(), IntakeError> {
        let mut record = record::of(&self.collector, &piece.seen);
        record.size = u64::try_from(bytes.len()).ok();
        piece.parts += 1;
        if piece.parts > 1 {
            record.part = Some(piece.parts);
            record.parent = piece.first;
        }
        if record.kind == Kind::File {
            self.footprint.count(Kind::File, record.atime_method.unwrap_or(AtimeMethod::RoView));
        }
        if !record::begin(&mut self.writer, record)? {
            return Ok(());
        }
        self.writer.write(bytes)?;
        if piece.seen.before.is_none() {
            end.after = None;
        }
        let record = self.writer.end_member(end)?;
        piece.first.get_or_insert(record.n);
        Ok(())
    }

    /// Writes rows once there are enough of them for a part.
    pub(super) fn flush_rows(&mut self) -> Result<(), IntakeError> {
        let Some(rows) = self.rows.as_mut().and_then(|rows| rows.take_ready(ROWS_BYTES_MIN)) else {
            return Ok(());
        };
        self.row_member(&rows)
    }

    pub(super) fn row_member(&mut self, rows: &[u8]) -> Result<(), IntakeError> {
        let mut rest = rows;
        while !rest.is_empty() {
            let (part, behind) = match rest.split_at_checked(PART_BYTES) {
                Some((most, _)) => {
                    let line_end = most.iter().rposition(|byte| *byte == b'\n');
                    rest.split_at(line_end.map_or(most.len(), |at| at + 1))
                }
                None => (rest, &[][..]),
            };
            rest = behind;
            let name = format!("live/{}.jsonl", self.collector);
            let now = self.clock.wall();
            let mut record = ItemRecord::new(self.collector.clone(), Kind::Stream, name.into_bytes(), now);
            record.size = u64::try_from(part.len()).ok();
            let earlier = self.row_parts.get(&self.collector).copied();
            if let Some((parts, first)) = earlier {
                record.part = Some(parts + 1);
                record.parent = Some(first);
            }
            if record::begin(&mut self.writer, record)? {
                self.writer.write(part)?;
                let done = self.writer.end_member(MemberEnd::ok(None, now))?;
                let (parts, first) = earlier.unwrap_or((0, done.n));
                self.row_parts.insert(self.collector.clone(), (parts + 1, first));
            }
            self.drain()?;
        }
        Ok(())
    }
}
