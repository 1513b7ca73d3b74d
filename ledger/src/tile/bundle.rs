//! Entry bundles: up to 256 entries, each after its length as a big-endian 16-bit number.

use super::{TileError, width_of};

/// Longest entry a bundle can hold: 65,535 bytes, the largest 16-bit length.
pub const ENTRY_BYTES_MAX: usize = 65_535;

/// Writes a bundle.
///
/// # Errors
/// `TileError::Width` unless there are 1 to 256 entries, `TileError::EntryTooLong` above 65,535 bytes.
pub fn encode_bundle<E: AsRef<[u8]>>(entries: &[E]) -> Result<Vec<u8>, TileError> {
    width_of(entries.len())?;
    let mut bundle = Vec::new();
    for entry in entries {
        let entry = entry.as_ref();
        let Ok(length) = u16::try_from(entry.len()) else {
            return Err(TileError::EntryTooLong { bytes: entry.len() });
        };
        bundle.extend(length.to_be_bytes());
        bundle.extend(entry);
    }
    Ok(bundle)
}

/// Reads the `width` entries of a bundle without copying them.
///
/// # Errors
/// `TileError::Width` outside 1..=256; `TileError::EntryCount` when an entry is cut, missing or too many.
pub fn decode_bundle(bundle: &[u8], width: u16) -> Result<Vec<&[u8]>, TileError> {
    let width = width_of(usize::from(width))?;
    let mut rest = bundle;
    let mut entries = Vec::with_capacity(usize::from(width));
    for _ in 0..width {
        let (entry, after) = split_entry(rest).ok_or(TileError::EntryCount { expected: width })?;
        entries.push(entry);
        rest = after;
    }
    if rest.is_empty() { Ok(entries) } else { Err(TileError::EntryCount { expected: width }) }
}

fn split_entry(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_as_they_went_in() {
        let entries: Vec<Vec<u8>> = vec![vec![], vec![1, 2, 3], vec![9; ENTRY_BYTES_MAX]];
        let bundle = encode_bundle(&entries).unwrap();
        assert_eq!(bundle[..7], [0, 0, 0, 3, 1, 2, 3]);
        assert_eq!(decode_bundle(&bundle, 3).unwrap(), entries);
    }

    #[test]
    fn cut_surplus_and_oversized_entries_are_refused() {
        let bundle = encode_bundle(&[b"ab", b"cd"]).unwrap();
        let wrong = |expected| Err(TileError::EntryCount { expected });
        assert_eq!(decode_bundle(&bundle, 1), wrong(1));
        assert_eq!(decode_bundle(&bundle, 3), wrong(3));
        for cut in 0..bundle.len() {
            assert_eq!(decode_bundle(&bundle[..cut], 2), wrong(2));
        }
        assert_eq!(decode_bundle(&bundle, 0), Err(TileError::Width { width: 0 }));
        assert_eq!(encode_bundle::<&[u8]>(&[]), Err(TileError::Width { width: 0 }));
        assert_eq!(encode_bundle(&[[0; 65_536]]), Err(TileError::EntryTooLong { bytes: 65_536 }));
        for count in [257, 65_537] {
            assert_eq!(encode_bundle(&vec![b""; count]), Err(TileError::Width { width: count }));
        }
    }
}
