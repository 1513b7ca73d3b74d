//! Lists of any length: an answer with many rows travels as a stream of messages of one type.
//!
//! Guarantee: a list has no length at which it stops working. No message of it comes near the limit of the wire, and a reader gets
//! every row or an error. Not here: rows that are sent while they are found (`ListItems`, `Entries`).

use prost::Message;
use tonic::{Response, Status, Streaming};

use crate::limits::{LIST_BYTES_MAX, PART_BYTES, RESPONSE_BYTES_MAX};
use crate::status::Class;

/// Most bytes that a row takes in a message beside its own: its tag and its length.
const FRAME_BYTES: usize = 6;

/// The head and the rows of one message fit the wire together.
const _: () = assert!(2 * PART_BYTES <= RESPONSE_BYTES_MAX);

/// Spreads rows over as many messages as they need. `head` is the first message: it alone has the fields that are no list.
///
/// A message has at most [`PART_BYTES`] of rows, or a single row.
pub fn split<T: Default, R: Message>(
    head: T,
    rows: impl IntoIterator<Item = R>,
    list: impl Fn(&mut T) -> &mut Vec<R>,
) -> Vec<T> {
    let (mut parts, mut part, mut part_bytes) = (Vec::new(), head, 0);
    for row in rows {
        let row_bytes = row.encoded_len() + FRAME_BYTES;
        if part_bytes > 0 && part_bytes + row_bytes > PART_BYTES {
            parts.push(std::mem::take(&mut part));
            part_bytes = 0;
        }
        part_bytes += row_bytes;
        list(&mut part).push(row);
    }
    parts.push(part);
    parts
}

/// Reads an answer that [`split`] spread, as one message.
///
/// # Errors
/// The status of the call, or `OverLimit` if the list has more than [`LIST_BYTES_MAX`].
pub async fn join<T: Message + Default>(answer: Result<Response<Streaming<T>>, Status>) -> Result<T, Status> {
    let mut parts = answer?.into_inner();
    let (mut whole, mut bytes) = (T::default(), 0);
    while let Some(part) = parts.message().await? {
        bytes += append(&mut whole, &part)?;
        if bytes > LIST_BYTES_MAX {
            let text = format!("the list has more than {} MiB; ask for less of it", LIST_BYTES_MAX >> 20);
            return Err(Class::OverLimit.status(text));
        }
    }
    Ok(whole)
}

/// Adds a part to what was read before, by the rule of protobuf: the rows of lists follow each other. Returns the part's bytes.
fn append<T: Message>(whole: &mut T, part: &T) -> Result<usize, Status> {
    let bytes = part.encode_to_vec();
    let merged = whole.merge(bytes.as_slice());
    merged.map_err(|error| Class::Malformed.status(format!("a part of the list: {error}")))?;
    Ok(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{HoldRow, IncidentRow, ShowIncidentResponse, TimelineRow};

    fn joined(parts: &[ShowIncidentResponse]) -> ShowIncidentResponse {
        let mut whole = ShowIncidentResponse::default();
        for part in parts {
            append(&mut whole, part).expect("a part");
        }
        whole
    }

    #[test]
    fn rows_of_any_number_and_size_come_whole_in_messages_below_the_limit() {
        let head = ShowIncidentResponse {
            incident: Some(IncidentRow { incident: "INC-2026-0001".to_owned(), ..Default::default() }),
            kept: "no retention is set".to_owned(),
            ..Default::default()
        };
        let rows = |count: u64, bytes: usize| {
            (0..count).map(move |seq| TimelineRow { seq, summary: "x".repeat(bytes), ..Default::default() })
        };
        for (count, bytes) in
            [(0, 0), (1, 0), (300_000, 0), (100_000, 200), (100, 256 << 10), (3, PART_BYTES)]
        {
            let parts = split(head.clone(), rows(count, bytes), |part| &mut part.timeline);
            let largest = parts.iter().map(Message::encoded_len).max().expect("the head");
            assert!(largest < 2 * PART_BYTES, "{count} of {bytes}: {largest}");
            let whole = joined(&parts);
            assert_eq!(whole.timeline, rows(count, bytes).collect::<Vec<_>>(), "{count} of {bytes}");
            assert_eq!((&whole.incident, &whole.kept), (&head.incident, &head.kept));
        }
    }

    #[test]
    fn an_answer_may_have_two_lists() {
        let holds = (0..3).map(|n| HoldRow { hold: n.to_string(), ..Default::default() });
        let timeline = (0..3).map(|seq| TimelineRow { seq, ..Default::default() });
        let mut parts = split(ShowIncidentResponse::default(), holds, |part| &mut part.holds);
        parts.extend(split(ShowIncidentResponse::default(), timeline, |part| &mut part.timeline));
        let whole = joined(&parts);
        assert_eq!((whole.holds.len(), whole.timeline.len()), (3, 3));
    }
}
