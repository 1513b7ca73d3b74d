//! Objects in an S3 bucket (docs/spec/store.md, *Bucket store*).
//!
//! ```text
//! create: PUT (If-None-Match: * where proved; SHA-256 and MD5 in headers; the lock, if any) → read back → lock read back
//! ```
//! Guarantee: success means that the object was there, with these bytes and this lock, after the server had said so. What
//! the bucket adds to that is measured at each start ([`Capabilities`]) and told by [`Store::guarantees`].
//! Not here: uploads in parts (no object is longer than 64 MiB), how many stores hold an object.
//!
//! Trust: the server may lose bytes, lie about what it did, or be run by the adversary; it cannot alter bytes unseen.

pub(crate) mod bucket;
mod credentials;
mod failure;
mod probe;
mod settings;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

pub use probe::{Capabilities, LockProof};
pub use settings::{LockMode, Retention, S3Settings};

use bucket::{Bucket, LockUntil, Put, sha256_header};
use failure::{Failure, FailureKind};

use crate::identity::MARKER_BYTES_MAX;
use crate::key::{ContentCheck, Key, KeyKind};
use crate::{
    Durable, Guarantees, Lock, ObjectWriter, READ_BYTES_MAX, Store, StoreError, StoreIdentity, WriteOnce,
};

/// Creators of one key take turns on one of these; so many that two keys seldom share one.
const TURNS: usize = 64;
/// How much sooner than "now plus days" a retention set by the bucket may end: clocks differ.
const CLOCK_SLACK: Duration = Duration::from_secs(3600);
/// One day of retention.
const DAY: Duration = Duration::from_secs(86_400);

/// Objects in a bucket.
pub struct S3Store {
    shared: Arc<Shared>,
    identity: StoreIdentity,
}

struct Shared {
    bucket: Bucket,
    settings: S3Settings,
    capabilities: Capabilities,
    is_measured: bool,
    /// Store id, for errors.
    name: String,
    turns: Vec<Mutex<()>>,
}

impl S3Store {
    /// Makes a store out of a prefix of a bucket below which nothing is.
    ///
    /// # Errors
    /// `Marker` when something is there, `Refused` when the bucket does not lock as settings ask, otherwise of the bucket.
    pub fn initialise(settings: &S3Settings, identity: &StoreIdentity) -> Result<Self, StoreError> {
        let name = identity.store.as_str();
        let bucket = Bucket::new(settings).map_err(|failure| failure.at(name, "open", &settings.place()))?;
        let found = bucket
            .list(&settings.prefix)
            .map_err(|failure| failure.at(name, "list", &settings.place()))?;
        let probes = format!("{}probe/", settings.prefix);
        if found.iter().any(|object| !object.starts_with(&probes)) {
            return Err(StoreError::Marker {
                path: settings.place(),
                reason: "there are objects below this prefix. Give another prefix".to_owned(),
            });
        }
        let shared = Shared::measured(bucket, settings, name)?;
        if let Some(retention) = settings.retention
            && !shared.capabilities.lock.proves(retention.mode)
        {
            return Err(StoreError::Refused {
                store: name.to_owned(),
                key: settings.place(),
                reason: "the bucket does not keep locked objects as `retention` asks: make it with Object Lock, or leave \
                         `retention` out",
            });
        }
        shared.create(&Key::marker(), &identity.to_bytes())?;
        Ok(Self {
            shared: Arc::new(shared),
            identity: identity.clone(),
        })
    }

    /// Opens a store that `initialise` made, and measures the bucket. Never creates one.
    ///
    /// # Errors
    /// `Marker` without a valid `store.json`, otherwise of the bucket.
    pub fn open(settings: &S3Settings) -> Result<Self, StoreError> {
        let place = settings.place();
        let bucket = Bucket::new(settings).map_err(|failure| failure.at(&place, "open", "bucket"))?;
        Self::open_on(bucket, settings)
    }

