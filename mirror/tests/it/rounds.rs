//! Rounds: first copy, growth, far behind, cut short, forked, rolled back, a source that lies.

use std::sync::Arc;

use mirror::cosign::Role;
use mirror::cosign::fraud::FraudProof;
use mirror::pull::{PullError, Round};
use mirror::source::{Source, SourceError, StoreSource};
use store::{Key, KeyKind};

use crate::world::{Log, Mirror, pins};

fn size(mirror: &Mirror, role: Role) -> u64 {
    mirror.cosigner.last(role).map_or(0, |last| last.log.checkpoint.size)
}

#[test]
fn it_holds_what_the_log_has_and_grows_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("source"));
    let chain = log.incident(1);
    let mirror = Mirror::new(dir.path());
    let first = log.publish();
    assert_eq!(mirror.round(&log, &first).unwrap(), Round::Grew(3));
    mirror.assert_holds(&log);
    assert_eq!(mirror.round(&log, &first).unwrap(), Round::Current);
    for step in [1, 252, 1, 255, 256, 257, 3] {
        log.reads(&chain, step);
        let note = log.publish();
        assert_eq!(mirror.round(&log, &note).unwrap(), Round::Grew(log.size()), "at {}", log.size());
        mirror.assert_holds(&log);
        assert_eq!((size(&mirror, Role::Witness), size(&mirror, Role::Mirror)), (log.size(), log.size()));
    }
    assert_eq!(log.publish(), log.note(log.size()));
    // What it shows verifies under its own public keys.
    for role in [Role::Witness, Role::Mirror] {
        let served = mirror.cosigner.served(role).unwrap();
        let note = ledger::Note::parse(served.as_bytes()).unwrap();
        let signer = match role {
            Role::Witness => &mirror.cosigner.keys().witness,
            Role::Mirror => &mirror.cosigner.keys().mirror,
        };
        let keys =
            [pins().log_keys.keys().first().clone(), signer.verifier_key(ledger::KeyType::CosignatureV1)];
        assert_eq!(note.verify(&keys).unwrap().len(), 2);
    }
}

#[test]
fn ten_thousand_entries_behind_and_cut_short_after_every_few_bundles_it_arrives() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("source"));
    let chain = log.incident(1);
    log.publish();
    let begun = std::time::Instant::now();
    log.reads(&chain, 10_000);
    let note = log.publish();
    println!("10,000 entries made in {:?}", begun.elapsed());
    let mirror = Mirror::new(dir.path());
    drop(mirror);
    let begun = std::time::Instant::now();
    let source = StoreSource(Arc::clone(&log.store));
    for _ in 0..5 {
        // A process that dies: the next one begins with what is on the disk.
        let mirror = Mirror::open(dir.path());
        assert!(matches!(mirror.try_round(&source, &note, 8), Err(PullError::Stopped)));
        assert_eq!(size(&mirror, Role::Mirror), 0, "nothing is said before all of it is held");
    }
    let mirror = Mirror::open(dir.path());
    assert_eq!(mirror.round(&log, &note).unwrap(), Round::Grew(log.size()));
    mirror.assert_holds(&log);
    println!("held after 5 deaths in {:?}", begun.elapsed());
}

