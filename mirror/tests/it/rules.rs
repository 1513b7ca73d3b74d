//! Entries that the log key signed and no honest collector writes. The mirror stops before each and says which one and why.

use std::sync::Arc;

use evidence::entry::{ActObject, Entry, EntryType};
use evidence::id::{Actor, Chain};
use evidence::signed::Signed;
use mirror::cosign::Role;
use mirror::pull::{PullError, Round};
use store::Key;

use crate::world::{ADA, Log, Mirror, STRANGER, key};

/// Publishes what `evil` adds; the mirror must hold up to there and no further, and say why.
fn refused(evil: impl FnOnce(&mut Log, &Chain)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("source"));
    let chain = log.incident(1);
    log.reads(&chain, 5);
    let good = log.publish();
    let mirror = Mirror::new(dir.path());
    mirror.round(&log, &good).unwrap();
    let held = log.size();
    evil(&mut log, &chain);
    log.reads(&chain, 3);
    let note = log.publish();
    let why = match mirror.round(&log, &note) {
        Err(PullError::Rule { index, broken }) => {
            assert!(index >= held && index < held + 3, "entry {index}");
            evidence::causes::chain(&broken)
        }
        other => panic!("{other:?}"),
    };
    let last = |role| mirror.cosigner.last(role).unwrap().log.checkpoint.size;
    assert_eq!(last(Role::Mirror), held);
    // Its statement is about consistency alone, and that holds.
    assert_eq!(last(Role::Witness), log.size());
    // Again, and in another process: the same.
    assert!(matches!(mirror.round(&log, &note), Err(PullError::Rule { .. })));
    why
}

fn changed(log: &mut Log, chain: &Chain, change: impl FnOnce(&mut Entry)) {
    let refs =
        evidence::entry::pairs::sorted([("object", "x/bundle".to_owned()), ("person", "ada".to_owned())]);
    let by = Actor::Collector("collector-1".parse().unwrap());
    let act = log.act(EntryType::EvidenceAccessed, chain, by, refs.clone());
    let object = ActObject { document: evidence::json::to_document(&act).unwrap(), signatures: Vec::new() };
    let mut entry = log.entry(EntryType::EvidenceAccessed, chain.clone(), refs, object);
    change(&mut entry);
    log.push_entry(&entry);
}

#[test]
fn chains_must_continue() {
    let why = refused(|log, chain| changed(log, chain, |entry| entry.envelope.seq += 1));
    assert!(why.contains("sequence number"), "{why}");
    let why = refused(|log, chain| changed(log, chain, |entry| entry.envelope.prev.0[0] ^= 1));
    assert!(why.contains("does not link"), "{why}");
    let why = refused(|log, chain| {
        changed(log, chain, |entry| entry.envelope.time = "2026-11-01T00:00:00.000Z".parse().unwrap());
    });
    assert!(why.contains("dated before"), "{why}");
    let why = refused(|log, chain| {
        changed(log, chain, |entry| entry.envelope.deployment = "acne".parse().unwrap())
    });
    assert!(why.contains("deployment"), "{why}");
    let why = refused(|log, chain| {
        changed(log, chain, |entry| entry.envelope.refs[1].1 = "bob".to_owned());
    });
    assert!(why.contains("refs"), "{why}");
}

#[test]
fn signatures_must_be_of_who_the_type_asks_for() {
    let why =
        refused(|log, chain| log.person(EntryType::IncidentClosed, chain.clone(), Vec::new(), STRANGER));
    assert!(why.contains("no key of ada"), "{why}");
    // A person's act that the collector recorded in that person's name, unsigned, as one of its own types.
    let why = refused(|log, chain| {
        let refs =
            evidence::entry::pairs::sorted([("object", "x/bundle".to_owned()), ("person", "ada".to_owned())]);
        let act =
            log.act(EntryType::EvidenceAccessed, chain, Actor::Person("ada".parse().unwrap()), refs.clone());
        let object =
            ActObject { document: evidence::json::to_document(&act).unwrap(), signatures: Vec::new() };
        log.push(EntryType::EvidenceAccessed, chain.clone(), refs, object);
    });
    assert!(why.contains("in the name of"), "{why}");
    // A signature over other bytes.
    let why = refused(|log, chain| {
        let ada = Actor::Person("ada".parse().unwrap());
        let one = log.act(EntryType::IncidentClosed, chain, ada.clone(), Vec::new());
        let other = log.act(EntryType::IncidentReopened, chain, ada, Vec::new());
        let mut object = ActObject::from(Signed::sign(&one, &[&key(ADA)]).unwrap());
        object.signatures = Signed::sign(&other, &[&key(ADA)]).unwrap().signatures;
        log.push(EntryType::IncidentClosed, chain.clone(), Vec::new(), object);
    });
    assert!(why.contains("signature"), "{why}");
}

