//! One fixture per defect, made by a skilled hand: what the sealer's own key can sign is signed again, so that only the
//! rule at hand is broken.

use evidence::container::{Expect, Limits, Malformed, SeekTable, Verifier};
use evidence::digest::Digest;
use evidence::frames::{FrameError, compress_frame};
use evidence::item::outcome::Outcome;
use evidence::item::tar;
use evidence::item::{ItemRecord, RawBytes, RecordError, Salt};
use evidence::keys::SigningKey;
use evidence::seal::{self, ChainError, Seal, SealError, SealHeader};

use super::lab::*;

/// A container of one segment, in pieces that can be changed one by one.
struct Forge {
    plain: Vec<u8>,
    records: Vec<ItemRecord>,
    /// Stored frames, when they are not those of `plain`.
    frames: Option<Vec<Vec<u8>>>,
    before: Vec<u8>,
    table: Option<Vec<u8>>,
    tail: Vec<u8>,
    lines: Option<Vec<u8>>,
    stored_records: Option<Vec<u8>>,
    header: SealHeader,
    signer: SigningKey,
}

impl Forge {
    fn new() -> Self {
        let built = small();
        let segment = &built.segments[0];
        Self {
            plain: built.plain(),
            records: records_of(&segment.seal),
            frames: None,
            before: Vec::new(),
            table: None,
            tail: Vec::new(),
            lines: None,
            stored_records: None,
            header: segment.header.clone(),
            signer: signer(),
        }
    }

    fn build(&self) -> (Vec<u8>, Vec<u8>) {
        self.build_with(|_| ())
    }

    fn build_with(&self, edit: impl FnOnce(&mut SealHeader)) -> (Vec<u8>, Vec<u8>) {
        let framed = || self.plain.chunks(1 << 20).map(|chunk| compress_frame(chunk, 1).unwrap()).collect();
        let frames: Vec<Vec<u8>> = self.frames.clone().unwrap_or_else(framed);
        let mut table = SeekTable::new();
        for (frame, chunk) in frames.iter().zip(self.plain.chunks(1 << 20)) {
            table.push(frame.len() as u32, chunk.len() as u32);
        }
        let table = self.table.clone().unwrap_or_else(|| table.to_bytes());
        let segment = [self.before.clone(), frames.concat(), table, self.tail.clone()].concat();
        let mut lines = Vec::new();
        for record in &self.records {
            lines.extend(record.to_line().unwrap());
            lines.push(b'\n');
        }
        let lines = self.lines.clone().unwrap_or(lines);
        let framed = || lines.chunks(1 << 20).flat_map(|chunk| compress_frame(chunk, 1).unwrap()).collect();
        let records: Vec<u8> = self.stored_records.clone().unwrap_or_else(framed);
        let mut header = self.header.clone();
        header.sha256 = Digest::of(&segment);
        header.stored_len = segment.len() as u64;
        header.plain_end = header.plain_start + self.plain.len() as u64;
        header.items = self.records.len() as u64;
        header.items_total = header.items;
        header.records_sha256 = Digest::of(&records);
        header.records_len = records.len() as u64;
        edit(&mut header);
        (seal::make(&header, &records, &self.signer).unwrap(), segment)
    }

    fn defect(&self) -> Malformed {
        let (seal, segment) = self.build();
        defect(&[(&seal, &segment)])
    }

    fn data(&self, n: usize) -> usize {
        self.records[n].data.unwrap() as usize
    }

    fn at(&self, n: usize) -> usize {
        self.records[n].at.unwrap() as usize
    }
}

fn defect(parts: &[(&[u8], &[u8])]) -> Malformed {
    verify_parts(parts.iter().copied()).unwrap_err()
}

macro_rules! assert_defect {
    ($defect:expr, $pattern:pat $(if $guard:expr)?) => {
        let found = $defect;
        assert!(matches!(found, $pattern $(if $guard)?), "{found:?}");
    };
}

const HIDDEN: &[u8] = b"\x50\x2a\x4d\x18\x06\0\0\0hidden";

#[test]
fn the_hand_itself_makes_a_good_container() {
    let (seal, segment) = Forge::new().build();
    verify_parts([(seal.as_slice(), segment.as_slice())]).unwrap();
}

// --- stored bytes

#[test]
fn hidden_frame_before() {
    let mut forge = Forge::new();
    forge.before = HIDDEN.to_vec();
    assert_defect!(forge.defect(), Malformed::Frame { offset: 0, source: FrameError::Skippable, .. });
}

