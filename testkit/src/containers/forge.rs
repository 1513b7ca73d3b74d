//! Containers built from their pieces and cut where a test likes. The forge signs everything again with the sealer's own key, so that only
//! one rule is broken.

use std::collections::BTreeMap;

use evidence::container::{Clocks, ContainerSummary, SeekTable};
use evidence::digest::Digest;
use evidence::frames::{FRAME_BYTES, compress_frame};
use evidence::item::{ItemRecord, RawBytes};
use evidence::seal::{self, Identity, Seal, SealHeader, SealType};
use evidence::time::FileTime;

use super::lab::{Lab, params_of};
use super::{denied, dir, file, noise_from, records_of, stream, symlink, time};
use crate::people::key;

/// A container in pieces.
pub struct Forge {
    pub plain: Vec<u8>,
    pub records: Vec<ItemRecord>,
    pub identity: Identity,
    pub sealer: u8,
    /// Number of frames in each segment but the last, which holds the rest.
    pub cuts: Vec<usize>,
    /// Number of segments to keep. If it is smaller than the number of segments cut, the container is interrupted.
    pub keep: usize,
    /// Bytes to hide before, between and after the frames.
    pub hidden: [Vec<u8>; 3],
    /// Changes each header before it is signed.
    pub edit: fn(&mut SealHeader),
}

/// The built container.
pub struct Built {
    /// Stored bytes and seal of each segment.
    pub segments: Vec<(Vec<u8>, Vec<u8>)>,
    pub summary: ContainerSummary,
}

fn begun() -> FileTime {
    time(1_795_262_400, 123_456_789)
}

fn wall() -> FileTime {
    time(1_795_262_460, 5)
}

/// Adapts a record to the times of a bundle's endpoint.
fn seen(mut record: ItemRecord) -> ItemRecord {
    (record.begun, record.ended) = (begun(), begun());
    if let Some(before) = &mut record.before {
        before.mtime = time(1_650_000_000, 250_000_000);
    }
    record
}

/// Plain stream and records of the items that `write` gives to the writer.
fn written(identity: &Identity, sealer: u8, write: impl FnOnce(&mut Lab)) -> (Vec<u8>, Vec<ItemRecord>) {
    let clocks = Clocks { wall: wall(), boot: time(4242, 17) };
    let mut lab = Lab::of(params_of(identity.clone()), key(sealer), begun(), clocks);
    write(&mut lab);
    let built = lab.finish();
    (built.plain(), built.segments.iter().flat_map(|segment| final_records(&segment.seal)).collect())
}

/// One item of each thing that [`Lab::one_of_each`] lacks: long names and names that are no UTF-8, extended attributes, a time before
/// 1970, large user and group ids, streams and a file in parts, so many outcomes that they have a member of their own on the way, a file
/// of more than one frame.
fn one_of_each_odd_thing(lab: &mut Lab) {
    let odd = |mut record: ItemRecord| {
        let before = record.before.as_mut().unwrap();
        (before.uid, before.gid, before.mtime) = (3_000_000_000, 2_097_152, time(-2, 500_000_000));
        record
    };
    lab.add(odd(dir(b"/"))).unwrap();
    let mut named = odd(file(b"/caf\xe9 \xf0\x9f\x98", 12));
    let xattrs: [(&[u8], &[u8]); 3] =
        [(b"security.capability", b"\x01\0\0\x02"), (b"user.a=b%", b"line\n"), (b"user.\xff", b"")];
    named.xattrs = xattrs.map(|(name, value)| (RawBytes(name.to_vec()), RawBytes(value.to_vec()))).to_vec();
    lab.whole(named, b"odd content\n").unwrap();
    let deep = [b"/caf\xe9.d".repeat(20), b"/".to_vec(), vec![b'n'; 120]].concat();
    lab.whole(file(&deep, 1), b"x").unwrap();
    lab.add(odd(symlink(b"/long", &[b"../", deep.as_slice()].concat()))).unwrap();
    let mut holes = odd(file(&[b"/holes-", [b'\xfe'; 90].as_slice()].concat(), 1 << 24));
    holes.sparse = Some(vec![(0, 7), (1 << 23, 9)]);
    lab.whole(holes, &[b's'; 16]).unwrap();
    let first = lab.whole(stream("live/journal.jsonl", 3), b"{}\n").unwrap().n;
    lab.whole(file(b"/proc/1/environ", 5), b"A=1\0\n").unwrap();
    for part in 2..4 {
        let mut next = stream("live/journal.jsonl", 3);
        (next.part, next.parent) = (Some(part), Some(first));
        lab.whole(next, b"[]\n").unwrap();
    }
    let mut next = file(b"/proc/1/environ", 4);
    (next.part, next.parent) = (Some(2), Some(first + 1));
    lab.whole(next, b"B=2\0").unwrap();
    // The lines of these are 1.1 MiB.
    for digit in b'0'..b'8' {
        lab.only(denied(&[b"/denied-", [digit; 60_000].as_slice()].concat()));
    }
    let long = noise_from(7, 4096).repeat(384);
    lab.whole(file(b"/long-file", long.len() as u64), &long).unwrap();
}

