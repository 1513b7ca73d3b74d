//! Changes of the log key on a collector's directory: refused, cut off anywhere, repeated, rebuilt.

use std::path::{Path, PathBuf};

use evidence::log_key::{LogKeyChange, LogKeyError, Reason};
use evidence::signed::Signed;
use evidence::time::Time;
use ledger::{KeyType, Note, NoteSigner, VerifierKey};
use server::config::Config;
use server::config::layout::Layout;
use server::log::ledger::{FsckOptions, fsck, read_log_key};
use server::log::log_key::HeldKeysError;
use server::ops::foundation::{Foundation, FoundationError, open_for_check};
use server::ops::init::{InitOptions, init};
use server::ops::log_key::adopt::adopt;
use server::ops::log_key::propose::propose;
use server::ops::rebuild::rebuild;
use server::rows::Db;
use store::Degraded;
use testkit::people;

fn day() -> Time {
    "2026-11-21T12:00:00.000Z".parse().unwrap()
}

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_exhibit-server"))
}

/// The deployment of docs/spec/vectors, whose authority is two of the keys 1, 2, 3.
fn made(place: &Path) -> Layout {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/spec/vectors/documents");
    let options = InitOptions {
        directory: place.join("server"),
        authority: vectors.join("authority"),
        roster: vectors.join("roster-1.signed"),
        stores: vec![place.join("a").into(), place.join("b").into()],
        deployment: None,
        collector: "collector-1".parse().unwrap(),
        listen: "127.0.0.1:0".parse().unwrap(),
        enrol_listen: "127.0.0.1:0".parse().unwrap(),
        metrics_listen: None,
        reach: Some("collector.example.org:7443".parse().unwrap()),
        enrol_reach: Some("collector.example.org:7444".parse().unwrap()),
        copies: None,
        degraded: Degraded::Wait,
        tsas: Vec::new(),
    };
    init(&options, day()).unwrap();
    let layout = Layout::new(&options.directory);
    let key = layout.log_verifier_key().unwrap();
    fs_err::write(layout.policy(), format!("log {key}\nquorum none\n")).unwrap();
    layout
}

fn signed(layout: &Layout, change: &LogKeyChange, keys: &[u8]) -> PathBuf {
    let path = layout.directory.join(format!("signed-{}", change.number));
    fs_err::write(&path, people::sign(change, keys).encode()).unwrap();
    path
}

fn proposed(layout: &Layout, reason: Reason) -> (LogKeyChange, PathBuf) {
    let change = propose(&layout.directory, reason, day()).unwrap().change;
    let path = signed(layout, &change, &[1, 3]);
    (change, path)
}

fn key_in(path: &Path) -> VerifierKey {
    let seed = read_log_key(path).unwrap();
    NoteSigner::new("exhibit/acme", &seed).unwrap().verifier_key(KeyType::Ed25519)
}

fn head(layout: &Layout, store: &str) -> Note {
    let path = layout.directory.parent().unwrap().join(store).join("ledger/checkpoint");
    Note::parse(&fs_err::read(path).unwrap()).unwrap()
}

/// Ledger and rows hold, and the collector starts under this key; returns the size.
fn holds(layout: &Layout, key: &VerifierKey) -> u64 {
    let config = Config::load(&layout.directory).unwrap();
    let (replicas, keys) = open_for_check(&config, layout).unwrap();
    let db = Db::open(&layout.database(), 1).unwrap();
    let report = fsck(&replicas, &keys, Some(&db), FsckOptions { evidence: true });
    assert_eq!(report.problems, []);
    drop((replicas, db));
    let foundation = Foundation::open(&layout.directory, program()).unwrap();
    assert_eq!(foundation.sequencer.log().verifier_key(), key);
    let size = foundation.sequencer.log().published().size;
    foundation.sequencer.stop().unwrap();
    size
}

