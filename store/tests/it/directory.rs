//! Stores on a real directory and on a disk that forgets.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use sha2::{Digest as _, Sha256};

use store::fault::{Fault, FaultDisk, Unflushed};
use store::*;

fn identity(store: &str) -> StoreIdentity {
    StoreIdentity {
        store: store.to_owned(),
        deployment: "acme".to_owned(),
        created: "2026-11-21T00:00:00.000Z".to_owned(),
        domain: DOMAIN_OF_DEVICE.to_owned(),
    }
}

fn key(bytes: &[u8]) -> Key {
    Key::segment(&[0xaa; 32], 0, &Sha256::digest(bytes).into())
}

#[test]
fn a_directory_keeps_the_contract() {
    let place = tempfile::tempdir().unwrap();
    let number = std::cell::Cell::new(0);
    conformance::run(&|| {
        number.set(number.get() + 1);
        Arc::new(
            DirectoryStore::initialise(&place.path().join(number.get().to_string()), &identity("one"))
                .unwrap(),
        )
    });
}

#[test]
fn a_disk_that_forgets_keeps_the_contract_while_it_has_power() {
    conformance::run(&|| {
        Arc::new(DirectoryStore::initialise_on(FaultDisk::default(), "fault", &identity("one")).unwrap())
    });
}

#[test]
fn a_store_is_never_made_by_opening_it() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("store");
    assert!(matches!(DirectoryStore::open(&root), Err(StoreError::Marker { .. })));
    assert!(!root.exists());
    std::fs::create_dir(&root).unwrap();
    assert!(matches!(DirectoryStore::open(&root), Err(StoreError::Marker { .. })));
    assert_eq!(root.read_dir().unwrap().count(), 0);
    drop(DirectoryStore::initialise(&root, &identity("one")).unwrap());
    assert_eq!(DirectoryStore::open(&root).unwrap().identity(), &identity("one"));
}

#[test]
fn a_directory_with_content_does_not_become_a_store() {
    let place = tempfile::tempdir().unwrap();
    fs_err::write(place.path().join("thesis.txt"), "mine").unwrap();
    assert!(matches!(
        DirectoryStore::initialise(place.path(), &identity("one")),
        Err(StoreError::Marker { .. })
    ));
}

#[test]
fn a_second_process_cannot_open_the_same_store() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("store");
    let first = DirectoryStore::initialise(&root, &identity("one")).unwrap();
    let second = DirectoryStore::open(&root).err().unwrap();
    assert_eq!(second.class(), StoreErrorClass::Transient);
    drop(first);
    DirectoryStore::open(&root).unwrap();
}

#[test]
fn objects_are_read_only_directories_are_private_and_temporaries_go_at_start() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("store");
    let store = DirectoryStore::initialise(&root, &identity("one")).unwrap();
    store.create(&key(b"x"), b"x").unwrap();
    store.replace_checkpoint(b"note").unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&root), 0o700);
    assert_eq!(mode(&root.join("segments")), 0o700);
    assert_eq!(mode(&root.join(key(b"x").as_str())), 0o444);
    assert_eq!(mode(&root.join("ledger/checkpoint")), 0o444);
    assert_eq!(root.join("tmp").read_dir().unwrap().count(), 0);
    drop(store);
    fs_err::write(root.join("tmp/0123"), "half an object").unwrap();
    drop(DirectoryStore::open(&root).unwrap());
    assert_eq!(root.join("tmp").read_dir().unwrap().count(), 0);
}

