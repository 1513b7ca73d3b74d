//! A ledger on a store, as a collector publishes it, and a mirror of it. Persons, keys and entries are those of `testkit`.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use evidence::entry::EntryType;
use evidence::id::{Chain, IncidentId};
use evidence::log_key::LogKeys;
use ledger::tile::{TileKind, TilePath, bundles_for_growth, encode_bundle, grow};
use ledger::{Checkpoint, Hash, KeyType, TileSource};
use mirror::cosign::Cosigner;
use mirror::cosign::state::{State, StateFile};
use mirror::keys::Keys;
use mirror::pins::{KeyRing, Pins};
use mirror::pull::{Follower, Parts, PullError, Round};
use mirror::source::{Source, StoreSource};
use store::{DirectoryStore, Key, Replicas, Store, StoreIdentity};
use testkit::bundles::{
    ALICE, AUTHORITY, BACKUP, BACKUP_MIRROR, BACKUP_WITNESS, LOG, authority, ca_digest, first_roster,
    genesis, log_key, published, sign, signer,
};
use testkit::chains::Chains;

/// The log's name.
pub const ORIGIN: &str = "exhibit/acme";
/// Who responds.
pub const BY_ALICE: (&str, u8) = ("person:alice", ALICE);

pub fn pins() -> Pins {
    Pins {
        deployment: "acme".parse().unwrap(),
        log_keys: LogKeys::unchanged(signer(LOG, ORIGIN).verifier_key(KeyType::Ed25519)).into(),
        ca_sha256: ca_digest(),
        authority: authority(),
    }
}

/// The keys that [`testkit::bundles::mirror_admitted`] admits.
pub fn keys() -> Keys {
    let seeds = [BACKUP, BACKUP_WITNESS, BACKUP_MIRROR].map(|number| [number; 32]);
    Keys::from_seeds(&"backup-1".parse().unwrap(), seeds.each_ref()).unwrap()
}

pub fn identity(name: &str) -> StoreIdentity {
    StoreIdentity {
        store: name.to_owned(),
        deployment: "acme".to_owned(),
        created: String::new(),
        domain: "device".to_owned(),
    }
}

/// Chains of entries whose log grows on a store.
#[derive(Clone)]
pub struct Log {
    pub store: Arc<dyn Store>,
    chains: Chains,
    /// Number of entries on the store.
    published: u64,
}

impl Deref for Log {
    type Target = Chains;

    fn deref(&self) -> &Chains {
        &self.chains
    }
}

impl DerefMut for Log {
    fn deref_mut(&mut self) -> &mut Chains {
        &mut self.chains
    }
}

impl Log {
    /// Genesis and the first roster.
    pub fn new(place: &Path) -> Self {
        let store = DirectoryStore::initialise(place, &identity("source")).unwrap();
        let mut chains = Chains::new(testkit::log::Log::new(ORIGIN, LOG));
        chains.push(genesis(log_key(LOG, ORIGIN)));
        let roster = sign(&first_roster(), &[AUTHORITY]);
        store.create(&Key::document(roster.digest().as_bytes()), &roster.encode()).unwrap();
        chains.push(published(&roster, 1, "08:00:01"));
        Self { store: Arc::new(store), chains, published: 0 }
    }

    /// The same log, to go on otherwise, on another store.
    pub fn fork(&self, place: &Path) -> Self {
        let store = DirectoryStore::initialise(place, &identity("fork")).unwrap();
        for key in self.store.list("").unwrap() {
            if !matches!(key.kind(), store::KeyKind::Marker | store::KeyKind::Checkpoint) {
                store.create(&key, &self.store.read(&key).unwrap()).unwrap();
            }
        }
        Self { store: Arc::new(store), chains: self.chains.fork(), published: self.published }
    }

    /// Opens an incident.
    pub fn incident(&mut self, number: u32) -> Chain {
        let id = IncidentId::new(2026, number).unwrap();
        let chain = Chain::Incident(id.clone());
        self.signed(EntryType::IncidentOpened, &chain, [("incident", id.to_string())], BY_ALICE);
        chain
    }

    /// So many reads, in one incident: entries that cost a mirror no signature.
    pub fn reads(&mut self, chain: &Chain, count: u64) {
        let object = format!("{}/bundle", chain.incident().unwrap());
        for _ in 0..count {
            self.access(chain, &object);
        }
    }

    /// One read of an object.
    pub fn access(&mut self, chain: &Chain, object: &str) {
        let refs = [("object", object.to_owned()), ("person", "alice".to_owned())];
        self.own(EntryType::EvidenceAccessed, chain, refs);
    }

