//! A log as a collector writes it, and a mirror of it. Seed of key n = 32 times n.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use evidence::digest::Digest;
use evidence::entry::act::{Act, ActNonce, ActType};
use evidence::entry::{ActLocation, ActObject, ChainHead, Entry, EntryType, EntryVersion, Envelope};
use evidence::id::{Actor, Chain};
use evidence::roster::{AuthoritySet, Role, Roster, Rules};
use evidence::signed::Signed;
use evidence::text::FixedBytes;
use evidence::time::Time;
use ledger::tile::{TileKind, TilePath, bundles_for_growth, encode_bundle, grow};
use ledger::{Checkpoint, Hash, KeyType, NoteSigner, TileSource, leaf_hash};
use mirror::cosign::Cosigner;
use mirror::cosign::state::{State, StateFile};
use mirror::keys::Keys;
use mirror::pins::KeyRing;
use mirror::pins::Pins;
use mirror::pull::{Follower, Parts, PullError, Round};
use mirror::source::{Source, StoreSource};
use store::{DirectoryStore, Key, Replicas, Store, StoreIdentity};
pub use testkit::people::key;
use testkit::people::{self, person};

pub const AUTHORITY: u8 = 1;
pub const ADA: u8 = 2;
pub const BOB: u8 = 3;
pub const STRANGER: u8 = 9;
pub const LOG: u8 = 30;

pub fn at(text: &str) -> Time {
    text.parse().unwrap()
}

pub fn authority() -> AuthoritySet {
    people::authority(1, &[AUTHORITY])
}

pub fn log_signer() -> NoteSigner {
    NoteSigner::new("exhibit/acme", &[LOG; 32]).unwrap()
}

pub fn pins() -> Pins {
    Pins {
        deployment: "acme".parse().unwrap(),
        log_keys: evidence::log_key::LogKeys::unchanged(log_signer().verifier_key(KeyType::Ed25519)).into(),
        ca_sha256: Digest::of(b"ca"),
        authority: authority(),
    }
}

pub fn keys() -> Keys {
    let id = "backup-1".parse().unwrap();
    Keys::from_seeds(&id, [&[33; 32], &[31; 32], &[32; 32]]).unwrap()
}

pub fn identity(name: &str) -> StoreIdentity {
    StoreIdentity {
        store: name.to_owned(),
        deployment: "acme".to_owned(),
        created: String::new(),
        domain: "device".to_owned(),
    }
}

/// A log that grows on a store.
#[derive(Clone)]
pub struct Log {
    pub store: Arc<dyn Store>,
    bodies: Vec<Vec<u8>>,
    chains: BTreeMap<String, ChainHead>,
    published: u64,
    minute: u64,
    nonce: u64,
}

impl Log {
    /// Genesis and a roster with ada, responder and endpoint-admin.
    pub fn new(place: &Path) -> Self {
        let store = DirectoryStore::initialise(place, &identity("source")).unwrap();
        let mut log = Self {
            store: Arc::new(store),
            bodies: Vec::new(),
            chains: BTreeMap::new(),
            published: 0,
            minute: 0,
            nonce: 0,
        };
        let refs = evidence::entry::pairs::sorted([
            ("authority", authority().id().to_string()),
            ("ca", Digest::of(b"ca").to_string()),
            ("log", log_signer().verifier_key(KeyType::Ed25519).to_string()),
        ]);
        log.own(EntryType::LogGenesis, Chain::Deployment, refs);
        let roster = Signed::sign(&roster(), &[&key(AUTHORITY)]).unwrap();
        log.store.create(&Key::document(roster.digest().as_bytes()), &roster.encode()).unwrap();
        let refs = evidence::entry::pairs::sorted([
            ("roster", roster.digest().to_string()),
            ("version", "1".to_owned()),
        ]);
        log.push(EntryType::RosterPublished, Chain::Deployment, refs, ActObject::from(roster));
        log
    }