    /// As `open`, without trying what the bucket can do: for checks, which write nothing. Nothing is then believed of it.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_unmeasured(settings: &S3Settings) -> Result<Self, StoreError> {
        let place = settings.place();
        let bucket = Bucket::new(settings).map_err(|failure| failure.at(&place, "open", "bucket"))?;
        let identity = read_marker(&bucket, settings)?;
        let shared = Shared::new(bucket, settings, &identity.store, None);
        Ok(Self { shared: Arc::new(shared), identity })
    }

    pub(crate) fn open_on(bucket: Bucket, settings: &S3Settings) -> Result<Self, StoreError> {
        let identity = read_marker(&bucket, settings)?;
        let shared = Shared::measured(bucket, settings, &identity.store)?;
        Ok(Self { shared: Arc::new(shared), identity })
    }

    /// Where the bucket is.
    pub fn settings(&self) -> &S3Settings {
        &self.shared.settings
    }

    /// Measures the bucket once more.
    ///
    /// # Errors
    /// When it cannot be written, read or listed.
    pub fn probe(&self) -> Result<Capabilities, StoreError> {
        let Shared { bucket, settings, name, .. } = self.shared.as_ref();
        Shared::measure(bucket, settings, name)
    }

    /// The lock on an object and until when, as the server tells it.
    ///
    /// # Errors
    /// As `read`.
    pub fn retention(&self, key: &Key) -> Result<Option<(LockMode, SystemTime)>, StoreError> {
        let shared = &self.shared;
        let lock = shared.bucket.retention(&shared.object(key), None);
        let lock = lock.map_err(|failure| shared.failed(failure, "read the lock of", key))?;
        Ok(lock.map(|lock| (lock.mode, lock.until)))
    }

    /// True when an object is under legal hold.
    ///
    /// # Errors
    /// As `read`.
    pub fn is_held(&self, key: &Key) -> Result<bool, StoreError> {
        let shared = &self.shared;
        let held = shared.bucket.is_held(&shared.object(key), None);
        held.map_err(|failure| shared.failed(failure, "read the hold of", key))
    }
}

fn read_marker(bucket: &Bucket, settings: &S3Settings) -> Result<StoreIdentity, StoreError> {
    let place = settings.place();
    let marker = |reason: String| StoreError::Marker {
        path: place.clone(),
        reason,
    };
    let name = format!("{}{}", settings.prefix, Key::marker());
    let bytes = match bucket.get_range(&name, 0, MARKER_BYTES_MAX) {
        Err(failure) if failure.kind == FailureKind::Absent => {
            return Err(marker(
                "it has no `store.json`. Correct bucket or prefix, or make a store with `exhibit-server init`".to_owned(),
            ));
        }
        bytes => bytes.map_err(|failure| failure.at(&place, "read", "store.json"))?,
    };
    StoreIdentity::from_bytes(&bytes).map_err(marker)
}

impl Shared {
    fn measure(bucket: &Bucket, settings: &S3Settings, name: &str) -> Result<Capabilities, StoreError> {
        let wanted = settings.retention.map(|retention| retention.mode);
        probe::probe(bucket, &settings.prefix, wanted)
            .map_err(|failure| failure.at(name, "probe", &settings.place()))
    }

    fn measured(bucket: Bucket, settings: &S3Settings, name: &str) -> Result<Self, StoreError> {
        let capabilities = Self::measure(&bucket, settings, name)?;
        Ok(Self::new(bucket, settings, name, Some(capabilities)))
    }

    fn new(bucket: Bucket, settings: &S3Settings, name: &str, measured: Option<Capabilities>) -> Self {
        Self {
            bucket,
            settings: settings.clone(),
            capabilities: measured.unwrap_or(Capabilities::NONE),
            is_measured: measured.is_some(),
            name: name.to_owned(),
            turns: (0..TURNS).map(|_| Mutex::new(())).collect(),
        }
    }

    fn object(&self, key: &Key) -> String {
        format!("{}{key}", self.settings.prefix)
    }

    fn failed(&self, failure: Failure, operation: &'static str, key: &Key) -> StoreError {
        failure.at(&self.name, operation, key.as_str())
    }

    fn conflict(&self, key: &Key) -> StoreError {
        StoreError::Conflict {
            store: self.name.clone(),
            key: key.to_string(),
        }
    }

    fn refused(&self, key: &Key, reason: &'static str) -> StoreError {
        StoreError::Refused {
            store: self.name.clone(),
            key: key.to_string(),
            reason,
        }
    }