#[test]
fn hidden_frame_between() {
    let mut lab = Lab::new(1);
    lab.whole(file(b"/zeros", 2 << 20), &vec![0; 2 << 20]).unwrap();
    let built = lab.finish();
    let mut forge = Forge::new();
    forge.plain = built.plain();
    forge.records = records_of(&built.segments[0].seal);
    let mut frames: Vec<Vec<u8>> =
        forge.plain.chunks(1 << 20).map(|c| compress_frame(c, 1).unwrap()).collect();
    forge.frames = Some(frames.clone());
    verify_parts([forge.build()].iter().map(|(a, b)| (a.as_slice(), b.as_slice()))).unwrap();
    frames.insert(1, HIDDEN.to_vec());
    forge.frames = Some(frames);
    assert_defect!(forge.defect(), Malformed::Frame { offset: 0x10_0000, source: FrameError::Skippable, .. });
}

#[test]
fn hidden_frame_after_the_last_frame() {
    let mut forge = Forge::new();
    let (_, segment) = forge.build();
    let len = forge.plain.len();
    let table_len = SeekTable::table_len(&segment[segment.len() - 9..]).unwrap();
    let frames = segment[..segment.len() - table_len].to_vec();
    forge.frames = Some(vec![frames, HIDDEN.to_vec()]);
    forge.table = Some(segment[segment.len() - table_len..].to_vec());
    assert_eq!(forge.plain.len(), len);
    assert_defect!(forge.defect(), Malformed::SeekTable);
}

#[test]
fn trailing_bytes() {
    for tail in [&b"x"[..], HIDDEN] {
        let mut forge = Forge::new();
        forge.tail = tail.to_vec();
        assert_defect!(forge.defect(), Malformed::TrailingBytes { index: 0, len } if len == tail.len() as u64);
    }
}

#[test]
fn second_archive_behind_the_end_in_a_frame_of_its_own() {
    let mut forge = Forge::new();
    forge.tail = compress_frame(&forge.plain, 1).unwrap();
    assert_defect!(forge.defect(), Malformed::TrailingBytes { .. });
}

#[test]
fn second_archive_behind_the_end() {
    let mut forge = Forge::new();
    let again = forge.plain.clone();
    forge.plain.extend(again);
    assert_defect!(forge.defect(), Malformed::EndBlocks { .. });
}

#[test]
fn more_zeros_behind_the_end() {
    let mut forge = Forge::new();
    forge.plain.extend([0; 512]);
    assert_defect!(forge.defect(), Malformed::EndBlocks { .. });
}

#[test]
fn end_blocks_missing_and_seek_table_rebuilt() {
    let mut forge = Forge::new();
    forge.plain.truncate(forge.plain.len() - 512);
    assert_defect!(forge.defect(), Malformed::EndBlocks { .. });
}

#[test]
fn tail_cut_and_seek_table_rebuilt() {
    let mut forge = Forge::new();
    let until = forge.at(7);
    forge.plain.truncate(until);
    assert_defect!(forge.defect(), Malformed::WrongSeal { item: 7 });
    forge.records.truncate(7);
    assert_defect!(forge.defect(), Malformed::EndBlocks { .. });
}

#[test]
fn tail_cut_without_the_sealers_key() {
    let (seal, segment) = Forge::new().build();
    let cut = &segment[..segment.len() - 1];
    assert_defect!(defect(&[(&seal, cut)]), Malformed::SegmentLength { .. });
    let mut other = segment.clone();
    other[100] ^= 1;
    assert_defect!(defect(&[(&seal, &other)]), Malformed::SegmentDigest { index: 0 });
}

#[test]
fn seek_table_of_other_frames() {
    let mut forge = Forge::new();
    let mut table = SeekTable::new();
    table.push(1, forge.plain.len() as u32);
    forge.table = Some(table.to_bytes());
    assert_defect!(forge.defect(), Malformed::SeekTable);
    forge.table = Some(Vec::new());
    assert_defect!(forge.defect(), Malformed::SeekTable);
}

#[test]
fn frames_of_a_wrong_size() {
    let mut forge = Forge::new();
    let (head, tail) = forge.plain.split_at(1024);
    forge.frames = Some(vec![compress_frame(head, 1).unwrap(), compress_frame(tail, 1).unwrap()]);
    assert_defect!(
        forge.defect(),
        Malformed::Frame { source: FrameError::ContentSize { stated: 1024, .. }, .. }
    );
}

