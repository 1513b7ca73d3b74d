//! Every flipped bit or byte of a small container.

use testkit::containers::lab::{Lab, verify_parts};
use testkit::containers::pieces::Pieces;
use testkit::containers::{denied, file};

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
    let mut forge = Pieces::small();
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
    let mut forge = Pieces::small();
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
