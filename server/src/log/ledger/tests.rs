//! The ledger under faults: each step fails in each form; the next start must then find one whole history.

mod faults;
mod model;
mod rules;
mod starts;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use evidence::entry::act::{Act, ActNonce};
use evidence::entry::{EntryType, pairs};
use evidence::id::{Chain, DeploymentId};
use evidence::text::FixedBytes;
use evidence::time::Time;
use ledger::{Policy, ProofFile};
use testkit::{bundles, chains};

use super::*;
use crate::rows::{Db, DbError, QueueSink};
use store::fault::{Fault, FaultDisk, Unflushed};
use store::{Degraded, DirectoryStore, Key, Replicas, ReplicationPolicy, Store, StoreIdentity};

const DEPLOYMENT: &str = "acme";
const SEED: [u8; 32] = [7; 32];

fn clock() -> Time {
    crate::clock::now()
}

pub(crate) const WAIT: ReplicationPolicy = ReplicationPolicy { copies: 2, degraded: Degraded::Wait };

/// A collector's durable state: a database on the real disk, stores on disks that forget.
pub(crate) struct Machine {
    pub(crate) directory: tempfile::TempDir,
    path: std::path::PathBuf,
    pub(crate) disks: Vec<FaultDisk>,
    policy: ReplicationPolicy,
}

impl Machine {
    pub(crate) fn new(policy: ReplicationPolicy) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("db");
        Db::create(&path).unwrap();
        let disks: Vec<_> = ["device 1:1", "device 1:2"].map(FaultDisk::new).into();
        for (disk, name) in disks.iter().zip(["one", "two"]) {
            let identity = StoreIdentity {
                store: name.into(),
                deployment: DEPLOYMENT.into(),
                created: String::from("2026-11-21T00:00:00.000Z"),
                domain: store::DOMAIN_OF_DEVICE.into(),
            };
            drop(DirectoryStore::initialise_on(disk.clone(), name, &identity).unwrap());
        }
        Self { directory, path, disks, policy }
    }

    pub(crate) fn open(&self) -> (Db, Replicas) {
        let db = Db::open(&self.path, 2).unwrap();
        let stores: Vec<Arc<dyn Store>> = self
            .disks
            .iter()
            .map(|disk| Arc::new(DirectoryStore::open_on(disk.clone(), "store").unwrap()) as Arc<dyn Store>)
            .collect();
        let replicas = Replicas::new(stores, self.policy, Arc::new(QueueSink(db.clone())));
        (db, replicas)
    }

    fn signer(&self) -> Arc<dyn CheckpointSigner> {
        Arc::new(LocalSigner::new(&origin(DEPLOYMENT), &SEED).unwrap())
    }

    pub(crate) fn start(&self) -> Result<Sequencer, StartError> {
        let (db, replicas) = self.open();
        Sequencer::start(parts(db, replicas, self.signer(), clock))
    }

    fn crash(&self, unflushed: Unflushed) {
        for disk in &self.disks {
            disk.crash(unflushed);
        }
    }

    fn check(&self) -> FsckReport {
        let (db, replicas) = self.open();
        let report = fsck(&replicas, &self.signer().keys(), Some(&db), FsckOptions { evidence: true });
        assert_eq!(report.problems, [], "fsck");
        report
    }
}

fn deployment() -> DeploymentId {
    DEPLOYMENT.parse().unwrap()
}

/// The parts of a sequencer of the deployment `acme`.
pub(crate) fn parts(
    db: Db,
    replicas: Replicas,
    signer: Arc<dyn CheckpointSigner>,
    clock: fn() -> Time,
) -> SequencerParts {
    SequencerParts {
        deployment: deployment(),
        authority: bundles::authority(),
        ca_sha256: bundles::ca_digest(),
        db,
        replicas,
        signer,
        clock,
    }
}

/// Acts that the collector records by itself. Number 0 begins the log; behind it the others are lawful in every order.
pub(crate) fn act(number: u64) -> PendingEntry {
    let (type_, refs) = match number {
        0 => {
            let signer = LocalSigner::new(&origin(DEPLOYMENT), &SEED).unwrap();
            let refs = [
                ("authority", bundles::authority().id().to_string()),
                ("ca", bundles::ca_digest().to_string()),
                ("log", signer.verifier_key().to_string()),
            ];
            (EntryType::LogGenesis, pairs::sorted(refs))
        }
        _ => (EntryType::RecoveryPerformed, pairs::sorted([("size", "0".to_owned())])),
    };
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&number.to_be_bytes());
    let chain = Chain::Deployment;
    let made = chains::act(type_, &chain, Time::EPOCH, "collector:c1", &refs);
    let act = chains::own(&Act { nonce: ActNonce::Once(FixedBytes(nonce)), ..made });
    PendingEntry { type_, chain, refs, act, guard: None }
}