#[test]
fn decompression_bomb_frame() {
    let mut forge = Forge::new();
    forge.frames = Some(vec![compress_frame(&vec![0; 64 << 20], 1).unwrap()]);
    assert_defect!(
        forge.defect(),
        Malformed::Frame { source: FrameError::ContentSize { stated: 0x400_0000, .. }, .. }
    );
}

/// A frame that states a small size and decodes to a large one.
#[test]
fn decompression_bomb_frame_that_lies() {
    let mut forge = Forge::new();
    let mut frame = compress_frame(&vec![0; 1 << 20], 1).unwrap();
    let size = (forge.plain.len() as u32).to_le_bytes();
    let at = if frame[4] & 0x20 == 0 { 6 } else { 5 };
    frame[at..at + 4].copy_from_slice(&size);
    forge.frames = Some(vec![frame]);
    assert_defect!(forge.defect(), Malformed::Frame { source: FrameError::Corrupt, .. });
}

#[test]
fn checksum_flag() {
    let mut forge = Forge::new();
    let mut context = zstd::zstd_safe::CCtx::create();
    context.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true)).unwrap();
    let mut frame = Vec::with_capacity(1 << 20);
    context.compress2(&mut frame, &forge.plain).unwrap();
    forge.frames = Some(vec![frame]);
    assert_defect!(forge.defect(), Malformed::Frame { source: FrameError::Checksum, .. });
}

#[test]
fn dictionary() {
    let mut forge = Forge::new();
    let mut frame = compress_frame(&forge.plain, 1).unwrap();
    frame[4] |= 1;
    frame.insert(5, 77);
    forge.frames = Some(vec![frame]);
    assert_defect!(forge.defect(), Malformed::Frame { source: FrameError::Dictionary, .. });
}

#[test]
fn legacy_frame() {
    let mut forge = Forge::new();
    let mut frame = compress_frame(&forge.plain, 1).unwrap();
    frame[0] = 0x27;
    forge.frames = Some(vec![frame]);
    assert_defect!(forge.defect(), Malformed::Frame { source: FrameError::Legacy, .. });
}

#[test]
fn window_over_8_mib() {
    let mut forge = Forge::new();
    let mut frame = compress_frame(&forge.plain, 1).unwrap();
    assert_eq!(frame[4] & 0xe0, 0x60, "single segment with a size of two bytes");
    frame[4] &= !0x20;
    frame.insert(5, 14 << 3);
    forge.frames = Some(vec![frame]);
    assert_defect!(forge.defect(), Malformed::Frame { source: FrameError::Window, .. });
}

#[test]
fn frame_without_content_size() {
    let mut forge = Forge::new();
    let mut context = zstd::zstd_safe::CCtx::create();
    context.set_parameter(zstd::zstd_safe::CParameter::ContentSizeFlag(false)).unwrap();
    let mut frame = Vec::with_capacity(1 << 20);
    context.compress2(&mut frame, &forge.plain).unwrap();
    forge.frames = Some(vec![frame]);
    assert_defect!(forge.defect(), Malformed::Frame { source: FrameError::NoContentSize, .. });
}

// --- plain bytes

#[test]
fn tar_header_field_changed() {
    let mut forge = Forge::new();
    let at = forge.data(2) - 512 + 100; // mode
    forge.plain[at + 3] ^= 1;
    assert_defect!(forge.defect(), Malformed::HeaderMismatch { item: 2, .. });
}

/// The pax size overrides the ustar size in every reader that knows pax.
#[test]
fn pax_size_override() {
    let mut forge = Forge::new();
    let mut record = forge.records[2].clone();
    record.size = Some(1 << 40);
    record.stored = Some(1 << 40);
    let header = tar::member_header(&record).unwrap();
    let at = forge.at(2);
    let old = forge.data(2) - at;
    assert_eq!(header.len(), old, "both have a pax block for the time");
    forge.plain[at..at + old].copy_from_slice(&header);
    assert_defect!(forge.defect(), Malformed::HeaderMismatch { item: 2, .. });
}

#[test]
fn global_pax_header_in_front() {
    let mut forge = Forge::new();
    let mut global = forge.plain[forge.at(2)..forge.data(2) - 512].to_vec();
    global[156] = b'g';
    let at = forge.at(2);
    forge.plain.splice(at..at, global);
    assert_defect!(forge.defect(), Malformed::HeaderMismatch { item: 2, .. });
}

