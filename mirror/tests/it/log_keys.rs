//! The log's key changes. The mirror follows the authority's word where the log records it, and nothing less.

use std::sync::Arc;

use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::id::Chain;
use evidence::log_key::{LogKeyChange, LogKeyChangeType, LogKeys, Reason};
use evidence::signed::Signed;
use ledger::{KeyType, Note};
use mirror::cosign::Role;
use mirror::cosign::fraud::FraudProof;
use mirror::note::{LogNote, NoteRefused};
use mirror::pull::{Follower, PullError, Round};
use mirror::source::StoreSource;
use store::Key;
use testkit::bundles::{AUTHORITY, LOG, MALLORY, at, authority, log_key, sign, signer};

use crate::world::{Log, Mirror, ORIGIN, pins};

/// The key that follows.
const NEXT: u8 = 41;

/// The same checkpoint, signed by another key.
fn by(number: u8, note: &[u8]) -> Vec<u8> {
    let text = Note::parse(note).unwrap().text().to_owned();
    let line = signer(number, ORIGIN).sign(&text).unwrap();
    Note::new(&text, vec![line]).unwrap().to_string().into_bytes()
}

/// Change 1, over the log as it is, in its store.
fn change(log: &Log, reason: Reason, authority: u8, alter: fn(&mut LogKeyChange)) -> Signed {
    let mut change = LogKeyChange {
        type_: LogKeyChangeType,
        deployment: "acme".parse().unwrap(),
        number: 1,
        reason,
        old: log_key(LOG, ORIGIN).parse().unwrap(),
        new: log_key(NEXT, ORIGIN).parse().unwrap(),
        size: log.size(),
        root: log.log.checkpoint().root.into(),
        issued: at("12:00:00"),
    };
    alter(&mut change);
    let signed = sign(&change, &[authority]);
    log.store.create(&Key::log_key(1), &signed.encode()).unwrap();
    signed
}

fn record(log: &mut Log, signed: &Signed) {
    record_as(log, signed.read::<LogKeyChange>().unwrap().reason.entry_type(), signed);
}

fn record_as(log: &mut Log, type_: EntryType, signed: &Signed) {
    let change: LogKeyChange = signed.read().unwrap();
    let refs = [("log", change.new.to_string()), ("size", change.size.to_string())];
    log.record(type_, &Chain::Deployment, refs, signed.clone());
}

/// A log of 25 entries that a mirror holds.
fn held(place: &std::path::Path) -> (Log, Chain, Mirror) {
    let mut log = Log::new(&place.join("source"));
    let chain = log.incident(1);
    log.reads(&chain, 22);
    let mirror = Mirror::new(place);
    let note = log.publish();
    mirror.round(&log, &note).unwrap();
    (log, chain, mirror)
}

fn size(mirror: &Mirror, role: Role) -> u64 {
    mirror.cosigner.last(role).unwrap().log.checkpoint.size
}

#[test]
fn a_planned_change_is_followed_by_a_mirror_that_runs_one_that_starts_again_and_one_that_begins() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, chain, mirror) = held(dir.path());
    let signed = change(&log, Reason::Planned, AUTHORITY, |_| ());
    // The old key goes on until the log says otherwise.
    log.reads(&chain, 3);
    let between = log.publish();
    assert_eq!(mirror.round(&log, &between).unwrap(), Round::Grew(28));
    record(&mut log, &signed);
    log.reads(&chain, 2);
    let note = by(NEXT, &log.publish());
    assert_eq!(mirror.round(&log, &note).unwrap(), Round::Grew(31));
    let kept = mirror.own.stores()[0].read(&Key::log_key(1)).unwrap();
    assert_eq!(kept, signed.encode());
    drop(mirror);

    let mirror = Mirror::open(dir.path());
    log.reads(&chain, 1);
    let note = by(NEXT, &log.publish());
    assert_eq!(mirror.round(&log, &note).unwrap(), Round::Grew(32));
    log.reads(&chain, 1);
    let grown = log.publish();
    let refused = mirror.round(&log, &by(LOG, &grown));
    assert!(
        matches!(&refused, Err(PullError::Note(NoteRefused::OutsideTerm { size: 33, .. }))),
        "{refused:?}"
    );
    assert_eq!(size(&mirror, Role::Witness), 32);

    let other = dir.path().join("other");
    let mirror = Mirror::new(&other);
    assert_eq!(mirror.round(&log, &by(NEXT, &grown)).unwrap(), Round::Grew(33));
    assert_eq!(mirror.cosigner.pins().log_keys.keys().changes()[0].index, Some(28));
}

