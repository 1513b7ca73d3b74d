//! The scrub's findings about an object, and the cases in which it finds nothing.

use sha2::{Digest as _, Sha256};
use store::fault::FaultDisk;
use store::scrub::{Found, examine, examine_by};
use store::{DirectoryStore, Key, Store as _, StoreIdentity, UnavailableStore};

fn identity() -> StoreIdentity {
    StoreIdentity {
        store: "one".to_owned(),
        deployment: "acme".to_owned(),
        created: "2026-11-21T00:00:00.000Z".to_owned(),
        domain: "device".to_owned(),
    }
}

fn key(bytes: &[u8]) -> Key {
    Key::segment(&[0xaa; 32], 0, &Sha256::digest(bytes).into())
}

#[test]
fn whole_damaged_and_missing_objects_are_told_apart() {
    let disk = FaultDisk::default();
    let store = DirectoryStore::initialise_on(disk.clone(), "fault", &identity()).unwrap();
    store.create(&key(b"right"), b"right").unwrap();
    assert!(matches!(examine(&store, &key(b"right")), Found::Whole(5)));
    assert!(matches!(examine(&store, &key(b"never")), Found::Missing));
    disk.damage(key(b"right").as_str(), b"damaged");
    let found = examine(&store, &key(b"right"));
    assert!(matches!(found, Found::Damaged(7)) && found.bytes_read() == 7);
    // A checkpoint's key says nothing of its content: the caller does.
    store.replace_checkpoint(b"note").unwrap();
    assert!(matches!(examine(&store, &Key::checkpoint()), Found::Whole(4)));
    assert!(matches!(examine_by(&store, &Key::checkpoint(), &|_| false), Found::Damaged(4)));
}

#[test]
fn nothing_is_said_of_an_object_by_a_store_that_does_not_answer_as_itself() {
    let place = tempfile::tempdir().unwrap();
    let store = DirectoryStore::initialise(place.path(), &identity()).unwrap();
    assert!(matches!(examine(&store, &key(b"never")), Found::Missing));
    fs_err::remove_file(place.path().join("store.json")).unwrap();
    assert!(matches!(examine(&store, &key(b"never")), Found::Away(_)), "the disk is not mounted");
    let away = UnavailableStore::new(identity(), "no disk".to_owned());
    assert!(matches!(examine(&away, &key(b"never")), Found::Away(_)));
}
