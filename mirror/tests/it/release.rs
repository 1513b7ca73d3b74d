//! An object leaves only against the proof of the access entry that names it.

use std::sync::Arc;

use evidence::digest::Digest;
use evidence::entry::EntryType;
use mirror::config::replicas;
use mirror::note::LogNote;
use mirror::release::{ReleaseError, Released, of_copy};
use store::Key;
use testkit::bundles::ALICE;

use crate::world::{BY_ALICE, Log, pins};

const COLLECTION: [u8; 32] = [0xc0; 32];

/// A log with an interrupted collection of one segment, and an access to each of `objects`; gives their indices.
fn log(place: &std::path::Path, objects: &[&str]) -> (Log, Vec<u64>) {
    let mut log = Log::new(place);
    let chain = log.incident(1);
    let seal = b"a seal";
    let digest = Digest::of(seal);
    log.store.create(&Key::seal(&COLLECTION, 0, digest.as_bytes()), seal).unwrap();
    let collection = Digest(COLLECTION).to_string();
    let refs = [
        ("attempt", "1".to_owned()),
        ("collection", collection.clone()),
        ("endpoint", "web-03".to_owned()),
        ("order", Digest::of(b"order").to_string()),
    ];
    // Stands for the delegation: what is read of it here is where it lies.
    let began =
        log.draft(EntryType::CollectionStarted, &chain, refs, |draft| draft.signed(BY_ALICE.0, ALICE));
    let document = Key::document(began.act.event().as_bytes());
    log.store.create(&document, &began.act.encode()).unwrap();
    log.push(began);
    let refs =
        [("collection", collection.clone()), ("seal", digest.to_string()), ("segments", "1".to_owned())];
    log.own(EntryType::CollectionInterrupted, &chain, refs);
    let mut indices = Vec::new();
    for object in objects {
        indices.push(log.size());
        log.access(&chain, &format!("{collection}/{object}"));
    }
    log.publish();
    (log, indices)
}

fn ask(log: &Log, entry: &[u8], proof: &[u8], held: u64) -> Result<Released, ReleaseError> {
    let own = replicas(vec![Arc::clone(&log.store)]);
    let held = LogNote::read(&log.note(held), &pins().origin(), &pins().log_keys.keys()).unwrap();
    of_copy(&own, &pins(), &held, entry, proof)
}

fn why(result: Result<Released, ReleaseError>) -> String {
    match result {
        Err(ReleaseError::Refused(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_the_entry_names_is_given_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let objects = ["seal/0", "delegation", "item/4", "seal/1", "manifest"];
    let (log, indices) = log(&dir.path().join("source"), &objects);
    let size = log.size();
    let answer = |number: usize| {
        let (entry, proof) = log.proven(indices[number]);
        ask(&log, &entry, &proof, size)
    };
    let seal = answer(0).unwrap();
    assert_eq!(
        (seal.bytes.as_slice(), seal.person.as_str(), seal.index),
        (&b"a seal"[..], "alice", indices[0])
    );
    assert!(answer(1).unwrap().key.as_str().starts_with("documents/"));
    assert!(why(answer(2)).contains("beside what it does not name"));
    assert!(why(answer(3)).contains("has 1 segments"));
    assert!(why(answer(4)).contains("no manifest"));

    // An entry of another type, one that is not held yet, a proof of another entry, a changed entry, a forged head.
    let (entry, proof) = log.proven(2);
    assert!(why(ask(&log, &entry, &proof, size)).contains("not evidence.accessed"));
    let (entry, proof) = log.proven(indices[0]);
    assert!(why(ask(&log, &entry, &log.proven(2).1, size)).contains("not of this entry"));
    let mut changed = entry.clone();
    let at = changed.len() / 2;
    changed[at] ^= 1;
    assert!(why(ask(&log, &changed, &proof, size)).contains("not of this entry"));
    let unsigned = String::from_utf8(proof.clone()).unwrap().replacen(
        &format!("\n{size}\n"),
        &format!("\n{}\n", size + 1),
        1,
    );
    assert!(why(ask(&log, &entry, unsigned.as_bytes(), size)).contains("the proof"));
    let mut older = log.clone();
    let chain = older.incident(2);
    older.publish();
    let held = older.size();
    let late = older.size();
    older.access(&chain, "x/seal/0");
    older.publish();
    let (entry, proof) = older.proven(late);
    assert!(why(ask(&older, &entry, &proof, held)).contains("not held yet"));
}

#[test]
fn an_access_of_another_history_opens_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (log, indices) = log(&dir.path().join("source"), &["seal/0"]);
    // The thief of the log's key makes an access entry that nobody else ever saw.
    let mut fork = Log::new(&dir.path().join("fork"));
    let chain = fork.incident(7);
    while fork.size() <= indices[0] {
        fork.access(&chain, &format!("{}/seal/0", Digest(COLLECTION)));
    }
    fork.publish();
    let (entry, proof) = fork.proven(indices[0]);
    assert!(why(ask(&log, &entry, &proof, log.size())).contains("is another one"));
}
