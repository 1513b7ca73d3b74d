//! The records behind a seal's header, decoded a frame at a time.

use super::{RECORDS_PLAIN_MAX, SealError};
use crate::frames::{Compressor, FRAME_BYTES, FrameDecoder, FrameError};
use crate::item::LINE_BYTES_MAX;
use crate::length::len;

/// Iterator over record lines without LF. After an error it yields nothing more.
pub struct Records<'a> {
    stored: &'a [u8],
    decoder: FrameDecoder,
    frame: Vec<u8>,
    pending: Vec<u8>,
    taken: usize,
    plain_total: u64,
    has_failed: bool,
}

impl<'a> Records<'a> {
    pub(super) fn new(stored: &'a [u8]) -> Result<Self, SealError> {
        let decoder = FrameDecoder::new().map_err(SealError::RecordsFrame)?;
        let (frame, pending) = (Vec::new(), Vec::new());
        Ok(Self { stored, decoder, frame, pending, taken: 0, plain_total: 0, has_failed: false })
    }

    fn advance(&mut self) -> Result<Option<Vec<u8>>, SealError> {
        let mut searched = self.taken;
        loop {
            let (_, rest) = self.pending.split_at(searched);
            if let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
                let (before, _) = self.pending.split_at(searched + at);
                let (_, line) = before.split_at(self.taken);
                if line.len() > LINE_BYTES_MAX {
                    return Err(SealError::LineTooLong);
                }
                let line = line.to_vec();
                self.taken = searched + at + 1;
                return Ok(Some(line));
            }
            self.pending.drain(..self.taken);
            self.taken = 0;
            searched = self.pending.len();
            if searched > LINE_BYTES_MAX {
                return Err(SealError::LineTooLong);
            }
            if self.stored.is_empty() {
                return if self.pending.is_empty() { Ok(None) } else { Err(SealError::UnendedLine) };
            }
            let decoded = self.decoder.decode_up_to(self.stored, FRAME_BYTES, &mut self.frame);
            let used = decoded.map_err(SealError::RecordsFrame)?;
            self.stored = self.stored.split_at(used).1;
            self.plain_total += len(&self.frame);
            if self.plain_total > RECORDS_PLAIN_MAX {
                return Err(SealError::RecordsTooLarge);
            }
            self.pending.extend_from_slice(&self.frame);
        }
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Vec<u8>, SealError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        let next = self.advance();
        self.has_failed = next.is_err();
        next.transpose()
    }
}

/// Compresses record lines (each with its LF) as a seal stores them.
pub(crate) fn compress(lines: &[u8], compressor: &mut Compressor) -> Result<Vec<u8>, FrameError> {
    let mut stored = Vec::new();
    let mut frame = Vec::new();
    for chunk in lines.chunks(FRAME_BYTES) {
        compressor.compress(chunk, &mut frame)?;
        stored.extend_from_slice(&frame);
    }
    Ok(stored)
}