    /// Where the server does not refuse a second create, creators of one key in this process take turns.
    fn turn(&self, key: &Key) -> Option<MutexGuard<'_, ()>> {
        if self.capabilities.create_only {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let at = hasher.finish() % u64::try_from(TURNS).unwrap_or(1);
        let turn = self.turns.get(usize::try_from(at).unwrap_or(0))?;
        Some(turn.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn create(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > READ_BYTES_MAX {
            return Err(self.refused(key, "the object is longer than any such object may be"));
        }
        let object = self.object(key);
        let only_new = self.capabilities.create_only;
        let _turn = self.turn(key);
        if !only_new && self.exists(key, &object)? {
            return self.check_same(key, &object, bytes);
        }
        let lock = self.lock_to_place(key);
        let put = Put { only_new, lock, ..Put::new(&object, bytes) };
        let version = match self.bucket.put(put) {
            // Somebody else's, or our own first attempt whose answer was lost.
            Err(failure) if failure.kind == FailureKind::Exists => {
                return self.check_same(key, &object, bytes);
            }
            version => version.map_err(|failure| self.failed(failure, "put", key))?,
        };
        // Crash now: the object is there, unacknowledged; the next create finds it.
        self.read_back(key, &object, bytes)?;
        self.settle_lock(key, &object, version.as_deref(), lock)
    }

    fn exists(&self, key: &Key, object: &str) -> Result<bool, StoreError> {
        match self.bucket.head(object) {
            Ok(_) => Ok(true),
            Err(failure) if failure.kind == FailureKind::Absent => Ok(false),
            Err(failure) => Err(self.failed(failure, "look for", key)),
        }
    }

    /// The key exists: same bytes are success, once their lock is as it should be.
    fn check_same(&self, key: &Key, object: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let stored = self.bucket.get(object, None);
        let stored = stored.map_err(|failure| self.failed(failure, "compare", key))?;
        if stored != bytes {
            return Err(self.conflict(key));
        }
        // Any lock that has not ended is right: it is as old as the object.
        let wanted = self.lock_wanted(key).map(|retention| LockUntil {
            mode: retention.mode,
            until: SystemTime::now(),
        });
        self.settle_lock(key, object, None, wanted)
    }

    /// What was acknowledged has to be there.
    fn read_back(&self, key: &Key, object: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let lost = |failure: Failure| match failure.kind {
            FailureKind::Absent => {
                let text = "the server acknowledged it, and then it was not there";
                self.failed(Failure::ours(FailureKind::Transient, text), "read back", key)
            }
            _ => self.failed(failure, "read back", key),
        };
        let Capabilities { sha256_refused, sha256_reported, .. } = self.capabilities;
        let is_same = if sha256_refused && sha256_reported {
            let head = self.bucket.head(object).map_err(lost)?;
            head.length == u64::try_from(bytes.len()).unwrap_or(u64::MAX)
                && head.sha256.as_deref() == Some(sha256_header(bytes).as_str())
        } else {
            let stored = self.bucket.get(object, None).map_err(lost)?;
            if stored != bytes && key.check(&stored) != ContentCheck::Wrong {
                return Err(self.conflict(key));
            }
            stored == bytes
        };
        if is_same {
            return Ok(());
        }
        let text = "the server acknowledged it, and then gave other bytes. Look at this server before anything else is \
                    entrusted to it";
        Err(self.failed(Failure::ours(FailureKind::Permanent, text), "read back", key))
    }

    /// The retention that objects of this kind have, by settings or by the bucket.
    fn lock_wanted(&self, key: &Key) -> Option<Retention> {
        match key.kind() {
            KeyKind::Checkpoint | KeyKind::Detail | KeyKind::Marker => None,
            _ => self.settings.retention.or(self.capabilities.default_retention),
        }
    }

    /// The lock that goes with the PUT.
    fn lock_to_place(&self, key: &Key) -> Option<LockUntil> {
        let retention = self.lock_wanted(key)?;
        let until = SystemTime::now().checked_add(DAY.checked_mul(retention.days)?)?;
        Some(LockUntil {
            mode: retention.mode,
            until,
        })
    }

    /// Reads the lock back; places it once more when it is not there; fails when it still is not.
    fn settle_lock(
        &self,
        key: &Key,
        object: &str,
        version: Option<&str>,
        wanted: Option<LockUntil>,
    ) -> Result<(), StoreError> {
        let Some(wanted) = wanted else { return Ok(()) };
        let read = || {
            let found = self.bucket.retention(object, version);
            found.map_err(|failure| self.failed(failure, "read the lock of", key))
        };
        let least = LockUntil {
            until: wanted.until.checked_sub(CLOCK_SLACK).unwrap_or(wanted.until),
            ..wanted
        };
        if read()?.is_some_and(|found| least.is_met_by(found)) {
            return Ok(());
        }
        let Some(full) = self.lock_to_place(key) else { return Ok(()) };
        self.bucket
            .retain(object, version, full)
            .map_err(|failure| self.failed(failure, "lock", key))?;
        if read()?.is_some_and(|found| full.is_met_by(found)) {
            return Ok(());
        }
        let text = "the object is stored, but the server does not keep the retention it was given. See \
                    `exhibit-server store probe`";
        Err(self.failed(Failure::ours(FailureKind::Permanent, text), "lock", key))
    }

    /// Every version of an object for good, or the object where there are none.
    fn erase(&self, key: &Key, object: &str) -> Result<(), Failure> {
        if !self.capabilities.versions {
            return match self.bucket.delete(object, None, false) {
                Err(failure) if failure.kind == FailureKind::Absent => Ok(()),
                result => result,
            };
        }
        for version in self.bucket.versions(object)? {
            if version.name == *object {
                tracing::debug!(%key, version = version.id, marker = version.is_marker, "Erasing a version");
                self.bucket.delete(object, Some(&version.id), false)?;
            }
        }
        Ok(())
    }
}

impl Store for S3Store {
    fn identity(&self) -> &StoreIdentity {
        &self.identity
    }

    fn domain(&self) -> &str {
        &self.identity.domain
    }

    fn guarantees(&self) -> Guarantees {
        let Shared { settings, capabilities, .. } = self.shared.as_ref();
        let retention = settings.retention.or(capabilities.default_retention);
        let lock = match retention.filter(|retention| capabilities.lock.proves(retention.mode)) {
            None => Lock::None,
            Some(Retention { mode: LockMode::Governance, days }) => Lock::Governance { days },
            Some(Retention { mode: LockMode::Compliance, days }) => Lock::Compliance { days },
        };
        Guarantees {
            durable: Durable::AnsweredAndReadBack,
            write_once: if capabilities.create_only {
                WriteOnce::ByServer
            } else {
                WriteOnce::ByThisProgram
            },
            versions: capabilities.versions,
            checks_upload: capabilities.md5_refused || capabilities.sha256_refused,
            lock,
            erasable: capabilities.default_retention.is_none(),
        }
    }

    fn capabilities(&self) -> Option<&Capabilities> {
        self.shared.is_measured.then_some(&self.shared.capabilities)
    }

    fn create(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        self.shared.create(key, bytes)
    }

    fn create_writer(&self) -> Result<Box<dyn ObjectWriter>, StoreError> {
        Ok(Box::new(Gathering {
            shared: Arc::clone(&self.shared),
            bytes: Vec::new(),
        }))
    }

    fn replace_checkpoint(&self, bytes: &[u8]) -> Result<(), StoreError> {
        let (shared, key) = (&self.shared, Key::checkpoint());
        let object = shared.object(&key);
        let put = shared.bucket.put(Put::new(&object, bytes));
        put.map_err(|failure| shared.failed(failure, "put", &key))?;
        shared.read_back(&key, &object, bytes)
    }

    fn read(&self, key: &Key) -> Result<Vec<u8>, StoreError> {
        let shared = &self.shared;
        let bytes = shared.bucket.get(&shared.object(key), None);
        bytes.map_err(|failure| shared.failed(failure, "get", key))
    }

    fn read_range(&self, key: &Key, offset: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        let shared = &self.shared;
        if length == 0 {
            return self.size(key).map(|_| Vec::new());
        }
        let bytes = shared.bucket.get_range(&shared.object(key), offset, length);
        bytes.map_err(|failure| shared.failed(failure, "get", key))
    }

    fn size(&self, key: &Key) -> Result<u64, StoreError> {
        let shared = &self.shared;
        let head = shared.bucket.head(&shared.object(key));
        head.map(|head| head.length)
            .map_err(|failure| shared.failed(failure, "look for", key))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Key>, StoreError> {
        let shared = &self.shared;
        let below = &shared.settings.prefix;
        let names = shared
            .bucket
            .list(&format!("{below}{prefix}"))
            .map_err(|failure| failure.at(&shared.name, "list", prefix))?;
        let names = names.iter().filter_map(|name| name.strip_prefix(below.as_str()));
        let mut keys: Vec<Key> = names.filter_map(|name| Key::parse(name).ok()).collect();
        keys.sort();
        Ok(keys)
    }

    fn remove(&self, key: &Key) -> Result<(), StoreError> {
        let shared = &self.shared;
        if key.kind() != KeyKind::Detail {
            return Err(shared.refused(key, "only detail objects can be erased"));
        }
        let object = shared.object(key);
        match shared.erase(key, &object) {
            Ok(()) => {}
            Err(failure) if failure.kind == FailureKind::Denied => {
                return Err(shared.refused(
                    key,
                    "the server does not let it be erased: an Object Lock or a rule of the bucket keeps it. Erase it when that \
                     has ended",
                ));
            }
            Err(failure) => return Err(shared.failed(failure, "erase", key)),
        }
        if shared.exists(key, &object)? {
            return Err(shared.refused(key, "the server said that it was erased, and it is still there"));
        }
        Ok(())
    }

    fn displace(&self, key: &Key) -> Result<(), StoreError> {
        let shared = &self.shared;
        let object = shared.object(key);
        let bytes = self.read(key)?;
        if key.check(&bytes) != ContentCheck::Wrong {
            return Err(shared.conflict(key));
        }
        let mut suffix = [0; 8];
        getrandom::fill(&mut suffix).map_err(|error| {
            let failure = Failure::ours(FailureKind::Transient, format!("draw a name: {error}"));
            shared.failed(failure, "displace", key)
        })?;
        let flat = key.as_str().replace('/', "_");
        let kept = format!("{}damaged/{flat}.{}", shared.settings.prefix, hex::encode(suffix));
        let failed = |failure| shared.failed(failure, "displace", key);
        shared.bucket.put(Put::new(&kept, &bytes)).map_err(failed)?;
        if shared.bucket.get(&kept, None).map_err(failed)? != bytes {
            return Err(failed(Failure::ours(FailureKind::Permanent, "the copy reads back as other bytes")));
        }
        // Crash now: it is under both names, and can be displaced again.
        shared.bucket.delete(&object, None, false).map_err(failed)
    }

    fn set_legal_hold(&self, key: &Key, held: bool) -> Result<(), StoreError> {
        let shared = &self.shared;
        let object = shared.object(key);
        let failed = |failure| shared.failed(failure, "hold", key);
        let versions = shared.bucket.versions(&object).map_err(failed)?;
        let versions: Vec<_> = versions
            .into_iter()
            .filter(|version| version.name == object && !version.is_marker)
            .collect();
        if versions.is_empty() {
            return Err(failed(Failure::ours(FailureKind::Absent, "no version")));
        }
        for version in versions {
            shared.bucket.hold(&object, Some(&version.id), held).map_err(failed)?;
            if shared.bucket.is_held(&object, Some(&version.id)).map_err(failed)? != held {
                return Err(shared.refused(key, "the server does not keep a legal hold"));
            }
        }
        Ok(())
    }
}

/// An object whose key is not known yet: it waits in memory, and is sent as a whole.
struct Gathering {
    shared: Arc<Shared>,
    bytes: Vec<u8>,
}

impl ObjectWriter for Gathering {
    fn write(&mut self, chunk: &[u8]) -> Result<(), StoreError> {
        let length = self.bytes.len().saturating_add(chunk.len());
        if u64::try_from(length).unwrap_or(u64::MAX) > READ_BYTES_MAX {
            return Err(StoreError::Refused {
                store: self.shared.name.clone(),
                key: "(being written)".to_owned(),
                reason: "the object is longer than any such object may be",
            });
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }

    fn commit(self: Box<Self>, key: &Key) -> Result<(), StoreError> {
        self.shared.create(key, &self.bytes)
    }
}
