//! The 512-byte ustar block.

use super::{BLOCK, OCTAL_8_MAX, OCTAL_12_MAX};

/// The fields of a block.
pub(super) struct Fields<'a> {
    pub(super) name: &'a [u8],
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) size: u64,
    pub(super) mtime: u64,
    pub(super) typeflag: u8,
    pub(super) linkname: &'a [u8],
}

fn is_plain(byte: u8) -> bool {
    (0x20..=0x7e).contains(&byte)
}

/// True when a name stands in its 100-byte field as it is.
pub(super) fn fits(name: &[u8]) -> bool {
    name.len() <= 100 && name.iter().copied().all(is_plain)
}

/// The last at most `max` bytes of `name`, everything outside 0x20..0x7e as `_`.
fn tail(name: &[u8], max: usize) -> impl Iterator<Item = u8> {
    // Saturating is the meaning: a short name is shown whole.
    let skip = name.len().saturating_sub(max);
    name.iter().skip(skip).map(|byte| if is_plain(*byte) { *byte } else { b'_' })
}

/// The ustar name of a sparse member; a reader that does not know sparse maps then shows what it is.
pub(super) fn sparse_name(name: &[u8]) -> Vec<u8> {
    let mut field = b"GNUSparseFile.0/".to_vec();
    field.extend(tail(name, 80));
    field
}

/// The block of a member. Numbers that do not fit are 0 here and stand in the pax header.
pub(super) fn block(fields: &Fields<'_>) -> [u8; BLOCK] {
    let small = |value: u32| u64::from(if value <= OCTAL_8_MAX { value } else { 0 });
    let large = |value: u64| if value <= OCTAL_12_MAX { value } else { 0 };
    let mut bytes = Vec::with_capacity(BLOCK);
    text(&mut bytes, fields.name, 100);
    octal(&mut bytes, u64::from(fields.mode), 7);
    octal(&mut bytes, small(fields.uid), 7);
    octal(&mut bytes, small(fields.gid), 7);
    octal(&mut bytes, large(fields.size), 11);
    octal(&mut bytes, large(fields.mtime), 11);
    bytes.extend_from_slice(b"        "); // the checksum counts itself as spaces
    bytes.push(fields.typeflag);
    text(&mut bytes, fields.linkname, 100);
    bytes.extend_from_slice(b"ustar\x0000");
    bytes.resize(bytes.len() + 64, 0); // uname, gname
    octal(&mut bytes, 0, 7);
    octal(&mut bytes, 0, 7);
    let sum: u64 = bytes.iter().map(|byte| u64::from(*byte)).sum();

    let mut block = [0; BLOCK];
    for (to, from) in block.iter_mut().zip(&bytes) {
        *to = *from;
    }
    let checksum = format!("{sum:06o}\0 ");
    for (to, from) in block.iter_mut().skip(148).zip(checksum.bytes()) {
        *to = from;
    }
    block
}

/// A text field of `width` bytes, filled with NUL.
fn text(bytes: &mut Vec<u8>, value: &[u8], width: usize) {
    let end = bytes.len() + width;
    bytes.extend(tail(value, width));
    bytes.resize(end, 0);
}

/// `digits` octal digits and a NUL. The caller has checked that `value` fits.
fn octal(bytes: &mut Vec<u8>, value: u64, digits: usize) {
    bytes.extend_from_slice(format!("{value:0digits$o}\0").as_bytes());
}