#[test]
fn a_stolen_key_extends_nothing_and_convicts_nobody_beyond_its_term() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, chain, mirror) = held(dir.path());
    let mut thief = log.fork(&dir.path().join("thief"));
    let signed = change(&log, Reason::Compromised, AUTHORITY, |_| ());
    record(&mut log, &signed);
    let note = by(NEXT, &log.publish());
    assert_eq!(mirror.round(&log, &note).unwrap(), Round::Grew(26));
    thief.reads(&chain, 4);
    let stolen = thief.publish();
    let refused = mirror.round(&thief, &stolen);
    assert!(matches!(&refused, Err(PullError::Note(NoteRefused::OutsideTerm { .. }))), "{refused:?}");
    assert_eq!(mirror.cosigner.fraud(), None);
    assert_eq!((size(&mirror, Role::Witness), size(&mirror, Role::Mirror)), (26, 26));
}

#[test]
fn what_a_thief_had_cosigned_before_the_change_is_put_aside() {
    for restarted in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, chain, mut mirror) = held(dir.path());
        // It continues what is held: nothing speaks against it yet.
        let mut thief = log.fork(&dir.path().join("thief"));
        thief.reads(&chain, 9);
        let stolen = LogNote::read(&thief.publish(), ORIGIN, &pins().log_keys.keys()).unwrap();
        mirror.cosigner.sign(Role::Witness, 25, &stolen).unwrap();
        let signed = change(&log, Reason::Compromised, AUTHORITY, |_| ());
        record(&mut log, &signed);
        let note = by(NEXT, &log.publish());
        if restarted {
            // The change is known by its document, and the state is read again.
            fs_err::create_dir(dir.path().join("log-keys")).unwrap();
            fs_err::write(dir.path().join("log-keys/000001.signed"), signed.encode()).unwrap();
            drop(mirror);
            mirror = Mirror::open(dir.path());
        }
        assert_eq!(mirror.round(&log, &note).unwrap(), Round::Grew(26));
        assert_eq!((size(&mirror, Role::Witness), mirror.cosigner.fraud()), (26, None));
        let aside: Vec<_> = fs_err::read_dir(dir.path().join("put-aside")).unwrap().collect();
        assert_eq!(aside.len(), 1);
        drop(mirror);
        assert_eq!(size(&Mirror::open(dir.path()), Role::Witness), 26);
        assert_eq!(mirror_keys(dir.path()), signed.encode(), "for a restoration");
    }
}

fn mirror_keys(place: &std::path::Path) -> Vec<u8> {
    fs_err::read(place.join("own/ledger/keys/000001.signed")).unwrap()
}

#[test]
fn a_change_that_could_not_be_kept_counts_when_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _, mirror) = held(dir.path());
    let signed = change(&log, Reason::Planned, AUTHORITY, |_| ());
    record(&mut log, &signed);
    let note = by(NEXT, &log.publish());
    let own = dir.path().join("own/ledger/keys");
    fs_err::create_dir_all(&own).unwrap();
    fs_err::write(own.join("000001.signed"), "not a change").unwrap();
    let refused = mirror.round(&log, &note);
    assert!(matches!(&refused, Err(PullError::Own(_))), "{refused:?}");
    assert_eq!(mirror.cosigner.pins().log_keys.keys().changes(), []);
    fs_err::remove_file(own.join("000001.signed")).unwrap();
    assert_eq!(mirror.round(&log, &note).unwrap(), Round::Grew(26));
    assert_eq!(mirror_keys(dir.path()), signed.encode());
    // Lost later: the next start writes it again.
    drop(mirror);
    fs_err::remove_file(own.join("000001.signed")).unwrap();
    assert_eq!(Mirror::open(dir.path()).round(&log, &note).unwrap(), Round::Current);
    assert_eq!(mirror_keys(dir.path()), signed.encode());
}

#[test]
fn another_history_than_the_authoritys_is_refused_however_often_it_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, chain, mirror) = held(dir.path());
    let signed = change(&log, Reason::Lost, AUTHORITY, |change| {
        change.root = Digest([7; 32]);
    });
    record(&mut log, &signed);
    let source = StoreSource(Arc::clone(&log.store));
    let all = |_, _| true;
    let parts = mirror.parts(&source, &all);
    let mut follower = Follower::open(&parts).unwrap();
    for _ in 0..3 {
        let note = by(NEXT, &log.publish());
        let refused = follower.round(&parts, &note);
        assert!(
            matches!(
                &refused,
                Err(PullError::Rule { index: 25, broken }) if broken.to_string() == OTHER_HISTORY
            ),
            "{refused:?}"
        );
        log.reads(&chain, 1);
    }
    assert_eq!(size(&mirror, Role::Mirror), 25);
}