#[test]
fn content_changed() {
    let mut forge = Forge::new();
    let at = forge.data(2);
    forge.plain[at] ^= 1;
    assert_defect!(forge.defect(), Malformed::ContentDigest { item: 2 });
}

#[test]
fn bytes_in_padding() {
    let mut forge = Forge::new();
    let at = forge.data(2) + 12;
    forge.plain[at] = b'!';
    assert_defect!(forge.defect(), Malformed::Padding { item: 2, .. });
}

#[test]
fn bytes_in_a_gap() {
    let mut forge = Forge::new();
    let at = forge.data(6) + 500;
    forge.plain[at] = 1;
    assert_defect!(forge.defect(), Malformed::GapNotZero { item: 6, offset: 500 });
}

#[test]
fn sparse_map_changed() {
    let mut forge = Forge::new();
    let at = forge.data(7);
    forge.plain[at] = b'2';
    assert_defect!(forge.defect(), Malformed::HeaderMismatch { item: 7, .. });
}

/// Plain bytes of a whole member that no record names.
#[test]
fn member_without_record() {
    let mut forge = Forge::new();
    let member = forge.plain[forge.at(1)..forge.at(2)].to_vec();
    let at = forge.plain.len() - 1024;
    forge.plain.splice(at..at, member);
    assert_defect!(forge.defect(), Malformed::EndBlocks { .. });
}

// --- records

#[test]
fn duplicate_member_name() {
    let mut forge = Forge::new();
    // Item 1 becomes a second `/`, header and all.
    let (at, data) = (forge.at(1), forge.data(1));
    let twin = ItemRecord {
        path: forge.records[0].path.clone(),
        shown: "/".into(),
        member: forge.records[0].member.clone(),
        ..forge.records[1].clone()
    };
    let header = tar::member_header(&twin).unwrap();
    assert_eq!(header.len(), data - at);
    forge.plain[at..data].copy_from_slice(&header);
    forge.records[1] = twin;
    assert_defect!(forge.defect(), Malformed::DuplicateName { item: 1 });
}

#[test]
fn member_below_a_symlink() {
    let mut lab = Lab::new(1);
    lab.add(symlink(b"/s", b"/etc")).unwrap();
    lab.add(dir(b"/t")).unwrap();
    let built = lab.finish();
    let mut forge = Forge::new();
    forge.plain = built.plain();
    forge.records = records_of(&built.segments[0].seal);
    let mut below = forge.records[1].clone();
    below.path = RawBytes(b"/s/t".to_vec());
    below.shown = "/s/t".into();
    below.member = Some(RawBytes(b"[root]/s/t/".to_vec()));
    let (at, data) = (forge.at(1), forge.data(1));
    forge.plain[at..data].copy_from_slice(&tar::member_header(&below).unwrap());
    forge.records[1] = below;
    assert_defect!(forge.defect(), Malformed::BelowOther { item: 1 });
}

#[test]
fn climbing_name() {
    let mut forge = Forge::new();
    forge.records[2].path = RawBytes(b"/etc/../../hello".to_vec());
    forge.records[2].shown = "/etc/../../hello".into();
    forge.records[2].member = Some(RawBytes(b"[root]/etc/../../hello".to_vec()));
    assert_defect!(forge.defect(), Malformed::Record { item: 2, source: RecordError::Name(_) });
}

#[test]
fn member_name_of_another_path() {
    let mut forge = Forge::new();
    forge.records[2].member = Some(RawBytes(b"[root]/etc/other".to_vec()));
    assert_defect!(forge.defect(), Malformed::Record { item: 2, source: RecordError::MemberName });
}

#[test]
fn shown_name_that_is_not_the_path() {
    let mut forge = Forge::new();
    forge.records[2].shown = "/etc/harmless".into();
    assert_defect!(
        forge.defect(),
        Malformed::Record { item: 2, source: RecordError::Field { field: "shown", .. } }
    );
}

#[test]
fn edited_outcome() {
    let mut forge = Forge::new();
    forge.records[5].outcome = Outcome::Absent;
    assert_defect!(forge.defect(), Malformed::OutcomesContent);
}

