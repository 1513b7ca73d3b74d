//! Each step of a publication fails in each form. Readers skip damage, and fsck finds it.

use super::*;

/// Submits ten acts, then ten with a fault armed on one disk; crashes; starts; submits the same ten again.
fn crash_and_recover(disk: usize, at: u64, fault: Fault, unflushed: Unflushed, policy: ReplicationPolicy) {
    let machine = Machine::new(policy);
    let label = format!("disk {disk}, operation {at}, {fault:?}, {unflushed:?}, {policy:?}");
    let sequencer = machine.start().unwrap();
    let mut receipts = submit_all(&sequencer, 0..10);
    machine.disks[disk].fail_after(at, fault);
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    let worker = std::thread::spawn({
        let sequencer = sequencer.clone();
        move || drop(sender.send(submit_all(&sequencer, 10..20)))
    });
    // Under `wait`, a failed store delays entries until the collector restarts.
    match receiver.recv_timeout(Duration::from_millis(60)) {
        Ok(more) => receipts.extend(more),
        Err(_) => drop(sequencer.stop()),
    }
    worker.join().unwrap();
    drop(sequencer.stop());
    drop(sequencer);
    machine.crash(unflushed);
    let sequencer = machine.start().unwrap_or_else(|error| panic!("{label}: {error}"));
    assert_eq!(receipts.iter().filter(|(number, _)| *number < 10).count(), 10);
    for (number, receipt) in &receipts {
        assert_receipt_holds(&machine, receipt);
        assert_eq!(
            &sequencer.log().entry(receipt.index).unwrap(),
            &receipt.entry,
            "{label}: act {number} changed"
        );
    }
    let again = submit_all(&sequencer, 10..25);
    assert_eq!(again.len(), 15, "{label}");
    sequencer.stop().unwrap();
    drop(sequencer);
    assert_eq!(machine.check().entries, 25, "{label}");
}

#[test]
fn every_disk_operation_of_a_publication_fails_in_every_form_and_history_stays_one() {
    let wait = WAIT;
    let accept = ReplicationPolicy { copies: 2, degraded: Degraded::Accept };
    let operations = {
        let machine = Machine::new(wait);
        let sequencer = machine.start().unwrap();
        submit_all(&sequencer, 0..10);
        let before = machine.disks[0].operations();
        submit_all(&sequencer, 10..20);
        machine.disks[0].operations() - before
    };
    assert!(operations >= 18, "{operations} operations");
    // Every fault at every operation. Two threads work at a time; each scenario has its own directory.
    let cases: Vec<_> = (0..operations)
        .flat_map(|at| {
            [Fault::Failed, Fault::FailedButTookEffect, Fault::PowerCut, Fault::Full].map(|fault| (at, fault))
        })
        .flat_map(|(at, fault)| [(at, fault, wait), (at, fault, accept)])
        .collect();
    let next = Mutex::new(cases.into_iter().enumerate());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some((number, (at, fault, policy))) = next.lock().unwrap().next() else {
                        return;
                    };
                    let unflushed = if number % 3 == 0 { Unflushed::Kept } else { Unflushed::Lost };
                    crash_and_recover(number % 2, at, fault, unflushed, policy);
                }
            });
        }
    });
}

#[test]
fn a_commit_that_fails_records_nothing_and_one_that_took_effect_is_found() {
    for fault in [Fault::Failed, Fault::FailedButTookEffect] {
        let machine = Machine::new(WAIT);
        let sequencer = machine.start().unwrap();
        assert_eq!(submit_all(&sequencer, 0..5).len(), 5);
        sequencer.fail_next_commit(fault);
        let result = sequencer.submit_blocking(act(5));
        match fault {
            Fault::FailedButTookEffect => assert_receipt_holds(&machine, &result.unwrap()),
            _ => assert!(matches!(result, Err(SubmitError::Db(_)))),
        }
        // The sequencer continues at the right size.
        let receipts = submit_all(&sequencer, 5..300);
        assert_eq!(receipts.len(), 295);
        sequencer.stop().unwrap();
        drop(sequencer);
        assert_eq!(machine.check().entries, 300);
    }
}

