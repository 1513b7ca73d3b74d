//! What remains of a collector when its power goes: disks that forget, a database file, and the notes that it signed.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use evidence::log_key::LogKeys;
use evidence::time::Time;
use ledger::{Hash, Note, VerifierKey};
use store::fault::{FaultDisk, Unflushed};
use store::{DirectoryStore, Replicas, ReplicationPolicy, Store, StoreIdentity};

use super::super::{DEPLOYMENT, SEED, parts};
use crate::log::ledger::book;
use crate::log::ledger::worker::{Waits, Worker};
use crate::log::ledger::{CheckpointSigner, LocalSigner, Sequencer, SignerError, StartError, origin};
use crate::rows::{Db, QueueSink};

/// Retries of a batch before the operator stops the collector.
const RETRIES: u32 = 3;

thread_local! {
    /// The collector's clock, in milliseconds since 2026-01-01. Each schedule runs on one thread.
    static CLOCK: Cell<u64> = const { Cell::new(0) };
}

/// The collector's clock.
pub(super) fn clock() -> Time {
    Time::from_unix_ms(1_767_225_600_000 + CLOCK.get()).unwrap()
}

pub(super) fn set_clock(to: u64) {
    CLOCK.set(to);
}

/// Every checkpoint that the log's key ever signed, over all starts.
pub(super) type SignedRoots = Arc<Mutex<BTreeMap<u64, Hash>>>;

/// The production signer, with a memory that outlives it.
struct RecordingSigner {
    signer: LocalSigner,
    signed: SignedRoots,
}

impl CheckpointSigner for RecordingSigner {
    fn verifier_key(&self) -> &VerifierKey {
        self.signer.verifier_key()
    }

    fn remember(&self, size: u64, root: &Hash) -> Result<(), SignerError> {
        self.signer.remember(size, root)
    }

    fn sign(&self, size: u64, root: &Hash) -> Result<Note, SignerError> {
        let note = self.signer.sign(size, root)?;
        let before = self.signed.lock().unwrap().insert(size, *root);
        assert!(before.is_none_or(|before| before == *root), "two roots were signed for size {size}");
        Ok(note)
    }
}

/// A collector's durable state.
pub(super) struct Machine {
    _directory: tempfile::TempDir,
    database: PathBuf,
    pub(super) disks: Vec<FaultDisk>,
    pub(super) policy: ReplicationPolicy,
    pub(super) signed: SignedRoots,
}

/// A running collector. The test calls its turns.
pub(super) struct Running {
    pub(super) db: Db,
    pub(super) replicas: Replicas,
    pub(super) sequencer: Sequencer,
    pub(super) worker: Worker,
    retries: Arc<AtomicU32>,
}

impl Running {
    /// The state that the batches left is the one that a start makes.
    pub(super) fn check_rule_book(&self) {
        let Worker { book: kept, pins, log, .. } = &self.worker;
        let fresh = book::rebuild(pins, log, &self.replicas, &self.db).unwrap();
        assert_eq!(format!("{:?}", kept.as_ref().unwrap()), format!("{fresh:?}"));
    }

    /// Lets the next batch wait for stores again.
    pub(super) fn renew_patience(&self) {
        self.retries.store(0, Ordering::SeqCst);
    }

    /// False if the operator stopped the collector because it waited for stores in vain.
    pub(super) fn has_patience(&self) -> bool {
        self.retries.load(Ordering::SeqCst) <= RETRIES
    }
}

/// The files of a database: the file itself and its write-ahead log.
pub(super) struct DatabaseFiles {
    file: Vec<u8>,
    log: Option<Vec<u8>>,
}

impl Machine {
    pub(super) fn new(stores: usize, policy: ReplicationPolicy) -> Self {
        // The database flushes at every commit. Whether a flush is durable is SQLite's own matter, and memory is faster.
        let memory = Path::new("/dev/shm");
        let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let directory = directory.unwrap();
        let database = directory.path().join("db");
        Db::create(&database).unwrap();
        let disks = (0..stores).map(new_disk).collect();
        Self { _directory: directory, database, disks, policy, signed: SignedRoots::default() }
    }

