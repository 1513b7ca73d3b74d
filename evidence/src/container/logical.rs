//! Compares a member's logical content, as `tar -x` gives it, with its record: length, digests, zeros in holes and gaps.
//! Guarantee: [`LogicalContent::finish`] accepts only the bytes that the record was made for. Not here: where these
//! bytes lie in the container ([`super::ItemReader`]).

use super::content::{Content, is_zero};
use crate::item::ItemRecord;
use crate::length::{to_u64, to_usize};

/// The check, fed with the content from its first byte to its last.
pub struct LogicalContent<'a> {
    record: &'a ItemRecord,
    content: Content,
    at: u64,
    size: u64,
}

impl<'a> LogicalContent<'a> {
    /// Begins at offset 0.
    #[must_use]
    pub fn new(record: &'a ItemRecord) -> Self {
        Self { record, content: Content::new(record), at: 0, size: record.size.unwrap_or(0) }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`NotTheContent`] for bytes past the end, or for non-zero bytes where the record has a hole or a gap.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), NotTheContent> {
        while !bytes.is_empty() {
            let (off, in_run) = self.content.position().unwrap_or((self.size, 0));
            let is_hole = self.at < off;
            let room = if is_hole { off - self.at } else { in_run };
            let take = to_usize(room).min(bytes.len());
            if take == 0 {
                return Err(NotTheContent::Length { size: self.size });
            }
            let (chunk, rest) = bytes.split_at(take);
            let not_zero = NotTheContent::NotZero { at: self.at };
            if is_hole && !is_zero(chunk) {
                return Err(not_zero);
            }
            if !is_hole && self.content.feed(chunk, &self.record.gaps).is_err() {
                return Err(not_zero);
            }
            self.at += to_u64(take);
            bytes = rest;
        }
        Ok(())
    }

    /// Checks length and digests.
    ///
    /// # Errors
    /// [`NotTheContent`] if they are not the record's.
    pub fn finish(self) -> Result<(), NotTheContent> {
        if self.at != self.size {
            return Err(NotTheContent::Length { size: self.size });
        }
        if self.content.finish() == (self.record.sha256, self.record.sha256_read) {
            Ok(())
        } else {
            Err(NotTheContent::Digest)
        }
    }
}

/// The bytes are not the record's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotTheContent {
    /// Too short or too long.
    #[error("has not the {size} bytes of its record")]
    Length {
        /// As recorded.
        size: u64,
    },
    /// Something where nothing was read.
    #[error("has other bytes than zero at or behind {at}, where its record has a hole or a gap")]
    NotZero {
        /// Offset at which the piece began.
        at: u64,
    },
    /// `sha256` or `sha256_read`.
    #[error("has not the digest of its record")]
    Digest,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::item::{Gap, GapWhy, Kind};
    use crate::time::FileTime;

    /// 100 bytes: data 10..30 with a gap 12..20 in it, data 50..60, a hole at the end.
    fn sample() -> (ItemRecord, Vec<u8>) {
        let mut record = ItemRecord::new("files", Kind::File, "/x", FileTime::new(0, 0).unwrap());
        let mut bytes = vec![0; 100];
        bytes[10..12].fill(b'a');
        bytes[20..30].fill(b'b');
        bytes[50..60].fill(b'c');
        record.size = Some(100);
        record.sparse = Some(vec![(10, 20), (50, 10)]);
        record.gaps = vec![Gap { off: 12, len: 8, why: GapWhy::IoError, errno: None }];
        record.sha256 = Some(Digest::of(&bytes));
        let read: Vec<u8> = [&bytes[10..12], &bytes[20..30], &bytes[50..60]].concat();
        record.sha256_read = Some(Digest::of(&read));
        (record, bytes)
    }

    fn judge(record: &ItemRecord, bytes: &[u8], step: usize) -> Result<(), NotTheContent> {
        let mut content = LogicalContent::new(record);
        bytes.chunks(step).try_for_each(|chunk| content.feed(chunk))?;
        content.finish()
    }

    #[test]
    fn the_right_bytes_pass_in_pieces_of_any_size_and_no_flipped_bit_does() {
        let (record, mut bytes) = sample();
        for step in 1..=100 {
            judge(&record, &bytes, step).unwrap();
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                bytes[at] ^= 1 << bit;
                assert!(judge(&record, &bytes, 7).is_err(), "byte {at}");
                bytes[at] ^= 1 << bit;
            }
        }
        assert_eq!(judge(&record, &bytes[..99], 7), Err(NotTheContent::Length { size: 100 }));
        bytes.push(0);
        assert_eq!(judge(&record, &bytes, 7), Err(NotTheContent::Length { size: 100 }));
    }

    #[test]
    fn an_empty_file_has_no_bytes() {
        let mut record = ItemRecord::new("files", Kind::File, "/x", FileTime::new(0, 0).unwrap());
        record.size = Some(0);
        record.sha256 = Some(Digest::of(b""));
        judge(&record, b"", 1).unwrap();
        assert!(judge(&record, b"x", 1).is_err());
    }

    #[test]
    fn both_digests_are_asked() {
        let (mut record, bytes) = sample();
        record.sha256_read = Some(Digest::ZERO);
        assert_eq!(judge(&record, &bytes, 9), Err(NotTheContent::Digest));
    }
}
