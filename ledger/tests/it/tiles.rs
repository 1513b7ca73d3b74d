//! A log of 70,000 entries written as tiles, grown in uneven steps, read back, and damaged.

use std::collections::BTreeMap;

use ledger::tile::{
    TILE_WIDTH, TileReadError, bundles_for_growth, encode_bundle, grow, tiles_for_consistency,
    tiles_for_growth, tiles_for_inclusion, tiles_for_root,
};
use ledger::{
    AuthenticatedReader, Frontier, Hash, TileKind, TilePath, TileReader, TileSet, consistency_proof,
    frontier, inclusion_proof, leaf_hash, root, root_of, verify_consistency, verify_inclusion,
};
use proptest::prelude::*;

/// Steps of a log's growth: across tile borders, exactly onto them, one by one.
const SIZES: [u32; 14] = [0, 1, 2, 255, 256, 257, 300, 511, 512, 65_535, 65_536, 65_537, 69_000, 70_000];

/// A log stored as its sequencer would: every tile of every published size.
fn write_log(sizes: &[u32]) -> (TileSet, Vec<Hash>) {
    let leaves = crate::leaves(*sizes.last().unwrap());
    let mut store = TileSet::default();
    for step in sizes.windows(2) {
        let (old, new) = (u64::from(step[0]), u64::from(step[1]));
        let written = grow(&store, old, &leaves[step[0] as usize..step[1] as usize]).unwrap();
        let mut paths: Vec<TilePath> = written.iter().map(|(path, _)| *path).collect();
        let mut planned = tiles_for_growth(old, new).unwrap();
        paths.sort();
        planned.sort();
        assert_eq!(paths, planned, "{old} to {new}");
        for (path, tile) in written {
            let same = store.0.insert(path, tile.encode());
            assert!(same.is_none(), "{path} written twice: tiles are immutable");
        }
        for path in bundles_for_growth(old, new).unwrap() {
            store.0.insert(path, bundle(path));
        }
    }
    (store, leaves)
}

fn bundle(path: TilePath) -> Vec<u8> {
    let first = u32::try_from(path.index() * u64::from(TILE_WIDTH)).unwrap();
    let entries: Vec<[u8; 4]> = (first..first + u32::from(path.width())).map(u32::to_be_bytes).collect();
    encode_bundle(&entries).unwrap()
}

#[test]
fn seventy_thousand_entries_have_the_same_root_in_memory_edge_and_tiles() {
    let (store, leaves) = write_log(&SIZES);
    let mut edge = Frontier::new();
    for (size, leaf) in (1_u64..).zip(&leaves) {
        edge.push(*leaf);
        if SIZES.contains(&u32::try_from(size).unwrap()) {
            assert_eq!(root(&TileReader::new(&store, size), size).unwrap(), edge.root(), "size {size}");
            assert_eq!(frontier(&TileReader::new(&store, size), size).unwrap(), edge);
        }
    }
    assert_eq!(edge.root(), root_of(&leaves));
    let full = |level| {
        store.0.keys().filter(move |path| path.kind() == TileKind::Hashes(level) && !path.is_partial())
    };
    assert_eq!((full(0).count(), full(1).count(), full(2).count()), (273, 1, 0));
    for partial in ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1", "tile/entries/273.p/112"] {
        assert!(store.0.contains_key(&TilePath::parse(partial).unwrap()), "{partial}");
    }
}

#[test]
fn proofs_out_of_tiles_verify_and_need_only_the_tiles_that_are_named() {
    let (store, leaves) = write_log(&SIZES);
    let size = 70_000;
    let root = root_of(&leaves);
    let only = |paths: Vec<TilePath>| {
        TileSet(paths.into_iter().map(|path| (path, store.0[&path].clone())).collect::<BTreeMap<_, _>>())
    };
    for index in [0, 1, 255, 256, 65_535, 65_536, 65_537, 69_887, 69_888, 69_999] {
        let needed = only(tiles_for_inclusion(index, size).unwrap());
        let proof = inclusion_proof(&TileReader::new(&needed, size), index, size).unwrap();
        let trusted = AuthenticatedReader::new(&store, size, &root).unwrap();
        assert_eq!(inclusion_proof(&trusted, index, size).unwrap(), proof);
        assert_eq!(verify_inclusion(index, size, &leaves[crate::place(index)], &proof, &root), Ok(()));
    }
    for old in SIZES.map(u64::from).into_iter().filter(|old| *old != 0) {
        let needed = only(tiles_for_consistency(old, size).unwrap());
        let proof = consistency_proof(&TileReader::new(&needed, size), old, size).unwrap();
        let old_root = root_of(&leaves[..crate::place(old)]);
        assert_eq!(verify_consistency(old, &old_root, size, &root, &proof), Ok(()), "from {old}");
    }
    assert_eq!(tiles_for_root(size).unwrap().len(), 3);
    assert!(tiles_for_inclusion(size, size).is_err());
}

