//! `live/outcomes.jsonl`: the warning inside the tar itself. Its content is a function of the records.

use serde::Serialize;

use crate::item::outcome::Outcome;
use crate::item::{Gap, ItemError, ItemRecord, Kind, RawBytes};

/// Collector name of the outcomes members.
pub(super) const COLLECTOR: &str = "outcomes";

/// A writer puts pending lines into a part when they reach 1 MiB; bounds what waits in memory.
pub(super) const PART_BYTES: usize = 1 << 20;

/// Largest outcomes member: 4 MiB. A part is closed at 1 MiB, and no line is over 3 MiB.
pub(super) const MEMBER_BYTES_MAX: u64 = 4 << 20;

#[derive(Serialize)]
struct Line<'a> {
    n: u64,
    collector: &'a str,
    path: &'a RawBytes,
    shown: &'a str,
    kind: Kind,
    outcome: &'a Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<&'a RawBytes>,
    #[serde(skip_serializing_if = "<[Gap]>::is_empty")]
    gaps: &'a [Gap],
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a ItemError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
}

/// The line, with LF, of an item whose outcome is not `ok`; `None` for any other item.
pub(super) fn line(record: &ItemRecord) -> Option<Vec<u8>> {
    if record.outcome.is_ok() {
        return None;
    }
    let line = Line {
        n: record.n,
        collector: &record.collector,
        path: &record.path,
        shown: &record.shown,
        kind: record.kind,
        outcome: &record.outcome,
        member: record.member.as_ref(),
        gaps: &record.gaps,
        error: record.error.as_ref(),
        note: record.note.as_deref(),
    };
    let mut line = serde_json::to_vec(&line).ok()?;
    line.push(b'\n');
    Some(line)
}

/// Name of the n-th part, from 1.
pub(super) fn part_name(part: u64) -> String {
    format!("live/outcomes.part{part:04}.jsonl")
}

/// True for names that only the writer itself may give.
pub(super) fn is_reserved(path: &[u8]) -> bool {
    path.starts_with(b"live/outcomes.")
}
