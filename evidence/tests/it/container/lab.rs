//! Makes containers with fixed keys, and takes them apart.

use std::str::FromStr;

use evidence::container::{
    Clocks, ContainerSummary, Expect, Limits, Malformed, MemberEnd, Params, SealedSegment, Verifier,
    WriteError, Writer,
};
use evidence::digest::Digest;
use evidence::frames::{FRAME_BYTES, FrameDecoder};
use evidence::id::DeploymentId;
use evidence::item::outcome::Outcome;
use evidence::item::{Device, ItemRecord, Kind, RawBytes, Stage, Stat};
use evidence::keys::SigningKey;
use evidence::seal::{Identity, Seal};
use evidence::time::FileTime;

pub fn time(seconds: i64, nanos: u32) -> FileTime {
    FileTime::new(seconds, nanos).unwrap()
}

pub fn begun() -> FileTime {
    time(1_700_000_000, 123_456_789)
}

pub fn clocks() -> Clocks {
    Clocks { wall: time(1_700_000_100, 5), boot: time(4242, 17) }
}

pub fn signer() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

pub fn identity() -> Identity {
    Identity {
        deployment: DeploymentId::from_str("example").unwrap(),
        collection: Digest([0xc0; 32]),
        order: Digest([0x0d; 32]),
        attempt: 1,
    }
}

pub fn params(lanes: usize) -> Params {
    let id = identity();
    Params {
        deployment: id.deployment,
        collection: id.collection,
        order: id.order,
        attempt: id.attempt,
        level: 1,
        lanes,
        salt_seed: [9; 32],
    }
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

/// Bytes that do not compress, the same every time.
pub fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
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

/// A writer that collects what it emits.
pub struct Lab {
    pub writer: Writer,
    pub segments: Vec<SealedSegment>,
    pub records: Vec<ItemRecord>,
}

pub struct Built {
    pub segments: Vec<SealedSegment>,
    pub summary: ContainerSummary,
    /// Without the outcomes members.
    pub records: Vec<ItemRecord>,
}

impl Lab {
    pub fn new(lanes: usize) -> Self {
        let writer = Writer::new(params(lanes), signer()).unwrap();
        Self { writer, segments: Vec::new(), records: Vec::new() }
    }

    pub fn poll(&mut self) {
        while let Some(segment) = self.writer.poll_segment(clocks()).unwrap() {
            self.segments.push(segment);
        }
    }

    pub fn whole(&mut self, record: ItemRecord, content: &[u8]) -> Result<ItemRecord, WriteError> {
        let after = record.before.clone();
        self.writer.begin_member(record)?;
        for chunk in content.chunks(300_000) {
            self.writer.write(chunk)?;
            self.poll();
        }
        self.end(MemberEnd::ok(after, begun()))
    }

    pub fn end(&mut self, end: MemberEnd) -> Result<ItemRecord, WriteError> {
        let record = self.writer.end_member(end)?;
        self.records.push(record.clone());
        self.poll();
        Ok(record)
    }

    pub fn add(&mut self, record: ItemRecord) -> Result<ItemRecord, WriteError> {
        let record = self.writer.add_member(record)?;
        self.records.push(record.clone());
        Ok(record)
    }

    pub fn only(&mut self, record: ItemRecord) -> ItemRecord {
        let record = self.writer.record_only(record).unwrap();
        self.records.push(record.clone());
        record
    }

    pub fn finish(mut self) -> Built {
        let (segments, summary) = self.writer.finish(clocks()).unwrap();
        self.segments.extend(segments);
        Built { segments: self.segments, summary, records: self.records }
    }
}

pub fn verifier() -> Verifier {
    Verifier::new(Expect { identity: identity(), sealer: signer().public(), limits: Limits::NONE }).unwrap()
}

pub fn verify_parts<'a>(
    parts: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<(ContainerSummary, Vec<ItemRecord>), Malformed> {
    let mut verifier = verifier();
    let mut records = Vec::new();
    for (seal, segment) in parts {
        verifier.segment(seal, segment, &mut |record| records.push(record.clone()))?;
    }
    Ok((verifier.finish()?, records))
}

impl Built {
    pub fn verify(&self) -> Result<(ContainerSummary, Vec<ItemRecord>), Malformed> {
        verify_parts(self.segments.iter().map(|s| (s.seal.as_slice(), s.bytes.as_slice())))
    }

    pub fn container(&self) -> Vec<u8> {
        self.segments.iter().flat_map(|segment| segment.bytes.iter().copied()).collect()
    }

    pub fn plain(&self) -> Vec<u8> {
        let mut plain = Vec::new();
        for segment in &self.segments {
            let len = segment.header.plain_end - segment.header.plain_start;
            plain.extend(unframe(&segment.bytes, usize::try_from(len).unwrap()));
        }
        plain
    }
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

/// One segment with one of everything.
pub fn small() -> Built {
    let mut lab = Lab::new(1);
    lab.add(dir(b"/")).unwrap();
    lab.add(dir(b"/etc")).unwrap();
    let mut hello = file(b"/etc/hello", 12);
    hello.before.as_mut().unwrap().nlink = 2;
    let hello = lab.whole(hello, b"hello world\n").unwrap();
    let mut hard = file(b"/etc/hard", 12);
    hard.before = hello.before.clone();
    hard.link = Some(evidence::item::Link { n: hello.n, member: hello.member.clone().unwrap() });
    hard.sha256 = hello.sha256;
    lab.add(hard).unwrap();
    lab.add(symlink(b"/etc/soft", b"../etc/hello")).unwrap();
    lab.only(denied(b"/etc/shadow"));
    lab.writer.begin_member(file(b"/etc/torn", 1500)).unwrap();
    lab.writer.write(&[b'a'; 500]).unwrap();
    lab.writer.write_gap(600, evidence::item::GapWhy::IoError, Some(5)).unwrap();
    lab.writer.write(&[b'z'; 400]).unwrap();
    let mut end = MemberEnd::ok(None, begun());
    end.outcome = Outcome::IoError;
    end.error = Some(evidence::item::ItemError { op: "pread64".into(), errno: 5 });
    lab.end(end).unwrap();
    let mut holes = file(b"/etc/holes", 200_000);
    holes.sparse = Some(vec![(4096, 10), (100_000, 20)]);
    lab.whole(holes, &[b's'; 30]).unwrap();
    lab.whole(stream("live/processes.jsonl", 3), b"{}\n").unwrap();
    lab.finish()
}
