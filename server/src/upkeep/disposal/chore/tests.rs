//! The destroyer against stores that fail, return or arrive late, and against a hold in the middle of a destruction.

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use store::{Capabilities, Guarantees, Key, ObjectWriter, Replicas, StoreIdentity};
use testkit::wait;

use super::*;
use crate::config::Config;
use crate::config::layout::{Layout, read_authority};
use crate::ops::foundation::Foundation;
use crate::ops::init::init;
use crate::ops::init::tests::{day, options};
use crate::ops::rebuild::tests::life::{INCIDENT, approved, live_a_little, may_go, person_act, start};
use crate::rows::collections;
use crate::services::Services;
use crate::services::ingest::verifier::Program;

/// How a store behaves when it should destroy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// It fails before it destroys anything.
    Down,
    /// It destroys one stored object, then fails.
    Half,
    /// It destroys everything, and reports a failure.
    TookEffect,
    /// It destroys one stored object, then waits until somebody pulls the brake.
    Waits,
}

/// A store whose mood the test sets. For everything else it passes calls to the store behind it.
pub(crate) struct Moody {
    inner: Arc<dyn Store>,
    mood: Mutex<Mood>,
    calls: AtomicUsize,
    has_begun: AtomicBool,
    /// Legal holds set and cleared, in order.
    pub(crate) told: Mutex<Vec<(Key, bool)>>,
}

impl Moody {
    fn new(inner: Arc<dyn Store>, mood: Mood) -> Arc<Self> {
        Arc::new(Self {
            inner,
            mood: Mutex::new(mood),
            calls: AtomicUsize::new(0),
            has_begun: AtomicBool::new(false),
            told: Mutex::default(),
        })
    }