    /// Writes tiles and bundles. Returns the signed note.
    pub fn publish(&mut self) -> Vec<u8> {
        let size = self.size();
        for path in bundles_for_growth(self.published, size).unwrap() {
            let first = usize::try_from(path.index() << 8).unwrap();
            let entries = &self.entries[first..first + usize::from(path.width())];
            let bodies: Vec<&[u8]> = entries.iter().map(|(_, body)| body.as_slice()).collect();
            self.store.create(&Key::tile(&path), &encode_bundle(&bodies).unwrap()).unwrap();
        }
        let fresh = &self.log.leaves[usize::try_from(self.published).unwrap()..];
        for (path, tile) in grow(&Tiles(self.store.as_ref()), self.published, fresh).unwrap() {
            self.store.create(&Key::tile(&path), &tile.encode()).unwrap();
        }
        self.published = size;
        let note = self.note(size);
        self.store.replace_checkpoint(&note).unwrap();
        note
    }

    /// The log's note of a size.
    pub fn note(&self, size: u64) -> Vec<u8> {
        self.log.note_at(size).to_string().into_bytes()
    }

    /// A note of the log key over a tree that this log never had.
    pub fn forged_note(&self, size: u64, root: Hash) -> Vec<u8> {
        let checkpoint = Checkpoint::new(ORIGIN, size, root).unwrap();
        self.log.note_of(&checkpoint).to_string().into_bytes()
    }
}

struct Tiles<'a>(&'a dyn Store);

impl TileSource for Tiles<'_> {
    type Error = store::StoreError;

    fn tile(&self, path: &TilePath) -> Result<Vec<u8>, store::StoreError> {
        assert!(matches!(path.kind(), TileKind::Hashes(_)));
        self.0.read(&Key::tile(path))
    }
}

/// A mirror: directory, state, own stores.
pub struct Mirror {
    pub cosigner: Arc<Cosigner>,
    pub own: Replicas,
    pub repaired: AtomicU64,
}

impl Mirror {
    /// A new one in `place`.
    pub fn new(place: &Path) -> Self {
        fs_err::create_dir_all(place.join("own")).unwrap();
        StateFile::create(place, &State::new("acme")).unwrap();
        drop(DirectoryStore::initialise(&place.join("own"), &identity("own")).unwrap());
        Self::open(place)
    }

    /// The one in `place`, as after a restart.
    pub fn open(place: &Path) -> Self {
        let own: Arc<dyn Store> = Arc::new(DirectoryStore::open(&place.join("own")).unwrap());
        Self::over(place, vec![own])
    }

    /// Over other stores.
    pub fn over(place: &Path, stores: Vec<Arc<dyn Store>>) -> Self {
        let vkey = signer(LOG, ORIGIN).verifier_key(KeyType::Ed25519);
        let pins = Pins {
            log_keys: KeyRing::load(place, &pins().deployment, &authority(), &vkey).unwrap(),
            ..pins()
        };
        Self {
            cosigner: Arc::new(Cosigner::open(place, pins, keys()).unwrap()),
            own: mirror::config::replicas(stores),
            repaired: AtomicU64::new(0),
        }
    }

    /// Replays, then makes one round; at most `bundles` of them.
    pub fn try_round(&self, source: &dyn Source, note: &[u8], bundles: u64) -> Result<Round, PullError> {
        let left = std::cell::Cell::new(bundles);
        let progress = |_, _| {
            left.set(left.get().saturating_sub(1));
            left.get() > 0
        };
        let parts = self.parts(source, &progress);
        let all = |_, _| true;
        let mut follower = Follower::open(&self.parts(source, &all))?;
        follower.round(&parts, note)
    }

    pub fn round(&self, log: &Log, note: &[u8]) -> Result<Round, PullError> {
        self.try_round(&StoreSource(Arc::clone(&log.store)), note, u64::MAX)
    }

    pub fn parts<'a>(&'a self, source: &'a dyn Source, progress: &'a dyn Fn(u64, u64) -> bool) -> Parts<'a> {
        Parts {
            cosigner: &self.cosigner,
            own: &self.own,
            source: Some(source),
            repaired: &self.repaired,
            progress,
        }
    }

    /// Every object of the log but its marker is here, byte for byte (tiles of sizes in between aside).
    pub fn assert_holds(&self, log: &Log) {
        let own = &self.own.stores()[0];
        let size = log.size();
        let mut paths = ledger::tile::tiles_for_growth(0, size).unwrap();
        paths.extend(bundles_for_growth(0, size).unwrap());
        for path in paths {
            let key = Key::tile(&path);
            assert_eq!(own.read(&key).unwrap(), log.store.read(&key).unwrap(), "{key}");
        }
        for key in log.store.list("documents/").unwrap() {
            assert_eq!(own.read(&key).unwrap(), log.store.read(&key).unwrap(), "{key}");
        }
        assert_eq!(own.read(&Key::checkpoint()).unwrap(), log.note(size));
    }
}