/// The records of a seal, without the open record of an item that continues after it.
fn final_records(seal: &[u8]) -> Vec<ItemRecord> {
    let count = usize::try_from(Seal::parse(seal).unwrap().header.items).unwrap();
    let mut records = records_of(seal);
    records.truncate(count);
    records
}

impl Forge {
    pub fn new(
        identity: Identity,
        sealer: u8,
        odd_file: &str,
        long: &[u8],
        cuts: Vec<usize>,
        keep: usize,
    ) -> Self {
        Self::of(identity, sealer, cuts, keep, |lab| {
            lab.one_of_each(b"/etc/hard1", seen);
            lab.whole(seen(file(odd_file.as_bytes(), 12)), b"other words\n").unwrap();
            lab.whole(seen(file(b"/etc/zeros", long.len() as u64)), long).unwrap();
            lab.whole(seen(stream("live/processes.jsonl", 3)), b"{}\n").unwrap();
        })
    }

    /// A container of the items that `write` gives to the writer.
    pub fn of(
        identity: Identity,
        sealer: u8,
        cuts: Vec<usize>,
        keep: usize,
        write: impl FnOnce(&mut Lab),
    ) -> Self {
        let (plain, records) = written(&identity, sealer, write);
        let hidden = [Vec::new(), Vec::new(), Vec::new()];
        Self { plain, records, identity, sealer, cuts, keep, hidden, edit: |_| () }
    }

    /// The second worked example of docs/spec/container.md: odd things, in two segments. The border cuts a file.
    pub fn odd(identity: Identity, sealer: u8) -> Self {
        Self::of(identity, sealer, vec![2], 2, one_of_each_odd_thing)
    }

    /// This container with other items, in the same cuts.
    pub fn holding(&self, write: impl FnOnce(&mut Lab)) -> Self {
        Self::of(self.identity.clone(), self.sealer, self.cuts.clone(), self.keep, write)
    }

    /// The record of a path.
    pub fn record(&mut self, path: &[u8]) -> &mut ItemRecord {
        self.records.iter_mut().find(|record| record.path.0 == path).unwrap()
    }

    pub fn build(&self) -> Built {
        let plain: Vec<&[u8]> = self.plain.chunks(FRAME_BYTES).collect();
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
            let plain_end = if is_final { self.plain.len() as u64 } else { (end * FRAME_BYTES) as u64 };
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
                lines.chunks(FRAME_BYTES).flat_map(|chunk| compress_frame(chunk, 1).unwrap()).collect();
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
            let seal = seal::make(&header, &records, &key(self.sealer)).unwrap();
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
