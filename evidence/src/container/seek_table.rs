//! The seek table at the end of a container: zstd seekable format, without checksums.

use std::ops::Range;

use crate::frames::FRAME_BYTES;
use crate::length::{to_u64, to_usize};

const SKIPPABLE: [u8; 4] = [0x5e, 0x2a, 0x4d, 0x18];
const SEEKABLE: [u8; 4] = [0xb1, 0xea, 0x92, 0x8f];

/// Why bytes are not the seek table of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SeekTableError {
    /// Footer or frame header is not that of a table.
    #[error("no seek table")]
    Form,
    /// Number of frames and length disagree, or there are none or too many.
    #[error("seek table has a wrong length")]
    Length,
    /// A frame other than the last is not 1 MiB plain, or one is empty.
    #[error("seek table lists a frame of a wrong size")]
    FrameSize,
}

/// The place of each frame of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeekTable {
    /// Stored offset of each frame, and the end of the last one. Never empty.
    starts: Vec<u64>,
    plain_len: u64,
}

impl SeekTable {
    /// Length of the fixed end of a table. [`Self::table_len`] computes the whole length from it.
    pub const FOOTER_BYTES: usize = 9;

    /// A table without frames. [`Self::push`] fills it.
    #[must_use]
    pub fn new() -> Self {
        Self { starts: vec![0], plain_len: 0 }
    }

    /// Adds the next frame.
    pub fn push(&mut self, stored: u32, plain: u32) {
        let end = self.stored_len() + u64::from(stored);
        self.starts.push(end);
        self.plain_len += u64::from(plain);
    }

    #[must_use]
    pub fn frames(&self) -> usize {
        self.starts.len() - 1
    }

    /// Stored length of all frames; the table itself starts there.
    #[must_use]
    pub fn stored_len(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0)
    }

    /// Plain length of all frames.
    #[must_use]
    pub fn plain_len(&self) -> u64 {
        self.plain_len
    }

    /// The bytes of the table.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(17 + 8 * self.frames());
        let frames = to_u64(self.frames());
        bytes.extend_from_slice(&SKIPPABLE);
        bytes.extend_from_slice(&low(frames * 8 + 9));
        let mut left = self.plain_len;
        for (start, end) in self.starts.iter().zip(self.starts.iter().skip(1)) {
            let plain = left.min(FRAME_BYTES_U64);
            left -= plain;
            bytes.extend_from_slice(&low(end - start));
            bytes.extend_from_slice(&low(plain));
        }
        bytes.extend_from_slice(&low(frames));
        bytes.push(0);
        bytes.extend_from_slice(&SEEKABLE);
        bytes
    }

    /// Length of the whole table, from the container's last nine bytes.
    ///
    /// # Errors
    /// If they are not the end of a table.
    pub fn table_len(footer: &[u8]) -> Result<usize, SeekTableError> {
        let Some((count, rest)) = footer.split_first_chunk::<4>() else {
            return Err(SeekTableError::Form);
        };
        if rest.split_first() != Some((&0, SEEKABLE.as_slice())) {
            return Err(SeekTableError::Form);
        }
        let frames = to_usize(u64::from(u32::from_le_bytes(*count)));
        if frames == 0 || frames > super::FRAMES_MAX {
            return Err(SeekTableError::Length);
        }
        Ok(17 + 8 * frames)
    }

    /// Parses exactly one table.
    ///
    /// # Errors
    /// If [`Self::to_bytes`] would not write these bytes for any container.
    pub fn parse(bytes: &[u8]) -> Result<Self, SeekTableError> {
        let Some((rest, footer)) = bytes.split_last_chunk::<{ Self::FOOTER_BYTES }>() else {
            return Err(SeekTableError::Form);
        };
        if Self::table_len(footer)? != bytes.len() {
            return Err(SeekTableError::Length);
        }
        let mut table = Self::new();
        let (_, entries) = rest.split_at_checked(8).ok_or(SeekTableError::Form)?;
        let entries = entries.chunks_exact(8);
        let last = entries.len();
        for (i, entry) in entries.enumerate() {
            let Some((stored, plain)) = entry.split_first_chunk::<4>() else {
                return Err(SeekTableError::Form);
            };
            let Ok(plain) = <[u8; 4]>::try_from(plain) else {
                return Err(SeekTableError::Form);
            };
            let (stored, plain) = (u32::from_le_bytes(*stored), u32::from_le_bytes(plain));
            let is_whole = u64::from(plain) == FRAME_BYTES_U64;
            let is_rest = i + 1 == last && plain > 0 && u64::from(plain) < FRAME_BYTES_U64;
            if stored == 0 || !(is_whole || is_rest) {
                return Err(SeekTableError::FrameSize);
            }
            table.push(stored, plain);
        }
        if table.to_bytes() == bytes { Ok(table) } else { Err(SeekTableError::Form) }
    }

    /// The frame that holds a plain offset.
    #[must_use]
    pub(crate) fn frame_at(&self, plain: u64) -> Option<usize> {
        if plain >= self.plain_len {
            return None;
        }
        usize::try_from(plain / FRAME_BYTES_U64).ok()
    }

    #[must_use]
    pub(crate) fn stored_range(&self, frame: usize) -> Option<Range<u64>> {
        let start = self.starts.get(frame)?;
        let end = self.starts.get(frame.checked_add(1)?)?;
        Some(*start..*end)
    }

    #[must_use]
    pub(crate) fn plain_range(&self, frame: usize) -> Option<Range<u64>> {
        let start = u64::try_from(frame).ok()?.checked_mul(FRAME_BYTES_U64)?;
        (start < self.plain_len).then(|| start..self.plain_len.min(start + FRAME_BYTES_U64))
    }

    /// Frame and its stored range for a plain offset.
    #[must_use]
    pub fn lookup(&self, plain: u64) -> Option<(usize, Range<u64>)> {
        let frame = self.frame_at(plain)?;
        Some((frame, self.stored_range(frame)?))
    }
}