#[test]
fn no_symlink_is_followed_and_no_fifo_hangs_a_reader() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("store");
    let store = DirectoryStore::initialise(&root, &identity("one")).unwrap();
    fs_err::write(place.path().join("secret"), "secret").unwrap();
    let linked = Key::document(&[1; 32]);
    fs_err::create_dir(root.join("documents")).unwrap();
    std::os::unix::fs::symlink(place.path().join("secret"), root.join(linked.as_str())).unwrap();
    assert!(store.read(&linked).is_err());
    assert!(store.create(&linked, b"x").is_err());
    assert_eq!(fs_err::read_to_string(place.path().join("secret")).unwrap(), "secret");
    // A directory swapped for a symlink leads nowhere either.
    std::os::unix::fs::symlink(place.path(), root.join("details")).unwrap();
    assert!(store.create(&Key::detail(&[2; 32]), b"x").is_err());
    assert_eq!(place.path().read_dir().unwrap().count(), 2);
    let fifo = Key::document(&[3; 32]);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join(fifo.as_str()),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    assert!(store.read(&fifo).is_err());
    assert!(store.list("documents/").unwrap().is_empty());
}

/// Writes three objects; returns what was acknowledged.
fn scenario(store: &dyn Store) -> Vec<(Key, Vec<u8>)> {
    let mut acknowledged = Vec::new();
    for bytes in [b"first".to_vec(), vec![7; 3000]] {
        if store.create(&key(&bytes), &bytes).is_ok() {
            acknowledged.push((key(&bytes), bytes));
        }
    }
    let bytes = b"in two pieces".to_vec();
    let object = Key::seal(&[0xbb; 32], 4, &Sha256::digest(&bytes).into());
    let written = store.create_writer().and_then(|mut writer| {
        writer.write(b"in two ")?;
        writer.write(b"pieces")?;
        writer.commit(&object)
    });
    if written.is_ok() {
        acknowledged.push((object, bytes));
    }
    acknowledged
}

/// Whatever is under a key that carries a digest is whole.
fn assert_nothing_is_torn(store: &dyn Store) {
    for found in store.list("").unwrap() {
        assert_ne!(found.check(&store.read(&found).unwrap()), ContentCheck::Wrong, "{found} is torn");
    }
}

#[test]
fn what_is_acknowledged_survives_a_crash_at_every_operation_in_every_form() {
    let count = {
        let disk = FaultDisk::default();
        let store = DirectoryStore::initialise_on(disk.clone(), "fault", &identity("one")).unwrap();
        let before = disk.operations();
        assert_eq!(scenario(&store).len(), 3);
        disk.operations() - before
    };
    assert!(count > 20, "{count} operations");
    for fault in [Fault::Failed, Fault::FailedButTookEffect, Fault::PowerCut, Fault::Full] {
        for at in 0..count {
            for unflushed in [Unflushed::Lost, Unflushed::Kept] {
                let disk = FaultDisk::default();
                let store = DirectoryStore::initialise_on(disk.clone(), "fault", &identity("one")).unwrap();
                disk.fail_after(at, fault);
                let acknowledged = scenario(&store);
                drop(store);
                disk.crash(unflushed);
                let store = DirectoryStore::open_on(disk.clone(), "fault").unwrap();
                for (object, bytes) in &acknowledged {
                    assert_eq!(
                        &store.read(object).unwrap(),
                        bytes,
                        "{object} lost: {fault:?} at {at}, {unflushed:?}"
                    );
                }
                assert_nothing_is_torn(&store);
                // A retry of everything is safe and then everything is there.
                assert_eq!(scenario(&store).len(), 3, "{fault:?} at {at}, {unflushed:?}");
                disk.crash(Unflushed::Lost);
                let store = DirectoryStore::open_on(disk, "fault").unwrap();
                assert_eq!(store.list("segments/").unwrap().len(), 2);
                assert_nothing_is_torn(&store);
            }
        }
    }
}