    /// The same log, to go on otherwise, on another store.
    pub fn fork(&self, place: &Path) -> Self {
        let store = DirectoryStore::initialise(place, &identity("fork")).unwrap();
        for key in self.store.list("").unwrap() {
            if !matches!(key.kind(), store::KeyKind::Marker | store::KeyKind::Checkpoint) {
                store.create(&key, &self.store.read(&key).unwrap()).unwrap();
            }
        }
        Self { store: Arc::new(store), nonce: self.nonce + 1_000_000, ..self.clone() }
    }

    pub fn size(&self) -> u64 {
        self.bodies.len() as u64
    }

    pub fn act(&mut self, type_: EntryType, chain: &Chain, by: Actor, refs: Vec<(String, String)>) -> Act {
        self.nonce += 1;
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&self.nonce.to_be_bytes());
        Act {
            type_: ActType,
            deployment: "acme".parse().unwrap(),
            act: type_,
            incident: chain.clone(),
            at: at("2026-11-02T08:00:00.000Z"),
            by,
            refs,
            fields: Vec::new(),
            detail: None,
            nonce: ActNonce::Once(FixedBytes(nonce)),
        }
    }

    /// An act of the collector's own.
    pub fn own(&mut self, type_: EntryType, chain: Chain, refs: Vec<(String, String)>) {
        let act = self.act(type_, &chain, Actor::Collector("collector-1".parse().unwrap()), refs.clone());
        let object =
            ActObject { document: evidence::json::to_document(&act).unwrap(), signatures: Vec::new() };
        self.push(type_, chain, refs, object);
    }

    /// An act of ada, signed by some key.
    pub fn person(&mut self, type_: EntryType, chain: Chain, refs: Vec<(String, String)>, signer: u8) {
        self.says(type_, &chain, refs, ("ada", signer), None);
    }

    /// An act of somebody, signed by some key, with a text; gives its event.
    pub fn says(
        &mut self,
        type_: EntryType,
        chain: &Chain,
        refs: Vec<(String, String)>,
        (person, signer): (&str, u8),
        detail: Option<Digest>,
    ) -> Digest {
        let chain = chain.clone();
        let by = Actor::Person(person.parse().unwrap());
        let mut act = self.act(type_, &chain, by, refs.clone());
        act.detail = detail;
        let object = ActObject::from(Signed::sign(&act, &[&key(signer)]).unwrap());
        let event = object.event();
        self.push(type_, chain, refs, object);
        event
    }

    pub fn incident(&mut self, number: u32) -> Chain {
        let id: evidence::id::IncidentId = evidence::id::IncidentId::new(2026, number).unwrap();
        let chain = Chain::Incident(id.clone());
        let refs = evidence::entry::pairs::sorted([("incident", id.to_string())]);
        self.person(EntryType::IncidentOpened, chain.clone(), refs, ADA);
        chain
    }

    /// So many reads, in one incident: entries that cost a mirror no signature.
    pub fn reads(&mut self, chain: &Chain, count: u64) {
        for _ in 0..count {
            let refs = evidence::entry::pairs::sorted([
                ("object", format!("{}/bundle", chain.incident().unwrap())),
                ("person", "ada".to_owned()),
            ]);
            self.own(EntryType::EvidenceAccessed, chain.clone(), refs);
        }
    }

    /// The entry that continues its chain.
    pub fn push(&mut self, type_: EntryType, chain: Chain, refs: Vec<(String, String)>, act: ActObject) {
        let entry = self.entry(type_, chain, refs, act);
        self.push_entry(&entry);
    }

    pub fn entry(
        &mut self,
        type_: EntryType,
        chain: Chain,
        refs: Vec<(String, String)>,
        act: ActObject,
    ) -> Entry {
        self.minute += 1;
        let head = self.chains.get(&chain.to_string()).copied().unwrap_or(ChainHead::START);
        let act_location = Entry::act_location(type_, &act);
        Entry {
            envelope: Envelope {
                entry: EntryVersion,
                deployment: "acme".parse().unwrap(),
                type_,
                incident: chain,
                seq: head.next_seq,
                prev: head.prev,
                time: at("2026-11-02T08:00:00.000Z")
                    .checked_add(std::time::Duration::from_secs(self.minute))
                    .unwrap(),
                event: act.event(),
                refs,
                act: act_location,
            },
            act: (act_location == ActLocation::Inline).then_some(act),
        }
    }

    /// Any entry, right or wrong.
    pub fn push_entry(&mut self, entry: &Entry) {
        let body = entry.encode().unwrap();
        let head = self.chains.entry(entry.envelope.incident.to_string()).or_insert(ChainHead::START);
        *head = ChainHead {
            next_seq: entry.envelope.seq + 1,
            prev: leaf_hash(&body).into(),
            time: entry.envelope.time,
        };
        self.bodies.push(body);
    }

    /// Writes tiles and bundles; gives the signed note.
    pub fn publish(&mut self) -> Vec<u8> {
        let size = self.size();
        for path in bundles_for_growth(self.published, size).unwrap() {
            let first = usize::try_from(path.index() << 8).unwrap();
            let bodies = &self.bodies[first..first + usize::from(path.width())];
            self.store.create(&Key::tile(&path), &encode_bundle(bodies).unwrap()).unwrap();
        }
        let from = usize::try_from(self.published).unwrap();
        let leaves: Vec<Hash> = self.bodies[from..].iter().map(|body| leaf_hash(body)).collect();
        for (path, tile) in grow(&Tiles(self.store.as_ref()), self.published, &leaves).unwrap() {
            self.store.create(&Key::tile(&path), &tile.encode()).unwrap();
        }
        self.published = size;
        let note = self.note(size);
        self.store.replace_checkpoint(&note).unwrap();
        note
    }

    /// The log's note of a size.
    pub fn note(&self, size: u64) -> Vec<u8> {
        let leaves: Vec<Hash> =
            self.bodies[..usize::try_from(size).unwrap()].iter().map(|body| leaf_hash(body)).collect();
        note(size, ledger::root_of(&leaves))
    }

    /// An entry's bytes, and its proof under the newest note.
    pub fn proven(&self, index: u64) -> (Vec<u8>, Vec<u8>) {
        let leaves: Vec<Hash> = self.bodies.iter().map(|body| leaf_hash(body)).collect();
        let hashes = ledger::inclusion_proof(&ledger::Leaves(&leaves), index, self.size()).unwrap();
        let note = ledger::Note::parse(&self.note(self.size())).unwrap();
        let proof = ledger::ProofFile::new(index, hashes, note, None).unwrap();
        let body = self.bodies[usize::try_from(index).unwrap()].clone();
        (body, proof.encode().into_bytes())
    }

    pub fn proof(&self, old: u64, new: u64) -> Vec<Hash> {
        let leaves: Vec<Hash> = self.bodies.iter().map(|body| leaf_hash(body)).collect();
        ledger::consistency_proof(&ledger::Leaves(&leaves), old, new).unwrap()
    }
}

