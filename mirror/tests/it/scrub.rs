//! Damage in objects whose keys carry no digest: the tree decides, and the mirror makes them again.

use std::path::Path;
use std::sync::Arc;

use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::id::Chain;
use mirror::cosign::Role;
use mirror::scrub::{Parts, Scrubbed, scrub};
use mirror::source::{Source, StoreSource};
use store::Key;
use store::scrub::Throttle;

use crate::world::{Log, Mirror, pins};

/// Turns one bit in the middle of a read-only file.
fn flip(path: &Path) {
    let mut bytes = fs_err::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs_err::remove_file(path).unwrap();
    fs_err::write(path, bytes).unwrap();
}

fn pass(mirror: &Mirror, source: Option<&dyn Source>) -> Scrubbed {
    let (pins, throttle) = (pins(), Throttle::new(0));
    let parts = Parts {
        pins: &pins,
        own: &mirror.own,
        source,
        repaired: &mirror.repaired,
        judges: &mirror::replicate::judge::InProcess,
        throttle: &throttle,
        go_on: &|| true,
        progress: &|_| {},
    };
    let held = mirror.cosigner.last(Role::Mirror).unwrap().log;
    scrub(&parts, &held, &[]).unwrap()
}

#[test]
fn a_rotten_tile_and_a_rotten_bundle_are_made_again_from_what_the_tree_commits_to() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("source"));
    let chain = log.incident(1);
    log.reads(&chain, 600);
    let note = log.publish();
    let mirror = Mirror::new(dir.path());
    mirror.round(&log, &note).unwrap();
    let own = dir.path().join("own");
    let partial = format!("ledger/tile/0/002.p/{}", log.size() % 256);
    let source = StoreSource(Arc::clone(&log.store));
    for rotten in ["ledger/tile/0/000", "ledger/tile/entries/001", partial.as_str()] {
        flip(&own.join(rotten));
        let found = pass(&mirror, Some(&source));
        assert_eq!((found.damaged, found.lost), (1, Vec::<String>::new()), "{rotten}");
        mirror.assert_holds(&log);
        let kept = fs_err::read_dir(own.join("damaged")).unwrap().count();
        assert!(kept >= 1, "the damaged bytes are kept");
    }
    // Nobody who could be asked: it is said, and stays.
    flip(&own.join("ledger/tile/entries/001"));
    let found = pass(&mirror, None);
    assert!(!found.lost.is_empty());
    // A source that lies is no help, and does no harm.
    flip(&dir.path().join("source/ledger/tile/entries/001"));
    assert!(!pass(&mirror, Some(&source)).lost.is_empty());
    flip(&dir.path().join("source/ledger/tile/entries/001"));
    assert_eq!(pass(&mirror, Some(&source)).lost, Vec::<String>::new());
    mirror.assert_holds(&log);
}

#[test]
fn a_stamped_checkpoint_is_judged_by_the_logs_key_and_the_tree() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("source"));
    let chain = log.incident(1);
    log.reads(&chain, 20);
    let stamped = log.publish();
    let size = log.size();
    let answer = b"an RFC 3161 answer";
    let digest = Digest::of(answer);
    let key = Key::stamped_checkpoint(size);
    log.store.create(&key, &stamped).unwrap();
    log.store.create(&Key::stamp(size, digest.as_bytes()), answer).unwrap();
    let refs = [("size", size.to_string()), ("stamp", digest.to_string())];
    log.own(EntryType::TsaStamped, &Chain::Deployment, refs);
    let note = log.publish();
    let mirror = Mirror::new(dir.path());
    mirror.round(&log, &note).unwrap();
    let (own, theirs) =
        (dir.path().join("own").join(key.as_str()), dir.path().join("source").join(key.as_str()));
    let source = StoreSource(Arc::clone(&log.store));
    flip(&own);
    let found = pass(&mirror, Some(&source));
    assert_eq!((found.damaged, found.lost), (1, Vec::<String>::new()));
    assert_eq!(mirror.own.read(&key).unwrap(), stamped);
    // The log's key over another root: bytes that only the tree refuses.
    let other = log.forged_note(size, ledger::Hash([3; 32]));
    for path in [&own, &theirs] {
        fs_err::remove_file(path).unwrap();
        fs_err::write(path, &other).unwrap();
    }
    let found = pass(&mirror, Some(&source));
    assert_eq!((found.damaged, found.lost.len()), (1, 1));
    fs_err::remove_file(&theirs).unwrap();
    fs_err::write(&theirs, &stamped).unwrap();
    assert_eq!(pass(&mirror, Some(&source)).lost, Vec::<String>::new());
    assert_eq!(mirror.own.read(&key).unwrap(), stamped);
}

#[test]
fn a_store_that_is_away_is_said_once_and_has_lost_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("source"));
    let chain = log.incident(1);
    log.reads(&chain, 20);
    let note = log.publish();
    let mirror = Mirror::new(dir.path());
    mirror.round(&log, &note).unwrap();
    let own = dir.path().join("own");
    let lose_documents = || {
        for document in fs_err::read_dir(own.join("documents")).unwrap() {
            fs_err::remove_file(document.unwrap().path()).unwrap();
        }
    };
    fs_err::rename(own.join("store.json"), dir.path().join("marker")).unwrap();
    lose_documents();
    let source = StoreSource(Arc::clone(&log.store));
    let found = pass(&mirror, Some(&source));
    assert_eq!((found.damaged, found.lost.len()), (0, 1), "{:?}", found.lost);
    assert!(found.lost[0].contains("is away"), "{:?}", found.lost);
    fs_err::rename(dir.path().join("marker"), own.join("store.json")).unwrap();
    lose_documents();
    let found = pass(&mirror, Some(&source));
    assert!(found.damaged > 0 && found.lost.is_empty(), "{found:?}");
    mirror.assert_holds(&log);
}
