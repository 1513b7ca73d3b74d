//! The rules that a record must keep, except those that need its neighbours or its bytes.

use super::tar::sparse_map;
use super::{
    GAPS_MAX, INTEGER_MAX, ItemRecord, Kind, NameError, SPARSE_HOLES_MIN, SPARSE_RUNS_MAX, member_name,
};
use crate::length::len;

/// Whether a record is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The record that `items` and `items_root` count.
    Final,
    /// The record of a member that continues in the next segment.
    Open,
}

/// Why a line is no record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The line is not JSON of this shape.
    #[error("record is not JSON of the specified shape")]
    Json(#[source] serde_json::Error),
    /// The line is over [`super::LINE_BYTES_MAX`].
    #[error("record line is too long")]
    TooLong,
    /// The bytes are another spelling of the record than its one text form.
    #[error("record is not in canonical form")]
    NotCanonical,
    /// The path has no member name.
    #[error("record has a path without member name")]
    Name(#[source] NameError),
    /// `member` is not the name that kind, path and part determine.
    #[error("member name is not that of kind, path and part")]
    MemberName,
    /// A field is present, absent or out of range against the specification.
    #[error("field `{field}`: {rule}")]
    Field {
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
        rule(
            self.error.as_ref().is_none_or(|error| word(&error.op, 32)),
            "error",
            "op: 1 to 32 of a-z 0-9 _ -",
        )?;
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
        // An unread file never looks like an empty one, and never like one that was collected.
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
        for (off, run_len) in runs {
            rule(*run_len > 0, "sparse", "empty run")?;
            rule(end.is_none_or(|end| *off > end), "sparse", "runs overlap, touch or go back")?;
            let behind = off.checked_add(*run_len).filter(|behind| *behind <= size);
            rule(behind.is_some(), "sparse", "run passes size")?;
            end = behind;
            data += run_len;
        }
        rule(size - data >= SPARSE_HOLES_MIN, "sparse", "holes save less than 64 KiB")?;
        let map = len(&sparse_map(runs, size));
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
            let Some(behind) = behind else {
                return rule(false, "gaps", "passes size");
            };
            end = behind;
            while run.is_some_and(|(off, len)| off + len <= gap.off) {
                run = runs.next();
            }
            let inside = run.is_some_and(|(off, len)| *off <= gap.off && behind <= off + len);
            rule(inside, "gaps", "not inside one data run")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::item::outcome::Outcome;
    use crate::item::stat::Stat;
    use crate::item::{Gap, GapWhy, Link, RawBytes};
    use crate::time::FileTime;

    fn stat() -> Stat {
        let json = r#"{"dev":"8:1","ino":"18446744073709551615","mode":33188,"nlink":1,"uid":0,"gid":0,"size":"7",
            "blocks":"8","atime":"0.000000000","mtime":"-1.500000000","ctime":"0.000000000","btime":null,"attrs":"0x10"}"#;
        serde_json::from_str(json).unwrap()
    }

    fn good() -> ItemRecord {
        let mut record = ItemRecord::new("files", Kind::File, *b"/a", FileTime::default());
        record.n = 3;
        record.member = Some(RawBytes(b"[root]/a".to_vec()));
        record.at = Some(1024);
        record.data = Some(2048);
        record.size = Some(7);
        record.stored = Some(7);
        record.sha256 = Some(Digest::of(b"content"));
        record.before = Some(stat());
        record
    }

    fn broken(edit: impl FnOnce(&mut ItemRecord)) -> &'static str {
        let mut record = good();
        edit(&mut record);
        match record.check(Stage::Final) {
            Err(RecordError::Field { field, .. }) => field,
            Err(RecordError::Name(_) | RecordError::MemberName) => "name",
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_record_has_one_line_and_parses_back() {
        let record = good();
        let line = record.to_line().unwrap();
        assert_eq!(ItemRecord::parse_line(&line, Stage::Final).unwrap(), record);
        let text = String::from_utf8(line).unwrap();
        for (from, to) in [
            ("\"n\":3", "\"n\":3.0"),
            ("\"n\":3", "\"n\": 3"),
            ("\"size\":7,", "\"size\":7,\"sha256_read\":null,"),
            ("\"kind\":\"file\"", "\"kind\":\"FILE\""),
            ("\"shown\":\"/a\"", "\"shown\":\"\\u002fa\""),
            ("\"dev\":\"8:1\"", "\"dev\":\"08:1\""),
            ("\"attrs\":\"0x10\"", "\"attrs\":\"0X10\""),
            ("\"btime\":null,", ""),
            ("\"blocks\":\"8\"", "\"blocks\":8"),
            ("{\"n\":3", "{\"n\":3,\"extra\":1"),
            ("{\"n\":3", "{\"n\":3,\"n\":3"),
        ] {
            let other = text.replacen(from, to, 1);
            assert_ne!(other, text, "{from}");
            assert!(ItemRecord::parse_line(other.as_bytes(), Stage::Final).is_err(), "{to}");
        }
    }

    #[test]
    fn each_rule_has_its_field() {
        let gap = |off, len| Gap { off, len, why: GapWhy::IoError, errno: Some(5) };
        let torn = |record: &mut ItemRecord, gaps| {
            record.outcome = Outcome::IoError;
            record.sha256_read = Some(Digest::ZERO);
            record.gaps = gaps;
        };
        let mut fine = good();
        torn(&mut fine, vec![gap(0, 2), gap(2, 5)]);
        fine.check(Stage::Final).unwrap();

        assert_eq!(broken(|r| r.gaps = vec![gap(0, 1)]), "gaps"); // outcome ok
        assert_eq!(broken(|r| torn(r, vec![gap(6, 2)])), "gaps");
        assert_eq!(broken(|r| torn(r, vec![gap(0, 0)])), "gaps");
        assert_eq!(broken(|r| torn(r, vec![gap(2, 2), gap(3, 1)])), "gaps");
        assert_eq!(broken(|r| torn(r, vec![gap(u64::MAX, 2)])), "gaps");
        assert_eq!(broken(|r| r.sha256_read = r.sha256), "sha256_read");
        assert_eq!(broken(|r| r.sha256 = None), "sha256");
        assert_eq!(broken(|r| r.stored = Some(8)), "stored");
        assert_eq!(broken(|r| r.size = None), "member");
        assert_eq!(broken(|r| r.member = None), "at");
        assert_eq!(broken(|r| r.at = Some(100)), "data");
        assert_eq!(broken(|r| r.n = INTEGER_MAX + 1), "n");
        assert_eq!(broken(|r| r.before = None), "before");
        assert_eq!(broken(|r| r.outcome = Outcome::Denied), "outcome");
        assert_eq!(broken(|r| r.outcome = Outcome::Other("Bad".into())), "outcome");
        assert_eq!(broken(|r| r.collector = String::new()), "collector");
        assert_eq!(broken(|r| r.note = Some("x".repeat(201))), "note");
        assert_eq!(broken(|r| r.parent = Some(3)), "parent");
        assert_eq!(broken(|r| r.part = Some(1)), "part");
        assert_eq!(broken(|r| r.part = Some(2)), "parent");
        assert_eq!(broken(|r| r.target = Some(RawBytes(b"t".to_vec()))), "target");
        assert_eq!(broken(|r| r.kind = Kind::Symlink), "target");
        assert_eq!(broken(|r| r.kind = Kind::Fifo), "name");
        assert_eq!(broken(|r| r.kind = Kind::Stream), "name");
        assert_eq!(broken(|r| r.link = Some(Link { n: 3, member: RawBytes::default() })), "link");
        let pair = |name: &[u8]| (RawBytes(name.to_vec()), RawBytes::default());
        assert_eq!(broken(|r| r.xattrs = vec![pair(b"b"), pair(b"a")]), "xattrs");
        assert_eq!(broken(|r| r.xattrs = vec![pair(b"a"), pair(b"a")]), "xattrs");
        for runs in
            [vec![(0, 0)], vec![(1, 1), (2, 1)], vec![(0, 8)], vec![(u64::MAX, 1)], vec![(0, 1)], vec![]]
        {
            assert_eq!(broken(|r| r.sparse = Some(runs)), "sparse");
        }
    }

    #[test]
    fn an_unread_file_never_looks_like_an_empty_one() {
        let record = ItemRecord::new("files", Kind::File, *b"/a", FileTime::default());
        let error = record.check(Stage::Final).unwrap_err();
        assert!(matches!(error, RecordError::Field { field: "outcome", rule: "ok without member" }));
    }
}