#[test]
fn gap_struck_out() {
    let mut forge = Forge::new();
    forge.records[6].gaps.clear();
    forge.records[6].sha256_read = None;
    forge.records[6].outcome = Outcome::Ok;
    forge.records[6].error = None;
    assert_defect!(forge.defect(), Malformed::OutcomesContent);
}

#[test]
fn sha256_read_of_other_bytes() {
    let mut forge = Forge::new();
    forge.records[6].sha256_read = forge.records[6].sha256;
    assert_defect!(forge.defect(), Malformed::ReadDigest { item: 6 });
}

#[test]
fn hard_link_to_other_content() {
    let mut forge = Forge::new();
    forge.records[3].sha256 = Some(Digest::of(b"other"));
    assert_defect!(forge.defect(), Malformed::LinkTarget { item: 3 });
}

#[test]
fn records_swapped() {
    let mut forge = Forge::new();
    forge.records.swap(1, 2);
    assert_defect!(forge.defect(), Malformed::Ordinal { item: 1, stated: 2 });
}

#[test]
fn record_placed_elsewhere() {
    let mut forge = Forge::new();
    forge.records[2].data = forge.records[2].data.map(|data| data + 512);
    assert_defect!(forge.defect(), Malformed::Place { item: 2, .. });
}

#[test]
fn record_left_out() {
    let mut forge = Forge::new();
    forge.records.remove(5);
    assert_defect!(forge.defect(), Malformed::Ordinal { item: 5, stated: 6 });
}

#[test]
fn record_spelled_otherwise() {
    let forge = Forge::new();
    let mut lines = Vec::new();
    for record in &forge.records {
        let line = String::from_utf8(record.to_line().unwrap()).unwrap();
        lines.push(line.replacen("\"n\":", "\"n\": ", usize::from(record.n == 4)) + "\n");
    }
    let forge = Forge { lines: Some(lines.concat().into_bytes()), ..forge };
    assert_defect!(forge.defect(), Malformed::Record { item: 4, source: RecordError::NotCanonical });
}

#[test]
fn fewer_records_than_stated() {
    let forge = Forge::new();
    let (seal, segment) = forge.build_with(|header| {
        header.items += 1;
        header.items_total += 1;
    });
    assert_defect!(defect(&[(&seal, &segment)]), Malformed::RecordCount { index: 0 });
}

#[test]
fn salt_changed_changes_the_root() {
    let mut forge = Forge::new();
    let good = verify_parts([forge.build()].iter().map(|(a, b)| (a.as_slice(), b.as_slice()))).unwrap().0;
    forge.records[0].salt = Salt([1; 16]);
    let other = verify_parts([forge.build()].iter().map(|(a, b)| (a.as_slice(), b.as_slice()))).unwrap().0;
    // The manifest signs the root; comparing it is the caller's part.
    assert_ne!(good.items_root, other.items_root);
    assert_ne!(good.seal_head, other.seal_head);
}

#[test]
fn records_bomb() {
    let mut forge = Forge::new();
    let megabyte = compress_frame(&vec![b'\n'; 1 << 20], 1).unwrap();
    forge.stored_records = Some(megabyte.repeat(300));
    assert_defect!(forge.defect(), Malformed::Record { item: 0, .. });
    // Read to its end, it stops at 256 MiB.
    let (seal, _) = forge.build();
    let parsed = Seal::parse(&seal).unwrap();
    let last = parsed.records().unwrap().find_map(Result::err);
    assert!(matches!(last, Some(SealError::RecordsTooLarge)), "{last:?}");
    // One line without end stops at 4 MiB.
    forge.stored_records = Some(compress_frame(&vec![b' '; 1 << 20], 1).unwrap().repeat(300));
    assert_defect!(forge.defect(), Malformed::Seal { source: SealError::LineTooLong, .. });
}

#[test]
fn hidden_frame_among_the_records() {
    let mut forge = Forge::new();
    let (seal, _) = forge.build();
    let header = Seal::parse(&seal).unwrap().header;
    let stored = &seal[seal.len() - header.records_len as usize..];
    forge.stored_records = Some([stored, HIDDEN].concat());
    assert_defect!(
        forge.defect(),
        Malformed::Seal { source: SealError::RecordsFrame(FrameError::Skippable), .. }
    );
}

#[test]
fn too_many_different_outcomes() {
    let mut lab = Lab::new(1);
    for i in 0..70 {
        let mut record = denied(b"/x");
        record.outcome = Outcome::Other(format!("new_{i}"));
        lab.only(record);
    }
    assert_defect!(lab.finish().verify().unwrap_err(), Malformed::Limit { limit: "outcomes", .. });
}

