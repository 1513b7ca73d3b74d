//! Containers from their pieces, cut where a test likes: what the sealer's own key can sign is signed, so that only the rule at hand is
//! broken.

use std::collections::BTreeMap;

use evidence::container::{Clocks, ContainerSummary, MemberEnd, Params, SeekTable, Writer};
use evidence::digest::Digest;
use evidence::frames::compress_frame;
use evidence::item::outcome::Outcome;
use evidence::item::{Device, GapWhy, ItemError, ItemRecord, Kind, Link, RawBytes, Stage, Stat};
use evidence::keys::SigningKey;
use evidence::seal::{self, Identity, Seal, SealHeader, SealType};
use evidence::time::FileTime;

const FRAME: usize = 1 << 20;

/// A container in pieces.
pub struct Forge {
    pub plain: Vec<u8>,
    pub records: Vec<ItemRecord>,
    pub identity: Identity,
    pub sealer: u8,
    /// Frames in each segment but the last, which holds the rest.
    pub cuts: Vec<usize>,
    /// Segments that exist at all; fewer than were cut: interrupted.
    pub keep: usize,
    /// Put before, between and behind the frames.
    pub hidden: [Vec<u8>; 3],
    /// Changes each header before it is signed.
    pub edit: fn(&mut SealHeader),
}

/// What was built of it.
pub struct Built {
    /// Stored bytes and seal of each segment.
    pub segments: Vec<(Vec<u8>, Vec<u8>)>,
    pub summary: ContainerSummary,
}

fn time(seconds: i64, nanos: u32) -> FileTime {
    FileTime::new(seconds, nanos).unwrap()
}

fn begun() -> FileTime {
    time(1_795_262_400, 123_456_789)
}

fn wall() -> FileTime {
    time(1_795_262_460, 5)
}

fn stat(mode: u32, size: u64) -> Stat {
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
        mtime: time(1_650_000_000, 250_000_000),
        ctime: time(1_600_000_001, 1),
        btime: None,
        attrs: 0,
    }
}

fn file(path: &[u8], size: u64) -> ItemRecord {
    let mut record = ItemRecord::new("files", Kind::File, path, begun());
    record.size = Some(size);
    record.before = Some(stat(0o100_644, size));
    record
}

fn dir(path: &[u8]) -> ItemRecord {
    let mut record = ItemRecord::new("files", Kind::Dir, path, begun());
    record.before = Some(stat(0o40_755, 4096));
    record
}

fn whole(writer: &mut Writer, record: ItemRecord, content: &[u8]) -> ItemRecord {
    let after = record.before.clone();
    writer.begin_member(record).unwrap();
    writer.write(content).unwrap();
    writer.end_member(MemberEnd::ok(after, begun())).unwrap()
}

/// Folders, a file and its hard link, a symlink, a denied file, a torn file, a sparse file, a long file of zeros, a stream.
fn write(identity: &Identity, sealer: u8, long: &[u8]) -> (Vec<u8>, Vec<ItemRecord>) {
    let params = Params {
        deployment: identity.deployment.clone(),
        collection: identity.collection,
        order: identity.order,
        attempt: identity.attempt,
        level: 1,
        lanes: 1,
        salt_seed: [9; 32],
    };
    let mut writer = Writer::new(params, SigningKey::from_seed(&[sealer; 32])).unwrap();
    writer.add_member(dir(b"/")).unwrap();
    writer.add_member(dir(b"/etc")).unwrap();
    let mut hello = file(b"/etc/hello", 12);
    hello.before.as_mut().unwrap().nlink = 2;
    let hello = whole(&mut writer, hello, b"hello world\n");
    let mut hard = file(b"/etc/hard1", 12);
    hard.before = hello.before.clone();
    hard.link = Some(Link { n: hello.n, member: hello.member.clone().unwrap() });
    hard.sha256 = hello.sha256;
    writer.add_member(hard).unwrap();
    let mut soft = ItemRecord::new("files", Kind::Symlink, b"/etc/soft", begun());
    soft.target = Some(RawBytes(b"../etc/hello".to_vec()));
    soft.before = Some(stat(0o120_777, 3));
    writer.add_member(soft).unwrap();
    let mut shadow = ItemRecord::new("files", Kind::File, b"/etc/shadow", begun());
    shadow.outcome = Outcome::Denied;
    writer.record_only(shadow).unwrap();
    writer.begin_member(file(b"/etc/torn", 1500)).unwrap();
    writer.write(&[b'a'; 500]).unwrap();
    writer.write_gap(600, GapWhy::IoError, Some(5)).unwrap();
    writer.write(&[b'z'; 400]).unwrap();
    let mut end = MemberEnd::ok(None, begun());
    end.outcome = Outcome::IoError;
    end.error = Some(ItemError { op: "pread64".into(), errno: 5 });
    writer.end_member(end).unwrap();
    let mut holes = file(b"/etc/holes", 200_000);
    holes.sparse = Some(vec![(4096, 10), (100_000, 20)]);
    whole(&mut writer, holes, &[b's'; 30]);
    whole(&mut writer, file(b"/etc/other", 12), b"other words\n");
    let mut sealed = Vec::new();
    let record = file(b"/etc/zeros", long.len() as u64);
    let after = record.before.clone();
    let clocks = Clocks { wall: wall(), boot: time(4242, 17) };
    writer.begin_member(record).unwrap();
    for chunk in long.chunks(1 << 20) {
        writer.write(chunk).unwrap();
        while let Some(segment) = writer.poll_segment(clocks).unwrap() {
            sealed.push(segment);
        }
    }
    writer.end_member(MemberEnd::ok(after, begun())).unwrap();
    let mut rows = ItemRecord::new("processes", Kind::Stream, "live/processes.jsonl", begun());
    rows.size = Some(3);
    whole(&mut writer, rows, b"{}\n");
    sealed.extend(writer.finish(clocks).unwrap().0);
    let plain = sealed
        .iter()
        .flat_map(|segment| unframe(&segment.bytes, segment.header.plain_end - segment.header.plain_start));
    (plain.collect(), sealed.iter().flat_map(|segment| records(&segment.seal)).collect())
}