/// Submits acts at once, from many threads; number 0 first, because it begins the log. Returns the acts that got a receipt.
fn submit_all(sequencer: &Sequencer, numbers: impl IntoIterator<Item = u64>) -> Vec<(u64, Receipt)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let mut numbers: Vec<u64> = numbers.into_iter().collect();
    let mut begun = Vec::new();
    if let Some(first) = numbers.iter().position(|number| *number == 0) {
        begun.extend(sequencer.submit_blocking(act(numbers.remove(first))).ok().map(|receipt| (0, receipt)));
    }
    runtime.block_on(async {
        let tasks: Vec<_> = numbers
            .into_iter()
            .map(|number| {
                let sequencer = sequencer.clone();
                tokio::spawn(async move { (number, sequencer.submit(act(number)).await) })
            })
            .collect();
        let mut receipts = begun;
        for task in tasks {
            let (number, result) = task.await.unwrap();
            receipts.extend(result.ok().map(|receipt| (number, receipt)));
        }
        receipts
    })
}

fn policy(key: &ledger::VerifierKey) -> Policy {
    Policy::parse(format!("log {key}\nquorum none\n").as_bytes()).unwrap()
}

/// Asserts that a receipt proves its entry to somebody who has only the log key.
fn assert_receipt_holds(machine: &Machine, receipt: &Receipt) {
    let proof = ProofFile::parse(&receipt.proof).unwrap();
    assert_eq!(proof.index(), receipt.index);
    assert_eq!(receipt.leaf, ledger::leaf_hash(&receipt.entry));
    assert!(proof.verify(&receipt.leaf, &policy(machine.signer().verifier_key())).unwrap().quorum_met);
}

#[test]
fn an_act_becomes_an_entry_with_a_proof_that_strangers_can_check() {
    let machine = Machine::new(WAIT);
    let sequencer = machine.start().unwrap();
    let mut receipts = submit_all(&sequencer, 0..700);
    assert_eq!(receipts.len(), 700);
    receipts.sort_by_key(|(_, receipt)| receipt.index);
    for (expected, (_, receipt)) in (0..).zip(&receipts) {
        assert_eq!(receipt.index, expected);
        assert!(receipt.is_new);
        assert_receipt_holds(&machine, receipt);
    }
    let log = sequencer.log();
    assert_eq!(log.published().size, 700);
    assert_eq!(log.entry(300).unwrap(), receipts[300].1.entry);
    assert_eq!(log.entries(510, 10).unwrap().len(), 2);
    assert!(log.entry(700).is_err());
    let (hashes, newest) = log.consistency(123).unwrap();
    let old = ledger::root_of(&receipts[..123].iter().map(|(_, receipt)| receipt.leaf).collect::<Vec<_>>());
    ledger::proof::verify_consistency(123, &old, newest.size, &newest.root, &hashes).unwrap();
    sequencer.stop().unwrap();
    drop(sequencer);
    assert_eq!(machine.check().entries, 700);
}

#[test]
fn the_same_act_submitted_by_a_storm_is_one_entry() {
    let machine = Machine::new(WAIT);
    let sequencer = machine.start().unwrap();
    let receipts = submit_all(&sequencer, (0..600).map(|number| number % 7));
    assert_eq!(receipts.len(), 600);
    assert_eq!(receipts.iter().filter(|(_, receipt)| receipt.is_new).count(), 7);
    for (number, receipt) in &receipts {
        assert_receipt_holds(&machine, receipt);
        let same = receipts.iter().find(|(other, _)| other == number).unwrap();
        assert_eq!((receipt.index, &receipt.entry), (same.1.index, &same.1.entry));
    }
    // The same holds long after, and after a restart.
    drop(sequencer);
    let sequencer = machine.start().unwrap();
    let again = submit_all(&sequencer, [3]);
    assert!(!again[0].1.is_new);
    assert_eq!(sequencer.log().published().size, 7);
    // As another type or in another chain, the act is a contradiction, not a second entry.
    let mut moved = act(3);
    moved.chain = "INC-2026-0009".parse().unwrap();
    assert!(matches!(sequencer.submit_blocking(moved), Err(SubmitError::Contradiction { .. })));
}

#[test]
fn a_guard_refuses_inside_the_transaction_and_its_neighbours_are_recorded() {
    let machine = Machine::new(WAIT);
    let sequencer = machine.start().unwrap();
    sequencer.submit_blocking(act(0)).unwrap();
    let mut refused = act(1);
    refused.guard = Some(Box::new(|tx| {
        tx.execute("INSERT INTO tsa_queue VALUES ('t', 1, x'', 0, 0, '')", [])?;
        Err(GuardError::Refused("taken".to_owned()))
    }));
    assert!(
        matches!(sequencer.submit_blocking(refused), Err(SubmitError::Guard(reason)) if reason == "taken")
    );
    let mut wrong = act(2);
    wrong.refs.pop();
    assert!(matches!(sequencer.submit_blocking(wrong), Err(SubmitError::Entry(_))));
    let mut accepted = act(1);
    accepted.guard = Some(Box::new(|tx| {
        let rows: i64 = tx.query_row("SELECT count(*) FROM tsa_queue", [], |row| row.get(0))?;
        assert_eq!(rows, 0);
        Ok(())
    }));
    assert_eq!(sequencer.submit_blocking(accepted).unwrap().index, 1);
}

