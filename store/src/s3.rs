//! Objects in an S3 bucket (docs/spec/store.md, *Bucket store*).
//!
//! ```text
//! create: PUT (If-None-Match: * where proved; SHA-256 and MD5 in headers; the lock, if any) → read back → lock read back
//! ```
//! Guarantee: after the server reported success, the store read the object back with these bytes and this lock. At each start the
//! store measures what else the bucket does ([`Capabilities`]), and [`Store::guarantees`] reports it.
//! Not here: uploads in parts (no object is longer than 64 MiB), how many stores hold an object.
//!
//! Trust: the server can lose bytes, lie about what it did, or belong to the adversary. It cannot change
//! bytes without being noticed.

#[cfg_attr(
    feature = "faults",
    expect(missing_docs, reason = "seen by the tests of real servers alone, as `raw_bucket`")
)]
pub mod bucket;
mod credentials;
mod disposal;
mod failure;
mod probe;
mod writing;

use std::sync::Arc;
use std::time::SystemTime;

use bucket::{Bucket, Put};
use failure::{Failure, FailureKind};
use writing::BucketObjects;

use crate::capabilities::Capabilities;
use crate::contract::{ObjectWriter, READ_BYTES_MAX, Store};
use crate::dispose::{Destroyed, Disposable};
use crate::error::StoreError;
use crate::guarantees::{Durable, Guarantees, Lock, WriteOnce};
use crate::identity::MARKER_BYTES_MAX;
use crate::identity::StoreIdentity;
use crate::key::{ContentCheck, Key, KeyKind};
use crate::s3_settings::{LockMode, Retention, S3Settings};
use evidence::disposal::Warrant;

/// Objects in a bucket.
pub struct S3Store {
    shared: Arc<BucketObjects>,
    identity: StoreIdentity,
}

impl S3Store {
    /// Makes a store out of an empty prefix of a bucket.
    ///
    /// # Errors
    /// `Marker` if something is there, `Refused` if the bucket does not lock as the settings ask, otherwise
    /// an error of the bucket.
    pub fn initialise(settings: &S3Settings, identity: &StoreIdentity) -> Result<Self, StoreError> {
        let name = identity.store.as_str();
        let bucket = Bucket::new(settings).map_err(|failure| failure.at(name, "open", &settings.place()))?;
        let found =
            bucket.list(&settings.prefix).map_err(|failure| failure.at(name, "list", &settings.place()))?;
        let probes = format!("{}probe/", settings.prefix);
        if found.iter().any(|object| !object.starts_with(&probes)) {
            return Err(StoreError::Marker {
                path: settings.place(),
                reason: "there are objects below this prefix. Give another prefix".to_owned(),
            });
        }
        let shared = BucketObjects::measured(bucket, settings, name)?;
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
        Ok(Self { shared: Arc::new(shared), identity: identity.clone() })
    }

    /// Opens a store that `initialise` made, and measures the bucket. Never creates one.
    ///
    /// # Errors
    /// `Marker` without a valid `store.json`, otherwise an error of the bucket.
    pub fn open(settings: &S3Settings) -> Result<Self, StoreError> {
        let place = settings.place();
        let bucket = Bucket::new(settings).map_err(|failure| failure.at(&place, "open", "bucket"))?;
        Self::open_on(bucket, settings)
    }

    /// As `open`, but writes nothing and so measures nothing. The store then claims no capability.
    pub(crate) fn open_unmeasured(settings: &S3Settings) -> Result<Self, StoreError> {
        let place = settings.place();
        let bucket = Bucket::new(settings).map_err(|failure| failure.at(&place, "open", "bucket"))?;
        let identity = read_marker(&bucket, settings)?;
        let shared = BucketObjects::new(bucket, settings, &identity.store, None);
        Ok(Self { shared: Arc::new(shared), identity })
    }

    /// As `open`, with a client that a test has prepared.
    #[doc(hidden)]
    pub fn open_on(bucket: Bucket, settings: &S3Settings) -> Result<Self, StoreError> {
        let identity = read_marker(&bucket, settings)?;
        let shared = BucketObjects::measured(bucket, settings, &identity.store)?;
        Ok(Self { shared: Arc::new(shared), identity })
    }

    /// The place of the bucket.
    pub fn settings(&self) -> &S3Settings {
        &self.shared.settings
    }

    /// Measures the bucket once more.
    ///
    /// # Errors
    /// If the bucket cannot be written, read or listed.
    pub fn probe(&self) -> Result<Capabilities, StoreError> {
        let BucketObjects { bucket, settings, name, .. } = self.shared.as_ref();
        BucketObjects::measure(bucket, settings, name)
    }

