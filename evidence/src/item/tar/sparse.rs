//! GNU.sparse 1.0: the map in front of the data runs.

/// The map of `runs` (each `(offset, length)`, ascending), padded with NUL to whole blocks. Where the file ends in a
/// hole, a last run `(size, 0)` closes it.
#[must_use]
pub(crate) fn sparse_map(runs: &[(u64, u64)], size: u64) -> Vec<u8> {
    let ends_in_hole = match runs.last() {
        // A run that leaves 64 bits passes the size: the record's check refuses it.
        Some((off, len)) => off.checked_add(*len).is_some_and(|end| end < size),
        None => true,
    };
    let mut map = format!("{}\n", runs.len() + usize::from(ends_in_hole));
    for (off, len) in runs {
        map.push_str(&format!("{off}\n{len}\n"));
    }
    if ends_in_hole {
        map.push_str(&format!("{size}\n0\n"));
    }
    let mut map = map.into_bytes();
    map.resize(map.len().next_multiple_of(super::BLOCK), 0);
    map
}

#[cfg(test)]
mod tests {
    use super::sparse_map;

    #[test]
    fn a_map_is_closed_where_the_file_ends_in_a_hole() {
        let text = |runs: &[(u64, u64)], size| {
            let map = sparse_map(runs, size);
            assert_eq!(map.len() % 512, 0);
            String::from_utf8(map).unwrap().trim_end_matches('\0').to_owned()
        };
        assert_eq!(text(&[(0, 4096), (8192, 4096)], 12288), "2\n0\n4096\n8192\n4096\n");
        assert_eq!(text(&[(0, 4096)], 12288), "2\n0\n4096\n12288\n0\n");
        assert_eq!(text(&[], 12288), "1\n12288\n0\n");
    }
}