#[test]
fn one_act_is_one_entry_and_a_roster_needs_its_authority() {
    let why = refused(|log, chain| {
        let ada = Actor::Person("ada".parse().unwrap());
        let act = log.act(EntryType::IncidentClosed, chain, ada, Vec::new());
        let object = ActObject::from(Signed::sign(&act, &[&key(ADA)]).unwrap());
        log.push(EntryType::IncidentClosed, chain.clone(), Vec::new(), object.clone());
        log.push(EntryType::IncidentClosed, chain.clone(), Vec::new(), object);
    });
    assert!(why.contains("recorded before"), "{why}");
    let why = refused(|log, _| {
        let mut next = crate::world::roster();
        next.version = 2;
        next.previous = Some(Signed::sign(&crate::world::roster(), &[&key(1)]).unwrap().digest());
        let signed = Signed::sign(&next, &[&key(STRANGER)]).unwrap();
        log.store.create(&Key::document(signed.digest().as_bytes()), &signed.encode()).unwrap();
        let refs = evidence::entry::pairs::sorted([
            ("roster", signed.digest().to_string()),
            ("version", "2".to_owned()),
        ]);
        log.push(EntryType::RosterPublished, Chain::Deployment, refs, ActObject::from(signed));
    });
    assert!(why.contains("authority signatures"), "{why}");
}

#[test]
fn an_object_with_bad_signatures_does_not_take_its_key_in_the_own_store() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("source"));
    let note = log.publish();
    // The roster's document is right, its signature is another's.
    let roster = log.store.list("documents/").unwrap()[0].clone();
    let honest = log.store.read(&roster).unwrap();
    let evil = Signed::sign(&crate::world::roster(), &[&key(STRANGER)]).unwrap().encode();
    let path = dir.path().join("source").join(roster.as_str());
    let serve = |bytes: &[u8]| {
        fs_err::remove_file(&path).unwrap();
        fs_err::write(&path, bytes).unwrap();
    };
    serve(&evil);
    let mirror = Mirror::new(dir.path());
    assert!(matches!(mirror.round(&log, &note), Err(PullError::Rule { index: 1, .. })));
    serve(&honest);
    assert_eq!(mirror.round(&log, &note).unwrap(), Round::Grew(2));
    assert_eq!(mirror.own.read(&roster).unwrap(), honest);
    drop(Arc::clone(&mirror.cosigner));
}

#[test]
fn nothing_is_said_to_go_that_something_keeps_or_nobody_approved() {
    let digest = evidence::digest::Digest::of(b"plan").to_string();
    let refs = |name, value: &str| {
        evidence::entry::pairs::sorted([
            ("count", "6".to_owned()),
            ("plan", digest.clone()),
            ("object", "INC-2026-0001/details".to_owned()),
            (name, value.to_owned()),
        ])
    };
    let approval = evidence::entry::pairs::sorted([("count", "6".to_owned()), ("plan", digest.clone())]);
    let why = refused(|log, chain| {
        log.person(EntryType::DispositionApproved, chain.clone(), approval.clone(), ADA)
    });
    assert!(why.contains("the incident is open"), "{why}");
    let why = refused(|log, chain| {
        log.person(EntryType::IncidentClosed, chain.clone(), Vec::new(), ADA);
        log.person(EntryType::DispositionApproved, chain.clone(), approval.clone(), ADA);
    });
    assert!(why.contains("no retention is set"), "{why}");
    let why =
        refused(|log, chain| log.own(EntryType::DispositionExecuted, chain.clone(), refs("store", "one")));
    assert!(why.contains("the incident is open"), "{why}");
    let why = refused(|log, chain| {
        log.person(EntryType::DispositionApproved, chain.clone(), approval.clone(), STRANGER)
    });
    assert!(why.contains("no key of ada"), "{why}");
}