    /// The lock on an object and when it ends, as the server reports them.
    pub fn retention(&self, key: &Key) -> Result<Option<(LockMode, SystemTime)>, StoreError> {
        let shared = &self.shared;
        let lock = shared.bucket.retention(&shared.object(key), None);
        let lock = lock.map_err(|failure| shared.failed(failure, "read the lock of", key))?;
        Ok(lock.map(|lock| (lock.mode, lock.until)))
    }

    /// True if an object is under legal hold.
    pub fn is_held(&self, key: &Key) -> Result<bool, StoreError> {
        let shared = &self.shared;
        let held = shared.bucket.is_held(&shared.object(key), None);
        held.map_err(|failure| shared.failed(failure, "read the hold of", key))
    }
}

fn read_marker(bucket: &Bucket, settings: &S3Settings) -> Result<StoreIdentity, StoreError> {
    let place = settings.place();
    let marker = |reason: String| StoreError::Marker { path: place.clone(), reason };
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

impl S3Store {
    /// Moves an object to `damaged/`: copy it, read the copy back, then remove the original name.
    fn move_aside(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        let shared = &self.shared;
        let object = shared.object(key);
        let mut suffix = [0; 8];
        getrandom::fill(&mut suffix).map_err(|error| {
            let failure = Failure::ours(FailureKind::Transient, format!("draw a name: {error}"));
            shared.failed(failure, "displace", key)
        })?;
        let flat = key.as_str().replace('/', "_");
        let kept = format!("{}damaged/{flat}.{}", shared.settings.prefix, hex::encode(suffix));
        let failed = |failure| shared.failed(failure, "displace", key);
        shared.bucket.put(Put::new(&kept, bytes)).map_err(failed)?;
        if shared.bucket.get(&kept, None).map_err(failed)? != bytes {
            return Err(failed(Failure::ours(FailureKind::Permanent, "the copy reads back as other bytes")));
        }
        // Crash now: the object has both names, and can be displaced again.
        shared.bucket.delete(&object, None, false).map_err(failed)
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
        let BucketObjects { settings, capabilities, .. } = self.shared.as_ref();
        let retention = settings.retention.or(capabilities.default_retention);
        let lock = match retention.filter(|retention| capabilities.lock.proves(retention.mode)) {
            None => Lock::None,
            Some(Retention { mode: LockMode::Governance, days }) => Lock::Governance { days },
            Some(Retention { mode: LockMode::Compliance, days }) => Lock::Compliance { days },
        };
        Guarantees {
            durable: Durable::AnsweredAndReadBack,
            write_once: if capabilities.create_only { WriteOnce::ByServer } else { WriteOnce::ByThisProgram },
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
        Ok(Box::new(Gathering { shared: Arc::clone(&self.shared), bytes: Vec::new() }))
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
        head.map(|head| head.length).map_err(|failure| shared.failed(failure, "look for", key))
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

    fn dispose(
        &self,
        object: &Disposable,
        warrant: &Warrant,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Destroyed, StoreError> {
        object.check(warrant, &self.identity)?;
        self.shared.dispose(object, go_on)
    }

    fn locked_until(&self, key: &Key) -> Result<Option<SystemTime>, StoreError> {
        Ok(self.retention(key)?.filter(|(mode, _)| *mode == LockMode::Compliance).map(|(_, until)| until))
    }

    fn displace(&self, key: &Key) -> Result<(), StoreError> {
        let bytes = self.read(key)?;
        if key.check(&bytes) == ContentCheck::Wrong {
            self.move_aside(key, &bytes)
        } else {
            Err(self.shared.conflict(key))
        }
    }

    fn make_way(&self, key: &Key, right: &[u8]) -> Result<(), StoreError> {
        let bytes = self.read(key)?;
        if bytes == right || matches!(key.kind(), KeyKind::Marker | KeyKind::Checkpoint) {
            Err(self.shared.conflict(key))
        } else {
            self.move_aside(key, &bytes)
        }
    }

    fn set_legal_hold(&self, key: &Key, held: bool) -> Result<(), StoreError> {
        let shared = &self.shared;
        let object = shared.object(key);
        let failed = |failure| shared.failed(failure, "hold", key);
        let versions = shared.bucket.versions(&object).map_err(failed)?;
        let versions: Vec<_> =
            versions.into_iter().filter(|version| version.name == object && !version.is_marker).collect();
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

/// An object whose key is not known yet. It waits in memory and is sent whole.
struct Gathering {
    shared: Arc<BucketObjects>,
    bytes: Vec<u8>,
}

impl ObjectWriter for Gathering {
    fn write(&mut self, chunk: &[u8]) -> Result<(), StoreError> {
        let length = self.bytes.len() + chunk.len();
        if length as u64 > READ_BYTES_MAX {
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