#[test]
fn what_is_destroyed_stays_destroyed_whichever_operation_fails_and_however() {
    let (collection, text) = ([0xaa; 32], b"{\"why\":1}\n");
    let detail: [u8; 32] = Sha256::digest(text).into();
    let warrant = warrants::over(&[collection], &[detail]);
    let objects = [Disposable::Collection(collection), Disposable::Detail(detail)];
    let filled = || {
        let disk = FaultDisk::default();
        let store = DirectoryStore::initialise_on(disk.clone(), "one", &identity("one")).unwrap();
        for bytes in [&b"one"[..], b"two"] {
            store.create(&key(bytes), bytes).unwrap();
            store.create(&Key::seal(&collection, 0, &Sha256::digest(bytes).into()), bytes).unwrap();
        }
        let bad = Key::segment(&collection, 7, &[7; 32]);
        store.create(&bad, b"other bytes").unwrap();
        store.displace(&bad).unwrap();
        store.create(&Key::detail(&detail), text).unwrap();
        store.create(&Key::document(&Sha256::digest(b"{}\n").into()), b"{}\n").unwrap();
        (disk, store)
    };
    let left = |store: &DirectoryStore<FaultDisk>| {
        let keys = store.list("").unwrap();
        let evidence = keys.iter().filter(|key| Disposable::of(key).is_some()).count();
        assert!(keys.iter().any(|key| key.kind() == KeyKind::Document) && keys.contains(&Key::marker()));
        evidence
    };
    let all = |store: &DirectoryStore<FaultDisk>| {
        objects
            .iter()
            .try_for_each(|object| store.dispose(object, &warrant, &|| true).map(|done| assert!(done.is_all)))
    };
    let (disk, store) = filled();
    let begun = disk.operations();
    assert_eq!(left(&store), 5);
    all(&store).unwrap();
    let operations = disk.operations() - begun;
    assert!(operations > 8, "{operations}");
    for number in 0..operations {
        for fault in [Fault::Failed, Fault::FailedButTookEffect, Fault::PowerCut] {
            for unflushed in [Unflushed::Lost, Unflushed::Kept] {
                let (disk, store) = filled();
                disk.fail_after(number, fault);
                let first = all(&store);
                drop(store);
                disk.crash(unflushed);
                let store = DirectoryStore::open_on(disk.clone(), "one").unwrap();
                if first.is_ok() {
                    assert_eq!(left(&store), 0, "{number} {fault:?} {unflushed:?}");
                }
                all(&store).unwrap();
                drop(store);
                disk.crash(Unflushed::Lost);
                let store = DirectoryStore::open_on(disk.clone(), "one").unwrap();
                assert_eq!(left(&store), 0, "{number} {fault:?} {unflushed:?}");
                assert!(!disk.log().is_empty());
            }
        }
    }
}

#[test]
fn an_idempotent_create_does_not_trust_a_name_that_a_dead_process_left_unflushed() {
    let disk = FaultDisk::default();
    let store = DirectoryStore::initialise_on(disk.clone(), "fault", &identity("one")).unwrap();
    // The process dies right after the link: nothing below the root is flushed.
    let operations_to_link = 1 + 1 + 1 + 2 + 1;
    disk.fail_after(operations_to_link, Fault::Failed);
    assert!(store.create(&key(b"x"), b"x").is_err());
    assert!(disk.log().iter().any(|line| line.starts_with("link segments/")), "{:?}", disk.log());
    drop(store);
    let store = DirectoryStore::open_on(disk.clone(), "fault").unwrap();
    store.create(&key(b"x"), b"x").unwrap();
    disk.crash(Unflushed::Lost);
    assert_eq!(DirectoryStore::open_on(disk, "fault").unwrap().read(&key(b"x")).unwrap(), b"x");
}

#[test]
fn operations_of_a_create_come_in_the_order_the_text_says() {
    let disk = FaultDisk::default();
    let store = DirectoryStore::initialise_on(disk.clone(), "fault", &identity("one")).unwrap();
    let before = disk.log().len();
    store.create(&key(b"x"), b"x").unwrap();
    let object = key(b"x");
    let directory = format!("segments/{}", "aa".repeat(32));
    assert_eq!(
        disk.log()[before..],
        [
            "create tmp/*".to_owned(),
            "write ".to_owned(),
            "fsync-file ".to_owned(),
            "mkdir segments".to_owned(),
            format!("mkdir {directory}"),
            format!("link {object}"),
            format!("fsync-directory {directory}"),
            "fsync-directory segments".to_owned(),
            "fsync-directory ".to_owned(),
            "unlink tmp/*".to_owned(),
        ]
    );
}

