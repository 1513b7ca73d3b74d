//! Makes the header in the stream from an item record, and the final record at the end of its content.

use super::{MemberEnd, OpenMember, Waiting, WriteError, Writer};
use crate::container::content::Content;
use crate::container::names::Clash;
use crate::container::outcomes;
use crate::digest::Hasher;
use crate::item::outcome::Outcome;
use crate::item::tar::{self, member_header};
use crate::item::{ItemRecord, Kind, RawBytes, RecordError, Salt, Stage, member_name};
use crate::length::len;
use crate::time::FileTime;

/// The writer refuses such a member before it begins, so that its end cannot fail for this reason.
const SIZES_TOO_LARGE: RecordError =
    RecordError::Field { field: "size", rule: "makes the sum of all sizes pass 2^64" };

impl Writer {
    pub(super) fn begin(&mut self, record: ItemRecord) -> Result<u64, WriteError> {
        let record = self.prepare(record)?;
        if !record.has_content() {
            return Err(WriteError::Record(RecordError::Field { field: "kind", rule: "has no content" }));
        }
        let mut probe = record.clone();
        probe.outcome = Outcome::Interrupted;
        probe.check(Stage::Open).map_err(WriteError::Record)?;
        self.start(record)
    }

    pub(super) fn begin_header_only(&mut self, record: ItemRecord) -> Result<u64, WriteError> {
        let record = self.prepare(record)?;
        if record.has_content() {
            return Err(WriteError::Record(RecordError::Field { field: "kind", rule: "has content" }));
        }
        record.check(Stage::Final).map_err(WriteError::Record)?;
        if let Some(link) = &record.link {
            let size = record.size.unwrap_or(0);
            if !self.targets.contains(link.n, &link.member.0, size, record.sha256) {
                return Err(WriteError::NoLinkTarget);
            }
        }
        self.start(record)
    }

    /// Fills in what the writer owns.
    pub(super) fn prepare(&self, mut record: ItemRecord) -> Result<ItemRecord, WriteError> {
        if self.open.is_some() {
            return Err(WriteError::MemberOpen);
        }
        let name = member_name(record.kind, &record.path.0, record.part);
        let name = name.map_err(|error| WriteError::Record(RecordError::Name(error)))?;
        let size = record.size.unwrap_or(0);
        if self.totals.content_bytes.checked_add(size).is_none() {
            return Err(WriteError::Record(SIZES_TOO_LARGE));
        }
        // The runs come from a file system, and the check of them comes only after the header is made.
        let data = match &record.sparse {
            Some(runs) => {
                let map = len(&tar::sparse_map(runs, size));
                let sum = runs.iter().try_fold(map, |sum, (_, run_len)| sum.checked_add(*run_len));
                Some(sum.ok_or(WriteError::Record(RecordError::Field {
                    field: "sparse",
                    rule: "run passes size",
                }))?)
            }
            None => None,
        };
        let has_content = record.link.is_none() && matches!(record.kind, Kind::File | Kind::Stream);
        record.n = self.next_n;
        record.salt = self.salt(record.n);
        record.shown = record.path.shown();
        record.member = Some(RawBytes(name));
        record.stored = Some(if has_content { data.unwrap_or(size) } else { 0 });
        record.at = Some(self.plain);
        record.gaps = Vec::new();
        let header = member_header(&record).map_err(WriteError::Tar)?;
        record.data = Some(self.plain + len(&header));
        Ok(record)
    }

    /// Takes the name and writes header and sparse map.
    pub(super) fn start(&mut self, record: ItemRecord) -> Result<u64, WriteError> {
        let Some(RawBytes(name)) = &record.member else {
            return Err(WriteError::Record(RecordError::Field { field: "member", rule: "is missing" }));
        };
        self.names.insert(name).map_err(|clash| match clash {
            Clash::Duplicate => WriteError::DuplicateName,
            Clash::BelowOther => WriteError::BelowOther,
        })?;
        let mut head = member_header(&record).map_err(WriteError::Tar)?;
        if let Some(runs) = &record.sparse {
            head.extend_from_slice(&tar::sparse_map(runs, record.size.unwrap_or(0)));
        }
        let n = record.n;
        self.next_n += 1;
        self.open = Some(OpenMember { content: Content::new(&record), record });
        self.emit(&head)?;
        Ok(n)
    }

    pub(super) fn salt(&self, n: u64) -> Salt {
        let mut hasher = Hasher::new();
        hasher.update(&self.params.salt_seed);
        hasher.update(&n.to_be_bytes());
        let mut salt = Salt([0; 16]);
        for (to, from) in salt.0.iter_mut().zip(hasher.finish().0) {
            *to = from;
        }
        salt
    }

    /// Counts a final record and puts it in line for its seal.
    pub(super) fn finish_record(&mut self, record: &ItemRecord) -> Result<(), WriteError> {
        let line = record.to_line().map_err(WriteError::Record)?;
        self.totals.item(record, &line).ok_or(WriteError::Record(SIZES_TOO_LARGE))?;
        if let (true, Some(before), Some(member)) = (record.has_content(), &record.before, &record.member)
            && before.nlink > 1
        {
            self.targets.insert(record.n, &member.0, record.size.unwrap_or(0), record.sha256);
        }
        if let Some(line) = outcomes::line(record) {
            self.outcome_lines.extend_from_slice(&line);
        }
        self.records_since_close += len(&line) + 1;
        self.waiting.push_back(Waiting { end: self.plain, at: record.at, line });
        Ok(())
    }

    /// Moves pending outcome lines into a part when there are enough of them.
    pub(super) fn write_outcomes_part(&mut self, at: FileTime) -> Result<(), WriteError> {
        if self.outcome_lines.len() < outcomes::PART_BYTES {
            return Ok(());
        }
        self.outcome_parts += 1;
        let lines = std::mem::take(&mut self.outcome_lines);
        let name = outcomes::part_name(self.outcome_parts);
        self.write_outcomes(&name, &lines, at)
    }

    pub(super) fn write_outcomes(
        &mut self,
        name: &str,
        lines: &[u8],
        at: FileTime,
    ) -> Result<(), WriteError> {
        let mut record = ItemRecord::new(outcomes::COLLECTOR, Kind::Stream, name, at);
        record.size = Some(len(lines));
        self.begin(record)?;
        self.write(lines)?;
        self.end_member(MemberEnd::ok(None, at))?;
        Ok(())
    }
}
