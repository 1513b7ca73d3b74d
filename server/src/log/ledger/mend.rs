//! Mends damaged and missing tiles and bundles of one store, from another store's copy of the same tree.
//!
//! Guarantee: it writes only bytes that verify against the root of the store's own checkpoint, which the log signed. It keeps the
//! damaged bytes in `damaged/`. Not here: the checkpoint, which the sequencer replaces; finding damage (`fsck`).

use std::sync::Arc;

use evidence::log_key::LogKeys;
use ledger::AuthenticatedReader;
use ledger::tile::{TilePath, bundles_for_growth, tiles_for_growth};
use store::{Key, Store, StoreError, StoreErrorClass};

use super::recovery::verify_head;
use super::tiles::StoreTiles;

/// The result of mending one store.
#[derive(Debug, Default)]
pub struct Mended {
    /// Objects that were written again.
    pub mended: Vec<Key>,
    /// Objects that are damaged or missing, and why they could not be mended.
    pub failed: Vec<(Key, String)>,
}

/// Compares every tile of `store` with its checkpoint, and writes again those that differ. Blocks on disks.
pub fn mend_tiles(store: &dyn Store, all: &[Arc<dyn Store>], keys: &LogKeys) -> Mended {
    let mut done = Mended::default();
    // Without its own checkpoint, the store has nothing to compare with.
    let Ok(Some(checkpoint)) = verify_head(store, keys).map(|head| head.checkpoint) else {
        return done;
    };
    let others: Vec<StoreTiles<'_>> = all
        .iter()
        .filter(|other| other.identity().store != store.identity().store)
        .map(|other| StoreTiles::new(other.as_ref()))
        .collect();
    let readers: Vec<_> = others
        .iter()
        .filter_map(|tiles| AuthenticatedReader::new(tiles, checkpoint.size, &checkpoint.root).ok())
        .collect();
    let paths = tiles_for_growth(0, checkpoint.size)
        .and_then(|tiles| Ok([tiles, bundles_for_growth(0, checkpoint.size)?].concat()));
    let paths = match paths {
        Ok(paths) => paths,
        Err(error) => {
            done.failed.push((Key::checkpoint(), error.to_string()));
            return done;
        }
    };
    for path in paths {
        let name = Key::tile(&path);
        let right = readers.iter().find_map(|reader| reader.content(&path).ok());
        let result = match right {
            Some(right) => put_right(store, &name, &right),
            None if is_alone_right(store, &path) => continue,
            None => Err("no other store has the tree whole up to there".to_owned()),
        };
        match result {
            Ok(true) => done.mended.push(name),
            Ok(false) => {}
            Err(why) => done.failed.push((name, why)),
        }
    }
    done
}

/// Checks a tile when no other store can be compared: only its absence counts as a fault.
fn is_alone_right(store: &dyn Store, path: &TilePath) -> bool {
    store.size(&Key::tile(path)).is_ok()
}

/// Writes the right bytes if they are not there. True if it wrote.
fn put_right(store: &dyn Store, name: &Key, right: &[u8]) -> Result<bool, String> {
    let said = |error: StoreError| crate::failure::chain(&error);
    match store.read(name) {
        Ok(stored) if stored == right => return Ok(false),
        Err(error) if error.class() == StoreErrorClass::NotFound => {}
        Err(error) if error.class() == StoreErrorClass::Transient => return Err(said(error)),
        _ => store.make_way(name, right).map_err(said)?,
    }
    store.create(name, right).map(|()| true).map_err(said)
}

#[cfg(test)]
mod tests {
    use ledger::tile::{encode_bundle, grow};
    use ledger::{Checkpoint, KeyType, Note, TileSet};
    use store::{DirectoryStore, StoreIdentity};
    use testkit::log::Log;

    use super::super::fsck::{FsckReport, check_store};
    use super::*;

    fn log() -> Log {
        Log::new("exhibit/acme", 30)
    }