#[test]
fn an_altered_bit_in_any_tile_or_bundle_is_noticed_before_it_is_believed() {
    let (store, leaves) = write_log(&[0, 66_000]);
    let (size, root) = (66_000, root_of(&leaves));
    let trusted = AuthenticatedReader::new(&store, size, &root).unwrap();
    assert_eq!(trusted.entries(0).unwrap()[7], 7_u32.to_be_bytes());
    assert_eq!(trusted.entries(257).unwrap().len(), 208);
    assert!(matches!(trusted.entries(258), Err(TileReadError::NoBundle { .. })));
    for (place, path) in store.0.keys().enumerate() {
        let mut altered = store.clone();
        let bytes = altered.0.get_mut(path).unwrap();
        let at = place * 7919 % bytes.len();
        bytes[at] ^= 1 << (place % 8);
        let seen = AuthenticatedReader::new(&altered, size, &root).and_then(|reader| match path.kind() {
            TileKind::Entries => reader.entries(path.index()).map(drop),
            TileKind::Hashes(0) => reader.entries(path.index()).map(drop),
            TileKind::Hashes(_) => (0..257).try_for_each(|index| reader.entries(index).map(drop)),
        });
        assert!(seen.is_err(), "{path}");
    }
}

#[test]
fn a_reader_refuses_another_root_and_missing_or_cut_tiles() {
    let (mut store, leaves) = write_log(&[0, 300]);
    let root = root_of(&leaves);
    let other = AuthenticatedReader::new(&store, 300, &leaf_hash(b"another"));
    assert!(matches!(other, Err(TileReadError::RootMismatch { .. })));
    let edge = TilePath::parse("tile/0/001.p/44").unwrap();
    store.0.get_mut(&edge).unwrap().pop();
    assert!(matches!(AuthenticatedReader::new(&store, 300, &root), Err(TileReadError::Malformed { .. })));
    store.0.remove(&edge);
    assert!(matches!(AuthenticatedReader::new(&store, 300, &root), Err(TileReadError::Source { .. })));
    let empty = AuthenticatedReader::new(TileSet::default(), 0, &ledger::EMPTY_ROOT).unwrap();
    assert!(matches!(empty.entries(0), Err(TileReadError::NoBundle { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_log_grown_in_random_steps_proves_everything(
        steps in proptest::collection::vec(1_u32..900, 1..6), place in any::<u32>(), earlier in any::<u32>(),
    ) {
        let sizes: Vec<u32> = std::iter::once(0)
            .chain(steps.iter().scan(0, |size, step| { *size += step; Some(*size) }))
            .collect();
        let (store, leaves) = write_log(&sizes);
        let count = *sizes.last().unwrap();
        let (size, index, old) = (u64::from(count), u64::from(place % count), u64::from(earlier % count) + 1);
        let root = root_of(&leaves);
        let reader = AuthenticatedReader::new(&store, size, &root).unwrap();
        let proof = inclusion_proof(&reader, index, size).unwrap();
        prop_assert_eq!(verify_inclusion(index, size, &leaves[crate::place(index)], &proof, &root), Ok(()));
        let proof = consistency_proof(&reader, old, size).unwrap();
        let old_root = root_of(&leaves[..crate::place(old)]);
        prop_assert_eq!(verify_consistency(old, &old_root, size, &root, &proof), Ok(()));
    }

    #[test]
    fn every_tile_path_parses_as_it_prints(entries in any::<bool>(), level in 0_u8..64, index in any::<u64>(), width in 1_u16..=256) {
        let kind = if entries { TileKind::Entries } else { TileKind::Hashes(level) };
        let path = TilePath::new(kind, index, width).unwrap();
        prop_assert_eq!(TilePath::parse(&path.to_string()), Ok(path));
    }
}
