//! The contract of [`Store`] as a test that each implementation must pass. Tests only.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::contract::Store;
use crate::dispose::Disposable;
use crate::error::StoreErrorClass;
use crate::guarantees::Lock;
use crate::key::Key;

/// Runs every rule against fresh stores that `make` returns.
///
/// # Panics
/// At the first broken rule: it is a test.
#[expect(clippy::panic, clippy::unwrap_used, reason = "this is a test that other rooms may call")]
pub fn run(make: &dyn Fn() -> Arc<dyn Store>) {
    let collection = [0xc0; 32];
    let segment = |index: u64, bytes: &[u8]| Key::segment(&collection, index, &Sha256::digest(bytes).into());
    let class = |result: Result<(), crate::error::StoreError>| result.err().map(|error| error.class());

    // An object is there and whole once it is acknowledged, and not before.
    let store = make();
    let key = segment(0, b"first");
    assert_eq!(store.read(&key).err().map(|error| error.class()), Some(StoreErrorClass::NotFound));
    assert_eq!(store.size(&key).err().map(|error| error.class()), Some(StoreErrorClass::NotFound));
    store.create(&key, b"first").unwrap();
    assert_eq!(store.read(&key).unwrap(), b"first");
    assert_eq!(store.size(&key).unwrap(), 5);

    // Creating a key again succeeds with the same bytes, and conflicts with others. Nothing changes in either
    // case.
    store.create(&key, b"first").unwrap();
    assert_eq!(class(store.create(&key, b"fIrst")), Some(StoreErrorClass::Conflict));
    assert_eq!(class(store.create(&key, b"first and more")), Some(StoreErrorClass::Conflict));
    assert_eq!(class(store.create(&key, b"")), Some(StoreErrorClass::Conflict));
    assert_eq!(store.read(&key).unwrap(), b"first");

    // A range that passes the end is cut there.
    assert_eq!(store.read_range(&key, 1, 3).unwrap(), b"irs");
    assert_eq!(store.read_range(&key, 3, 100).unwrap(), b"st");
    assert_eq!(store.read_range(&key, 5, 1).unwrap(), b"");
    assert_eq!(store.read_range(&key, 500, 1).unwrap(), b"");

    // An object can be written in pieces. A writer that is dropped leaves nothing.
    let pieces = segment(1, b"second object");
    let mut writer = store.create_writer().unwrap();
    writer.write(b"second ").unwrap();
    writer.write(b"").unwrap();
    writer.write(b"object").unwrap();
    assert_eq!(store.size(&pieces).err().map(|error| error.class()), Some(StoreErrorClass::NotFound));
    writer.commit(&pieces).unwrap();
    assert_eq!(store.read(&pieces).unwrap(), b"second object");
    let mut again = store.create_writer().unwrap();
    again.write(b"second object").unwrap();
    again.commit(&pieces).unwrap();
    let mut other = store.create_writer().unwrap();
    other.write(b"second OBJECT").unwrap();
    assert_eq!(class(other.commit(&pieces)), Some(StoreErrorClass::Conflict));
    let mut dropped = store.create_writer().unwrap();
    dropped.write(b"never").unwrap();
    drop(dropped);

    // Empty objects are objects.
    let empty = segment(2, b"");
    store.create(&empty, b"").unwrap();
    assert_eq!(store.read(&empty).unwrap(), b"");

    // Listing is sorted and complete, by prefix.
    assert_eq!(store.list("segments/").unwrap(), {
        let mut keys = vec![key.clone(), pieces.clone(), empty];
        keys.sort();
        keys
    });
    assert_eq!(store.list("seals/").unwrap(), []);
    assert!(store.list("").unwrap().contains(&Key::marker()));

    // Only the checkpoint can be replaced.
    store.replace_checkpoint(b"one").unwrap();
    store.replace_checkpoint(b"two").unwrap();
    assert_eq!(store.read(&Key::checkpoint()).unwrap(), b"two");

    // Only detail objects can be erased, and erasing one again succeeds.
    let detail = Key::detail(&Sha256::digest(b"detail").into());
    store.remove(&detail).unwrap();
    store.create(&detail, b"detail").unwrap();
    if store.guarantees().erasable {
        store.remove(&detail).unwrap();
        store.remove(&detail).unwrap();
        assert_eq!(store.read(&detail).err().map(|error| error.class()), Some(StoreErrorClass::NotFound));
    } else {
        // A store that refuses every deletion reports that guarantee and keeps the object.
        assert_eq!(class(store.remove(&detail)), Some(StoreErrorClass::Permanent));
        assert_eq!(store.read(&detail).unwrap(), b"detail");
    }
    assert_eq!(class(store.remove(&key)), Some(StoreErrorClass::Permanent));

    // Only a damaged object can be displaced. Then the right bytes can be created under its key.
    assert_eq!(class(store.displace(&key)), Some(StoreErrorClass::Conflict));
    let claimed = segment(3, b"claimed");
    store.create(&claimed, b"damaged").unwrap();
    store.displace(&claimed).unwrap();
    store.create(&claimed, b"claimed").unwrap();
    assert_eq!(store.read(&claimed).unwrap(), b"claimed");

    // A warrant destroys the covered objects with their displaced copies and nothing else. Repeating it changes nothing.
    let covered = crate::dispose::warrants::over(&[collection], &[]);
    let foreign = crate::dispose::warrants::over(&[[0xdd; 32]], &[]);
    let evidence = Disposable::Collection(collection);
    let all = &|| true;
    assert_eq!(class(store.dispose(&evidence, &foreign, all).map(drop)), Some(StoreErrorClass::Permanent));
    assert_eq!(store.read(&claimed).unwrap(), b"claimed");
    let elsewhere = Key::segment(&[0xdd; 32], 0, &Sha256::digest(b"elsewhere").into());
    store.create(&elsewhere, b"elsewhere").unwrap();
    let stopped = store.dispose(&evidence, &covered, &|| false);
    assert!(stopped.is_ok_and(|done| done.count == 0 && !done.is_all));
    if store.guarantees().lock == Lock::None {
        // Stopped after the first object: the result counts what was destroyed, and the next call destroys
        // the rest.
        let once = std::cell::Cell::new(true);
        let first = store.dispose(&evidence, &covered, &|| once.replace(false)).unwrap();
        assert!(first.count <= 1 && !first.is_all);
        let rest = store.dispose(&evidence, &covered, all).unwrap();
        assert!(rest.is_all && first.count + rest.count >= 4);
        let again = store.dispose(&evidence, &covered, all).unwrap();
        assert!(again.is_all && again.count == 0);
        assert_eq!(store.read(&claimed).err().map(|error| error.class()), Some(StoreErrorClass::NotFound));
        assert_eq!(store.list("segments/").unwrap().as_slice(), std::slice::from_ref(&elsewhere));
    } else {
        // A store that refuses every deletion reports that guarantee and keeps the object.
        assert!(matches!(
            store.dispose(&evidence, &covered, all),
            Err(crate::error::StoreError::Locked { .. })
        ));
        assert_eq!(store.read(&claimed).unwrap(), b"claimed");
    }
    assert_eq!(store.read(&elsewhere).unwrap(), b"elsewhere");

    // When many creators write different bytes, exactly one wins, and its bytes are stored.
    let store = make();
    let contested = segment(9, b"contested");
    let winners: Vec<u8> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8_u8)
            .map(|number| {
                let (store, contested) = (&store, &contested);
                scope.spawn(move || store.create(contested, &[number; 1000]).ok().map(|()| number))
            })
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    });
    let [winner] = winners.as_slice() else { panic!("{} creators won", winners.len()) };
    assert_eq!(store.read(&contested).unwrap(), [*winner; 1000]);
}
