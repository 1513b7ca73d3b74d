//! Lengths in memory as the 64-bit numbers that documents carry, and back.
//!
//! Guarantee: neither direction loses a bit, because Exhibit is built only for machines whose `usize` has 64 bits.

const _: () =
    assert!(usize::BITS == 64, "lengths of evidence are 64-bit numbers: build for a 64-bit machine");

/// How many elements a slice has.
#[must_use]
pub const fn len<T>(slice: &[T]) -> u64 {
    to_u64(slice.len())
}

/// A length in memory as a number of a document.
#[must_use]
pub const fn to_u64(length: usize) -> u64 {
    length as u64
}

/// A number of a document as a length in memory.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "usize has 64 bits: asserted above")]
pub const fn to_usize(length: u64) -> usize {
    length as usize
}
