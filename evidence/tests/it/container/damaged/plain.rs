//! Damage to the plain stream: headers, content, padding, gaps, names.

use evidence::container::Malformed;
use evidence::item::tar;
use testkit::containers::pieces::Pieces;

use super::assert_defect;

#[test]
fn tar_header_field_changed() {
    let mut forge = Pieces::small();
    let at = forge.data(2) - 512 + 100; // mode
    forge.plain[at + 3] ^= 1;
    assert_defect!(forge.defect(), Malformed::HeaderMismatch { item: 2, .. });
}

/// The pax size overrides the ustar size in every reader that knows pax.
#[test]
fn pax_size_override() {
    let mut forge = Pieces::small();
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
    let mut forge = Pieces::small();
    let mut global = forge.plain[forge.at(2)..forge.data(2) - 512].to_vec();
    global[156] = b'g';
    let at = forge.at(2);
    forge.plain.splice(at..at, global);
    assert_defect!(forge.defect(), Malformed::HeaderMismatch { item: 2, .. });
}

#[test]
fn content_changed() {
    let mut forge = Pieces::small();
    let at = forge.data(2);
    forge.plain[at] ^= 1;
    assert_defect!(forge.defect(), Malformed::ContentDigest { item: 2 });
}

#[test]
fn bytes_in_padding() {
    let mut forge = Pieces::small();
    let at = forge.data(2) + 12;
    forge.plain[at] = b'!';
    assert_defect!(forge.defect(), Malformed::Padding { item: 2, .. });
}

#[test]
fn bytes_in_a_gap() {
    let mut forge = Pieces::small();
    let at = forge.data(6) + 500;
    forge.plain[at] = 1;
    assert_defect!(forge.defect(), Malformed::GapNotZero { item: 6, offset: 500 });
}

#[test]
fn sparse_map_changed() {
    let mut forge = Pieces::small();
    let at = forge.data(7);
    forge.plain[at] = b'2';
    assert_defect!(forge.defect(), Malformed::HeaderMismatch { item: 7, .. });
}

/// Plain bytes of a whole member that no record names.
#[test]
fn member_without_record() {
    let mut forge = Pieces::small();
    let member = forge.plain[forge.at(1)..forge.at(2)].to_vec();
    let at = forge.plain.len() - 1024;
    forge.plain.splice(at..at, member);
    assert_defect!(forge.defect(), Malformed::EndBlocks { .. });
}