#[test]
fn outcomes_name_taken_by_an_item_without_member() {
    let mut forge = Forge::new();
    forge.records[5].path = RawBytes(b"live/outcomes.jsonl".to_vec());
    forge.records[5].shown = "live/outcomes.jsonl".into();
    assert_defect!(forge.defect(), Malformed::OutcomesMember { item: 5 });
}

// --- seals and chain

#[test]
fn seal_by_another_key() {
    let forge = Forge { signer: SigningKey::from_seed(&[8; 32]), ..Forge::new() };
    assert_defect!(forge.defect(), Malformed::Seal { source: SealError::WrongKey, .. });
}

#[test]
fn seal_of_another_collection() {
    let mut forge = Forge::new();
    forge.header.collection = Digest([1; 32]);
    assert_defect!(forge.defect(), Malformed::Chain(ChainError::Foreign("collection")));
}

fn chain() -> Built {
    let mut lab = Lab::new(1);
    lab.whole(file(b"/noise", 26 << 20), &noise(26 << 20)).unwrap();
    let built = lab.finish();
    assert_eq!(built.segments.len(), 4);
    built
}

#[test]
fn segments_swapped_reordered_dropped_repeated_or_behind_the_end() {
    let built = chain();
    let part = |seal: usize, segment: usize| {
        (built.segments[seal].seal.as_slice(), built.segments[segment].bytes.as_slice())
    };
    assert_defect!(
        defect(&[part(0, 1)]),
        Malformed::SegmentDigest { index: 0 } | Malformed::SegmentLength { .. }
    );
    assert_defect!(defect(&[part(1, 1)]), Malformed::Chain(ChainError::Index { stated: 1, expected: 0 }));
    assert_defect!(
        defect(&[part(0, 0), part(2, 2)]),
        Malformed::Chain(ChainError::Index { stated: 2, expected: 1 })
    );
    assert_defect!(
        defect(&[part(0, 0), part(0, 0)]),
        Malformed::Chain(ChainError::Index { stated: 0, expected: 1 })
    );
    assert_defect!(
        defect(&[part(0, 0), part(1, 1), part(2, 2), part(3, 3), part(3, 3)]),
        Malformed::Chain(ChainError::AfterFinal { index: 3 })
    );
    assert_defect!(defect(&[part(0, 0), part(1, 1), part(2, 2)]), Malformed::Unfinished);
}

#[test]
fn another_chain_grafted_on_with_the_sealers_key() {
    let built = chain();
    let second = &built.segments[1];
    let header = SealHeader { prev: Digest([5; 32]), ..second.header.clone() };
    let stored = &second.seal[second.seal.len() - header.records_len as usize..];
    let seal = seal::make(&header, stored, &signer()).unwrap();
    let first = (built.segments[0].seal.as_slice(), built.segments[0].bytes.as_slice());
    assert_defect!(defect(&[first, (&seal, &second.bytes)]), Malformed::Chain(ChainError::Prev { index: 1 }));
    let header =
        SealHeader { is_final: true, items: 1, items_total: 1, open: false, ..second.header.clone() };
    let seal = seal::make(&header, stored, &signer()).unwrap();
    assert_defect!(defect(&[first, (&seal, &second.bytes)]), Malformed::Record { item: 0, .. });
}

#[test]
fn open_record_contradicted_later() {
    let built = chain();
    let second = &built.segments[1];
    let mut open = records_of(&second.seal).remove(0);
    open.path = RawBytes(b"/other".to_vec());
    open.shown = "/other".into();
    open.member = Some(RawBytes(b"[root]/other".to_vec()));
    let line = [open.to_line().unwrap(), b"\n".to_vec()].concat();
    let stored = compress_frame(&line, 1).unwrap();
    let header = SealHeader {
        records_sha256: Digest::of(&stored),
        records_len: stored.len() as u64,
        ..second.header.clone()
    };
    let seal = seal::make(&header, &stored, &signer()).unwrap();
    let first = (built.segments[0].seal.as_slice(), built.segments[0].bytes.as_slice());
    assert_defect!(defect(&[first, (&seal, &second.bytes)]), Malformed::OpenContradicted { item: 0 });
}

