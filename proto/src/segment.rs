//! The form of one segment and its seal inside an upload: the sender cuts them into messages, the receiver puts them together.
//!
//! Guarantee: the receiver never holds more than the announced lengths, which never exceed docs/spec. It refuses by name
//! whatever is out of order, too long or too short. Not here: whether seal and bytes are right (`evidence`).

use bytes::{Bytes, BytesMut};

use crate::limits::{DATA_BYTES_MAX, SEAL_BYTES_MAX, SEGMENT_BYTES_MAX};
use crate::status::Class;
use crate::v1::upload_request::Message;
use crate::v1::{SegmentBegin, UploadRequest};

/// Why an upload's messages do not make a segment.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SegmentError {
    /// The announced length is zero or over the limit of the format.
    #[error("{what} of {announced} bytes announced, allowed are 1 to {max}")]
    Length {
        /// `seal` or `segment`.
        what: &'static str,
        /// The length in `SegmentBegin`.
        announced: u64,
        /// The format's limit.
        max: u64,
    },
    /// A message that does not belong here.
    #[error("{got} where {expected} is due")]
    Order {
        /// The message that came.
        got: &'static str,
        /// The message that was due.
        expected: &'static str,
    },
    /// A piece is empty, too large, or reaches past the announced end.
    #[error(
        "{what} message of {len} bytes with {missing} bytes to come (1 to {DATA_BYTES_MAX} bytes a message)"
    )]
    Piece {
        /// `seal_data` or `data`.
        what: &'static str,
        /// Its length.
        len: usize,
        /// Number of bytes that were still missing before it.
        missing: u64,
    },
}

impl From<SegmentError> for tonic::Status {
    fn from(error: SegmentError) -> Self {
        Class::Malformed.status(error.to_string())
    }
}

/// The messages that carry one segment; pieces share memory with `seal` and `stored`.
pub fn messages(seal: Bytes, stored: Bytes) -> impl Iterator<Item = UploadRequest> + Send {
    let begin = SegmentBegin { seal_len: seal.len() as u64, stored_len: stored.len() as u64 };
    std::iter::once(Message::Segment(begin))
        .chain(Pieces(seal).map(Message::SealData))
        .chain(Pieces(stored).map(Message::Data))
        .map(|message| UploadRequest { message: Some(message) })
}

struct Pieces(Bytes);

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.0.is_empty() {
            return None;
        }
        let len = self.0.len().min(DATA_BYTES_MAX);
        Some(self.0.split_to(len))
    }
}

/// A whole segment as it was sent. Nothing about it is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The seal's bytes.
    pub seal: Bytes,
    /// The stored bytes.
    pub stored: Bytes,
}

/// The effect of a message on the assembly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assembled {
    /// More pieces are due.
    More,
    /// A segment is whole.
    Whole(Segment),
}

/// Puts segments together from an upload's messages, one after the other.
#[derive(Debug, Default)]
pub struct Assembly {
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    seal_missing: u64,
    stored_missing: u64,
    seal: BytesMut,
    stored: BytesMut,
}

impl Assembly {
    /// Announces a segment.
    pub fn begin(&mut self, begin: SegmentBegin) -> Result<(), SegmentError> {
        if let Some(open) = &self.open {
            return Err(SegmentError::Order { got: "segment", expected: open.expected() });
        }
        length("seal", begin.seal_len, SEAL_BYTES_MAX)?;
        length("segment", begin.stored_len, SEGMENT_BYTES_MAX)?;
        // Reserve nothing ahead: an announcement alone must not cost memory.
        self.open = Some(Open {
            seal_missing: begin.seal_len,
            stored_missing: begin.stored_len,
            seal: BytesMut::new(),
            stored: BytesMut::new(),
        });
        Ok(())
    }

    /// Takes a piece of the seal.
    pub fn seal_data(&mut self, piece: &Bytes) -> Result<Assembled, SegmentError> {
        let open = self.open.as_mut().ok_or(SegmentError::Order { got: "seal_data", expected: "segment" })?;
        if open.seal_missing == 0 {
            return Err(SegmentError::Order { got: "seal_data", expected: "data" });
        }
        open.seal_missing = rest("seal_data", piece, open.seal_missing)?;
        open.seal.extend_from_slice(piece);
        Ok(Assembled::More)
    }

    /// Takes a piece of the stored bytes.
    pub fn data(&mut self, piece: &Bytes) -> Result<Assembled, SegmentError> {
        let open = self.open.as_mut().ok_or(SegmentError::Order { got: "data", expected: "segment" })?;
        if open.seal_missing > 0 {
            return Err(SegmentError::Order { got: "data", expected: "seal_data" });
        }
        open.stored_missing = rest("data", piece, open.stored_missing)?;
        open.stored.extend_from_slice(piece);
        if open.stored_missing > 0 {
            return Ok(Assembled::More);
        }
        let segment = Segment {
            seal: std::mem::take(&mut open.seal).freeze(),
            stored: std::mem::take(&mut open.stored).freeze(),
        };
        self.open = None;
        Ok(Assembled::Whole(segment))
    }
}

