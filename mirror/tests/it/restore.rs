//! A mirror gives its copy back: never older than its own word, and never incomplete unless the operator asks for that.

use std::path::Path;
use std::sync::Arc;

use mirror::config::replicas;
use mirror::cosign::Role;
use mirror::cosign::state::State;
use mirror::note::LogNote;
use mirror::restore::{Left, RestoreError, Restored, Target, restore};
use store::{DirectoryStore, Key, Replicas, Store};

use crate::world::{Log, Mirror, identity, pins};

/// What `open` finds in a mirror's directory; a real one has settings, too.
fn left(place: &Path) -> Left {
    let state = State::read(place).unwrap();
    Left {
        mirror: Some("backup-1".parse().unwrap()),
        stores: vec![Arc::new(DirectoryStore::open(&place.join("own")).unwrap())],
        signed: [state.witnessed, state.held]
            .into_iter()
            .flatten()
            .map(|note| (place.join("state.json"), note))
            .collect(),
        log_keys: Vec::new(),
    }
}

fn fresh(place: &Path, name: &str) -> Replicas {
    let store: Arc<dyn Store> =
        Arc::new(DirectoryStore::initialise(&place.join(name), &identity(name)).unwrap());
    replicas(vec![store])
}

fn run(left: &Left, into: &Replicas, accept_damaged: bool) -> Result<Restored, RestoreError> {
    let key = pins().log_keys.keys();
    let target = Target { into, key: &key, newer: &[], accept_damaged };
    restore(left, &target, &|_, _| {})
}

#[test]
fn a_mirror_that_witnessed_more_than_it_holds_is_behind_its_own_word() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("source"));
    let chain = log.incident(1);
    let held = log.publish();
    let mirror = Mirror::new(dir.path());
    mirror.round(&log, &held).unwrap();
    let size = log.size();
    log.reads(&chain, 5);
    let newer = log.publish();
    let note = LogNote::read(&newer, &pins().origin(), &pins().log_keys.keys()).unwrap();
    mirror.cosigner.sign(Role::Witness, size, &note).unwrap();
    drop(mirror);
    let into = fresh(dir.path(), "new");
    match run(&left(dir.path()), &into, false) {
        Err(RestoreError::Behind { path, shown, held }) => {
            assert_eq!((shown, held), (log.size(), size));
            assert!(path.ends_with("state.json"));
        }
        other => panic!("{other:?}"),
    }
    assert!(into.read(&Key::checkpoint()).is_err(), "nothing was begun");
    // Once it holds what it witnessed, it gives it back.
    let mirror = Mirror::open(dir.path());
    mirror.round(&log, &newer).unwrap();
    drop(mirror);
    let restored = run(&left(dir.path()), &into, false).unwrap();
    assert!(restored.is_whole && restored.entries == log.size());
    assert_eq!(into.read(&Key::checkpoint()).unwrap(), newer);
}

#[test]
fn what_the_ledger_names_and_the_copy_lacks_is_listed_and_keeps_the_head_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("source"));
    log.incident(1);
    let note = log.publish();
    let mirror = Mirror::new(dir.path());
    mirror.round(&log, &note).unwrap();
    drop(mirror);
    // A listing does not show what is gone: the roster.
    let roster = log.store.list("documents/").unwrap()[0].clone();
    let path = dir.path().join("own").join(roster.as_str());
    let whole = fs_err::read(&path).unwrap();
    fs_err::remove_file(&path).unwrap();
    let into = fresh(dir.path(), "new");
    for _ in 0..2 {
        let restored = run(&left(dir.path()), &into, false).unwrap();
        assert_eq!((restored.is_whole, &restored.damaged), (false, &vec![roster.to_string()]));
        assert!(into.read(&Key::checkpoint()).is_err(), "there is no collector yet");
    }
    // Mended, the same command goes on.
    fs_err::write(&path, &whole).unwrap();
    let restored = run(&left(dir.path()), &into, false).unwrap();
    assert!(restored.is_whole && restored.damaged.is_empty());
    assert_eq!(into.read(&roster).unwrap(), whole);
    // Or a person says that it must do without.
    fs_err::write(&path, b"rotten").unwrap();
    let other = fresh(dir.path(), "other");
    let restored = run(&left(dir.path()), &other, true).unwrap();
    assert_eq!((restored.is_whole, restored.damaged), (true, vec![roster.to_string()]));
    assert_eq!(other.read(&Key::checkpoint()).unwrap(), note);
}
