//! Containers that the writer makes with fixed keys, and the verifier's answer to them.

use std::str::FromStr;

use evidence::container::{
    Clocks, ContainerSummary, Expect, Limits, Malformed, MemberEnd, Params, SealedSegment, Verifier,
    WriteError, Writer,
};
use evidence::digest::Digest;
use evidence::id::DeploymentId;
use evidence::item::outcome::Outcome;
use evidence::item::{GapWhy, ItemError, ItemRecord, Link};
use evidence::keys::SigningKey;
use evidence::seal::Identity;
use evidence::time::FileTime;

use crate::people::key;

use super::{begun, denied, dir, file, stream, symlink, time, unframe};

pub fn clocks() -> Clocks {
    Clocks { wall: time(1_700_000_100, 5), boot: time(4242, 17) }
}

/// The number of the sealer's key.
pub const SIGNER: u8 = 7;

pub fn signer() -> SigningKey {
    key(SIGNER)
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
    Params { lanes, ..params_of(identity()) }
}

/// The parameters of a container with this identity.
pub fn params_of(identity: Identity) -> Params {
    Params {
        deployment: identity.deployment,
        collection: identity.collection,
        order: identity.order,
        attempt: identity.attempt,
        level: 1,
        lanes: 1,
        salt_seed: [9; 32],
    }
}

/// A writer that collects what it emits.
pub struct Lab {
    pub writer: Writer,
    pub segments: Vec<SealedSegment>,
    pub records: Vec<ItemRecord>,
    begun: FileTime,
    clocks: Clocks,
}

/// A finished container.
pub struct Built {
    pub segments: Vec<SealedSegment>,
    pub summary: ContainerSummary,
    /// The records, without those of the outcomes members.
    pub records: Vec<ItemRecord>,
}

impl Lab {
    pub fn new(lanes: usize) -> Self {
        Self::of(params(lanes), signer(), begun(), clocks())
    }

    /// A writer of the container with this identity.
    pub fn named(identity: Identity, sealer: SigningKey) -> Self {
        Self::of(params_of(identity), sealer, begun(), clocks())
    }

    /// A writer of another container. It takes items at `begun` and seals segments at `clocks`.
    pub fn of(params: Params, sealer: SigningKey, begun: FileTime, clocks: Clocks) -> Self {
        let writer = Writer::new(params, sealer).unwrap();
        Self { writer, segments: Vec::new(), records: Vec::new(), begun, clocks }
    }

    pub fn poll(&mut self) {
        while let Some(segment) = self.writer.poll_segment(self.clocks).unwrap() {
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
        self.end(MemberEnd::ok(after, self.begun))
    }

    /// Writes whole files with these contents.
    pub fn files<P: AsRef<[u8]>>(mut self, files: &[(P, Vec<u8>)]) -> Self {
        for (path, content) in files {
            self.whole(file(path.as_ref(), content.len() as u64), content).unwrap();
        }
        self
    }

    /// Adds another name of a file. `record` is what was seen under that name.
    pub fn hard_link(&mut self, holder: &ItemRecord, mut record: ItemRecord) -> ItemRecord {
        record.before = holder.before.clone();
        record.link = Some(Link { n: holder.n, member: holder.member.clone().unwrap() });
        record.sha256 = holder.sha256;
        self.add(record).unwrap()
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

    /// Adds two folders, a file and its hard link of this name, a symlink, a denied file, a torn file, a sparse file. `seen` adapts each
    /// record.
    pub fn one_of_each(&mut self, hard_link: &[u8], seen: fn(ItemRecord) -> ItemRecord) {
        self.add(seen(dir(b"/"))).unwrap();
        self.add(seen(dir(b"/etc"))).unwrap();
        let mut hello = seen(file(b"/etc/hello", 12));
        hello.before.as_mut().unwrap().nlink = 2;
        let hello = self.whole(hello, b"hello world\n").unwrap();
        self.hard_link(&hello, seen(file(hard_link, 12)));
        self.add(seen(symlink(b"/etc/soft", b"../etc/hello"))).unwrap();
        self.only(seen(denied(b"/etc/shadow")));
        self.writer.begin_member(seen(file(b"/etc/torn", 1500))).unwrap();
        self.writer.write(&[b'a'; 500]).unwrap();
        self.writer.write_gap(600, GapWhy::IoError, Some(5)).unwrap();
        self.writer.write(&[b'z'; 400]).unwrap();
        let mut end = MemberEnd::ok(None, self.begun);
        end.outcome = Outcome::IoError;
        end.error = Some(ItemError { op: "pread64".into(), errno: 5 });
        self.end(end).unwrap();
        let mut holes = seen(file(b"/etc/holes", 200_000));
        holes.sparse = Some(vec![(4096, 10), (100_000, 20)]);
        self.whole(holes, &[b's'; 30]).unwrap();
    }

    pub fn finish(mut self) -> Built {
        let (segments, summary) = self.writer.finish(self.clocks).unwrap();
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

/// One segment with one item of each kind: the worked example of docs/spec/container.md.
pub fn small() -> Built {
    let mut lab = Lab::new(1);
    lab.one_of_each(b"/etc/hard", |record| record);
    lab.whole(stream("live/processes.jsonl", 3), b"{}\n").unwrap();
    lab.finish()
}