#[test]
fn limits_of_the_order() {
    let built = chain();
    let check = |limits| {
        let expect = Expect { identity: identity(), sealer: signer().public(), limits };
        let mut verifier = Verifier::new(expect).unwrap();
        let mut run = || {
            for part in &built.segments {
                verifier.segment(&part.seal, &part.bytes, &mut |_| ())?;
            }
            Ok::<_, Malformed>(())
        };
        run().unwrap_err()
    };
    let none = Limits::NONE;
    assert_defect!(
        check(Limits { stored_bytes: 9 << 20, ..none }),
        Malformed::Limit { index: 1, limit: "stored_bytes" }
    );
    assert_defect!(
        check(Limits { plain_bytes: 9 << 20, ..none }),
        Malformed::Limit { index: 1, limit: "plain_bytes" }
    );
    assert_defect!(check(Limits { items: 1, ..none }), Malformed::Limit { index: 3, limit: "items" });
    assert_defect!(
        check(Limits { item_bytes: 1 << 20, ..none }),
        Malformed::Limit { index: 0, limit: "item_bytes" }
    );
    assert_defect!(
        check(Limits { logical_bytes: 1, ..none }),
        Malformed::Limit { index: 0, limit: "logical_bytes" }
    );
}

/// A tiny file that says it is a petabyte of holes costs no hashing.
#[test]
fn holes_beyond_16_gib_are_not_hashed() {
    let mut lab = Lab::new(1);
    let mut record = file(b"/bomb", 1 << 50);
    record.sparse = Some(vec![(1 << 49, 5)]);
    let record = lab.whole(record, b"12345").unwrap();
    assert_eq!((record.sha256, record.sha256_read), (None, Some(Digest::of(b"12345"))));
    lab.finish().verify().unwrap();
}

#[test]
fn nothing_is_accepted_after_a_failure() {
    let (seal, segment) = Forge::new().build();
    let mut verifier = verifier();
    verifier.segment(&seal, &segment[1..], &mut |_| ()).unwrap_err();
    assert_defect!(verifier.segment(&seal, &segment, &mut |_| ()).unwrap_err(), Malformed::AfterFailure);
    assert_defect!(verifier.finish().unwrap_err(), Malformed::AfterFailure);
}

#[test]
fn every_single_bit_flip_is_refused() {
    let mut lab = Lab::new(1);
    lab.whole(file(b"/hello", 6), b"hello\n").unwrap();
    lab.only(denied(b"/no"));
    let built = lab.finish();
    let (seal, segment) = (&built.segments[0].seal, &built.segments[0].bytes);
    assert!(seal.len() + segment.len() <= 8192);
    let accepts = |seal: &[u8], segment: &[u8]| verify_parts([(seal, segment)]).is_ok();
    assert!(accepts(seal, segment));
    for bit in 0..seal.len() * 8 {
        let mut flipped = seal.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(!accepts(&flipped, segment), "seal, bit {bit}");
    }
    for bit in 0..segment.len() * 8 {
        let mut flipped = segment.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(!accepts(seal, &flipped), "segment, bit {bit}");
    }
}

/// The sealer's own key cannot sign another plain stream for the same records.
#[test]
fn every_flipped_plain_byte_is_refused_though_signed_again() {
    let mut forge = Forge::new();
    for at in 0..forge.plain.len() {
        let bit = 1 << (at % 8);
        forge.plain[at] ^= bit;
        let (seal, segment) = forge.build();
        assert!(verify_parts([(seal.as_slice(), segment.as_slice())]).is_err(), "byte {at}");
        forge.plain[at] ^= bit;
    }
}

/// Salts, times and notes are free; whatever is accepted is another list of records, under another root.
#[test]
fn every_flipped_record_byte_is_refused_or_changes_the_root() {
    let mut forge = Forge::new();
    let good = verify_parts([forge.build()].iter().map(|(a, b)| (a.as_slice(), b.as_slice()))).unwrap().0;
    let mut lines = Vec::new();
    for record in &forge.records {
        lines.extend(record.to_line().unwrap());
        lines.push(b'\n');
    }
    for at in 0..lines.len() {
        let bit = 1 << (at % 8);
        lines[at] ^= bit;
        forge.lines = Some(lines.clone());
        let (seal, segment) = forge.build();
        if let Ok((summary, _)) = verify_parts([(seal.as_slice(), segment.as_slice())]) {
            assert_ne!(summary.items_root, good.items_root, "byte {at}");
        }
        lines[at] ^= bit;
    }
}