#[test]
fn after_an_fsync_error_nothing_is_written_until_restart() {
    let disk = FaultDisk::default();
    let store = DirectoryStore::initialise_on(disk.clone(), "fault", &identity("one")).unwrap();
    store.create(&key(b"before"), b"before").unwrap();
    disk.fail_after(2, Fault::Failed);
    assert!(store.create(&key(b"x"), b"x").is_err());
    assert!(matches!(store.create(&key(b"y"), b"y"), Err(StoreError::Failed { .. })));
    assert!(matches!(store.replace_checkpoint(b"note"), Err(StoreError::Failed { .. })));
    assert!(store.create_writer().is_err());
    assert_eq!(store.read(&key(b"before")).unwrap(), b"before");
    drop(store);
    let store = DirectoryStore::open_on(disk, "fault").unwrap();
    store.create(&key(b"y"), b"y").unwrap();
}

#[test]
fn a_full_disk_is_full_and_not_failed() {
    let disk = FaultDisk::default();
    let store = DirectoryStore::initialise_on(disk.clone(), "fault", &identity("one")).unwrap();
    disk.fail_after(1, Fault::Full);
    assert_eq!(store.create(&key(b"x"), b"x").err().unwrap().class(), StoreErrorClass::Full);
    store.create(&key(b"x"), b"x").unwrap();
}

/// A sink that remembers.
#[derive(Default)]
struct Heard(Mutex<Vec<(String, String, Wanting)>>);

impl WantingSink for Heard {
    fn wanting(&self, store: &str, key: &Key, wanting: Wanting) {
        self.0.lock().unwrap().push((store.to_owned(), key.to_string(), wanting));
    }
}

fn pair(policy: ReplicationPolicy, devices: [&str; 2]) -> ([FaultDisk; 2], Replicas, Arc<Heard>) {
    let disks = devices.map(FaultDisk::new);
    let stores: Vec<Arc<dyn Store>> = disks
        .iter()
        .zip(["one", "two"])
        .map(|(disk, name)| {
            Arc::new(DirectoryStore::initialise_on(disk.clone(), name, &identity(name)).unwrap())
                as Arc<dyn Store>
        })
        .collect();
    let heard = Arc::new(Heard::default());
    (disks, Replicas::new(stores, policy, heard.clone()), heard)
}

#[test]
fn a_store_that_failed_a_flush_counts_for_nothing() {
    let (disks, replicas, _) = pair(WAIT, ["1:1", "1:2"]);
    replicas.create(&key(b"whole"), b"whole").unwrap();
    assert_eq!(replicas.copies_of(&key(b"whole"), 5).copies, 2);
    disks[1].fail_after(2, Fault::Failed);
    assert!(replicas.create(&key(b"x"), b"x").is_err());
    let written = replicas.copies_of(&key(b"whole"), 5);
    assert_eq!((written.copies, written.degraded, written.independent), (1, true, false));
}

const WAIT: ReplicationPolicy = ReplicationPolicy { copies: 2, degraded: Degraded::Wait };

const ACCEPT: ReplicationPolicy = ReplicationPolicy { copies: 2, degraded: Degraded::Accept };

#[test]
fn an_object_on_two_devices_is_on_two_independent_copies() {
    let (_disks, replicas, heard) = pair(WAIT, ["device 1:1", "device 1:2"]);
    let written = replicas.create(&key(b"x"), b"x").unwrap();
    assert_eq!(written, Written { copies: 2, degraded: false, independent: true });
    let (_disks, replicas, _) = pair(WAIT, ["device 1:1", "device 1:1"]);
    let written = replicas.create(&key(b"x"), b"x").unwrap();
    assert_eq!(written, Written { copies: 2, degraded: false, independent: false });
    assert!(heard.0.lock().unwrap().is_empty());
}