/// A note of the log key over anything.
pub fn note(size: u64, root: Hash) -> Vec<u8> {
    let text = Checkpoint::new("exhibit/acme", size, root).unwrap().to_text();
    let line = log_signer().sign(&text).unwrap();
    ledger::Note::new(&text, vec![line]).unwrap().to_string().into_bytes()
}

struct Tiles<'a>(&'a dyn Store);

impl TileSource for Tiles<'_> {
    type Error = store::StoreError;

    fn tile(&self, path: &TilePath) -> Result<Vec<u8>, store::StoreError> {
        assert!(matches!(path.kind(), TileKind::Hashes(_)));
        self.0.read(&Key::tile(path))
    }
}

pub fn roster() -> Roster {
    let persons = vec![
        person("ada", &[ADA], &[Role::Responder, Role::EndpointAdmin]),
        person("bob", &[BOB], &[Role::Approver]),
    ];
    let (issued, not_after) = (at("2026-11-01T08:00:00.000Z"), at("2026-12-01T08:00:00.000Z"));
    let roster = people::roster("acme", authority(), persons, issued, not_after);
    Roster { rules: Rules { two_persons: Vec::new(), ..roster.rules }, ..roster }
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
        let vkey = log_signer().verifier_key(KeyType::Ed25519);
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
