//! Damage to stored bytes: hidden frames, cut or false tables, frames that break the rules.

use evidence::container::{Malformed, SeekTable};
use evidence::frames::{FrameError, compress_frame};
use testkit::containers::lab::{Lab, verify_parts};
use testkit::containers::pieces::Pieces;
use testkit::containers::{file, records_of};

use super::{HIDDEN, assert_defect, defect};

#[test]
fn hidden_frame_before() {
    let mut forge = Pieces::small();
    forge.before = HIDDEN.to_vec();
    assert_defect!(forge.defect(), Malformed::Frame { offset: 0, source: FrameError::Skippable, .. });
}

#[test]
fn hidden_frame_between() {
    let mut lab = Lab::new(1);
    lab.whole(file(b"/zeros", 2 << 20), &vec![0; 2 << 20]).unwrap();
    let built = lab.finish();
    let mut forge = Pieces::small();
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
    let mut forge = Pieces::small();
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
        let mut forge = Pieces::small();
        forge.tail = tail.to_vec();
        assert_defect!(forge.defect(), Malformed::TrailingBytes { index: 0, len } if len == tail.len() as u64);
    }
}

#[test]
fn second_archive_behind_the_end_in_a_frame_of_its_own() {
    let mut forge = Pieces::small();
    forge.tail = compress_frame(&forge.plain, 1).unwrap();
    assert_defect!(forge.defect(), Malformed::TrailingBytes { .. });
}

#[test]
fn second_archive_behind_the_end() {
    let mut forge = Pieces::small();
    let again = forge.plain.clone();
    forge.plain.extend(again);
    assert_defect!(forge.defect(), Malformed::EndBlocks { .. });
}

#[test]
fn more_zeros_behind_the_end() {
    let mut forge = Pieces::small();
    forge.plain.extend([0; 512]);
    assert_defect!(forge.defect(), Malformed::EndBlocks { .. });
}

#[test]
fn end_blocks_missing_and_seek_table_rebuilt() {
    let mut forge = Pieces::small();
    forge.plain.truncate(forge.plain.len() - 512);
    assert_defect!(forge.defect(), Malformed::EndBlocks { .. });
}

#[test]
fn tail_cut_and_seek_table_rebuilt() {
    let mut forge = Pieces::small();
    let until = forge.at(7);
    forge.plain.truncate(until);
    assert_defect!(forge.defect(), Malformed::WrongSeal { item: 7 });
    forge.records.truncate(7);
    assert_defect!(forge.defect(), Malformed::EndBlocks { .. });
}

#[test]
fn tail_cut_without_the_sealers_key() {
    let (seal, segment) = Pieces::small().build();
    let cut = &segment[..segment.len() - 1];
    assert_defect!(defect(&[(&seal, cut)]), Malformed::SegmentLength { .. });
    let mut other = segment.clone();
    other[100] ^= 1;
    assert_defect!(defect(&[(&seal, &other)]), Malformed::SegmentDigest { index: 0 });
}

#[test]
fn seek_table_of_other_frames() {
    let mut forge = Pieces::small();
    let mut table = SeekTable::new();
    table.push(1, forge.plain.len() as u32);
    forge.table = Some(table.to_bytes());
    assert_defect!(forge.defect(), Malformed::SeekTable);
    forge.table = Some(Vec::new());
    assert_defect!(forge.defect(), Malformed::SeekTable);
}

#[test]
fn frames_of_a_wrong_size() {
    let mut forge = Pieces::small();
    let (head, tail) = forge.plain.split_at(1024);
    forge.frames = Some(vec![compress_frame(head, 1).unwrap(), compress_frame(tail, 1).unwrap()]);
    assert_defect!(
        forge.defect(),
        Malformed::Frame { source: FrameError::ContentSize { stated: 1024, .. }, .. }
    );
}

#[test]
fn decompression_bomb_frame() {
    let mut forge = Pieces::small();
    forge.frames = Some(vec![compress_frame(&vec![0; 64 << 20], 1).unwrap()]);
    assert_defect!(
        forge.defect(),
        Malformed::Frame { source: FrameError::ContentSize { stated: 0x400_0000, .. }, .. }
    );
}

