//! The limits of one segment, at both sides: 64 MiB of plain bytes, 16 MiB of stored bytes.

use crate::bundle_builder::*;

const MIB: usize = 1 << 20;

/// A bundle whose stored collection begins with a segment of this many frames of 1 MiB.
fn first_segment<'a>(frames: usize, long: Vec<u8>) -> Recipe<'a> {
    Recipe { long, cuts: vec![frames], ..Recipe::one_endpoint() }
}

/// Bytes that do not compress.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

#[test]
fn a_segment_of_65_mib_plain_is_refused_and_one_of_64_is_taken() {
    let report = verify(&first_segment(64, vec![0; 66 * MIB]).build().files);
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    let report = verify(&first_segment(65, vec![0; 66 * MIB]).build().files);
    assert!(report.exit_code() == 1 && fails(&report, "container"), "{}", report.text());
}

#[test]
fn a_segment_of_17_mib_stored_is_refused_and_one_of_15_is_taken() {
    let long = noise(18 * MIB);
    let report = verify(&first_segment(15, long.clone()).build().files);
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    let report = verify(&first_segment(17, long).build().files);
    assert!(report.exit_code() == 1 && fails(&report, "container"), "{}", report.text());
}