#[test]
fn two_changes_are_recorded_each_as_the_first_entry_of_its_key_and_a_rebuild_finds_them() {
    let place = tempfile::tempdir().unwrap();
    let layout = made(place.path());
    let first = key_in(&layout.log_key());
    let (one, file) = proposed(&layout, Reason::Planned);
    let done = adopt(&layout.directory, program(), &file, false).unwrap();
    assert_eq!((done.index, one.size), (2, 2));
    let retired = done.retired.unwrap();
    assert_eq!((key_in(&retired), key_in(&layout.log_key())), (first.clone(), one.new.key().clone()));
    for store in ["a", "b"] {
        let note = head(&layout, store);
        assert!(note.verify(std::slice::from_ref(one.new.key())).is_ok());
        assert!(note.verify(std::slice::from_ref(&first)).is_err());
        let kept = place.path().join(store).join("ledger/keys/000001.signed");
        assert_eq!(fs_err::read(kept).unwrap(), fs_err::read(&file).unwrap());
    }
    for file in [layout.card(), layout.policy()] {
        let text = fs_err::read_to_string(file).unwrap();
        assert!(text.contains(one.new.as_str()) && !text.contains(one.old.as_str()));
    }
    assert_eq!(holds(&layout, one.new.key()), 3);
    // The old key leaves nothing behind this time.
    let (two, file) = proposed(&layout, Reason::Compromised);
    let done = adopt(&layout.directory, program(), &file, true).unwrap();
    assert_eq!((done.index, done.retired), (3, None));
    assert_eq!(holds(&layout, two.new.key()), 4);
    for suffix in ["", "-wal", "-shm"] {
        drop(fs_err::remove_file(format!("{}{suffix}", layout.database().display())));
    }
    let rebuilt = rebuild(&layout.directory).unwrap();
    assert_eq!((rebuilt.entries, rebuilt.remarks), (4, vec![]));
    assert_eq!(holds(&layout, two.new.key()), 4);
    // Said again, it is the same entry.
    assert_eq!(adopt(&layout.directory, program(), &file, true).unwrap().index, 3);
    // A replay of the first one changes nothing.
    let again = signed(&layout, &one, &[1, 2]);
    let refused = adopt(&layout.directory, program(), &again, false).unwrap_err();
    assert!(refused.downcast_ref::<LogKeyError>().is_some(), "{refused:#}");
    assert_eq!(holds(&layout, two.new.key()), 4);
}

#[test]
fn an_adoption_that_was_cut_off_goes_on_wherever_it_was() {
    type Adopted = fn(&Layout, &LogKeyChange, &Path);
    let steps: [Adopted; 5] = [
        |layout, _, file| {
            fs_err::create_dir_all(layout.log_keys()).unwrap();
            fs_err::copy(file, layout.log_keys().join("000001.signed")).unwrap();
        },
        |layout, _, file| {
            let store = layout.directory.parent().unwrap().join("a/ledger/keys");
            fs_err::create_dir_all(&store).unwrap();
            fs_err::copy(file, store.join("000001.signed")).unwrap();
        },
        |layout, _, _| {
            fs_err::create_dir_all(layout.retired_keys()).unwrap();
            fs_err::rename(layout.log_key(), layout.retired_keys().join("log-0")).unwrap();
        },
        |layout, _, _| fs_err::rename(layout.log_key_next(), layout.log_key()).unwrap(),
        |layout, change, _| {
            let text = fs_err::read_to_string(layout.card()).unwrap();
            fs_err::write(layout.card(), text.replace(change.old.as_str(), change.new.as_str())).unwrap();
        },
    ];
    for done in 1..=steps.len() {
        let place = tempfile::tempdir().unwrap();
        let layout = made(place.path());
        let (change, file) = proposed(&layout, Reason::Planned);
        for step in &steps[..done] {
            step(&layout, &change, &file);
        }
        let refused = Foundation::open(&layout.directory, program()).map(drop).unwrap_err();
        assert!(
            matches!(refused, FoundationError::LogKeys(HeldKeysError::Unrecorded { number: 1 })),
            "{done}: {refused}"
        );
        let adopted = adopt(&layout.directory, program(), &file, false);
        assert_eq!(adopted.unwrap_or_else(|error| panic!("{done}: {error}")).index, 2);
        assert_eq!(holds(&layout, change.new.key()), 3, "{done}");
        assert!(!layout.log_key_next().exists() && layout.retired_keys().join("log-0").exists());
    }
}