#[test]
fn two_histories_convict_the_log_and_stop_everything() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("source"));
    let chain = log.incident(1);
    log.reads(&chain, 300);
    log.publish();
    let mut fork = log.fork(&dir.path().join("fork"));
    let mirror = Mirror::new(dir.path());
    log.reads(&chain, 10);
    let held = log.publish();
    mirror.round(&log, &held).unwrap();
    let before = mirror.cosigner.served(Role::Witness);
    fork.reads(&chain, 400);
    let other = fork.publish();
    let file = match mirror.round(&fork, &other) {
        Err(PullError::Fraud { file }) => file,
        other => panic!("{other:?}"),
    };
    let proof = FraudProof::from_bytes(&fs_err::read(dir.path().join("fraud").join(&file)).unwrap()).unwrap();
    proof.check(&pins().log_keys.keys()).unwrap();
    assert!(
        proof
            .check(&evidence::log_key::LogKeys::unchanged(
                mirror.cosigner.keys().witness.verifier_key(ledger::KeyType::Ed25519)
            ))
            .is_err()
    );
    // Honest growth is no longer looked at, by this process or the next, until somebody says so.
    log.reads(&chain, 1);
    let grown = log.publish();
    assert!(matches!(mirror.round(&log, &grown), Err(PullError::Cosign(_))));
    drop(mirror);
    let mirror = Mirror::open(dir.path());
    assert_eq!(mirror.cosigner.fraud().as_deref(), Some(file.as_str()));
    assert_eq!(mirror.cosigner.served(Role::Witness), before);
    drop(mirror);
    assert_eq!(mirror::cosign::acknowledge(dir.path()).unwrap(), file);
    assert!(mirror::cosign::acknowledge(dir.path()).is_err());
    let mirror = Mirror::open(dir.path());
    assert_eq!(mirror.round(&log, &grown).unwrap(), Round::Grew(log.size()));
    // The same note once more is what that person has seen: refused, and nothing stops.
    match mirror.round(&fork, &other) {
        Err(PullError::Known { file: again }) => assert_eq!(again, file),
        other => panic!("{other:?}"),
    }
    assert_eq!(mirror.cosigner.fraud(), None);
    log.reads(&chain, 1);
    let grown = log.publish();
    assert_eq!(mirror.round(&log, &grown).unwrap(), Round::Grew(log.size()));
    // Another note of the other history has been seen by nobody.
    fork.reads(&chain, 1);
    let more = fork.publish();
    assert!(matches!(mirror.round(&fork, &more), Err(PullError::Fraud { .. })));
}

#[test]
fn one_size_with_two_roots_is_fraud_and_a_smaller_honest_note_is_a_rollback() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("source"));
    let chain = log.incident(1);
    let old = log.publish();
    log.reads(&chain, 20);
    let held = log.publish();
    let mirror = Mirror::new(dir.path());
    mirror.round(&log, &held).unwrap();
    let rolled_back = Round::RolledBack { offered: 3, held: log.size() };
    assert_eq!(mirror.round(&log, &old).unwrap(), rolled_back);
    // A smaller one that is not of this history.
    let forged = log.forged_note(4, ledger::Hash([7; 32]));
    assert!(matches!(mirror.round(&log, &forged), Err(PullError::Fraud { .. })));
    drop(mirror);
    mirror::cosign::acknowledge(dir.path()).unwrap();
    let mirror = Mirror::open(dir.path());
    let forged = log.forged_note(log.size(), ledger::Hash([7; 32]));
    let file = match mirror.round(&log, &forged) {
        Err(PullError::Fraud { file }) => file,
        other => panic!("{other:?}"),
    };
    let proof = FraudProof::from_bytes(&fs_err::read(dir.path().join("fraud").join(&file)).unwrap()).unwrap();
    assert!(proof.proof.is_empty());
    proof.check(&pins().log_keys.keys()).unwrap();
}

#[test]
fn a_proof_of_fraud_cannot_be_made_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("source"));
    let chain = log.incident(1);
    log.reads(&chain, 50);
    let (older, newer) = (log.log.note_at(20), log.log.note_at(53));
    let honest = FraudProof::new(
        "acme",
        "now",
        &older,
        &newer,
        Some((&log.log.checkpoint_at(20).root, &log.log.consistency_at(20, 53))),
    );
    assert_eq!(honest.check(&pins().log_keys.keys()), Err("they are consistent".to_owned()));
    let garbage = FraudProof::new(
        "acme",
        "now",
        &older,
        &newer,
        Some((&ledger::Hash([2; 32]), &[ledger::Hash([1; 32]); 5])),
    );
    assert!(garbage.check(&pins().log_keys.keys()).is_err(), "hashes that lead nowhere convict nobody");
    let same = FraudProof::new("acme", "now", &older, &older, None);
    assert!(same.check(&pins().log_keys.keys()).is_err());
}

/// A source that changes what it serves.
struct Liar<F>(StoreSource, F);

impl<F: Fn(&Key, Vec<u8>) -> Result<Vec<u8>, SourceError> + Send + Sync> Source for Liar<F> {
    fn fetch(&self, key: &Key) -> Result<Vec<u8>, SourceError> {
        (self.1)(key, self.0.fetch(key)?)
    }
}

