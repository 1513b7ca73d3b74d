//! The rules a record must keep, apart from those that need its neighbours or its bytes.

use super::{GAPS_MAX, INTEGER_MAX, ItemRecord, Kind, NameError, SPARSE_HOLES_MIN, SPARSE_RUNS_MAX, member_name};

/// Whether a record is the last word on its item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The record counted in `items` and `items_root`.
    Final,
    /// The record of a member that goes on in the next segment.
    Open,
}

/// Why a line is no record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Not JSON of this shape.
    #[error("record is not JSON of the specified shape")]
    Json(#[source] serde_json::Error),
    /// Over [`super::LINE_BYTES_MAX`].
    #[error("record line is too long")]
    TooLong,
    /// Another spelling of the record than its one text form.
    #[error("record is not in canonical form")]
    NotCanonical,
    /// The path has no member name.
    #[error("record has a path without member name")]
    Name(#[source] NameError),
    /// `member` is not the name that kind, path and part give.
    #[error("member name is not that of kind, path and part")]
    MemberName,
    /// A field is present, absent or out of range against the specification.
    #[error("field `{field}`: {rule}")]
    Field {
        /// The field.
        field: &'static str,
        /// The rule it breaks.
        rule: &'static str,
    },
}

/// `Ok` when `holds`, else the broken rule.
fn rule(holds: bool, field: &'static str, rule: &'static str) -> Result<(), RecordError> {
    if holds { Ok(()) } else { Err(RecordError::Field { field, rule }) }
}

impl ItemRecord {
    /// Checks every rule that needs this record alone.
    ///
    /// # Errors
    /// [`RecordError`] names the first rule broken.
    pub fn check(&self, stage: Stage) -> Result<(), RecordError> {
        self.check_head()?;
        self.check_integers()?;
        if self.member.is_some() {
            self.check_member(stage)
        } else {
            rule(stage == Stage::Final, "member", "required in an open record")?;
            self.check_without_member()
        }
    }

    fn check_head(&self) -> Result<(), RecordError> {
        let word = |text: &str, max: usize| {
            !text.is_empty()
                && text.len() <= max
                && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
        };
        rule(word(&self.collector, 64), "collector", "1 to 64 of a-z 0-9 _ -")?;
        rule(word(self.outcome.as_str(), 40), "outcome", "1 to 40 of a-z 0-9 _ -")?;
        let path = &self.path.0;
        rule(!path.is_empty() && path.len() <= 64 << 10, "path", "1 byte to 64 KiB")?;
        rule(!path.contains(&0), "path", "has a NUL byte")?;
        rule(self.shown == self.path.shown(), "shown", "is not path with invalid UTF-8 replaced")?;
        rule(self.note.as_ref().is_none_or(|note| note.len() <= 200), "note", "at most 200 bytes")?;
        rule(self.error.as_ref().is_none_or(|error| word(&error.op, 32)), "error", "op: 1 to 32 of a-z 0-9 _ -")?;
        rule(self.after.is_none() || self.before.is_some(), "after", "without before")?;
        rule(self.parent.is_none_or(|parent| parent < self.n), "parent", "is not an earlier item")?;
        rule(self.part.is_none_or(|part| part >= 2), "part", "starts at 2")?;
        rule(self.part.is_none() || self.parent.is_some(), "parent", "required with part")?;
        self.check_xattrs()?;
        let fits = self.kind == Kind::Symlink || self.target.is_none();
        rule(fits, "target", "only for symlinks")?;
        let text_ok = |text: &[u8]| !text.is_empty() && text.len() <= 64 << 10 && !text.contains(&0);
        rule(self.target.as_ref().is_none_or(|t| text_ok(&t.0)), "target", "1 byte to 64 KiB without NUL")
    }

    fn check_xattrs(&self) -> Result<(), RecordError> {
        let mut last: Option<&[u8]> = None;
        for (name, value) in &self.xattrs {
            let name = name.0.as_slice();
            let fits = !name.is_empty() && name.len() <= 255 && !name.contains(&0);
            rule(fits, "xattrs", "name: 1 to 255 bytes without NUL")?;
            rule(value.0.len() <= 64 << 10, "xattrs", "value: at most 64 KiB")?;
            rule(last.is_none_or(|last| last < name), "xattrs", "not sorted by name, or a name twice")?;
            last = Some(name);
        }
        rule(self.xattrs.is_empty() || self.kind != Kind::Stream, "xattrs", "a stream has none")
    }

    fn check_integers(&self) -> Result<(), RecordError> {
        let fits = |value: u64| value <= INTEGER_MAX;
        let optional = |value: Option<u64>| value.is_none_or(fits);
        rule(fits(self.n), "n", "over 2^53 - 1")?;
        rule(optional(self.at), "at", "over 2^53 - 1")?;
        rule(optional(self.data), "data", "over 2^53 - 1")?;
        rule(optional(self.size), "size", "over 2^53 - 1")?;
        rule(optional(self.stored), "stored", "over 2^53 - 1")?;
        rule(optional(self.part), "part", "over 2^53 - 1")
    }

    fn check_without_member(&self) -> Result<(), RecordError> {
        rule(self.at.is_none(), "at", "without member")?;
        rule(self.data.is_none(), "data", "without member")?;
        rule(self.size.is_none(), "size", "without member")?;
        rule(self.stored.is_none(), "stored", "without member")?;
        rule(self.sha256.is_none(), "sha256", "without member")?;
        rule(self.sha256_read.is_none(), "sha256_read", "without member")?;
        rule(self.gaps.is_empty(), "gaps", "without member")?;
        rule(self.sparse.is_none(), "sparse", "without member")?;
        rule(self.link.is_none(), "link", "without member")?;
        rule(self.part.is_none(), "part", "without member")?;
        // An unread file never looks like an empty one, and never like one that was taken.
        let has_member_kind = matches!(self.kind, Kind::File | Kind::Dir | Kind::Symlink | Kind::Stream);
        rule(!(has_member_kind && self.outcome.is_ok()), "outcome", "ok without member")
    }

    fn check_member(&self, stage: Stage) -> Result<(), RecordError> {
        let (Some(member), Some(at), Some(data), Some(size), Some(stored)) =
            (&self.member, self.at, self.data, self.size, self.stored)
        else {
            return rule(false, "member", "needs at, data, size and stored");
        };
        let name = member_name(self.kind, &self.path.0, self.part).map_err(RecordError::Name)?;
        if name != member.0 {
            return Err(RecordError::MemberName);
        }
        rule(at % 512 == 0 && data % 512 == 0 && data > at, "data", "not a block behind at")?;
        rule(self.before.is_some() || self.kind == Kind::Stream, "before", "required with member")?;
        rule(self.before.is_none() || self.kind != Kind::Stream, "before", "a stream has none")?;
        rule(self.target.is_some() == (self.kind == Kind::Symlink), "target", "required for a symlink")?;
        rule(self.part.is_none() || self.has_content(), "part", "without content")?;
        rule(self.after.is_none() || self.has_content(), "after", "without content")?;
        self.check_sparse(size, stored)?;
        self.check_gaps(size)?;
        if let Some(link) = &self.link {
            rule(self.kind == Kind::File, "link", "only for files")?;
            rule(link.n < self.n, "link", "is not an earlier item")?;
        }
        if self.has_content() {
            rule(!self.outcome.is_without_content(), "outcome", "says that there is no content")?;
            if stage == Stage::Final {
                let left_out = self.is_hash_left_out();
                rule(self.sha256.is_some() != left_out, "sha256", "required unless holes pass 16 GiB")?;
                let two = left_out || !self.gaps.is_empty();
                rule(self.sha256_read.is_some() == two, "sha256_read", "present exactly with gaps")?;
            }
        } else {
            rule(stage == Stage::Final || self.link.is_none(), "sha256", "open hard link")?;
            let is_link = self.link.is_some();
            rule(stored == 0, "stored", "not 0 without content")?;
            rule(is_link || size == 0, "size", "not 0 without content")?;
            rule(is_link || self.sha256.is_none(), "sha256", "without content")?;
            rule(self.sha256_read.is_none(), "sha256_read", "without content")?;
            rule(self.gaps.is_empty(), "gaps", "without content")?;
        }
        if stage == Stage::Open {
            rule(self.sha256.is_none() && self.sha256_read.is_none(), "sha256", "in an open record")?;
            rule(self.outcome.as_str() == "interrupted", "outcome", "of an open record is `interrupted`")?;
        }
        Ok(())
    }

    fn check_sparse(&self, size: u64, stored: u64) -> Result<(), RecordError> {
        let Some(runs) = &self.sparse else {
            return rule(!self.has_content() || stored == size, "stored", "differs from size without map");
        };
        rule(self.kind == Kind::File && self.link.is_none(), "sparse", "only for files")?;
        rule(runs.len() <= SPARSE_RUNS_MAX, "sparse", "over 8192 runs")?;
        let mut end = None;
        let mut data = 0_u64;
        for (off, len) in runs {
            rule(*len > 0, "sparse", "empty run")?;
            rule(end.is_none_or(|end| *off > end), "sparse", "runs overlap, touch or go back")?;
            let behind = off.checked_add(*len).filter(|behind| *behind <= size);
            rule(behind.is_some(), "sparse", "run passes size")?;
            end = behind;
            data = data.saturating_add(*len);
        }
        rule(size.saturating_sub(data) >= SPARSE_HOLES_MIN, "sparse", "holes save less than 64 KiB")?;
        let map = u64::try_from(crate::tar::sparse_map(runs, size).len()).unwrap_or(u64::MAX);
        rule(data.checked_add(map) == Some(stored), "stored", "is not map and runs")
    }

    fn check_gaps(&self, size: u64) -> Result<(), RecordError> {
        rule(self.gaps.len() <= GAPS_MAX, "gaps", "over 16384")?;
        rule(self.gaps.is_empty() || !self.outcome.is_ok(), "gaps", "in an item that is ok")?;
        let whole = [(0, size)];
        let mut runs = self.sparse.as_deref().unwrap_or(&whole).iter();
        let mut run = runs.next();
        let mut end = 0;
        for gap in &self.gaps {
            rule(gap.len > 0 && gap.off >= end, "gaps", "empty, overlapping or going back")?;
            let behind = gap.off.checked_add(gap.len).filter(|behind| *behind <= size);
            let Some(behind) = behind else { return rule(false, "gaps", "passes size") };
            end = behind;
            while run.is_some_and(|(off, len)| off.saturating_add(*len) <= gap.off) {
                run = runs.next();
            }
            let inside = run.is_some_and(|(off, len)| *off <= gap.off && behind <= off.saturating_add(*len));
            rule(inside, "gaps", "not inside one data run")?;
        }
        Ok(())
    }
}
