//! The messages between the collector and its caged verifier.
//!
//! Guarantee: neither side buffers more than [`PAYLOAD_BYTES_MAX`] bytes, whatever the other claims. An unknown kind, or a
//! message that is cut, is an error, never a guess. Not here: what the payloads mean (`services::ingest::child`), how they
//! travel (`cage::pieces`).

use std::io;
use std::os::fd::AsFd as _;

use cage::datagram::{self, DatagramError};
use cage::pieces;

/// Largest payload of one frame: 64 MiB, the largest seal (docs/spec/seal.md). Bounds the buffer of either side.
pub const PAYLOAD_BYTES_MAX: usize = 64 << 20;

/// The kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To the child, first: the container to expect (JSON).
    Begin,
    /// To the child: one whole seal.
    Seal,
    /// To the child: one whole segment, which belongs to the seal just sent.
    Segment,
    /// To the child: all segments were sent; judge the container as a whole.
    Finish,
    /// To the child: a seal; send back its record lines (reads).
    Lines,
    /// To the child: the item to read (JSON). The child asks for the ranges that it needs.
    Item,
    /// To the child: the stored bytes that it asked for.
    Range,
    /// From the child: records of the items that end in this segment, lines with LF.
    Records,
    /// From the child: the segment is good (JSON).
    Accepted,
    /// From the child: the container is good (JSON).
    Finished,
    /// From the child: why the bytes break the format. The child then ends.
    Malformed,
    /// From the child: which stored range of the container it needs next (JSON).
    Want,
    /// From the child: content of the item.
    Plain,
}

impl Kind {
    const ALL: [Self; 13] = [
        Self::Begin,
        Self::Seal,
        Self::Segment,
        Self::Finish,
        Self::Lines,
        Self::Item,
        Self::Range,
        Self::Records,
        Self::Accepted,
        Self::Finished,
        Self::Malformed,
        Self::Want,
        Self::Plain,
    ];

    /// The kind for a byte on the wire. An unknown byte breaks the conversation.
    pub fn of(byte: u8) -> Result<Self, DatagramError> {
        let kind = Self::ALL.into_iter().find(|kind| kind.byte() == byte);
        kind.ok_or(DatagramError::Protocol("a message of unknown kind"))
    }

    /// The byte on the wire.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Begin => b'B',
            Self::Seal => b'L',
            Self::Segment => b'S',
            Self::Finish => b'F',
            Self::Lines => b'N',
            Self::Item => b'I',
            Self::Range => b'R',
            Self::Records => b'r',
            Self::Accepted => b'a',
            Self::Finished => b'f',
            Self::Malformed => b'm',
            Self::Want => b'w',
            Self::Plain => b'p',
        }
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The kind of its payload.
    pub kind: Kind,
    /// The bytes.
    pub payload: Vec<u8>,
}

impl TryFrom<pieces::Frame> for Frame {
    type Error = DatagramError;

    fn try_from(frame: pieces::Frame) -> Result<Self, DatagramError> {
        Ok(Self { kind: Kind::of(frame.kind)?, payload: frame.body })
    }
}

/// The child's input: descriptor 0. The child makes it before the cage closes.
pub struct Input {
    buffer: Vec<u8>,
}

/// The child's output: descriptor 1.
pub struct Output;

/// The child's ends of the pipe.
#[must_use]
pub fn of_child() -> (Input, Output) {
    (Input { buffer: datagram::buffer() }, Output)
}

/// Writes one frame from the child. Blocks.
pub fn write(_: &mut Output, kind: Kind, payload: &[u8]) -> io::Result<()> {
    pieces::write(io::stdout().as_fd(), kind.byte(), payload).map_err(io::Error::other)
}

/// Reads one frame in the child. Blocks. `None` at a clean end.
///
/// # Errors
/// If the collector breaks the protocol.
pub fn read(input: &mut Input) -> io::Result<Option<Frame>> {
    let frame = pieces::read(io::stdin().as_fd(), &mut input.buffer, PAYLOAD_BYTES_MAX);
    frame.and_then(|frame| frame.map(Frame::try_from).transpose()).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_byte_of_its_own_and_no_other_byte_is_one() {
        for kind in Kind::ALL {
            assert_eq!(Kind::of(kind.byte()).unwrap(), kind);
        }
        let known = (0..=u8::MAX).filter(|byte| Kind::of(*byte).is_ok()).count();
        assert_eq!(known, Kind::ALL.len());
    }
}