#[test]
fn whatever_a_source_spoils_is_refused_and_never_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("source"));
    let chain = log.incident(1);
    log.reads(&chain, 600);
    let note = log.publish();
    for (number, kind) in (0..).zip([KeyKind::Tile, KeyKind::Document]) {
        for cut in [false, true] {
            let place = dir.path().join(format!("mirror-{number}-{cut}"));
            fs_err::create_dir_all(&place).unwrap();
            let mirror = Mirror::new(&place);
            let liar = Liar(StoreSource(Arc::clone(&log.store)), move |key: &Key, mut bytes: Vec<u8>| {
                if key.kind() == kind {
                    if cut {
                        bytes.truncate(bytes.len() / 2);
                    } else {
                        let middle = bytes.len() / 2;
                        bytes[middle] ^= 1;
                    }
                }
                Ok(bytes)
            });
            let refused = mirror.try_round(&liar, &note, u64::MAX);
            assert!(
                matches!(refused, Err(PullError::Spoiled(_) | PullError::Object(_) | PullError::Rule { .. })),
                "{kind:?} {cut}: {refused:?}"
            );
            assert_eq!(size(&mirror, Role::Mirror), 0);
            // The same source, honest again.
            assert_eq!(mirror.round(&log, &note).unwrap(), Round::Grew(log.size()));
            mirror.assert_holds(&log);
        }
    }
}

#[test]
fn a_note_of_another_key_or_log_is_no_note() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("source"));
    let note = String::from_utf8(log.publish()).unwrap();
    let mirror = Mirror::new(dir.path());
    for bad in [
        note.replacen("exhibit/acme", "exhibit/acne", 1),
        note.replacen("\n2\n", "\n1\n", 1),
        note.lines().take(4).map(|line| format!("{line}\n")).collect(),
        String::new(),
    ] {
        assert!(matches!(mirror.round(&log, bad.as_bytes()), Err(PullError::Note(_))), "{bad}");
    }
    assert_eq!(size(&mirror, Role::Witness), 0);
}

#[test]
fn what_the_own_store_lost_is_fetched_again_at_the_start_and_by_a_scrub() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("source"));
    let chain = log.incident(1);
    log.reads(&chain, 600);
    let note = log.publish();
    let mirror = Mirror::new(dir.path());
    mirror.round(&log, &note).unwrap();
    let own = dir.path().join("own");
    let roster = log.store.list("documents/").unwrap()[0].clone();
    for lost in ["ledger/tile/entries/001", "ledger/tile/0/001", roster.as_str()] {
        fs_err::remove_file(own.join(lost)).unwrap();
    }
    drop(mirror);
    let mirror = Mirror::open(dir.path());
    assert_eq!(mirror.round(&log, &note).unwrap(), Round::Current);
    let source = StoreSource(Arc::clone(&log.store));
    let throttle = store::scrub::Throttle::new(0);
    let pins = pins();
    let parts = mirror::scrub::Parts {
        pins: &pins,
        own: &mirror.own,
        source: Some(&source),
        repaired: &mirror.repaired,
        judges: &mirror::replicate::judge::InProcess,
        throttle: &throttle,
        go_on: &|| true,
        progress: &|_| {},
    };
    let held = mirror.cosigner.last(Role::Mirror).unwrap().log;
    let found = mirror::scrub::scrub(&parts, &held, &[]).unwrap();
    assert_eq!(found.lost, Vec::<String>::new());
    mirror.assert_holds(&log);
    // A document whose bytes turned: displaced, fetched, counted.
    let path = own.join(roster.as_str());
    let mut bytes = fs_err::read(&path).unwrap();
    bytes[9] ^= 1;
    fs_err::remove_file(&path).unwrap();
    fs_err::write(&path, &bytes).unwrap();
    let found = mirror::scrub::scrub(&parts, &held, &[]).unwrap();
    assert!(found.damaged >= 1 && found.lost.is_empty(), "{found:?}");
    mirror.assert_holds(&log);
    // Damage nobody can mend is said.
    fs_err::remove_file(&path).unwrap();
    let alone = mirror::scrub::Parts { source: None, ..parts };
    let found = mirror::scrub::scrub(&alone, &held, &[]).unwrap();
    assert_eq!(found.lost.len(), 1, "{found:?}");
}