#[test]
fn a_crash_between_commit_and_publication_is_finished_at_the_next_start() {
    let machine = Machine::new(WAIT);
    let sequencer = machine.start().unwrap();
    submit_all(&sequencer, 0..5);
    // Both disks lose power with the first write of the publication: committed, nothing published.
    for disk in &machine.disks {
        disk.fail_after(0, Fault::PowerCut);
    }
    let submitted = std::thread::spawn({
        let sequencer = sequencer.clone();
        move || sequencer.submit_blocking(act(5))
    });
    let (db, _) = (Db::open(&machine.path, 1).unwrap(), ());
    let deadline = Instant::now() + Duration::from_secs(10);
    while db.read(crate::rows::log::state).unwrap().size < 6 {
        assert!(Instant::now() < deadline, "never committed");
        std::thread::yield_now();
    }
    drop(sequencer.stop());
    assert!(matches!(submitted.join().unwrap(), Err(SubmitError::Stopped { .. })));
    drop((sequencer, db));
    machine.crash(Unflushed::Lost);
    let sequencer = machine.start().unwrap();
    assert_eq!(sequencer.log().published().size, 6);
    let receipt = sequencer.submit_blocking(act(5)).unwrap();
    assert_eq!((receipt.index, receipt.is_new), (5, false));
}

#[test]
fn a_new_or_lagging_store_is_brought_up_before_it_gets_a_checkpoint() {
    let accept = ReplicationPolicy { copies: 2, degraded: Degraded::Accept };
    let mut machine = Machine::new(accept);
    let sequencer = machine.start().unwrap();
    assert_eq!(submit_all(&sequencer, 0..300).len(), 300);
    machine.disks[1].fail_after(0, Fault::PowerCut);
    assert_eq!(submit_all(&sequencer, 300..900).len(), 600);
    drop(sequencer);
    machine.crash(Unflushed::Lost);
    let sequencer = machine.start().unwrap();
    assert_eq!(submit_all(&sequencer, 900..901).len(), 1);
    sequencer.stop().unwrap();
    drop(sequencer);
    assert_eq!(machine.check().entries, 901);
    // A new store that replaces a lost one starts empty.
    let fresh = Machine::new(accept);
    machine.disks[0] = fresh.disks[0].clone();
    let sequencer = machine.start().unwrap();
    assert_eq!(submit_all(&sequencer, 901..902).len(), 1);
    sequencer.stop().unwrap();
    drop(sequencer);
    assert_eq!(machine.check().entries, 902);
}

#[test]
fn damaged_tiles_in_one_store_are_passed_over_and_found_by_fsck() {
    let machine = Machine::new(WAIT);
    let sequencer = machine.start().unwrap();
    submit_all(&sequencer, 0..300);
    let full = Key::tile(&"tile/0/000".parse().unwrap());
    let bundle = Key::tile(&"tile/entries/000".parse().unwrap());
    let right = sequencer.log().entry(17).unwrap();
    let store = DirectoryStore::open_on(machine.disks[0].clone(), "store").unwrap();
    let mut bytes = store.read(&full).unwrap();
    bytes[17 * 32] ^= 1;
    machine.disks[0].damage(full.as_str(), &bytes);
    assert_eq!(sequencer.log().entry(17).unwrap(), right);
    let (entry, proof) = sequencer.log().entry_with_proof(16).unwrap();
    let proof = ProofFile::parse(&proof).unwrap();
    proof.verify(&ledger::leaf_hash(&entry), &policy(machine.signer().verifier_key())).map(drop).unwrap();
    machine.disks[0].damage(bundle.as_str(), b"");
    assert_eq!(sequencer.log().entry(17).unwrap(), right);
    drop(sequencer);
    let (db, replicas) = machine.open();
    let report = fsck(&replicas, &machine.signer().keys(), Some(&db), FsckOptions::default());
    assert!(
        report.problems.iter().all(|problem| problem.place == "one") && !report.problems.is_empty(),
        "{report:?}"
    );
}

#[test]
fn rows_that_contradict_the_log_are_found_by_fsck() {
    let machine = Machine::new(WAIT);
    let sequencer = machine.start().unwrap();
    submit_all(&sequencer, 0..10);
    drop(sequencer);
    let (db, replicas) = machine.open();
    db.write::<_, DbError>(|tx| Ok(tx.execute("UPDATE entries SET leaf = zeroblob(32) WHERE idx = 4", [])?))
        .unwrap();
    let report = fsck(&replicas, &machine.signer().keys(), Some(&db), FsckOptions::default());
    assert_eq!(report.problems.len(), 1);
    assert_eq!(report.problems[0].what, "entry 4");
}
