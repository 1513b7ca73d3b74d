//! Containers and their seals: written by the writer, or put together from pieces and sealed by the sealer's own key.
//!
//! | file | content |
//! |---|---|
//! | `lab` | containers that the writer makes from records and contents; the worked example of docs/spec |
//! | `pieces` | a container of one segment, in pieces that a test may replace |
//! | `forge` | a container of several segments, cut and interrupted where a test likes |

#![expect(
    missing_docs,
    reason = "fields and functions are named for what they are; what a name does not say stands beside it"
)]
#![expect(clippy::indexing_slicing, reason = "a test that cannot build its world has failed")]

use evidence::frames::{FRAME_BYTES, FrameDecoder};
use evidence::item::outcome::Outcome;
use evidence::item::{Device, ItemRecord, Kind, RawBytes, Stage, Stat};
use evidence::seal::Seal;
use evidence::time::FileTime;

pub mod forge;
pub mod lab;
pub mod pieces;

pub fn time(seconds: i64, nanos: u32) -> FileTime {
    FileTime::new(seconds, nanos).unwrap()
}

pub fn begun() -> FileTime {
    time(1_700_000_000, 123_456_789)
}

pub fn stat(mode: u32, size: u64, mtime: FileTime) -> Stat {
    Stat {
        dev: Device { major: 8, minor: 1 },
        ino: 123,
        mode,
        nlink: 1,
        uid: 1000,
        gid: 100,
        size,
        blocks: size.div_ceil(512),
        atime: time(1_600_000_000, 0),
        mtime,
        ctime: time(1_600_000_001, 1),
        btime: None,
        attrs: 0,
    }
}

pub fn file(path: &[u8], size: u64) -> ItemRecord {
    let mut record = ItemRecord::new("files", Kind::File, path, begun());
    record.size = Some(size);
    record.before = Some(stat(0o100_644, size, time(1_650_000_000, 250_000_000)));
    record
}

pub fn dir(path: &[u8]) -> ItemRecord {
    let mut record = ItemRecord::new("files", Kind::Dir, path, begun());
    record.before = Some(stat(0o40_755, 4096, time(1_640_000_000, 0)));
    record
}

pub fn symlink(path: &[u8], target: &[u8]) -> ItemRecord {
    let mut record = ItemRecord::new("files", Kind::Symlink, path, begun());
    record.target = Some(RawBytes(target.to_vec()));
    record.before = Some(stat(0o120_777, 3, time(1_640_000_000, 0)));
    record
}

pub fn denied(path: &[u8]) -> ItemRecord {
    let mut record = ItemRecord::new("files", Kind::File, path, begun());
    record.outcome = Outcome::Denied;
    record
}

pub fn stream(name: &str, size: u64) -> ItemRecord {
    let mut record = ItemRecord::new("processes", Kind::Stream, name, begun());
    record.size = Some(size);
    record
}

/// Bytes that do not compress. They are the same every time.
pub fn noise(len: usize) -> Vec<u8> {
    noise_from(0x9e37_79b9_7f4a_7c15, len)
}

/// Other such bytes for each state but 0.
pub fn noise_from(mut state: u64, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// The plain bytes of a segment.
pub fn unframe(segment: &[u8], len: usize) -> Vec<u8> {
    let mut decoder = FrameDecoder::new().unwrap();
    let (mut plain, mut frame, mut rest) = (Vec::new(), Vec::new(), segment);
    while plain.len() < len {
        let used = decoder.decode(rest, (len - plain.len()).min(FRAME_BYTES), &mut frame).unwrap();
        rest = &rest[used..];
        plain.extend_from_slice(&frame);
    }
    plain
}

/// The records of a seal.
pub fn records_of(seal: &[u8]) -> Vec<ItemRecord> {
    let seal = Seal::parse(seal).unwrap();
    let open = seal.header.open;
    let lines: Vec<Vec<u8>> = seal.records().unwrap().map(Result::unwrap).collect();
    let last = lines.len();
    let stage = |i: usize| {
        if open && i + 1 == last { Stage::Open } else { Stage::Final }
    };
    lines.iter().enumerate().map(|(i, line)| ItemRecord::parse_line(line, stage(i)).unwrap()).collect()
}
