//! Damage to item records and to the bytes that carry them.

use evidence::container::Malformed;
use evidence::digest::Digest;
use evidence::frames::{FrameError, compress_frame};
use evidence::item::outcome::Outcome;
use evidence::item::tar;
use evidence::item::{ItemRecord, RawBytes, RecordError, Salt};
use evidence::seal::{Seal, SealError};
use testkit::containers::lab::{Lab, verify_parts};
use testkit::containers::pieces::Pieces;
use testkit::containers::{denied, dir, records_of, symlink};

use super::{HIDDEN, assert_defect, defect};

#[test]
fn duplicate_member_name() {
    let mut forge = Pieces::small();
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
    let mut forge = Pieces::small();
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
    let mut forge = Pieces::small();
    forge.records[2].path = RawBytes(b"/etc/../../hello".to_vec());
    forge.records[2].shown = "/etc/../../hello".into();
    forge.records[2].member = Some(RawBytes(b"[root]/etc/../../hello".to_vec()));
    assert_defect!(forge.defect(), Malformed::Record { item: 2, source: RecordError::Name(_) });
}

#[test]
fn member_name_of_another_path() {
    let mut forge = Pieces::small();
    forge.records[2].member = Some(RawBytes(b"[root]/etc/other".to_vec()));
    assert_defect!(forge.defect(), Malformed::Record { item: 2, source: RecordError::MemberName });
}

#[test]
fn shown_name_that_is_not_the_path() {
    let mut forge = Pieces::small();
    forge.records[2].shown = "/etc/harmless".into();
    assert_defect!(
        forge.defect(),
        Malformed::Record { item: 2, source: RecordError::Field { field: "shown", .. } }
    );
}

#[test]
fn edited_outcome() {
    let mut forge = Pieces::small();
    forge.records[5].outcome = Outcome::Absent;
    assert_defect!(forge.defect(), Malformed::OutcomesContent);
}

#[test]
fn gap_struck_out() {
    let mut forge = Pieces::small();
    forge.records[6].gaps.clear();
    forge.records[6].sha256_read = None;
    forge.records[6].outcome = Outcome::Ok;
    forge.records[6].error = None;
    assert_defect!(forge.defect(), Malformed::OutcomesContent);
}

#[test]
fn sha256_read_of_other_bytes() {
    let mut forge = Pieces::small();
    forge.records[6].sha256_read = forge.records[6].sha256;
    assert_defect!(forge.defect(), Malformed::ReadDigest { item: 6 });
}

#[test]
fn hard_link_to_other_content() {
    let mut forge = Pieces::small();
    forge.records[3].sha256 = Some(Digest::of(b"other"));
    assert_defect!(forge.defect(), Malformed::LinkTarget { item: 3 });
}

#[test]
fn records_swapped() {
    let mut forge = Pieces::small();
    forge.records.swap(1, 2);
    assert_defect!(forge.defect(), Malformed::Ordinal { item: 1, stated: 2 });
}

#[test]
fn record_placed_elsewhere() {
    let mut forge = Pieces::small();
    forge.records[2].data = forge.records[2].data.map(|data| data + 512);
    assert_defect!(forge.defect(), Malformed::MemberOffset { item: 2, .. });
}

#[test]
fn record_left_out() {
    let mut forge = Pieces::small();
    forge.records.remove(5);
    assert_defect!(forge.defect(), Malformed::Ordinal { item: 5, stated: 6 });
}

#[test]
fn record_spelled_otherwise() {
    let forge = Pieces::small();
    let mut lines = Vec::new();
    for record in &forge.records {
        let line = String::from_utf8(record.to_line().unwrap()).unwrap();
        lines.push(line.replacen("\"n\":", "\"n\": ", usize::from(record.n == 4)) + "\n");
    }
    let forge = Pieces { lines: Some(lines.concat().into_bytes()), ..forge };
    assert_defect!(forge.defect(), Malformed::Record { item: 4, source: RecordError::NotCanonical });
}

#[test]
fn fewer_records_than_stated() {
    let forge = Pieces::small();
    let (seal, segment) = forge.build_with(|header| {
        header.items += 1;
        header.items_total += 1;
    });
    assert_defect!(defect(&[(&seal, &segment)]), Malformed::RecordCount { index: 0 });
}

#[test]
fn salt_changed_changes_the_root() {
    let mut forge = Pieces::small();
    let good = verify_parts([forge.build()].iter().map(|(a, b)| (a.as_slice(), b.as_slice()))).unwrap().0;
    forge.records[0].salt = Salt([1; 16]);
    let other = verify_parts([forge.build()].iter().map(|(a, b)| (a.as_slice(), b.as_slice()))).unwrap().0;
    // The manifest signs the root; comparing it is the caller's part.
    assert_ne!(good.items_root, other.items_root);
    assert_ne!(good.seal_head, other.seal_head);
}

#[test]
fn records_bomb() {
    let mut forge = Pieces::small();
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
    let mut forge = Pieces::small();
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
    let mut forge = Pieces::small();
    forge.records[5].path = RawBytes(b"live/outcomes.jsonl".to_vec());
    forge.records[5].shown = "live/outcomes.jsonl".into();
    assert_defect!(forge.defect(), Malformed::OutcomesMember { item: 5 });
}
