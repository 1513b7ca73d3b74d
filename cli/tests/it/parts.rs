//! The parts of a bundle that are made step by step: a log, and a container.

use evidence::container::{Clocks, MemberEnd, Params, SealedSegment, Writer};
use evidence::digest::Digest;
use evidence::entry::{ActObject, ChainHead, Entry, EntryType, EntryVersion, Envelope};
use evidence::id::{Chain, DeploymentId};
use evidence::item::{ItemRecord, Kind};
use evidence::time::FileTime;
use ledger::{Checkpoint, Hash, Leaves, Note, NoteSigner, ProofFile, inclusion_proof, leaf_hash, root_of};

use crate::bundle::{at, key};

/// Entries of one log.
pub struct Log {
    pub deployment: DeploymentId,
    pub signer: NoteSigner,
    pub entries: Vec<Vec<u8>>,
    pub leaves: Vec<Hash>,
    pub heads: [ChainHead; 2],
}

impl Log {
    pub fn push(
        &mut self,
        type_: EntryType,
        chain: Chain,
        refs: Vec<(String, String)>,
        act: ActObject,
    ) -> usize {
        let head = &mut self.heads[usize::from(chain.incident().is_some())];
        let act_location = Entry::act_location(type_, &act);
        let envelope = Envelope {
            entry: EntryVersion,
            deployment: self.deployment.clone(),
            type_,
            incident: chain,
            seq: head.next_seq,
            prev: head.prev,
            time: at(u64::try_from(self.entries.len()).unwrap() + 100),
            event: act.event(),
            refs,
            act: act_location,
        };
        let inline = (act_location == evidence::entry::ActLocation::Inline).then_some(act);
        let bytes = Entry { envelope: envelope.clone(), act: inline }.encode().unwrap();
        let leaf = leaf_hash(&bytes);
        head.step(&envelope, leaf.into()).unwrap();
        self.entries.push(bytes);
        self.leaves.push(leaf);
        self.entries.len() - 1
    }

    pub fn note(&self, size: usize) -> Note {
        let root = root_of(&self.leaves[..size]);
        let text = Checkpoint::new(self.signer.name(), u64::try_from(size).unwrap(), root).unwrap().to_text();
        Note::new(&text, vec![self.signer.sign(&text).unwrap()]).unwrap()
    }

    pub fn proof(&self, index: usize, size: usize) -> String {
        let (leaf, length) = (u64::try_from(index).unwrap(), u64::try_from(size).unwrap());
        let hashes = inclusion_proof(&Leaves(&self.leaves[..size]), leaf, length).unwrap();
        ProofFile::new(leaf, hashes, self.note(size), None).unwrap().encode()
    }
}

/// Two streams, in more than one segment.
pub fn container(
    deployment: &DeploymentId,
    collection: Digest,
    order: Digest,
) -> (Vec<SealedSegment>, evidence::container::ContainerSummary) {
    let params = Params {
        deployment: deployment.clone(),
        collection,
        order,
        attempt: 1,
        level: 1,
        lanes: 1,
        salt_seed: [7; 32],
    };
    let now = FileTime::new(1_790_000_150, 0).unwrap();
    let clocks = Clocks { wall: now, boot: FileTime::new(99, 0).unwrap() };
    let mut writer = Writer::new(params, key(6)).unwrap();
    let mut segments = Vec::new();
    for (name, length) in [("live/host.jsonl", 40_usize), ("live/sockets.jsonl", 9 << 20)] {
        let collector = name.trim_start_matches("live/").trim_end_matches(".jsonl");
        let mut record = ItemRecord::new(collector, Kind::Stream, name, now);
        record.size = Some(u64::try_from(length).unwrap());
        writer.begin_member(record).unwrap();
        // Does not compress, so that there are several segments.
        let mut state = 1_u32;
        let content: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .take(length)
        .collect();
        for piece in content.chunks(1 << 20) {
            writer.write(piece).unwrap();
            segments.extend(writer.poll_segment(clocks).unwrap());
        }
        writer.end_member(MemberEnd::ok(None, now)).unwrap();
    }
    let (last, summary) = writer.finish(clocks).unwrap();
    segments.extend(last);
    assert!(segments.len() > 1);
    (segments, summary)
}