#[test]
fn a_change_that_the_authority_did_not_sign_so_is_not_adopted() {
    let place = tempfile::tempdir().unwrap();
    let layout = made(place.path());
    let before = key_in(&layout.log_key());
    let change = propose(&layout.directory, Reason::Planned, day()).unwrap().change;
    let other = |alter: fn(&mut LogKeyChange)| {
        let mut other = change.clone();
        alter(&mut other);
        other
    };
    let wrong: [(LogKeyChange, &[u8]); 8] = [
        (change.clone(), &[1]),
        (change.clone(), &[1, 1]),
        (change.clone(), &[1, 90]),
        (other(|change| change.number = 2), &[1, 3]),
        (other(|change| change.root.0[0] ^= 1), &[1, 3]),
        (other(|change| change.size = 3), &[1, 3]),
        (other(|change| change.old = change.new.clone()), &[]),
        (
            other(|change| {
                let signer = NoteSigner::new("exhibit/acme", &[99; 32]).unwrap();
                change.new = signer.verifier_key(KeyType::Ed25519).to_string().parse().unwrap();
            }),
            &[1, 3],
        ),
    ];
    for (change, keys) in &wrong {
        if keys.is_empty() {
            assert!(Signed::sign(change, &[&people::key(1)]).is_err());
            continue;
        }
        let file = signed(&layout, change, keys);
        assert!(adopt(&layout.directory, program(), &file, false).is_err(), "{change:?} {keys:?}");
        assert!(!layout.log_keys().exists());
    }
    assert_eq!(holds(&layout, &before), 2);
    // A stolen key: what is recorded behind the size that the authority saw would be nobody's.
    let (stolen, file) = proposed(&layout, Reason::Compromised);
    assert_eq!(adopt(&layout.directory, program(), &file, false).unwrap().index, stolen.size);
}

#[test]
fn a_lost_key_is_followed_by_succession_only() {
    let place = tempfile::tempdir().unwrap();
    let layout = made(place.path());
    fs_err::remove_file(layout.log_key()).unwrap();
    assert!(propose(&layout.directory, Reason::Planned, day()).is_err());
    let (change, file) = proposed(&layout, Reason::Lost);
    let done = adopt(&layout.directory, program(), &file, false).unwrap();
    assert_eq!((done.index, done.retired), (2, None));
    assert_eq!(holds(&layout, change.new.key()), 3);
}

fn copied(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.unwrap().success());
}

#[test]
fn with_the_old_key_lost_a_store_that_is_behind_is_given_what_the_other_has() {
    let place = tempfile::tempdir().unwrap();
    let layout = made(place.path());
    // Store b as it was before the last entries.
    copied(&place.path().join("b"), &place.path().join("b.before"));
    let (_, file) = proposed(&layout, Reason::Planned);
    adopt(&layout.directory, program(), &file, false).unwrap();
    fs_err::remove_dir_all(place.path().join("b")).unwrap();
    fs_err::rename(place.path().join("b.before"), place.path().join("b")).unwrap();
    fs_err::remove_file(layout.log_key()).unwrap();
    let (two, file) = proposed(&layout, Reason::Lost);
    assert_eq!((two.number, two.size), (2, 3));
    adopt(&layout.directory, program(), &file, false).unwrap();
    assert_eq!(holds(&layout, two.new.key()), 4);
    // It has the change of before, too: who follows the log looks in any store.
    for (store, number) in [("a", 1), ("a", 2), ("b", 1), ("b", 2)] {
        let kept = place.path().join(store).join(format!("ledger/keys/00000{number}.signed"));
        assert!(kept.exists(), "{store} {number}");
    }
}

#[test]
fn a_directory_from_a_backup_of_before_the_change_is_rebuilt_from_the_stores() {
    let place = tempfile::tempdir().unwrap();
    let layout = made(place.path());
    copied(&layout.directory, &place.path().join("backup"));
    let (one, file) = proposed(&layout, Reason::Planned);
    adopt(&layout.directory, program(), &file, false).unwrap();
    let key = fs_err::read(layout.log_key()).unwrap();
    fs_err::remove_dir_all(&layout.directory).unwrap();
    fs_err::rename(place.path().join("backup"), &layout.directory).unwrap();
    let error = Foundation::open(&layout.directory, program()).map(drop).unwrap_err();
    let said = format!("{:#}", anyhow::Error::from(error));
    assert!(said.contains("exhibit-server rebuild"), "{said}");
    fs_err::remove_file(layout.database()).unwrap();
    drop(fs_err::remove_file(layout.directory.join("exhibit.db-wal")));
    drop(fs_err::remove_file(layout.directory.join("exhibit.db-shm")));
    rebuild(&layout.directory).unwrap();
    assert_eq!(layout.log_verifier_key().unwrap(), *one.new.key());
    // The backup's key is not the log's any more; the newer one, kept elsewhere, is.
    assert!(Foundation::open(&layout.directory, program()).is_err());
    fs_err::write(layout.log_key(), key).unwrap();
    assert_eq!(holds(&layout, one.new.key()), 3);
}

