//! The frames between the collector and its caged verifier: one byte of kind, four of length, then the payload.
//!
//! Guarantee: neither side buffers more than [`PAYLOAD_BYTES_MAX`], whatever the other claims; an unknown kind or a cut
//! frame is an error, never a guess. Not here: what the payloads mean (`ingest::child`).

use std::io::{self, Read, Write};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Largest payload of one frame: 64 MiB, the largest seal (docs/spec/seal.md). Bounds the buffer of either side.
pub const PAYLOAD_BYTES_MAX: usize = 64 << 20;

const HEAD_BYTES: usize = 5;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To the child, first: what is expected of the container (JSON).
    Begin,
    /// To the child: one whole seal.
    Seal,
    /// To the child: one whole segment, the one of the seal before.
    Segment,
    /// To the child: every segment was sent; the container is to be judged as a whole.
    Finish,
    /// To the child: a seal whose record lines are wanted (reads).
    Lines,
    /// To the child: an item to be read (JSON); the child asks for the ranges it needs.
    Item,
    /// To the child: the stored bytes it asked for.
    Range,
    /// From the child: item records of the segment in judgement, lines with LF.
    Records,
    /// From the child: the segment is good (JSON).
    Accepted,
    /// From the child: the container is good (JSON).
    Finished,
    /// From the child: why the bytes are not what the format asks. The child ends.
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

    const fn byte(self) -> u8 {
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
    /// What it carries.
    pub kind: Kind,
    /// The bytes.
    pub payload: Vec<u8>,
}

/// Writes one frame, blocking; the child's side.
///
/// # Errors
/// When the other side is gone or the payload is larger than a frame may be.
pub fn write(out: &mut impl Write, kind: Kind, payload: &[u8]) -> io::Result<()> {
    out.write_all(&head(kind, payload.len())?)?;
    out.write_all(payload)?;
    out.flush()
}

/// Reads one frame, blocking; the child's side. `None` at a clean end.
///
/// # Errors
/// When the stream is cut inside a frame or breaks the frame rules.
pub fn read(input: &mut impl Read) -> io::Result<Option<Frame>> {
    let mut first = [0];
    if input.read(&mut first)? == 0 {
        return Ok(None);
    }
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let (kind, length) = parse(first, length)?;
    let mut payload = vec![0; length];
    input.read_exact(&mut payload)?;
    Ok(Some(Frame { kind, payload }))
}

/// Writes a frame whose payload lies in several pieces; the collector's side. Not cancellation-safe: a dropped write
/// leaves half a frame, after which the child must be ended.
///
/// # Errors
/// When the child is gone or the payload is larger than a frame may be.
pub async fn send<'p>(
    out: &mut (impl AsyncWrite + Unpin),
    kind: Kind,
    pieces: impl IntoIterator<Item = &'p [u8]> + Clone,
) -> io::Result<()> {
    let length = pieces.clone().into_iter().map(<[u8]>::len).sum();
    out.write_all(&head(kind, length)?).await?;
    for piece in pieces {
        out.write_all(piece).await?;
    }
    out.flush().await
}

/// Reads a frame; the collector's side. `None` when the child has ended cleanly. Not cancellation-safe.
///
/// # Errors
/// When the child ended inside a frame or broke the frame rules.
pub async fn receive(input: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    let mut first = [0];
    if input.read(&mut first).await? == 0 {
        return Ok(None);
    }
    let mut length = [0; 4];
    input.read_exact(&mut length).await?;
    let (kind, length) = parse(first, length)?;
    let mut payload = vec![0; length];
    input.read_exact(&mut payload).await?;
    Ok(Some(Frame { kind, payload }))
}

fn head(kind: Kind, length: usize) -> io::Result<[u8; HEAD_BYTES]> {
    if length > PAYLOAD_BYTES_MAX {
        return Err(invalid(format!("a frame of {length} bytes is over {PAYLOAD_BYTES_MAX}")));
    }
    let length = u32::try_from(length).map_err(io::Error::other)?;
    let [a, b, c, d] = length.to_le_bytes();
    Ok([kind.byte(), a, b, c, d])
}

fn parse([kind]: [u8; 1], length: [u8; 4]) -> io::Result<(Kind, usize)> {
    let Some(kind) = Kind::ALL.into_iter().find(|known| known.byte() == kind) else {
        return Err(invalid(format!("frame of unknown kind {kind:#04x}")));
    };
    let length = usize::try_from(u32::from_le_bytes(length)).map_err(io::Error::other)?;
    if length > PAYLOAD_BYTES_MAX {
        return Err(invalid(format!("a frame of {length} bytes is over {PAYLOAD_BYTES_MAX}")));
    }
    Ok((kind, length))
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_survives_the_way_there_and_back() {
        for kind in Kind::ALL {
            let mut wire = Vec::new();
            write(&mut wire, kind, b"payload").unwrap();
            write(&mut wire, kind, b"").unwrap();
            let mut input = wire.as_slice();
            assert_eq!(read(&mut input).unwrap(), Some(Frame { kind, payload: b"payload".to_vec() }));
            assert_eq!(read(&mut input).unwrap(), Some(Frame { kind, payload: Vec::new() }));
            assert_eq!(read(&mut input).unwrap(), None);
        }
    }

    #[test]
    fn a_claimed_length_is_refused_before_it_is_allocated() {
        let wire = [b'S', 0xff, 0xff, 0xff, 0xff];
        assert_eq!(read(&mut wire.as_slice()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_cut_frame_and_an_unknown_kind_are_errors() {
        assert_eq!(
            read(&mut [b'S', 4, 0, 0, 0, 1].as_slice()).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
        assert_eq!(read(&mut [b'?', 0, 0, 0, 0].as_slice()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