#[test]
fn a_signer_never_signs_a_smaller_tree_or_a_second_root() {
    let signer = LocalSigner::new(&origin(DEPLOYMENT), &SEED).unwrap();
    let root = |byte| ledger::Hash([byte; 32]);
    signer.remember(5, &root(5)).unwrap();
    assert!(matches!(signer.sign(4, &root(4)), Err(SignerError::Smaller { newest: 5, asked: 4 })));
    assert!(matches!(signer.sign(5, &root(6)), Err(SignerError::OtherRoot { .. })));
    let note = signer.sign(5, &root(5)).unwrap();
    assert_eq!(signer.sign(5, &root(5)).unwrap(), note);
    signer.sign(9, &root(9)).unwrap();
    assert!(signer.sign(5, &root(5)).is_err());
}

#[test]
fn entry_times_never_go_back_with_the_clock() {
    static STEPS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    fn falling() -> Time {
        let step = STEPS.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Time::from_unix_ms(1_800_000_000_000 - step * 1000).unwrap()
    }
    let machine = Machine::new(WAIT);
    let (db, replicas) = machine.open();
    let sequencer = Sequencer::start(parts(db, replicas, machine.signer(), falling)).unwrap();
    let times: Vec<_> =
        (0..4).map(|number| sequencer.submit_blocking(act(number)).unwrap().envelope.time).collect();
    assert!(times.is_sorted(), "{times:?}");
    drop(sequencer);
    machine.check();
}

#[test]
fn growth_is_announced_to_those_who_wait() {
    let machine = Machine::new(WAIT);
    let sequencer = machine.start().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let log = sequencer.log().clone();
        let waiting =
            tokio::spawn(async move { log.wait_for_growth(1).await.map(|published| published.size) });
        sequencer.submit(act(0)).await.unwrap();
        sequencer.submit(act(1)).await.unwrap();
        assert_eq!(waiting.await.unwrap(), Some(2));
    });
}

/// Prints and does not assert, because the numbers depend on the machine. Real directories, real fsync.
#[test]
fn throughput_on_two_directories() {
    const ENTRIES: u64 = 4000;
    let directory = tempfile::tempdir().unwrap();
    Db::create(&directory.path().join("db")).unwrap();
    let db = Db::open(&directory.path().join("db"), 2).unwrap();
    let stores = ["one", "two"].map(|name| {
        let identity = StoreIdentity {
            store: name.into(),
            deployment: DEPLOYMENT.into(),
            created: String::from("2026-11-21T00:00:00.000Z"),
            domain: name.into(),
        };
        Arc::new(DirectoryStore::initialise(&directory.path().join(name), &identity).unwrap())
            as Arc<dyn Store>
    });
    let replicas = Replicas::new(stores.to_vec(), WAIT, Arc::new(QueueSink(db.clone())));
    let signer: Arc<dyn CheckpointSigner> = Arc::new(LocalSigner::new(&origin(DEPLOYMENT), &SEED).unwrap());
    let sequencer = Sequencer::start(parts(db, replicas, signer, clock)).unwrap();
    sequencer.submit_blocking(act(0)).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let begun = Instant::now();
    let mut waits: Vec<Duration> = runtime.block_on(async {
        let tasks: Vec<_> = (1..=ENTRIES)
            .map(|number| {
                let sequencer = sequencer.clone();
                tokio::spawn(async move {
                    let begun = Instant::now();
                    sequencer.submit(act(number)).await.unwrap();
                    begun.elapsed()
                })
            })
            .collect();
        let mut waits = Vec::new();
        for task in tasks {
            waits.push(task.await.unwrap());
        }
        waits
    });
    let elapsed = begun.elapsed();
    waits.sort();
    let at = |percent: usize| waits[(waits.len() - 1) * percent / 100];
    println!(
        "{ENTRIES} entries in {elapsed:?}: {:.0} entries/s, wait p50 {:?}, p99 {:?} (all submitted at once)",
        ENTRIES as f64 / elapsed.as_secs_f64(),
        at(50),
        at(99)
    );
    let mut single: Vec<Duration> = (0..40)
        .map(|number| {
            let begun = Instant::now();
            sequencer.submit_blocking(act(ENTRIES + 1 + number)).unwrap();
            begun.elapsed()
        })
        .collect();
    single.sort();
    println!("one at a time: p50 {:?}, p99 {:?}", single[single.len() / 2], single[single.len() - 1]);
    assert_eq!(sequencer.log().published().size, ENTRIES + 41);
}