#[test]
fn a_proof_of_fraud_under_a_replaced_key_needs_to_know_when_it_was_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, chain, _mirror) = held(dir.path());
    let mut fork = log.fork(&dir.path().join("fork"));
    let signed = change(&log, Reason::Planned, AUTHORITY, |_| ());
    log.reads(&chain, 3);
    fork.reads(&chain, 3);
    let note = |bytes: &[u8]| Note::parse(bytes).unwrap();
    let proof = FraudProof::new("acme", "now", &note(&log.publish()), &note(&fork.publish()), None);
    let pinned = signer(LOG, ORIGIN).verifier_key(KeyType::Ed25519);
    let deployment = "acme".parse().unwrap();
    let mut keys =
        LogKeys::signed(&deployment, &authority(), &pinned, std::slice::from_ref(&signed)).unwrap();
    let untold = proof.check(&keys).unwrap_err();
    assert!(untold.contains("do not tell whether before"), "{untold}");
    assert!(keys.place(1, &signed.digest(), 40));
    proof.check(&keys).unwrap();
    let mut ended =
        LogKeys::signed(&deployment, &authority(), &pinned, std::slice::from_ref(&signed)).unwrap();
    assert!(ended.place(1, &signed.digest(), 25));
    assert!(proof.check(&ended).unwrap_err().contains("not the log's key at that size"));
}

/// Of a change whose root is not that of the log.
const OTHER_HISTORY: &str = "logkey-8: the authority let the key follow upon another history of 25 entries";

/// A change of the log key that the mirror must not follow.
struct Forgery {
    name: &'static str,
    reason: Reason,
    authority: u8,
    alter: fn(&mut LogKeyChange),
    add: fn(&mut Log, &Chain, &Signed),
    refused: fn(&PullError) -> bool,
}

#[test]
fn without_the_authoritys_word_in_the_right_place_no_key_follows() {
    let at_once: fn(&mut Log, &Chain, &Signed) = |log, _, signed| record(log, signed);
    let forgeries = [
        Forgery {
            name: "signed by a stranger",
            reason: Reason::Planned,
            authority: MALLORY,
            alter: |_| (),
            add: at_once,
            refused: |error| matches!(error, PullError::Spoiled(_)),
        },
        Forgery {
            name: "never recorded",
            reason: Reason::Planned,
            authority: AUTHORITY,
            alter: |_| (),
            add: |log, chain, _| log.reads(chain, 2),
            refused: |error| {
                let key = log_key(NEXT, ORIGIN);
                let says = format!(
                    "logkey-10: the note is signed by {key}, and no entry below it records the change to that key"
                );
                matches!(error, PullError::Rule { index: 27, broken } if broken.to_string() == says)
            },
        },
        Forgery {
            name: "over another history",
            reason: Reason::Lost,
            authority: AUTHORITY,
            alter: |change| change.root = Digest([7; 32]),
            add: at_once,
            refused: |error| matches!(error, PullError::Rule { index: 25, broken } if broken.to_string() == OTHER_HISTORY),
        },
        Forgery {
            name: "stolen, and entries in between",
            reason: Reason::Compromised,
            authority: AUTHORITY,
            alter: |_| (),
            add: |log, chain, signed| {
                log.reads(chain, 1);
                record(log, signed);
            },
            refused: |error| {
                let says = "logkey-6: change 1 of the log key stands elsewhere than it must";
                matches!(error, PullError::Rule { index: 26, broken } if broken.to_string() == says)
            },
        },
        Forgery {
            name: "recorded as what it is not",
            reason: Reason::Lost,
            authority: AUTHORITY,
            alter: |_| (),
            add: |log, _, signed| record_as(log, EntryType::KeyRotated, signed),
            refused: |error| {
                let says = "logkey-7: a key that is lost is recorded otherwise";
                matches!(error, PullError::Rule { index: 25, broken } if broken.to_string() == says)
            },
        },
    ];
    for Forgery { name, reason, authority, alter, add, refused } in forgeries {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, chain, mirror) = held(dir.path());
        let signed = change(&log, reason, authority, alter);
        add(&mut log, &chain, &signed);
        let note = by(NEXT, &log.publish());
        let error = mirror.round(&log, &note).unwrap_err();
        assert!(refused(&error), "{name}: {error:?}");
        assert_eq!(size(&mirror, Role::Mirror), 25, "{name}");
        println!("tried: {name}; got: {error}");
    }
    assert_eq!(pins().log_keys.keys().changes().len(), 0);
}