    fn mood(&self) -> Mood {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn becomes(&self, mood: Mood) {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    fn away<T>(&self) -> Result<T, StoreError> {
        Err(StoreError::Away { store: self.identity().store.clone(), why: "injected".to_owned() })
    }
}

impl Store for Moody {
    fn identity(&self) -> &StoreIdentity {
        self.inner.identity()
    }

    fn domain(&self) -> &str {
        self.inner.domain()
    }

    fn guarantees(&self) -> Guarantees {
        self.inner.guarantees()
    }

    fn capabilities(&self) -> Option<&Capabilities> {
        self.inner.capabilities()
    }

    fn create(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        self.inner.create(key, bytes)
    }

    fn create_writer(&self) -> Result<Box<dyn ObjectWriter>, StoreError> {
        self.inner.create_writer()
    }

    fn replace_checkpoint(&self, bytes: &[u8]) -> Result<(), StoreError> {
        self.inner.replace_checkpoint(bytes)
    }

    fn read(&self, key: &Key) -> Result<Vec<u8>, StoreError> {
        self.inner.read(key)
    }

    fn read_range(&self, key: &Key, offset: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        self.inner.read_range(key, offset, length)
    }

    fn size(&self, key: &Key) -> Result<u64, StoreError> {
        self.inner.size(key)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Key>, StoreError> {
        self.inner.list(prefix)
    }

    fn remove(&self, key: &Key) -> Result<(), StoreError> {
        self.inner.remove(key)
    }

    fn displace(&self, key: &Key) -> Result<(), StoreError> {
        self.inner.displace(key)
    }

    fn make_way(&self, key: &Key, right: &[u8]) -> Result<(), StoreError> {
        self.inner.make_way(key, right)
    }

    fn set_legal_hold(&self, key: &Key, held: bool) -> Result<(), StoreError> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.push((key.clone(), held));
        Ok(())
    }

    fn dispose(
        &self,
        object: &Disposable,
        warrant: &Warrant,
        go_on: &dyn Fn() -> bool,
    ) -> Result<store::Destroyed, StoreError> {
        self.calls.fetch_add(1, SeqCst);
        let one = AtomicBool::new(true);
        match self.mood() {
            Mood::Well => self.inner.dispose(object, warrant, go_on),
            Mood::Down => self.away(),
            Mood::Half => {
                self.inner.dispose(object, warrant, &|| one.swap(false, SeqCst))?;
                self.away()
            }
            Mood::TookEffect => {
                assert!(self.inner.dispose(object, warrant, go_on)?.is_all);
                self.away()
            }
            Mood::Waits => self.inner.dispose(object, warrant, &|| {
                if one.swap(false, SeqCst) {
                    return go_on();
                }
                self.has_begun.store(true, SeqCst);
                while go_on() {
                    std::thread::yield_now();
                }
                false
            }),
        }
    }
}

/// A collector without listeners after a little life. Two persons approved its plan; the last of its stores has moods.
pub(crate) struct Scene {
    _place: tempfile::TempDir,
    pub(crate) services: Services,
    pub(crate) moody: Arc<Moody>,
    pub(crate) id: Digest,
    plan: Digest,
}

/// `later`: the store with moods is a third one, made and filled after the approvals.
pub(crate) fn scene(mood: Mood, later: bool) -> Scene {
    let place = tempfile::tempdir().unwrap();
    let options = options(place.path());
    init(&options, day()).unwrap();
    let layout = Layout::new(&options.directory);
    let config = Config::load(&options.directory).unwrap();
    let (db, replicas, sequencer) = start(&config, &layout);
    live_a_little(&db, &replicas, &sequencer);
    may_go(&sequencer, INCIDENT);
    let (plan, approvals) = approved(&db, &sequencer, INCIDENT);
    for approval in approvals {
        sequencer.submit_blocking(approval).unwrap();
    }
    let id = *plan.collections.first().unwrap();
    let mut stores = replicas.stores().to_vec();
    if later {
        let identity = StoreIdentity { store: "store-3".to_owned(), ..stores[0].identity().clone() };
        let third = store::DirectoryStore::initialise(&place.path().join("c"), &identity).unwrap();
        for key in stores[0].list("").unwrap() {
            if store::Disposable::of(&key).is_some() {
                third.create(&key, &stores[0].read(&key).unwrap()).unwrap();
            }
        }
        stores.push(Arc::new(third));
    }
    let moody = Moody::new(stores.pop().unwrap(), mood);
    stores.push(Arc::clone(&moody) as Arc<dyn Store>);
    let replicas =
        Replicas::new(stores, config.replication.into(), Arc::new(crate::rows::QueueSink(db.clone())));
    let certificates = certs::authority::Authority::load(&layout.ca(), config.deployment.clone()).unwrap();
    let foundation = Foundation {
        authority: read_authority(&layout.authority()).unwrap(),
        certificates,
        capabilities_lost: 0,
        config,
        layout,
        db,
        replicas,
        sequencer,
    };
    let program = Program { path: "/nowhere".into(), arguments: Vec::new() };
    let services = crate::ops::run::unserved(foundation, &program).unwrap();
    Scene { _place: place, services, moody, id, plan: plan.digest() }
}

impl Scene {
    fn state(&self) -> String {
        let id = self.id;
        let row = self.services.collector.db.read(|db| collections::at(db, &id)).unwrap();
        row.unwrap().state.to_string()
    }

    /// The recorded destructions of the collection: stores and counts.
    fn executed(&self) -> Vec<(String, u64)> {
        let object = Object::Collection(self.id).to_string();
        let rows = self
            .services
            .collector
            .db
            .read(|db| rows::entries::of_chain(db, &INCIDENT.parse().unwrap(), 0, 1000))
            .unwrap();
        let value = |row: &rows::entries::EntryRow, name: &str| {
            evidence::entry::pairs::find(&row.refs, name).unwrap().to_owned()
        };
        rows.iter()
            .filter(|row| row.kind == EntryType::DispositionExecuted && value(row, "object") == object)
            .map(|row| (value(row, "store"), value(row, "count").parse().unwrap()))
            .collect()
    }

    fn left(&self) -> usize {
        let rooms = ["segments", "seals", "quarantine"];
        let rooms = rooms.iter().map(|room| format!("{room}/{}/", self.id));
        rooms.map(|room| self.moody.list(&room).unwrap().len()).sum()
    }

    /// Makes every wait end.
    fn time_passes(&self) {
        self.services
            .collector
            .db
            .write(|tx| {
                for row in disposals::waits(tx)? {
                    disposals::wait(tx, &WaitRow { due: None, ..row })?;
                }
                Ok::<_, DbError>(())
            })
            .unwrap();
    }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn a_store_that_fails_before_during_or_after_keeps_its_word_until_it_is_back_and_so_does_one_made_later() {
    let runtime = runtime();
    for (mood, later) in
        [(Mood::Down, false), (Mood::Half, false), (Mood::TookEffect, false), (Mood::Down, true)]
    {
        let scene = scene(mood, later);
        let whole = scene.left();
        let others = if later { 2 } else { 1 };
        let mut finished = BTreeMap::new();
        runtime
            .block_on(round(&scene.services.upkeep, &scene.services.ingest.uploads, &mut finished))
            .unwrap();
        // The other stores are recorded as rid of it. This store is not, whatever it really destroyed.
        let names: Vec<String> = scene.executed().into_iter().map(|(store, _)| store).collect();
        assert_eq!(names.len(), others, "{mood:?}");
        let store = scene.moody.identity().store.clone();
        assert!(!names.contains(&store));
        assert_eq!(scene.state(), "stored");
        let left = match mood {
            Mood::Half => whole - 1,
            Mood::TookEffect => 0,
            _ => whole,
        };
        assert_eq!(scene.left(), left, "{mood:?}");
        let waits = scene.services.collector.db.read(disposals::waits).unwrap();
        assert!(waits.iter().all(|row| row.store == store && row.why.contains("injected")));
        assert!(waits.iter().any(|row| row.object == Object::Collection(scene.id)));
        // The chore leaves this store alone for a while.
        let calls = scene.moody.calls.load(SeqCst);
        runtime
            .block_on(round(&scene.services.upkeep, &scene.services.ingest.uploads, &mut finished))
            .unwrap();
        assert_eq!(scene.moody.calls.load(SeqCst), calls, "{mood:?}");
        assert!(!finished.contains_key(&scene.plan));

        scene.moody.becomes(Mood::Well);
        scene.time_passes();
        runtime
            .block_on(round(&scene.services.upkeep, &scene.services.ingest.uploads, &mut finished))
            .unwrap();
        let executed = scene.executed();
        assert_eq!(executed.len(), others + 1);
        assert_eq!(executed.last().unwrap(), &(store, u64::try_from(left).unwrap()), "{mood:?}");
        assert_eq!((scene.left(), scene.state().as_str()), (0, "disposed"));
        assert_eq!(scene.services.collector.db.read(disposals::waits).unwrap(), []);
        assert!(finished.contains_key(&scene.plan));
    }
}

#[test]
fn repairs_have_their_turn_in_the_midst_and_the_entry_counts_every_batch() {
    let runtime = runtime();
    let scene = scene(Mood::Well, false);
    for number in 0..150_u64 {
        let bytes = number.to_be_bytes();
        let key = Key::quarantined_segment(&scene.id.0, number, &Digest::of(&bytes).0);
        scene.moody.create(&key, &bytes).unwrap();
    }
    let whole = scene.left();
    let mut finished = BTreeMap::new();
    let (done, before) = runtime.block_on(async {
        tokio::join!(round(&scene.services.upkeep, &scene.services.ingest.uploads, &mut finished), async {
            wait::until_async("the first batch", async || scene.moody.calls.load(SeqCst) > 0).await;
            let _repairs = scene.services.upkeep.repairs.turn().await;
            scene.left()
        })
    });
    done.unwrap();
    assert!(before > 0, "a repair waited for the whole collection");
    assert_eq!(scene.left(), 0);
    let (store, count) = scene.executed().pop().unwrap();
    assert_eq!((store, count), (scene.moody.identity().store.clone(), u64::try_from(whole).unwrap()));
}

#[test]
fn a_hold_in_the_midst_keeps_what_is_left_also_of_who_is_in_no_roster() {
    let runtime = runtime();
    let scene = scene(Mood::Waits, false);
    let whole = scene.left();
    let held = std::thread::scope(|scope| {
        let hold = scope.spawn(|| {
            while !scene.moody.has_begun.load(SeqCst) {
                std::thread::yield_now();
            }
            let pulled = runtime.block_on(scene.services.upkeep.brake.pull());
            // The roster no longer names eve. Her hold stands until somebody releases it.
            let hold = person_act(EntryType::HoldPlaced, INCIDENT, &[], "eve", None);
            let event = hold.act.event();
            scene.services.collector.recorder.sequencer().submit_blocking(hold).unwrap();
            drop(pulled);
            event
        });
        let mut finished = BTreeMap::new();
        runtime
            .block_on(round(&scene.services.upkeep, &scene.services.ingest.uploads, &mut finished))
            .unwrap();
        assert!(!finished.contains_key(&scene.plan));
        hold.join().unwrap()
    });
    assert_eq!((scene.left(), scene.state().as_str()), (whole - 1, "stored"));
    assert!(scene.executed().iter().all(|(store, _)| *store != scene.moody.identity().store));
    scene.moody.becomes(Mood::Well);
    let calls = scene.moody.calls.load(SeqCst);
    let mut finished = BTreeMap::new();
    runtime.block_on(round(&scene.services.upkeep, &scene.services.ingest.uploads, &mut finished)).unwrap();
    assert_eq!(scene.moody.calls.load(SeqCst), calls, "the hold stands");
    let refs = [("hold", held.to_string())];
    let release = person_act(EntryType::HoldReleased, INCIDENT, &refs, "bob", None);
    scene.services.collector.recorder.sequencer().submit_blocking(release).unwrap();
    runtime.block_on(round(&scene.services.upkeep, &scene.services.ingest.uploads, &mut finished)).unwrap();
    assert_eq!((scene.left(), scene.state().as_str()), (0, "disposed"));
}
