//! Single zstd frames (RFC 8878) under the container's rules.

use zstd::zstd_safe::{self, CCtx, CParameter, DCtx};

use crate::length::to_u64;

/// Plain bytes of every frame but the last: 1 MiB. Bounds a decoder's memory and is the unit of random access.
pub const FRAME_BYTES: usize = 1 << 20;

/// Largest window a frame may ask a decoder for: 8 MiB, what every zstd accepts without a flag.
pub(crate) const WINDOW_BYTES_MAX: u64 = 8 << 20;

const MAGIC: u32 = 0xFD2F_B528;

/// Why bytes are not one frame of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Ends inside the frame.
    #[error("frame is cut")]
    Cut,
    /// A skippable frame: decoders skip its bytes in silence.
    #[error("skippable frame where a data frame must stand")]
    Skippable,
    /// A frame of zstd before 0.8.
    #[error("legacy frame")]
    Legacy,
    /// The bytes are not a zstd frame.
    #[error("no zstd frame")]
    Magic,
    /// The reserved or the unused bit is set.
    #[error("reserved bit of the frame header is set")]
    Reserved,
    /// The checksum flag is set.
    #[error("frame has a checksum")]
    Checksum,
    /// A dictionary id is present.
    #[error("frame needs a dictionary")]
    Dictionary,
    /// No content size in the header.
    #[error("frame does not state its content size")]
    NoContentSize,
    /// Window over 8 MiB.
    #[error("frame asks for a window over 8 MiB")]
    Window,
    /// The content size is not the one that the rules give at this place.
    #[error("frame states a content size of {stated} bytes, {expected} expected")]
    ContentSize {
        /// In the header.
        stated: u64,
        /// By the rules.
        expected: u64,
    },
    /// The frame is longer than any encoder makes it: it has blocks without content.
    #[error("frame is longer than its content can need")]
    Bloated,
    /// The blocks do not decode to the stated size.
    #[error("frame does not decode")]
    Corrupt,
    /// The library could not allocate, or refused a parameter.
    #[error("zstd library failed")]
    Library,
}

/// Compresses frames one after the other with one context.
pub struct Compressor {
    context: CCtx<'static>,
}

impl Compressor {
    /// A compressor of `level` (1 in practice; any is valid).
    ///
    /// # Errors
    /// If the library cannot allocate.
    pub fn new(level: i32) -> Result<Self, FrameError> {
        let mut context = CCtx::try_create().ok_or(FrameError::Library)?;
        for parameter in [
            CParameter::CompressionLevel(level),
            CParameter::ContentSizeFlag(true),
            CParameter::ChecksumFlag(false),
            CParameter::DictIdFlag(false),
        ] {
            context.set_parameter(parameter).map_err(library)?;
        }
        Ok(Self { context })
    }

    /// Writes one frame of `plain` into `frame`, which is cleared first and keeps its allocation.
    pub fn compress(&mut self, plain: &[u8], frame: &mut Vec<u8>) -> Result<(), FrameError> {
        frame.clear();
        frame.reserve(zstd_safe::compress_bound(plain.len()));
        self.context.compress2(frame, plain).map_err(library)?;
        Ok(())
    }
}

/// One frame of `plain`, as a pure function.
pub fn compress_frame(plain: &[u8], level: i32) -> Result<Vec<u8>, FrameError> {
    let mut frame = Vec::new();
    Compressor::new(level)?.compress(plain, &mut frame)?;
    Ok(frame)
}

/// Hides the library's code, because it tells a user nothing.
fn library(_code: usize) -> FrameError {
    FrameError::Library
}

/// Decodes single frames with one context, never more than the caller allows.
pub struct FrameDecoder {
    context: DCtx<'static>,
}

impl FrameDecoder {
    /// A decoder.
    ///
    /// # Errors
    /// When the library cannot allocate.
    pub fn new() -> Result<Self, FrameError> {
        Ok(Self { context: DCtx::try_create().ok_or(FrameError::Library)? })
    }

    /// Decodes the frame at the start of `input` into `plain` (cleared first) and returns its stored length.
    /// `expected` is the content size that the rules give. The header is checked before anything is decoded.
    ///
    /// # Errors
    /// [`FrameError`] names the broken rule.
    pub fn decode(
        &mut self,
        input: &[u8],
        expected: usize,
        plain: &mut Vec<u8>,
    ) -> Result<usize, FrameError> {
        let stated = content_size(input)?;
        if usize::try_from(stated) != Ok(expected) {
            return Err(FrameError::ContentSize { stated, expected: to_u64(expected) });
        }
        self.decode_checked(input, expected, plain)
    }

    /// As [`Self::decode`] for a frame of any content size from 1 to `max`.
    ///
    /// # Errors
    /// [`FrameError`] names the rule that is broken.
    pub fn decode_up_to(
        &mut self,
        input: &[u8],
        max: usize,
        plain: &mut Vec<u8>,
    ) -> Result<usize, FrameError> {
        let stated = content_size(input)?;
        match usize::try_from(stated) {
            Ok(size) if size >= 1 && size <= max => self.decode_checked(input, size, plain),
            _ => Err(FrameError::ContentSize { stated, expected: to_u64(max) }),
        }
    }