    /// Makes a store with a log of `size` entries.
    fn store(place: &std::path::Path, name: &str, size: usize) -> Arc<dyn Store> {
        let identity = StoreIdentity {
            store: name.to_owned(),
            deployment: "acme".to_owned(),
            created: "2026-11-22T00:00:00.000Z".to_owned(),
            domain: store::DOMAIN_OF_DEVICE.to_owned(),
        };
        let store = DirectoryStore::initialise(&place.join(name), &identity).unwrap();
        let bodies: Vec<Vec<u8>> = (0..size).map(|number| format!("entry {number}\n").into_bytes()).collect();
        let mut log = log();
        for body in &bodies {
            log.append(body);
        }
        for (bundle, path) in
            bodies.chunks(256).zip(bundles_for_growth(0, u64::try_from(size).unwrap()).unwrap())
        {
            store.create(&Key::tile(&path), &encode_bundle(bundle).unwrap()).unwrap();
        }
        for (path, tile) in grow(&TileSet::default(), 0, &log.leaves).unwrap() {
            store.create(&Key::tile(&path), &tile.encode()).unwrap();
        }
        store.replace_checkpoint(log.note().to_string().as_bytes()).unwrap();
        Arc::new(store)
    }

    #[test]
    fn a_signed_size_of_more_tiles_than_are_planned_is_reported() {
        let place = tempfile::tempdir().unwrap();
        let signer = log().signer;
        let key = LogKeys::unchanged(signer.verifier_key(KeyType::Ed25519));
        let all = ["one", "two"].map(|name| store(place.path(), name, 3));
        let text = Checkpoint::new("exhibit/acme", 1 << 40, ledger::Hash([9; 32])).unwrap().to_text();
        let note = Note::new(&text, vec![signer.sign(&text).unwrap()]).unwrap();
        all[0].replace_checkpoint(note.to_string().as_bytes()).unwrap();

        let done = mend_tiles(all[0].as_ref(), &all, &key);
        assert_eq!((done.mended.len(), done.failed.len()), (0, 1), "{done:?}");
        let mut report = FsckReport::default();
        assert_eq!(check_store(all[0].as_ref(), &key, &mut report), None);
        let [problem] = report.problems.as_slice() else { panic!("{report:?}") };
        assert_eq!((&done.failed[0].0.to_string(), &done.failed[0].1), (&problem.what, &problem.why));
        assert!(problem.why.contains("1099511627776"), "{}", problem.why);
    }

    #[test]
    fn damaged_and_lost_tiles_come_back_from_a_store_that_has_the_same_tree() {
        let place = tempfile::tempdir().unwrap();
        let signer = log().signer;
        let key = LogKeys::unchanged(signer.verifier_key(KeyType::Ed25519));
        let all = ["one", "two"].map(|name| store(place.path(), name, 300));
        assert!(mend_tiles(all[0].as_ref(), &all, &key).mended.is_empty());
        let paths = ["ledger/tile/0/000", "ledger/tile/entries/000", "ledger/tile/1/000.p/1"];
        let whole: Vec<_> =
            paths.iter().map(|path| fs_err::read(place.path().join("two").join(path)).unwrap()).collect();
        for (number, path) in paths.iter().enumerate() {
            let path = place.path().join("one").join(path);
            fs_err::remove_file(&path).unwrap();
            if number > 0 {
                fs_err::write(&path, &whole[number][1..]).unwrap();
            }
        }
        // Damage in one store changes nothing in the other.
        assert!(mend_tiles(all[1].as_ref(), &all, &key).mended.is_empty());
        let done = mend_tiles(all[0].as_ref(), &all, &key);
        assert_eq!((done.mended.len(), done.failed.len()), (3, 0), "{done:?}");
        for (path, whole) in paths.iter().zip(&whole) {
            assert_eq!(fs_err::read(place.path().join("one").join(path)).unwrap(), *whole);
        }
        assert_eq!(fs_err::read_dir(place.path().join("one/damaged")).unwrap().count(), 2);
        // The same tile is rotten in both stores: the result names it, and nothing is invented.
        for name in ["one", "two"] {
            let path = place.path().join(name).join(paths[1]);
            fs_err::remove_file(&path).unwrap();
        }
        let done = mend_tiles(all[0].as_ref(), &all, &key);
        assert_eq!((done.mended.len(), done.failed.len()), (0, 1), "{done:?}");
    }
}
