//! What a start refuses: old copies, second histories, foreign keys, lost stores.

use super::*;

#[test]
fn a_second_sequencer_on_the_same_database_stops_without_signing() {
    let machine = Machine::new(WAIT);
    let first = machine.start().unwrap();
    submit_all(&first, 0..5);
    // Both sequencers share the stores' disks, so only the database can tell them apart.
    let second = machine.start().unwrap();
    assert_eq!(submit_all(&first, 5..8).len(), 3);
    let error = second.submit_blocking(act(8)).unwrap_err();
    assert!(
        matches!(&error, SubmitError::Stopped { reason } if reason.contains("another sequencer")),
        "{error}"
    );
    assert!(second.stop().is_err());
    assert!(second.has_stopped());
    assert_eq!(submit_all(&first, 8..9).len(), 1);
    first.stop().unwrap();
    drop((first, second));
    assert_eq!(machine.check().entries, 9);
}

#[test]
fn a_database_restored_from_an_old_copy_is_refused_with_both_heads() {
    let machine = Machine::new(WAIT);
    let sequencer = machine.start().unwrap();
    submit_all(&sequencer, 0..5);
    sequencer.stop().unwrap();
    drop(sequencer);
    let copy = machine.path.with_extension("copy");
    std::fs::copy(&machine.path, &copy).unwrap();
    let sequencer = machine.start().unwrap();
    submit_all(&sequencer, 5..10);
    sequencer.stop().unwrap();
    drop(sequencer);
    for suffix in ["-wal", "-shm"] {
        drop(fs_err::remove_file(format!("{}{suffix}", machine.path.display())));
    }
    std::fs::copy(&copy, &machine.path).unwrap();
    let error = machine.start().err().unwrap();
    assert!(matches!(error, StartError::DatabaseBehind { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("exhibit/acme\n5\n") && text.contains("exhibit/acme\n10\n"), "{text}");
}

#[test]
fn two_histories_of_one_size_are_refused() {
    let one = Machine::new(WAIT);
    let sequencer = one.start().unwrap();
    submit_all(&sequencer, 0..5);
    drop(sequencer);
    let other = Machine::new(WAIT);
    let sequencer = other.start().unwrap();
    submit_all(&sequencer, std::iter::once(0).chain(100..104));
    drop(sequencer);
    // One of the stores holds the other history.
    let mixed = Machine {
        directory: tempfile::tempdir().unwrap(),
        path: one.path.clone(),
        disks: vec![one.disks[0].clone(), other.disks[1].clone()],
        policy: one.policy,
    };
    let error = mixed.start().err().unwrap();
    assert!(matches!(error, StartError::Fork { .. }), "{error}");
    // The start also finds a smaller second history: it is not a beginning of the larger one.
    let sequencer = one.start().unwrap();
    submit_all(&sequencer, 5..9);
    drop(sequencer);
    let error = mixed.start().err().unwrap();
    assert!(matches!(error, StartError::Fork { .. }), "{error}");
}

#[test]
fn a_checkpoint_of_another_log_is_refused() {
    let machine = Machine::new(WAIT);
    let sequencer = machine.start().unwrap();
    submit_all(&sequencer, 0..2);
    drop(sequencer);
    let (db, replicas) = machine.open();
    let signer: Arc<dyn CheckpointSigner> =
        Arc::new(LocalSigner::new(&origin(DEPLOYMENT), &[9; 32]).unwrap());
    let started = Sequencer::start(parts(db, replicas, signer, clock));
    assert!(matches!(started.err(), Some(StartError::ForeignNote { .. })));
}

#[test]
fn stores_that_lost_what_was_published_are_refused() {
    let machine = Machine::new(WAIT);
    let sequencer = machine.start().unwrap();
    submit_all(&sequencer, 0..5);
    sequencer.stop().unwrap();
    drop(sequencer);
    let empty = Machine::new(WAIT);
    let mixed = Machine {
        directory: tempfile::tempdir().unwrap(),
        path: machine.path.clone(),
        disks: empty.disks.clone(),
        policy: machine.policy,
    };
    assert!(matches!(mixed.start().err(), Some(StartError::StoresBehind { published: 5, found: 0, .. })));
}

#[test]
fn an_unreadable_time_of_the_newest_entry_stops_the_start_and_is_never_taken_for_none() {
    let machine = Machine::new(WAIT);
    let sequencer = machine.start().unwrap();
    submit_all(&sequencer, 0..2);
    sequencer.stop().unwrap();
    drop(sequencer);
    let (db, _) = machine.open();
    db.write::<_, DbError>(|tx| Ok(tx.execute("UPDATE log SET last_time = '2026'", [])?)).unwrap();
    drop(db);
    let error = machine.start().err().unwrap();
    let StartError::Db(DbError::Corrupt { table: "log", column, .. }) = &error else {
        panic!("{error}");
    };
    assert_eq!(column, "last_time");
}
