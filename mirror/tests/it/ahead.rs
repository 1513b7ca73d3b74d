//! Somebody shows `/witness` a newer head than the rounds have seen. The two roles never speak for two histories.

use std::sync::Arc;

use mirror::cosign::Role;
use mirror::note::LogNote;
use mirror::pull::{PullError, Round};
use store::{Key, KeyKind};

use crate::world::{Log, Mirror, pins};

fn read(note: &[u8]) -> LogNote {
    LogNote::read(note, &pins().origin(), &pins().log_keys.keys()).unwrap()
}

fn held(mirror: &Mirror) -> u64 {
    mirror.cosigner.last(Role::Mirror).map_or(0, |last| last.log.checkpoint.size)
}

/// Everything of one store that the other lacks.
fn pour(from: &Log, to: &Log) {
    for key in from.store.list("").unwrap() {
        if !matches!(key.kind(), KeyKind::Marker | KeyKind::Checkpoint) && to.store.size(&key).is_err() {
            to.store.create(&key, &from.store.read(&key).unwrap()).unwrap();
        }
    }
}

#[test]
fn a_busy_log_is_held_although_the_witness_is_always_ahead() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("source"));
    let chain = log.incident(1);
    let mirror = Mirror::new(dir.path());
    let mut offered = log.publish();
    let mut signed = 0;
    for step in [2, 250, 300, 7] {
        let size = log.size();
        log.reads(&chain, step);
        let newer = log.publish();
        mirror.cosigner.sign(Role::Witness, signed, &read(&newer)).unwrap();
        signed = log.size();
        // The round is about a head that is older than the witness' by now.
        assert_eq!(mirror.round(&log, &offered).unwrap(), Round::Grew(size));
        offered = newer;
    }
}

#[test]
fn a_head_that_contradicts_what_was_witnessed_is_convicted_in_the_same_round() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("source"));
    let chain = log.incident(1);
    let first = log.publish();
    let mut fork = log.fork(&dir.path().join("fork"));
    let mirror = Mirror::new(dir.path());
    mirror.round(&log, &first).unwrap();
    let before = held(&mirror);
    // The thief of the log's key shows /witness a history of their own, longer than the real one.
    fork.reads(&chain, 9);
    let theirs = fork.publish();
    mirror.cosigner.sign(Role::Witness, before, &read(&theirs)).unwrap();
    log.reads(&chain, 4);
    let real = log.publish();
    // Without its tree nothing can be proved, and /mirror does not sign beside it.
    match mirror.round(&log, &real) {
        Err(PullError::Unshown { witnessed, offered }) => {
            assert_eq!((witnessed, offered), (fork.size(), log.size()));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((held(&mirror), mirror.cosigner.fraud()), (before, None));
    // With it, the two notes convict.
    pour(&fork, &log);
    assert!(matches!(mirror.round(&log, &real), Err(PullError::Fraud { .. })));
    assert_eq!(held(&mirror), before);
    assert!(mirror.cosigner.fraud().is_some());
}

#[test]
fn what_cannot_be_compared_yet_is_compared_by_the_round_that_can() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("source"));
    let chain = log.incident(1);
    let first = log.publish();
    let mirror = Mirror::new(dir.path());
    mirror.round(&log, &first).unwrap();
    let before = held(&mirror);
    log.reads(&chain, 3);
    let middle = log.publish();
    log.reads(&chain, 3);
    let newest = log.publish();
    mirror.cosigner.sign(Role::Witness, before, &read(&newest)).unwrap();
    // A source that lags behind: what it lacks is none of its fault, and comes.
    let partial: Vec<(Key, Vec<u8>)> = log
        .store
        .list("ledger/tile/")
        .unwrap()
        .into_iter()
        .filter(|key| key.as_str().ends_with(&format!(".p/{}", log.size())))
        .map(|key| (key.clone(), log.store.read(&key).unwrap()))
        .collect();
    assert_eq!(partial.len(), 2, "one tile and one bundle");
    for (key, _) in &partial {
        fs_err::remove_file(dir.path().join("source").join(key.as_str())).unwrap();
    }
    assert!(matches!(mirror.round(&log, &middle), Err(PullError::Unshown { .. })));
    for (key, bytes) in &partial {
        log.store.create(key, bytes).unwrap();
    }
    assert!(matches!(mirror.round(&log, &middle), Ok(Round::Grew(_))));
    assert_eq!(mirror.round(&log, &newest).unwrap(), Round::Grew(log.size()));
    drop(Arc::clone(&mirror.cosigner));
}
