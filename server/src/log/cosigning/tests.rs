//! Honest and dishonest witnesses, over a real sequencer and stores that fail. tests/it/strangers/witness.rs runs somebody else's
//! honest witness. No foreign program lies on demand, so the liars are here.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use ledger::{Hash, KeyType, NoteSignature, NoteSigner};
use store::fault::Fault;
use testkit::wait;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::log::ledger::Sequencer;
use crate::log::ledger::tests::{Machine, WAIT, act};

const PATIENCE: Duration = Duration::from_secs(20);

/// How a witness answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Honest,
    /// 503.
    Busy,
    /// 404.
    Stranger,
    /// A line of its key, with one bit flipped.
    Flipped,
    /// A line of its key over another head.
    OtherHead,
    /// Only lines of unknown keys.
    OtherKeys,
    /// Lines that are not signature lines.
    Garbage,
    /// 409 with a size that changes each time.
    Restless,
    /// 409 with the size it holds, then 503 when asked from that size.
    Fickle,
    /// 409 with the size that we told it.
    Parrot,
    /// 409 without a number.
    NoNumber,
    /// 422, and shows nothing.
    Contradicts,
    /// Megabytes.
    Endless,
}

/// A witness: remembers what it cosigned, checks consistency, signs.
struct Witness {
    signer: NoteSigner,
    held: Mutex<Option<(u64, Hash, String)>>,
    manner: Mutex<Manner>,
    /// How many times the collector asked it to cosign.
    asked: AtomicU64,
}

impl Witness {
    fn new(number: u8, name: &str) -> Arc<Self> {
        Arc::new(Self {
            signer: NoteSigner::new(name, &[number; 32]).unwrap(),
            held: Mutex::new(None),
            manner: Mutex::new(Manner::Honest),
            asked: AtomicU64::new(0),
        })
    }

    fn is(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    fn size(&self) -> u64 {
        self.held.lock().unwrap().as_ref().map_or(0, |(size, ..)| *size)
    }

    async fn serve(self: &Arc<Self>) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new()
            .route("/prefix/add-checkpoint", post(add_checkpoint))
            .route("/prefix/{origin}/checkpoint", get(held))
            .with_state(Arc::clone(self));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        format!("http://{address}/prefix/")
    }

    fn judge(&self, body: &str) -> Response {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let (head, note) = body.split_once("\n\n").unwrap();
        let mut lines = head.lines();
        let old: u64 = lines.next().unwrap().strip_prefix("old ").unwrap().parse().unwrap();
        let proof: Vec<Hash> = lines.map(|line| Hash::from_base64(line).unwrap()).collect();
        let note = Note::parse(note.as_bytes()).unwrap();
        let shown = Checkpoint::from_text(note.text()).unwrap();
        let conflict = |size: String| {
            (StatusCode::CONFLICT, [("content-type", "text/x.tlog.size")], size).into_response()
        };
        let cosign = |text: &str| self.signer.cosign(text, 1_795_270_000).unwrap();
        let altered = |line: NoteSignature, change: fn(&mut [u8])| {
            let mut bytes = line.bytes().to_vec();
            change(&mut bytes);
            NoteSignature::new(line.name(), line.id(), bytes).unwrap()
        };
        match *self.manner.lock().unwrap() {
            Manner::Honest => {}
            Manner::Busy => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
            Manner::Stranger => return StatusCode::NOT_FOUND.into_response(),
            Manner::Flipped => {
                return altered(cosign(note.text()), |bytes| bytes[30] ^= 1).to_string().into_response();
            }
            Manner::OtherHead => {
                let other = Checkpoint::new(&shown.origin, shown.size, Hash([9; 32])).unwrap();
                return cosign(&other.to_text()).to_string().into_response();
            }
            Manner::OtherKeys => {
                let other = NoteSigner::new("other.example/w", &[99; 32]).unwrap();
                return other.cosign(note.text(), 1).unwrap().to_string().into_response();
            }
            Manner::Garbage => return "yes\n".into_response(),
            Manner::Restless => return conflict(format!("{}\n", (old + 1) % 2)),
            Manner::Fickle if old == self.size() => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
            Manner::Fickle => return conflict(format!("{}\n", self.size())),
            Manner::Parrot => return conflict(format!("{old}\n")),
            Manner::NoNumber => return conflict("many\n".to_owned()),
            Manner::Contradicts => return StatusCode::UNPROCESSABLE_ENTITY.into_response(),
            Manner::Endless => return vec![b'a'; 4 << 20].into_response(),
        }
        let mut held = self.held.lock().unwrap();
        let (size, root) = held.as_ref().map_or((0, ledger::EMPTY_ROOT), |(size, root, _)| (*size, *root));
        if old != size {
            return conflict(format!("{size}\n"));
        }
        if size > 0 && verify_consistency(size, &root, shown.size, &shown.root, &proof).is_err() {
            return StatusCode::UNPROCESSABLE_ENTITY.into_response();
        }
        *held = Some((shown.size, shown.root, note.to_string()));
        // Also a line of somebody else: a collector must ignore it.
        let other = NoteSigner::new("grease.example/g", &[98; 32]).unwrap();
        let grease = other.cosign(note.text(), 1).unwrap();
        format!("{grease}{}", cosign(note.text())).into_response()
    }
}

