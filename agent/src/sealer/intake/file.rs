//! Regular files: read from the reader's descriptor, looked at again, and closed with the outcome that the
//! looks show.

use std::convert::Infallible;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use evidence::container::MemberEnd;
use evidence::item::outcome::Outcome;
use evidence::item::{GapWhy, ItemRecord, Kind, Link, Stat};
use evidence::time::FileTime;

use super::{
    ANSWER_DEADLINE, HOLES_BYTES_MAX, ITEM_DEADLINE, Intake, IntakeError, LINKS_MAX, Linkable, record,
};
use crate::ipc::{self, Check, Checked, Seen, Use};
use crate::platform::Identity;
use crate::rows::journal::Entries;
use crate::sealer::content::{self, Leave, Looks, Piece, SMALL_BYTES_MAX};
use crate::source::OpenFile;

impl Intake<'_> {
    /// A regular file with its descriptor.
    pub(super) fn file(&mut self, seen: &Seen, descriptor: OwnedFd, use_as: Use) -> Result<(), IntakeError> {
        let mut record = record::of(&self.collector, seen);
        let Some(before) = seen.before.clone().filter(|_| seen.kind == Kind::File && seen.outcome.is_ok())
        else {
            self.ask(seen.key, false);
            return record::skip(&mut self.writer, record).map_err(Into::into);
        };
        if let Some(method) = seen.atime_method {
            self.footprint.count(seen.kind, method);
        }
        let key = (Identity::from(&before), before.ctime);
        if before.nlink > 1
            && let Some(first) = self.links.get(&key).cloned()
        {
            self.ask(seen.key, false);
            record.size = Some(first.size);
            record.sha256 = Some(first.sha256);
            record.link = Some(Link { n: first.n, member: first.member });
            record.ended = self.clock.wall();
            return record::add(&mut self.writer, record).map_err(Into::into);
        }
        let size = seen.bytes_max.map_or(before.size, |most| most.min(before.size));
        let file = OpenFile::new(descriptor);
        let runs = file.sparse_runs(&before, size);
        let data_bytes = runs.as_ref().map_or(size, |runs| runs.iter().map(|(_, len)| *len).sum());
        self.check_limits(data_bytes);
        // The size is only the reader's claim. A sum over 2^64 is over the limit as well.
        let holes = size
            .checked_sub(data_bytes)
            .and_then(|holes| self.holes.checked_add(holes))
            .filter(|holes| *holes <= HOLES_BYTES_MAX)
            .ok_or("holes of all sparse files pass 64 GiB");
        match self.limit.map_or(holes, Err) {
            Ok(holes) => self.holes = holes,
            Err(limit) => {
                self.ask(seen.key, false);
                record.outcome = Outcome::SkippedLimit;
                record.note = Some(limit.to_owned());
                return record::skip(&mut self.writer, record).map_err(Into::into);
            }
        }
        record.size = Some(size);
        record.sparse.clone_from(&runs);
        if let Some(rows) = &mut self.rows {
            rows.begin(&seen.path.0);
        }
        let whole = [(0, size)];
        let runs = runs.unwrap_or_else(|| if size == 0 { Vec::new() } else { whole.to_vec() });
        let begun = self.clock.wall();
        let deadline = self.clock.elapsed() + ITEM_DEADLINE + Duration::from_secs(data_bytes >> 20);
        let read = if record.sparse.is_none() && size <= SMALL_BYTES_MAX {
            self.small(record, &file, &runs, deadline)?
        } else {
            self.large(record, &file, &runs, deadline)?
        };
        if let Some(rows) = &mut self.rows {
            rows.end();
        }
        let Some(read) = read else {
            self.ask(seen.key, false);
            return Ok(());
        };
        self.close(seen, &before, &file, read, begun)?;
        if use_as == Use::Journal && is_journal(&seen.path.0) {
            self.journal(&seen.path.0, &file, size)?;
        }
        self.flush_rows()
    }

    /// Decodes the entries of a journal that is already in the container, from the same open file.
    fn journal(&mut self, path: &[u8], file: &OpenFile, size: u64) -> Result<(), IntakeError> {
        let mut entries = match Entries::open(file, size) {
            Ok(entries) => entries,
            Err(why) => {
                let path = String::from_utf8_lossy(path);
                self.note_limitation(format!("journal: no rows of {path}: {why}"));
                return Ok(());
            }
        };
        while let Some(row) = entries.next_row(path) {
            if let Some(rows) = &mut self.rows {
                rows.add(&row);
            }
            self.flush_rows()?;
            self.check_limits(0);
            if self.limit.is_some() {
                break;
            }
            self.throttle.pause(self.clock);
        }
        Ok(())
    }

    /// Reads a file of at most 1 MiB before its header is written, so that a file that became shorter gets a
    /// shorter member. `None`: it got no member.
    pub(super) fn small(
        &mut self,
        mut record: ItemRecord,
        file: &OpenFile,
        runs: &[(u64, u64)],
        deadline: Duration,
    ) -> Result<Option<content::Read>, IntakeError> {
        enum Held {
            Data(Vec<u8>),
            Gap(u64, GapWhy, Option<u32>),
        }
        let mut held = Vec::new();
        let clock = self.clock;
        let leave = || {
            if clock.elapsed() > deadline { Leave::Late } else { Leave::On }
        };
        let read = content::pump(file, runs, leave, |piece| {
            held.push(match piece {
                Piece::Data(bytes) => Held::Data(bytes.to_vec()),
                Piece::Gap { len, why, errno } => Held::Gap(len, why, errno),
            });
            Ok::<(), Infallible>(())
        });
        let read = match read {
            Ok(read) => read,
            Err(never) => match never {},
        };
        if let Some(Held::Gap(len, GapWhy::Truncated, _)) = held.last() {
            record.size = record.size.map(|size| size - len);
            held.pop();
        }
        if !record::begin(&mut self.writer, record)? {
            return Ok(None);
        }
        for piece in held {
            match piece {
                Held::Data(bytes) => {
                    if let Some(rows) = &mut self.rows {
                        rows.data(&bytes);
                    }
                    self.writer.write(&bytes)?;
                }
                Held::Gap(len, why, errno) => self.writer.write_gap(len, why, errno)?,
            }
        }
        Ok(Some(read))
    }

    /// Reads a larger file straight into the container.
    pub(super) fn large(
        &mut self,
        record: ItemRecord,
        file: &OpenFile,
        runs: &[(u64, u64)],
        deadline: Duration,
    ) -> Result<Option<content::Read>, IntakeError> {
        if !record::begin(&mut self.writer, record)? {
            return Ok(None);
        }
        let (clock, begun, wall) = (self.clock, self.begun, Duration::from_secs(self.limits.wall_s));
        let stored_max = self.limits.stored_bytes - (16 << 20).min(self.limits.stored_bytes / 8);
        let is_full = std::cell::Cell::new(false);
        let leave = || {
            let now = clock.elapsed();
            if is_full.get() || now - begun >= wall {
                Leave::Limited
            } else if now > deadline {
                Leave::Late
            } else {
                Leave::On
            }
        };
        let read = content::pump(file, runs, leave, |piece| {
            match piece {
                Piece::Data(bytes) => {
                    if let Some(rows) = &mut self.rows {
                        rows.data(bytes);
                    }
                    self.writer.write(bytes)?;
                }
                Piece::Gap { mut len, why, errno } => {
                    // Zeros, like data, are sealed and sent as they are written. They are not held.
                    while len > 0 {
                        let part = len.min(8 << 20);
                        self.writer.write_gap(part, why, errno)?;
                        self.drain()?;
                        len -= part;
                    }
                }
            }
            is_full.set(self.writer.stored_len() >= stored_max);
            self.drain()
        })?;
        Ok(Some(read))
    }

    /// Looks at the file again and ends the open member.
    pub(super) fn close(
        &mut self,
        seen: &Seen,
        before: &Stat,
        file: &OpenFile,
        read: content::Read,
        begun: FileTime,
    ) -> Result<(), IntakeError> {
        let after = file.look().ok();
        let path = self.ask(seen.key, true);
        let resolution = self.resolution;
        let looks = Looks { before, after: after.as_ref(), path: path.as_ref(), begun, resolution };
        let mut outcome = content::judge(read, &looks);
        let mut note = seen.note.clone();
        if outcome == Outcome::SkippedLimit {
            self.check_limits(0);
            note = Some(self.limit.unwrap_or("limit").to_owned());
        } else if let Some(most) = seen.bytes_max
            && outcome.is_ok()
        {
            outcome = Outcome::SkippedLimit;
            note = Some(format!("item_bytes: the first {most} bytes"));
        }
        let error = read.failed.map(|errno| evidence::item::ItemError { op: "pread64".to_owned(), errno });
        let end = MemberEnd { outcome, after, ended: self.clock.wall(), error, note };
        let record = self.writer.end_member(end)?;
        // Only content that was read whole may stand for its other names.
        if let (true, true, Some(sha256), Some(member), Some(size)) =
            (record.outcome.is_ok(), before.nlink > 1, record.sha256, record.member, record.size)
            && self.links.len() < LINKS_MAX
        {
            let linkable = Linkable { n: record.n, member, size, sha256 };
            self.links.insert((Identity::from(before), before.ctime), linkable);
        }
        Ok(())
    }

    /// Asks the reader about the path of an item, or tells it to forget the item.
    pub(super) fn ask(&mut self, key: Option<u64>, look: bool) -> Option<Checked> {
        let look = look && !self.is_deaf;
        let asked = ipc::send_json(self.check.as_fd(), &Check { key: key?, look }, None);
        if !look {
            // A reader that is gone forgets the item anyway.
            return None;
        }
        let answer = asked.and_then(|()| {
            ipc::receive_json_before(self.check.as_fd(), &mut self.check_buffer, ANSWER_DEADLINE)
        });
        // A late answer could be mistaken for the answer to the next question. So after one missed answer,
        // ask nothing more.
        self.is_deaf = answer.is_err();
        if self.is_deaf {
            self.note_limitation(
                "paths could not be looked at again after reading: `replaced` may be missing".to_owned(),
            );
        }
        answer.ok()
    }
}

fn is_journal(path: &[u8]) -> bool {
    path.ends_with(b".journal") || path.ends_with(b".journal~")
}