    /// Opens database and stores without starting anything.
    pub(super) fn open(&self) -> Result<(Db, Replicas), store::StoreError> {
        let mut stores: Vec<Arc<dyn Store>> = Vec::new();
        for disk in &self.disks {
            stores.push(Arc::new(DirectoryStore::open_on(disk.clone(), "store")?));
        }
        let db = Db::open(&self.database, 1).unwrap();
        let replicas = Replicas::new(stores, self.policy, Arc::new(QueueSink(db.clone())));
        Ok((db, replicas))
    }

    /// Starts a collector as production does, but without the thread.
    pub(super) fn start(&self) -> Result<Running, StartError> {
        let (db, replicas) = self.open().map_err(|source| StartError::Store { source })?;
        let signer = LocalSigner::new(&origin(DEPLOYMENT), &SEED).unwrap();
        let signer = Arc::new(RecordingSigner { signer, signed: Arc::clone(&self.signed) });
        let parts = parts(db.clone(), replicas.clone(), signer, clock);
        let (sequencer, mut worker) = Sequencer::assemble(parts)?;
        let retries = Arc::new(AtomicU32::new(0));
        let before_retry = {
            let (retries, stopping) = (Arc::clone(&retries), Arc::clone(&worker.stopping));
            move |_: Duration| {
                if retries.fetch_add(1, Ordering::SeqCst) == RETRIES {
                    stopping.ask();
                }
            }
        };
        worker.waits = Waits { linger: Duration::ZERO, before_retry: Box::new(before_retry) };
        Ok(Running { db, replicas, sequencer, worker, retries })
    }

    /// What a database file holds at this moment, even while it is open.
    pub(super) fn database_files(&self) -> DatabaseFiles {
        DatabaseFiles {
            file: fs_err::read(&self.database).unwrap(),
            log: fs_err::read(self.write_ahead_log()).ok(),
        }
    }

    /// Puts database files in place. Nobody may have them open.
    pub(super) fn put_database(&self, files: &DatabaseFiles) {
        fs_err::write(&self.database, &files.file).unwrap();
        match &files.log {
            Some(log) => fs_err::write(self.write_ahead_log(), log).unwrap(),
            None => drop(fs_err::remove_file(self.write_ahead_log())),
        }
        drop(fs_err::remove_file(self.beside("-shm")));
    }

    /// Cuts the power: nothing that `running` still does takes effect.
    pub(super) fn crash(&self, running: Running, unflushed: Unflushed) {
        let files = self.database_files();
        drop(running);
        self.put_database(&files);
        for disk in &self.disks {
            disk.crash(unflushed);
        }
    }

    /// Puts another, empty store in place of one.
    pub(super) fn replace_store(&mut self, number: usize) {
        self.disks[number] = new_disk(number);
    }

    pub(super) fn keys(&self) -> LogKeys {
        LogKeys::unchanged(LocalSigner::new(&origin(DEPLOYMENT), &SEED).unwrap().verifier_key().clone())
    }

    fn write_ahead_log(&self) -> PathBuf {
        self.beside("-wal")
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.database.clone().into_os_string();
        name.push(suffix);
        name.into()
    }
}

fn new_disk(number: usize) -> FaultDisk {
    let disk = FaultDisk::new(&format!("device 1:{number}"));
    let name = format!("store-{number}");
    let identity = StoreIdentity {
        store: name.clone(),
        deployment: DEPLOYMENT.into(),
        created: String::from("2026-11-21T00:00:00.000Z"),
        domain: store::DOMAIN_OF_DEVICE.into(),
    };
    drop(DirectoryStore::initialise_on(disk.clone(), &name, &identity).unwrap());
    disk
}