/// A frame that states a small size and decodes to a large one.
#[test]
fn decompression_bomb_frame_that_lies() {
    let mut forge = Pieces::small();
    let mut frame = compress_frame(&vec![0; 1 << 20], 1).unwrap();
    let size = (forge.plain.len() as u32).to_le_bytes();
    let at = if frame[4] & 0x20 == 0 { 6 } else { 5 };
    frame[at..at + 4].copy_from_slice(&size);
    forge.frames = Some(vec![frame]);
    assert_defect!(forge.defect(), Malformed::Frame { source: FrameError::Corrupt, .. });
}

#[test]
fn checksum_flag() {
    let mut forge = Pieces::small();
    let mut context = zstd::zstd_safe::CCtx::create();
    context.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true)).unwrap();
    let mut frame = Vec::with_capacity(1 << 20);
    context.compress2(&mut frame, &forge.plain).unwrap();
    forge.frames = Some(vec![frame]);
    assert_defect!(forge.defect(), Malformed::Frame { source: FrameError::Checksum, .. });
}

#[test]
fn dictionary() {
    let mut forge = Pieces::small();
    let mut frame = compress_frame(&forge.plain, 1).unwrap();
    frame[4] |= 1;
    frame.insert(5, 77);
    forge.frames = Some(vec![frame]);
    assert_defect!(forge.defect(), Malformed::Frame { source: FrameError::Dictionary, .. });
}

#[test]
fn legacy_frame() {
    let mut forge = Pieces::small();
    let mut frame = compress_frame(&forge.plain, 1).unwrap();
    frame[0] = 0x27;
    forge.frames = Some(vec![frame]);
    assert_defect!(forge.defect(), Malformed::Frame { source: FrameError::Legacy, .. });
}

#[test]
fn window_over_8_mib() {
    let mut forge = Pieces::small();
    let mut frame = compress_frame(&forge.plain, 1).unwrap();
    assert_eq!(frame[4] & 0xe0, 0x60, "single segment with a size of two bytes");
    frame[4] &= !0x20;
    frame.insert(5, 14 << 3);
    forge.frames = Some(vec![frame]);
    assert_defect!(forge.defect(), Malformed::Frame { source: FrameError::Window, .. });
}

#[test]
fn frame_without_content_size() {
    let mut forge = Pieces::small();
    let mut context = zstd::zstd_safe::CCtx::create();
    context.set_parameter(zstd::zstd_safe::CParameter::ContentSizeFlag(false)).unwrap();
    let mut frame = Vec::with_capacity(1 << 20);
    context.compress2(&mut frame, &forge.plain).unwrap();
    forge.frames = Some(vec![frame]);
    assert_defect!(forge.defect(), Malformed::Frame { source: FrameError::NoContentSize, .. });
}

#[test]
fn more_than_64_mib_plain_in_a_segment() {
    let mut forge = Pieces::small();
    forge.plain = vec![0; 65 << 20];
    assert_defect!(forge.defect(), Malformed::SegmentTooLarge { index: 0, limit: "64 MiB plain" });
}

#[test]
fn more_than_16_mib_stored_in_a_segment() {
    // Bytes that do not compress, in one segment where the writer would have cut.
    let one_segment = |mib: usize| {
        let mut state = 1_u32;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        });
        let noise: Vec<u8> = noise.take(mib << 20).collect();
        let mut lab = Lab::new(1);
        lab.whole(file(b"/noise", noise.len() as u64), &noise).unwrap();
        let built = lab.finish();
        let mut forge = Pieces::small();
        forge.plain = built.plain();
        forge.records = records_of(&built.segments.last().unwrap().seal);
        forge
    };
    let good = one_segment(15).build();
    verify_parts([(good.0.as_slice(), good.1.as_slice())]).unwrap();
    assert_defect!(one_segment(17).defect(), Malformed::SegmentTooLarge { index: 0, limit: "16 MiB stored" });
}