#[test]
fn with_one_store_down_policy_decides_between_degraded_and_waiting() {
    for fault in [Fault::Failed, Fault::FailedButTookEffect, Fault::Full, Fault::PowerCut] {
        let (disks, replicas, heard) = pair(WAIT, ["device 1:1", "device 1:2"]);
        disks[1].fail_after(0, fault);
        let error = replicas.create(&key(b"x"), b"x").err().unwrap();
        assert!(matches!(error, ReplicaError::TooFewCopies { written: 1, needed: 2, .. }), "{error}");
        assert_eq!(heard.0.lock().unwrap().len(), 1);

        let (disks, replicas, heard) = pair(ACCEPT, ["device 1:1", "device 1:2"]);
        disks[1].fail_after(0, fault);
        let written = replicas.create(&key(b"x"), b"x").unwrap();
        assert_eq!(written, Written { copies: 1, degraded: true, independent: false });
        assert_eq!(*heard.0.lock().unwrap(), [("two".to_owned(), key(b"x").to_string(), Wanting::Missing)]);
    }
}

#[test]
fn with_both_stores_down_nothing_is_acknowledged_and_nothing_is_queued() {
    let (disks, replicas, heard) = pair(ACCEPT, ["device 1:1", "device 1:2"]);
    disks[0].fail_after(0, Fault::Full);
    disks[1].fail_after(0, Fault::Full);
    let error = replicas.create(&key(b"x"), b"x").err().unwrap();
    assert_eq!(error.class(), StoreErrorClass::Full);
    assert!(heard.0.lock().unwrap().is_empty());
}

#[test]
fn a_segment_that_arrives_in_pieces_goes_on_when_one_store_fails_under_it() {
    let (disks, replicas, heard) = pair(ACCEPT, ["device 1:1", "device 1:2"]);
    let mut writer = replicas.create_writer().unwrap();
    writer.write(b"one ").unwrap();
    disks[0].fail_after(0, Fault::Full);
    writer.write(b"two").unwrap();
    let written = writer.commit(&key(b"one two")).unwrap();
    assert_eq!((written.copies, written.degraded), (1, true));
    assert_eq!(heard.0.lock().unwrap().len(), 1);
    assert_eq!(replicas.read(&key(b"one two")).unwrap(), b"one two");

    let (disks, replicas, _) = pair(WAIT, ["device 1:1", "device 1:2"]);
    let mut writer = replicas.create_writer().unwrap();
    disks[0].fail_after(0, Fault::Full);
    assert_eq!(writer.write(b"two").err().unwrap().class(), StoreErrorClass::Full);
}

#[test]
fn a_damaged_copy_is_passed_over_and_reported() {
    let (disks, replicas, heard) = pair(WAIT, ["device 1:1", "device 1:2"]);
    replicas.create(&key(b"evidence"), b"evidence").unwrap();
    disks[0].damage(key(b"evidence").as_str(), b"evidencE");
    assert_eq!(replicas.read(&key(b"evidence")).unwrap(), b"evidence");
    assert_eq!(
        *heard.0.lock().unwrap(),
        [("one".to_owned(), key(b"evidence").to_string(), Wanting::Damaged)]
    );
    disks[1].damage(key(b"evidence").as_str(), b"");
    assert!(matches!(replicas.read(&key(b"evidence")), Err(ReplicaError::Unreadable { .. })));
}

#[test]
fn of_two_signatures_over_one_document_the_first_wins_everywhere() {
    let (_disks, replicas, _) = pair(WAIT, ["device 1:1", "device 1:2"]);
    let document = Key::document(&Sha256::digest(b"{}\n").into());
    let (_, stored) = replicas.create_signed(&document, b"{}\nfirst\n").unwrap();
    assert_eq!(stored, b"{}\nfirst\n");
    let (written, stored) = replicas.create_signed(&document, b"{}\nsecond\n").unwrap();
    assert_eq!((written.copies, stored.as_slice()), (2, &b"{}\nfirst\n"[..]));
    assert!(replicas.create_signed(&document, b"{ }\nfirst\n").is_err());
    for store in replicas.stores() {
        assert_eq!(store.read(&document).unwrap(), b"{}\nfirst\n");
    }
}