async fn add_checkpoint(Shared(witness): Shared<Arc<Witness>>, body: Bytes) -> Response {
    witness.judge(str::from_utf8(&body).unwrap())
}

async fn held(Shared(witness): Shared<Arc<Witness>>) -> Response {
    let held = witness.held.lock().unwrap().clone();
    held.map_or_else(|| StatusCode::NOT_FOUND.into_response(), |(.., note)| note.into_response())
}

/// A log on two stores, witnesses, and the chore that asks them.
struct Lab {
    machine: Machine,
    sequencer: Sequencer,
    cosigning: Arc<Cosigning>,
    stop: CancellationToken,
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Lab {
    /// `quorum` is the name in the policy's quorum line, of a witness or a group; `groups` holds the lines that define groups.
    async fn new(witnesses: &[(&str, &Arc<Witness>)], groups: &str, quorum: &str) -> Self {
        let machine = Machine::new(WAIT);
        let sequencer = machine.start().unwrap();
        let (_, replicas) = machine.open();
        let mut text = format!("log {}\n", sequencer.log().verifier_key());
        for (name, witness) in witnesses {
            let key = witness.signer.verifier_key(KeyType::CosignatureV1);
            text.push_str(&format!("witness {name} {key} {}\n", witness.serve().await));
        }
        text.push_str(&format!("{groups}quorum {quorum}\n"));
        let directory = machine.directory.path();
        fs_err::write(directory.join("ledger.policy"), text).unwrap();
        let cosigning = Cosigning::open(directory, sequencer.log().clone(), replicas).unwrap();
        let lab = Self { machine, sequencer, cosigning: Arc::new(cosigning), stop: CancellationToken::new() };
        tokio::spawn(rounds(Arc::clone(&lab.cosigning), lab.stop.clone()));
        lab
    }

    async fn grow(&self, numbers: std::ops::Range<u64>) -> u64 {
        for number in numbers {
            self.sequencer.submit(act(number)).await.unwrap();
        }
        self.sequencer.log().published().size
    }

    async fn quorum(&self, size: u64) -> Result<CosignedHead, Shortage> {
        self.cosigning.quorum_over(size, PATIENCE).await
    }

    /// Why there is no quorum. A busy witness is asked until the patience ends.
    async fn shortage(&self, size: u64) -> String {
        let patience = Duration::from_secs(6);
        let shortage = self.cosigning.quorum_over(size, patience).await;
        shortage.unwrap_err().to_string()
    }

    /// The notes with cosignatures on the stores.
    fn kept(&self) -> Vec<Note> {
        let stores = self.cosigning.replicas.stores();
        let lists: Vec<Vec<Key>> =
            stores.iter().map(|store| store.list("ledger/cosigned/").unwrap()).collect();
        assert_eq!(lists[0], lists[1], "both stores hold the same");
        let read = |key| Note::parse(&self.cosigning.replicas.read(key).unwrap()).unwrap();
        lists[0].iter().map(read).collect()
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test);
    runtime.shutdown_background();
}

#[test]
fn cosigners_meet_on_one_head_while_the_log_grows() {
    run(async {
        let witnesses = [
            Witness::new(1, "m1.example/mirror"),
            Witness::new(2, "m2.example/mirror"),
            Witness::new(3, "w.example/w"),
        ];
        let named = [("m1", &witnesses[0]), ("m2", &witnesses[1]), ("w", &witnesses[2])];
        let lab = Lab::new(&named, "group two 2 m1 m2 w\n", "two").await;
        let size = lab.grow(0..5).await;
        let (growing, stop) = (lab.sequencer.clone(), CancellationToken::new());
        let stopped = stop.clone();
        let growth = tokio::spawn(async move {
            let mut number = 100;
            while !stopped.is_cancelled() {
                growing.submit(act(number)).await.unwrap();
                number += 1;
            }
        });
        let mut newest = 0;
        for _ in 0..5 {
            let head = lab.quorum(size.max(newest + 1)).await.unwrap();
            let verified = lab.cosigning.policy().verify_checkpoint(&head.published.note).unwrap();
            assert!(verified.quorum_met && head.cosigners.len() >= 2);
            assert_eq!(verified.checkpoint.size, head.published.size);
            newest = head.published.size;
            // Proofs can lead to such a head, though the log is longer by now.
            let log = lab.sequencer.log();
            let leaf = ledger::leaf_hash(&log.entry(0).unwrap());
            let published = head.published.clone();
            let proof = crate::log::recorder::Recorder::new(
                lab.sequencer.clone(),
                "acme".parse().unwrap(),
                "c1".parse().unwrap(),
            )
            .prove_under(&lab.cosigning.replicas, published, vec![0])
            .await
            .unwrap();
            let proof = ledger::ProofFile::parse(&proof[0].proof).unwrap();
            assert!(proof.verify(&leaf, lab.cosigning.policy()).unwrap().quorum_met);
        }
        stop.cancel();
        growth.await.unwrap();
        for note in lab.kept() {
            assert!(note.signatures().iter().all(|line| line.name() != "grease.example/g"));
            assert_eq!(lab.cosigning.policy().verify_note(&note).unwrap().cosigners.len(), 1);
        }
    });
}

#[test]
fn no_answer_but_a_true_line_is_counted_and_each_refusal_says_why() {
    run(async {
        let witness = Witness::new(1, "w.example/w");
        let lab = Lab::new(&[("w", &witness)], "", "w").await;
        witness.is(Manner::Busy);
        let size = lab.grow(0..3).await;
        for (manner, expected) in [
            (Manner::Busy, "w: status 503"),
            (Manner::Stranger, "does not know this log"),
            (Manner::Flipped, "its cosignature does not verify"),
            (Manner::OtherHead, "its cosignature does not verify"),
            (Manner::OtherKeys, "without a line of the key"),
            (Manner::Garbage, "no signature line"),
            (Manner::Restless, "another size each time"),
            (Manner::Parrot, "contradicts itself"),
            (Manner::NoNumber, "is no number"),
            (Manner::Contradicts, "holds another history"),
            (Manner::Endless, "not reached"),
        ] {
            witness.is(manner);
            let refused = lab.shortage(size).await;
            assert!(refused.contains(expected), "{manner:?}: {refused}");
            assert_eq!(lab.kept(), [], "{manner:?}");
            assert_eq!(lab.cosigning.newest(), None);
            // Recording an entry does not wait for any of them.
            lab.sequencer.submit(act(1000)).await.unwrap();
        }
        // Busy while a caller waits, then not: like a mirror that first had to fetch.
        witness.is(Manner::Busy);
        let asked_before = witness.asked.load(Ordering::SeqCst);
        let (head, ()) = tokio::join!(lab.quorum(size), async {
            wait::until_async("the busy witness asked twice", async || {
                witness.asked.load(Ordering::SeqCst) >= asked_before + 2
            })
            .await;
            witness.is(Manner::Honest);
        });
        let head = head.unwrap();
        assert_eq!(head.cosigners, [("w".to_owned(), 1_795_270_000)]);
        let state = &lab.cosigning.witnesses()[0].1;
        assert_eq!((state.trouble.as_str(), state.contradicts), ("", false));
    });
}

#[test]
fn a_witness_that_was_away_for_a_moment_is_asked_again_by_its_own_wait_and_not_by_the_minute() {
    run(async {
        let witness = Witness::new(1, "w.example/w");
        witness.is(Manner::Busy);
        let lab = Lab::new(&[("w", &witness)], "", "w").await;
        let size = lab.grow(0..1).await;
        let asked_by = std::time::Instant::now() + Duration::from_secs(30);
        wait::until_async("the trouble", async || !lab.cosigning.witnesses()[0].1.trouble.is_empty()).await;
        witness.is(Manner::Honest);
        // No caller waits for it, so only its own wait of 10 s brings the next question.
        wait::until_async("a cosigned head", async || lab.cosigning.newest().is_some()).await;
        assert!(std::time::Instant::now() < asked_by, "not asked in 30 s");
        assert_eq!(witness.size(), size);
    });
}

#[test]
fn a_witness_that_knows_more_or_another_history_is_asked_from_its_size_or_named() {
    run(async {
        let witness = Witness::new(1, "w.example/w");
        let lab = Lab::new(&[("w", &witness)], "", "w").await;
        // Before our restart, this witness saw an earlier head.
        let size = lab.grow(0..2).await;
        let earlier = lab.sequencer.log().published();
        *witness.held.lock().unwrap() =
            Some((size, earlier.root, String::from_utf8(earlier.note.to_vec()).unwrap()));
        let size = lab.grow(2..9).await;
        lab.quorum(size).await.unwrap();
        assert_eq!(witness.size(), size);

        // It holds our newest head already, but we lack its line: the collector asks again, though the log did not grow.
        let size = lab.grow(20..22).await;
        let newest = lab.sequencer.log().published();
        *witness.held.lock().unwrap() =
            Some((size, newest.root, String::from_utf8(newest.note.to_vec()).unwrap()));
        witness.is(Manner::Fickle);
        let refused = lab.shortage(size).await;
        assert!(refused.contains("status 503"), "{refused}");
        witness.is(Manner::Honest);
        lab.quorum(size).await.unwrap();

        // It holds a longer log under our own key: our log was rolled back.
        let signer = NoteSigner::new("exhibit/acme", &[7; 32]).unwrap();
        let longer = Checkpoint::new("exhibit/acme", size + 50, Hash([5; 32])).unwrap().to_text();
        let note = Note::new(&longer, vec![signer.sign(&longer).unwrap()]).unwrap().to_string();
        *witness.held.lock().unwrap() = Some((size + 50, Hash([5; 32]), note.clone()));
        let size = lab.grow(9..12).await;
        let refused = lab.shortage(size).await;
        assert!(refused.contains("another history"), "{refused}");
        let trouble = lab.cosigning.witnesses()[0].1.trouble.clone();
        assert!(trouble.contains(&format!("it holds size {} under our own key", size - 3 + 50)), "{trouble}");
        let mut kept: Vec<_> = fs_err::read_dir(lab.machine.directory.path().join("contradictions"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        kept.sort();
        let texts: Vec<String> = kept.iter().map(|path| fs_err::read_to_string(path).unwrap()).collect();
        let ours = String::from_utf8(lab.sequencer.log().published().note.to_vec()).unwrap();
        assert_eq!(texts, [ours, note]);
    });
}

#[test]
fn a_line_counts_only_when_the_stores_have_it() {
    run(async {
        let witness = Witness::new(1, "w.example/w");
        witness.is(Manner::Busy);
        let lab = Lab::new(&[("w", &witness)], "", "w").await;
        let size = lab.grow(0..3).await;
        assert!(lab.shortage(size).await.contains("503"));
        witness.is(Manner::Honest);
        for fault in [Fault::Failed, Fault::FailedButTookEffect] {
            lab.machine.disks[1].fail_after(0, fault);
            let refused = lab.shortage(size).await;
            assert!(refused.contains("store the cosignatures"), "{fault:?}: {refused}");
            assert_eq!(lab.cosigning.newest(), None, "{fault:?}");
        }
        lab.quorum(size).await.unwrap();
        for store in lab.cosigning.replicas.stores() {
            assert!(!store.list("ledger/cosigned/").unwrap().is_empty());
        }
    });
}

#[test]
fn what_is_handed_in_is_judged_as_what_was_asked_for() {
    run(async {
        let witness = Witness::new(1, "m.example/mirror");
        witness.is(Manner::Busy);
        let lab = Lab::new(&[("m", &witness)], "", "m").await;
        lab.grow(0..4).await;
        let published = lab.sequencer.log().published();
        let ours = Note::parse(&published.note).unwrap();
        let cosigned = |text: &str, time: u64| {
            let log = NoteSigner::new("exhibit/acme", &[7; 32]).unwrap();
            let mut note = Note::new(text, vec![log.sign(text).unwrap()]).unwrap();
            note.add(witness.signer.cosign(text, time).unwrap()).unwrap();
            note
        };
        // A tree of the same size that our own key signed, and a size that is not published yet.
        for (size, root) in [(published.size, Hash([3; 32])), (published.size + 1, Hash([3; 32]))] {
            let forged = Checkpoint::new("exhibit/acme", size, root).unwrap().to_text();
            let refused = lab.cosigning.accept(&cosigned(&forged, 9)).unwrap_err();
            assert!(matches!(refused, AcceptError::NotThisLog { .. }), "{refused:?}");
        }
        // Only the log's own line: nothing new.
        assert_eq!(lab.cosigning.accept(&ours).unwrap(), Vec::<String>::new());
        let good = cosigned(ours.text(), 50);
        assert_eq!(lab.cosigning.accept(&good).unwrap(), ["m"]);
        assert_eq!(lab.cosigning.accept(&good).unwrap(), Vec::<String>::new(), "the same again");
        assert_eq!(lab.cosigning.accept(&cosigned(ours.text(), 60)).unwrap(), ["m"]);
        let head = lab.quorum(published.size).await.unwrap();
        assert_eq!(head.cosigners, [("m".to_owned(), 50)], "since the earliest");
        // A later head; then an older one again, replayed.
        lab.grow(4..8).await;
        let later = lab.sequencer.log().published();
        let text = Note::parse(&later.note).unwrap().text().to_owned();
        lab.cosigning.accept(&cosigned(&text, 70)).unwrap();
        lab.cosigning.accept(&cosigned(ours.text(), 80)).unwrap();
        assert_eq!(lab.cosigning.newest().unwrap().published.size, later.size);
        assert_eq!(lab.quorum(published.size).await.unwrap().published.size, later.size);
    });
}

#[test]
fn note_1_lines_of_keys_that_the_policy_does_not_name_are_kept_nowhere() {
    run(async {
        let (witness, stranger) = (Witness::new(1, "w.example/w"), Witness::new(2, "s.example/s"));
        let lab = Lab::new(&[("w", &witness)], "", "w").await;
        let size = lab.grow(0..3).await;
        let mut note = Note::parse(&lab.quorum(size).await.unwrap().published.note).unwrap();
        let text = note.text().to_owned();
        note.add(ledger::NoteSignature::new("w.example/w", [7; 4], vec![b'x'; 8192]).unwrap()).unwrap();
        note.add(stranger.signer.cosign(&text, 90).unwrap()).unwrap();
        // A line of the witness that is new, so that the note is kept.
        note.add(witness.signer.cosign(&text, 91).unwrap()).unwrap();
        assert_eq!(lab.cosigning.accept(&note).unwrap(), ["w"]);
        let newest = Note::parse(&lab.cosigning.newest().unwrap().published.note).unwrap();
        let names = |note: &Note| -> Vec<String> {
            note.signatures().iter().map(|line| line.name().to_owned()).collect()
        };
        assert_eq!(names(&newest), ["exhibit/acme", "w.example/w"]);
        assert!(lab.kept().len() >= 2);
        for kept in lab.kept() {
            assert!(names(&kept).iter().all(|name| name != "s.example/s"), "{kept}");
            assert!(kept.signatures().iter().all(|line| line.bytes().len() <= 72), "{kept}");
        }
    });
}

#[test]
fn a_policy_of_another_log_or_with_an_unreachable_url_does_not_start() {
    run(async {
        let witness = Witness::new(1, "w.example/w");
        let lab = Lab::new(&[("w", &witness)], "", "w").await;
        let log = lab.sequencer.log().clone();
        let open = |text: &str| {
            fs_err::write(lab.machine.directory.path().join("ledger.policy"), text).unwrap();
            Cosigning::open(lab.machine.directory.path(), log.clone(), lab.cosigning.replicas.clone())
        };
        let key = log.verifier_key();
        let other = NoteSigner::new("exhibit/other", &[8; 32]).unwrap().verifier_key(KeyType::Ed25519);
        let witness = witness.signer.verifier_key(KeyType::CosignatureV1);
        // note-2: no bundle of this collector has more lines than a verifier takes.
        let many = |count: u8| -> String {
            let key = |number| {
                let signer = NoteSigner::new("w.example/w", &[100 + number; 32]).unwrap();
                signer.verifier_key(KeyType::CosignatureV1)
            };
            (0..count).map(|number| format!("witness w{number} {}\n", key(number))).collect()
        };
        for (text, expected) in [
            (format!("log {other}\nquorum none\n"), "it must have one log line"),
            (format!("log {key}\nlog {other}\nquorum none\n"), "it must have one log line"),
            (format!("log {key}\nwitness w {witness} ftp://w.example/\nquorum w\n"), "must be an http://"),
            (format!("log {key}\n"), "exactly one quorum line"),
            (format!("log {key}\n{}quorum none\n", many(17)), "17 witnesses, and a bundle takes 16"),
            ("nonsense\n".to_owned(), "line 1"),
        ] {
            let refused = open(&text).unwrap_err().to_string();
            assert!(refused.contains(expected) && refused.contains("ledger.policy"), "{text}: {refused}");
        }
        open(&format!("log {key}\n{}quorum none\n", many(16))).unwrap();
        fs_err::remove_file(lab.machine.directory.path().join("ledger.policy")).unwrap();
        let none = Cosigning::open(lab.machine.directory.path(), log.clone(), lab.cosigning.replicas.clone())
            .unwrap();
        assert!(!none.policy().needs_cosigners());
    });
}