fn unframe(segment: &[u8], len: u64) -> Vec<u8> {
    let len = usize::try_from(len).unwrap();
    let mut decoder = evidence::frames::FrameDecoder::new().unwrap();
    let (mut plain, mut frame, mut rest) = (Vec::new(), Vec::new(), segment);
    while plain.len() < len {
        let used = decoder.decode(rest, (len - plain.len()).min(FRAME), &mut frame).unwrap();
        rest = &rest[used..];
        plain.extend_from_slice(&frame);
    }
    plain
}

fn records(seal: &[u8]) -> Vec<ItemRecord> {
    let seal = Seal::parse(seal).unwrap();
    let count = usize::try_from(seal.header.items).unwrap();
    let lines = seal.records().unwrap().take(count);
    lines.map(|line| ItemRecord::parse_line(&line.unwrap(), Stage::Final).unwrap()).collect()
}

impl Forge {
    pub fn new(identity: Identity, sealer: u8, long: &[u8], cuts: Vec<usize>, keep: usize) -> Self {
        let (plain, records) = write(&identity, sealer, long);
        let hidden = [Vec::new(), Vec::new(), Vec::new()];
        Self { plain, records, identity, sealer, cuts, keep, hidden, edit: |_| () }
    }

    /// The record of a path.
    pub fn record(&mut self, path: &[u8]) -> &mut ItemRecord {
        self.records.iter_mut().find(|record| record.path.0 == path).unwrap()
    }

    pub fn build(&self) -> Built {
        let plain: Vec<&[u8]> = self.plain.chunks(FRAME).collect();
        let frames: Vec<Vec<u8>> = plain.iter().map(|chunk| compress_frame(chunk, 1).unwrap()).collect();
        let mut table = SeekTable::new();
        for (frame, chunk) in frames.iter().zip(&plain) {
            table.push(u32::try_from(frame.len()).unwrap(), u32::try_from(chunk.len()).unwrap());
        }
        let mut ends: Vec<usize> = self
            .cuts
            .iter()
            .scan(0, |at, cut| {
                *at += cut;
                Some(*at)
            })
            .collect();
        ends.push(frames.len());
        let (mut segments, mut prev, mut next, mut first, mut at) = (Vec::new(), Digest::ZERO, 0, 0, 0_u64);
        let (mut leaves, mut counts, mut content_bytes) = (Vec::new(), BTreeMap::new(), 0);
        for (index, end) in ends.iter().enumerate().take(self.keep) {
            let is_final = *end == frames.len();
            let mut stored = if index == 0 { self.hidden[0].clone() } else { Vec::new() };
            stored.extend(frames[first..*end].concat());
            if is_final {
                stored.extend_from_slice(&self.hidden[1]);
                stored.extend(table.to_bytes());
                stored.extend_from_slice(&self.hidden[2]);
            }
            let plain_end = if is_final { self.plain.len() as u64 } else { (end * FRAME) as u64 };
            let mut lines = Vec::new();
            let begin = next;
            while let Some(record) = self
                .records
                .get(next)
                .filter(|record| is_final || record.plain_end().is_none_or(|end| end <= plain_end))
            {
                let line = record.to_line().unwrap();
                leaves.push(ledger::leaf_hash(&line));
                *counts.entry(record.outcome.clone()).or_default() += 1;
                content_bytes += if record.has_content() { record.size.unwrap() } else { 0 };
                lines.extend(line);
                lines.push(b'\n');
                next += 1;
            }
            let open = self.records.get(next).filter(|record| record.at.is_some_and(|at| at < plain_end));
            if let Some(open) = open {
                lines.extend(open.open_at(plain_end, wall()).to_line().unwrap());
                lines.push(b'\n');
            }
            let records: Vec<u8> =
                lines.chunks(FRAME).flat_map(|chunk| compress_frame(chunk, 1).unwrap()).collect();
            let mut header = SealHeader {
                kind: SealType,
                deployment: self.identity.deployment.clone(),
                collection: self.identity.collection,
                order: self.identity.order,
                attempt: self.identity.attempt,
                index: index as u64,
                sha256: Digest::of(&stored),
                stored_len: stored.len() as u64,
                plain_start: at,
                plain_end,
                items: (next - begin) as u64,
                items_total: next as u64,
                open: open.is_some(),
                records_sha256: Digest::of(&records),
                records_len: records.len() as u64,
                prev,
                wall: wall(),
                boot: time(4242, 17),
                is_final,
            };
            (self.edit)(&mut header);
            let seal = seal::make(&header, &records, &SigningKey::from_seed(&[self.sealer; 32])).unwrap();
            prev = Digest::of(&seal);
            segments.push((stored, seal));
            (first, at) = (*end, plain_end);
        }
        let container: Vec<u8> = segments.iter().flat_map(|(stored, _)| stored.iter().copied()).collect();
        let summary = ContainerSummary {
            segments: segments.len() as u64,
            stored_len: container.len() as u64,
            plain_len: at,
            container_sha256: Digest::of(&container),
            items: next as u64,
            items_root: ledger::root_of(&leaves).into(),
            seal_head: prev,
            counts_by_outcome: counts,
            content_bytes,
        };
        Built { segments, summary }
    }
}