    fn decode_checked(
        &mut self,
        input: &[u8],
        size: usize,
        plain: &mut Vec<u8>,
    ) -> Result<usize, FrameError> {
        let stored = zstd_safe::find_frame_compressed_size(input).map_err(corrupt)?;
        if stored > size + size / 256 + 64 {
            return Err(FrameError::Bloated);
        }
        let frame = input.get(..stored).ok_or(FrameError::Cut)?;
        plain.clear();
        plain.reserve(size);
        let decoded = self.context.decompress(plain, frame).map_err(corrupt)?;
        if decoded == size { Ok(stored) } else { Err(FrameError::Corrupt) }
    }
}

fn corrupt(_code: usize) -> FrameError {
    FrameError::Corrupt
}

/// Checks the frame header by hand (RFC 8878 §3.1.1.1) and returns the content size it states.
fn content_size(input: &[u8]) -> Result<u64, FrameError> {
    let mut bytes = input.iter().copied();
    match number(&mut bytes, 4)? {
        magic if magic == u64::from(MAGIC) => {}
        0x184D_2A50..=0x184D_2A5F => return Err(FrameError::Skippable),
        0xFD2F_B522..=0xFD2F_B527 | 0x1EB5_2FFD => return Err(FrameError::Legacy),
        _ => return Err(FrameError::Magic),
    }
    let descriptor = number(&mut bytes, 1)?;
    let is_single_segment = descriptor & 0x20 != 0;
    if descriptor & 0x18 != 0 {
        return Err(FrameError::Reserved);
    }
    if descriptor & 0x04 != 0 {
        return Err(FrameError::Checksum);
    }
    if descriptor & 0x03 != 0 {
        return Err(FrameError::Dictionary);
    }
    if !is_single_segment {
        let window = number(&mut bytes, 1)?;
        let base = 1_u64 << (10 + (window >> 3)); // at most 2^41
        if base + base / 8 * (window & 7) > WINDOW_BYTES_MAX {
            return Err(FrameError::Window);
        }
    }
    match descriptor >> 6 {
        0 if is_single_segment => number(&mut bytes, 1),
        0 => Err(FrameError::NoContentSize),
        1 => Ok(number(&mut bytes, 2)? + 256),
        2 => number(&mut bytes, 4),
        _ => number(&mut bytes, 8),
    }
}

/// A little-endian number of `width` bytes.
fn number(bytes: &mut impl Iterator<Item = u8>, width: u32) -> Result<u64, FrameError> {
    let mut value = 0;
    for shift in 0..width {
        value |= u64::from(bytes.next().ok_or(FrameError::Cut)?) << (8 * shift);
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(frame: &[u8], expected: usize) -> Result<usize, FrameError> {
        FrameDecoder::new().unwrap().decode(frame, expected, &mut Vec::new())
    }

    #[test]
    fn frames_round_trip_at_every_header_form() {
        for size in [1, 2, 255, 256, 257, 65_535, 65_791, 65_792, FRAME_BYTES - 1, FRAME_BYTES] {
            let plain: Vec<u8> = (0..size).map(|i| u8::try_from(i % 251).unwrap()).collect();
            for level in [-5, 1, 3, 19] {
                let frame = compress_frame(&plain, level).unwrap();
                let mut decoded = Vec::new();
                let stored = FrameDecoder::new().unwrap().decode(&frame, size, &mut decoded).unwrap();
                assert_eq!(stored, frame.len());
                assert!(decoded == plain);
            }
        }
    }

    #[test]
    fn each_header_rule_has_its_error() {
        let good = compress_frame(b"hello, hello, hello", 1).unwrap();
        let with = |at: usize, byte: u8| {
            let mut frame = good.clone();
            frame[at] = byte;
            check(&frame, 19)
        };
        assert_eq!(check(&good, 19), Ok(good.len()));
        assert_eq!(check(&good, 20), Err(FrameError::ContentSize { stated: 19, expected: 20 }));
        assert_eq!(check(&good[..good.len() - 1], 19), Err(FrameError::Corrupt));
        assert_eq!(check(&good[..3], 19), Err(FrameError::Cut));
        assert_eq!(with(0, 0x27), Err(FrameError::Legacy));
        assert_eq!(with(3, 0), Err(FrameError::Magic));
        assert_eq!(with(4, 0x24), Err(FrameError::Checksum));
        assert_eq!(with(4, 0x21), Err(FrameError::Dictionary));
        assert_eq!(with(4, 0x28), Err(FrameError::Reserved));
        assert_eq!(with(4, 0x30), Err(FrameError::Reserved));
        assert_eq!(with(4, 0x00), Err(FrameError::NoContentSize)); // 19 reads as a window
        assert_eq!(check(&[0x5e, 0x2a, 0x4d, 0x18, 0, 0, 0, 0], 1), Err(FrameError::Skippable));
    }

    #[test]
    fn a_frame_with_empty_blocks_is_bloated() {
        // Header for 1 byte, then 100 empty raw blocks, then the byte as the last raw block.
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x20, 1];
        for _ in 0..100 {
            frame.extend([0, 0, 0]);
        }
        frame.extend([0b1001, 0, 0, b'x']);
        assert_eq!(check(&frame, 1), Err(FrameError::Bloated));
    }
}