impl Default for SeekTable {
    fn default() -> Self {
        Self::new()
    }
}

/// A number of the table: four bytes, little-endian.
#[expect(
    clippy::expect_used,
    reason = "frames come with lengths of 32 bits, and the table of the 4 Mi frames allowed is 32 MiB long"
)]
fn low(value: u64) -> [u8; 4] {
    u32::try_from(value).expect("a number of a seek table has 32 bits").to_le_bytes()
}

const FRAME_BYTES_U64: u64 = to_u64(FRAME_BYTES);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_round_trips_and_finds_every_offset() {
        let mut table = SeekTable::new();
        table.push(500, 1 << 20);
        table.push(700, 1 << 20);
        table.push(9, 17);
        let bytes = table.to_bytes();
        assert_eq!(SeekTable::table_len(&bytes[bytes.len() - 9..]), Ok(bytes.len()));
        assert_eq!(SeekTable::parse(&bytes).unwrap(), table);
        assert_eq!(table.lookup(0), Some((0, 0..500)));
        assert_eq!(table.lookup((1 << 20) - 1), Some((0, 0..500)));
        assert_eq!(table.lookup(1 << 20), Some((1, 500..1200)));
        assert_eq!(table.lookup((2 << 20) + 16), Some((2, 1200..1209)));
        assert_eq!(table.lookup((2 << 20) + 17), None);
        assert_eq!(table.plain_range(2), Some(2 << 20..(2 << 20) + 17));
    }

    #[test]
    fn every_bit_flip_of_a_table_is_refused_or_moves_a_frame() {
        let mut table = SeekTable::new();
        table.push(500, 1 << 20);
        table.push(9, 17);
        let bytes = table.to_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(SeekTable::parse(&flipped).ok(), Some(table.clone()));
        }
        assert_eq!(SeekTable::parse(&bytes[1..]), Err(SeekTableError::Length));
        assert_eq!(SeekTable::parse(b""), Err(SeekTableError::Form));
    }
}