impl Open {
    const fn expected(&self) -> &'static str {
        if self.seal_missing > 0 { "seal_data" } else { "data" }
    }
}

const fn length(what: &'static str, announced: u64, max: u64) -> Result<(), SegmentError> {
    if announced == 0 || announced > max {
        return Err(SegmentError::Length { what, announced, max });
    }
    Ok(())
}

fn rest(what: &'static str, piece: &Bytes, missing: u64) -> Result<u64, SegmentError> {
    let len = piece.len();
    match missing.checked_sub(len as u64) {
        Some(rest) if len > 0 && len <= DATA_BYTES_MAX => Ok(rest),
        _ => Err(SegmentError::Piece { what, len, missing }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assemble(messages: impl Iterator<Item = UploadRequest>) -> Result<Vec<Segment>, SegmentError> {
        let mut assembly = Assembly::default();
        let mut whole = Vec::new();
        for message in messages {
            let step = match message.message.expect("set") {
                Message::Segment(begin) => assembly.begin(begin).map(|()| Assembled::More)?,
                Message::SealData(piece) => assembly.seal_data(&piece)?,
                Message::Data(piece) => assembly.data(&piece)?,
                other => panic!("{other:?}"),
            };
            if let Assembled::Whole(segment) = step {
                assert!(assembly.open.is_none());
                whole.push(segment);
            }
        }
        Ok(whole)
    }

    fn request(message: Message) -> UploadRequest {
        UploadRequest { message: Some(message) }
    }

    #[test]
    fn a_segment_arrives_as_it_was_sent_at_every_boundary() {
        for (seal, stored) in [
            (1, 1),
            (DATA_BYTES_MAX, DATA_BYTES_MAX),
            (DATA_BYTES_MAX + 1, 2 * DATA_BYTES_MAX),
            (5 * DATA_BYTES_MAX - 1, 16 * DATA_BYTES_MAX),
        ] {
            let seal = Bytes::from(vec![7; seal]);
            let stored = Bytes::from(vec![9; stored]);
            let sent: Vec<_> = messages(seal.clone(), stored.clone())
                .chain(messages(stored.clone(), seal.clone()))
                .collect();
            let whole = assemble(sent.into_iter()).unwrap();
            assert_eq!(
                whole,
                [
                    Segment { seal: seal.clone(), stored: stored.clone() },
                    Segment { seal: stored, stored: seal }
                ]
            );
        }
    }

    #[test]
    fn announced_lengths_over_the_format_are_refused_before_any_byte() {
        for (seal_len, stored_len) in
            [(0, 1), (1, 0), (SEAL_BYTES_MAX + 1, 1), (1, SEGMENT_BYTES_MAX + 1), (u64::MAX, u64::MAX)]
        {
            let begin = SegmentBegin { seal_len, stored_len };
            assert!(matches!(Assembly::default().begin(begin), Err(SegmentError::Length { .. })));
        }
    }

    #[test]
    fn pieces_out_of_order_or_over_the_end_are_refused() {
        let piece = |len: usize| Bytes::from(vec![1; len]);
        let begin = || request(Message::Segment(SegmentBegin { seal_len: 2, stored_len: 3 }));
        let seal = |len| request(Message::SealData(piece(len)));
        let data = |len| request(Message::Data(piece(len)));
        for (case, text) in [
            (vec![data(1)], "data where segment is due"),
            (vec![seal(1)], "seal_data where segment is due"),
            (vec![begin(), data(1)], "data where seal_data is due"),
            (vec![begin(), begin()], "segment where seal_data is due"),
            (vec![begin(), seal(2), seal(1)], "seal_data where data is due"),
            (
                vec![begin(), seal(3)],
                "seal_data message of 3 bytes with 2 bytes to come (1 to 1048576 bytes a message)",
            ),
            (
                vec![begin(), seal(0)],
                "seal_data message of 0 bytes with 2 bytes to come (1 to 1048576 bytes a message)",
            ),
            (
                vec![begin(), seal(2), data(4)],
                "data message of 4 bytes with 3 bytes to come (1 to 1048576 bytes a message)",
            ),
        ] {
            assert_eq!(assemble(case.into_iter()).unwrap_err().to_string(), text);
        }
        let long = SegmentBegin { seal_len: 4 << 20, stored_len: 1 };
        let case = [request(Message::Segment(long)), seal(DATA_BYTES_MAX + 1)];
        assert!(matches!(assemble(case.into_iter()), Err(SegmentError::Piece { .. })));
    }
}