#[test]
fn a_key_of_an_older_backup_in_the_place_of_a_lost_one_is_put_away() {
    let place = tempfile::tempdir().unwrap();
    let layout = made(place.path());
    let (_, file) = proposed(&layout, Reason::Planned);
    let retired = adopt(&layout.directory, program(), &file, false).unwrap().retired.unwrap();
    fs_err::copy(&retired, layout.log_key()).unwrap();
    let (two, file) = proposed(&layout, Reason::Lost);
    let done = adopt(&layout.directory, program(), &file, false).unwrap();
    assert_eq!(done.retired, None, "the old key is lost");
    assert_eq!(holds(&layout, two.new.key()), 4);
    assert_eq!(fs_err::read_dir(layout.retired_keys()).unwrap().count(), 2);
}

#[test]
fn nothing_is_proposed_while_a_change_is_not_recorded() {
    let place = tempfile::tempdir().unwrap();
    let layout = made(place.path());
    let (one, file) = proposed(&layout, Reason::Planned);
    // Cut off behind its first durable step.
    fs_err::create_dir_all(layout.log_keys()).unwrap();
    fs_err::copy(&file, layout.log_keys().join("000001.signed")).unwrap();
    let error = propose(&layout.directory, Reason::Planned, day()).unwrap_err();
    let said = format!("{error:#}");
    assert!(said.contains("log-key adopt"), "{said}");
    adopt(&layout.directory, program(), &file, false).unwrap();
    assert_eq!(holds(&layout, one.new.key()), 3);
}

#[test]
fn a_store_that_has_the_change_with_other_signatures_keeps_it() {
    let place = tempfile::tempdir().unwrap();
    let layout = made(place.path());
    let (one, _) = proposed(&layout, Reason::Planned);
    let keys = place.path().join("b/ledger/keys");
    fs_err::create_dir_all(&keys).unwrap();
    let other = signed(&layout, &one, &[2, 3]);
    let there = fs_err::read(&other).unwrap();
    fs_err::write(keys.join("000001.signed"), &there).unwrap();
    let file = signed(&layout, &one, &[1, 3]);
    adopt(&layout.directory, program(), &file, false).unwrap();
    assert_eq!(holds(&layout, one.new.key()), 3);
    assert_eq!(fs_err::read(keys.join("000001.signed")).unwrap(), there);
}

/// Shows one note to whoever asks.
fn witness(note: String) -> String {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _read = stream.read(&mut [0; 4096]).unwrap();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", note.len());
            stream.write_all((head + &note).as_bytes()).unwrap();
        }
    });
    format!("http://{address}/")
}

#[test]
fn no_key_changes_over_what_a_witness_holds_more_of() {
    let place = tempfile::tempdir().unwrap();
    let layout = made(place.path());
    let seed = read_log_key(&layout.log_key()).unwrap();
    let old = NoteSigner::new("exhibit/acme", &seed).unwrap();
    let note = |size: u64, root: u8| {
        let text = ledger::Checkpoint::new("exhibit/acme", size, ledger::Hash([root; 32])).unwrap().to_text();
        Note::new(&text, vec![old.sign(&text).unwrap()]).unwrap().to_string()
    };
    fs_err::remove_file(layout.log_key()).unwrap();
    let cosigner = NoteSigner::new("w.example/w", &[50; 32]).unwrap().verifier_key(KeyType::CosignatureV1);
    let key = layout.log_verifier_key().unwrap();
    let policy = |url: &str| format!("log {key}\nwitness w {cosigner} {url}\nquorum none\n");
    let (change, file) = proposed(&layout, Reason::Lost);
    for (shown, expected) in [(note(9, 1), 9), (note(1, 1), 1)] {
        fs_err::write(layout.policy(), policy(&witness(shown))).unwrap();
        let refused = adopt(&layout.directory, program(), &file, false).unwrap_err().to_string();
        let (holds, here) = (format!("a witness holds size {expected} of this ledger"), "here are 2 entries");
        assert!(refused.contains(&holds) && refused.contains(here), "{refused}");
        assert!(!layout.log_keys().exists());
    }
    // Away: named, and nothing waits for it.
    fs_err::write(layout.policy(), policy("http://127.0.0.1:9/")).unwrap();
    adopt(&layout.directory, program(), &file, false).unwrap();
    assert_eq!(holds(&layout, change.new.key()), 3);
}
