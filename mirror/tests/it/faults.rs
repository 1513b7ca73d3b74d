//! Each write of a round fails in each way. The next process arrives at the same whole copy, and nothing was signed too early.

use std::path::Path;
use std::sync::Arc;

use mirror::cosign::Role;
use mirror::cosign::state::{State, StateFile};
use mirror::pull::Round;
use mirror::source::StoreSource;
use store::fault::{Fault, FaultDisk, Unflushed};
use store::{DirectoryStore, Store};

use crate::world::{Log, Mirror, identity, keys, pins};

fn open(place: &Path, disk: &FaultDisk) -> Mirror {
    let store: Arc<dyn Store> = Arc::new(DirectoryStore::open_on(disk.clone(), "own").unwrap());
    Mirror::over(place, vec![store])
}

#[test]
fn each_write_fails_in_each_way_and_the_copy_is_whole_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("source"));
    let chain = log.incident(1);
    log.reads(&chain, 300);
    let note = log.publish();
    let source = StoreSource(Arc::clone(&log.store));
    let prepared = |name: &str| {
        let place = dir.path().join(name);
        fs_err::create_dir_all(&place).unwrap();
        StateFile::create(&place, &State::new("acme")).unwrap();
        let disk = FaultDisk::new("device 1:1");
        drop(DirectoryStore::initialise_on(disk.clone(), "own", &identity("own")).unwrap());
        (place, disk)
    };
    let (place, disk) = prepared("whole");
    let before = disk.operations();
    open(&place, &disk).try_round(&source, &note, u64::MAX).unwrap();
    let writes = disk.operations() - before;
    println!("{writes} writes in a round, each failed in 5 ways");
    assert!(writes > 20);
    let ways = [
        (Fault::Failed, None),
        (Fault::FailedButTookEffect, None),
        (Fault::Full, None),
        (Fault::PowerCut, Some(Unflushed::Lost)),
        (Fault::PowerCut, Some(Unflushed::Kept)),
    ];
    for number in 0..writes {
        for (way, (fault, crash)) in ways.into_iter().enumerate() {
            let (place, disk) = prepared(&format!("{number}-{way}"));
            let mirror = open(&place, &disk);
            // The opened store removed its temporaries: counted from here.
            disk.fail_after(number, fault);
            let failed = mirror.try_round(&source, &note, u64::MAX);
            let signed = mirror.cosigner.last(Role::Mirror).is_some();
            assert_eq!(signed, failed.is_ok(), "write {number} {fault:?}: {failed:?}");
            drop(mirror);
            match crash {
                Some(unflushed) => disk.crash(unflushed),
                None => disk.heal(),
            }
            let mirror = open(&place, &disk);
            let round = mirror.try_round(&source, &note, u64::MAX);
            let round =
                round.unwrap_or_else(|error| panic!("after write {number} {fault:?} {crash:?}: {error:?}"));
            assert_eq!(round, if signed { Round::Current } else { Round::Grew(log.size()) });
            mirror.assert_holds(&log);
        }
    }
}

#[test]
fn a_full_disk_stops_it_and_room_lets_it_go_on_in_the_same_process() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("source"));
    let chain = log.incident(1);
    log.reads(&chain, 600);
    let note = log.publish();
    let source = StoreSource(Arc::clone(&log.store));
    StateFile::create(dir.path(), &State::new("acme")).unwrap();
    let disk = FaultDisk::new("device 1:1");
    drop(DirectoryStore::initialise_on(disk.clone(), "own", &identity("own")).unwrap());
    let mirror = open(dir.path(), &disk);
    let all = |_, _| true;
    let parts = mirror.parts(&source, &all);
    let mut follower = mirror::pull::Follower::open(&parts).unwrap();
    // The write of the first object that is still wanting, three times over.
    for _ in 0..3 {
        disk.fail_after(1, Fault::Full);
        assert!(follower.round(&parts, &note).is_err());
        disk.heal();
    }
    follower.round(&parts, &note).unwrap();
    assert_eq!(mirror.cosigner.last(Role::Mirror).unwrap().log.checkpoint.size, log.size());
    mirror.assert_holds(&log);
}

#[test]
fn one_directory_is_one_process_and_a_lost_state_is_not_made_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("source"));
    let note = log.publish();
    let mirror = Mirror::new(dir.path());
    mirror.round(&log, &note).unwrap();
    let second = mirror::cosign::Cosigner::open(dir.path(), pins(), keys());
    assert!(second.is_err(), "the directory is locked");
    drop(mirror);
    let state = dir.path().join("state.json");
    let kept = fs_err::read(&state).unwrap();
    for spoiled in [&b""[..], b"{}\n", &kept[..kept.len() / 2]] {
        fs_err::write(&state, spoiled).unwrap();
        assert!(mirror::cosign::Cosigner::open(dir.path(), pins(), keys()).is_err());
    }
    // A note that this mirror did not sign.
    let forged = String::from_utf8(kept.clone()).unwrap().replacen("backup-1/mirror", "backup-2/mirror", 1);
    fs_err::write(&state, forged).unwrap();
    assert!(mirror::cosign::Cosigner::open(dir.path(), pins(), keys()).is_err());
    fs_err::remove_file(&state).unwrap();
    assert!(mirror::cosign::Cosigner::open(dir.path(), pins(), keys()).is_err());
    fs_err::write(&state, &kept).unwrap();
    assert!(mirror::cosign::Cosigner::open(dir.path(), pins(), keys()).is_ok());
}

#[test]
fn a_store_is_read_in_place_while_its_owner_writes_and_a_place_that_vanishes_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("source");
    let mut log = Log::new(&place);
    let chain = log.incident(1);
    let first = log.publish();
    // The owner has it: nobody else may write, anybody may read, and what is being written stays.
    assert!(DirectoryStore::open(&place).is_err());
    let half = place.join("tmp/half");
    fs_err::write(&half, b"being written").unwrap();
    let there = DirectoryStore::open_to_read(&place).unwrap();
    let key = store::Key::detail(&[7; 32]);
    assert!(there.create(&key, b"x").is_err() && there.remove(&key).is_err());
    assert!(half.exists());
    let source = StoreSource(Arc::new(there));
    let mirror = Mirror::new(dir.path());
    assert!(matches!(mirror.try_round(&source, &first, u64::MAX), Ok(Round::Grew(_))));
    let held = log.size();
    log.reads(&chain, 300);
    let note = log.publish();
    // Not mounted any more: an empty place that is no store.
    let rooms: Vec<_> = fs_err::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()).collect();
    fs_err::create_dir(dir.path().join("away")).unwrap();
    for room in &rooms {
        fs_err::rename(room, dir.path().join("away").join(room.file_name().unwrap())).unwrap();
    }
    let waits = mirror.try_round(&source, &note, u64::MAX);
    assert!(
        matches!(
            waits,
            Err(mirror::pull::PullError::Object(mirror::objects::ObjectError::Source(
                mirror::source::SourceError::Away { .. }
            )))
        ),
        "{waits:?}"
    );
    assert_eq!(mirror.cosigner.last(Role::Mirror).unwrap().log.checkpoint.size, held);
    for room in &rooms {
        fs_err::rename(dir.path().join("away").join(room.file_name().unwrap()), room).unwrap();
    }
    assert_eq!(mirror.try_round(&source, &note, u64::MAX).unwrap(), Round::Grew(log.size()));
    mirror.assert_holds(&log);
}
