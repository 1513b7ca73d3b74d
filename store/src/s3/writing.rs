//! How objects in a bucket are created, read back, locked and erased (docs/spec/store.md, *create*).
//! Guarantee: `create` returns `Ok` only if the object was there afterwards, with these bytes and this lock.
//! Not here: the requests (`bucket`).

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::bucket::{Bucket, LockUntil, Put, sha256_header};
use super::failure::{Failure, FailureKind};
use super::probe;
use crate::capabilities::Capabilities;
use crate::contract::READ_BYTES_MAX;
use crate::error::StoreError;
use crate::key::{ContentCheck, Key, KeyKind};
use crate::s3_settings::{Retention, S3Settings};

/// Creators of one key take turns on one of these locks. There are enough of them that two keys seldom share
/// one. One byte of a hash chooses, so that more than 256 would never be used.
const TURNS: usize = 64;
/// How much earlier than "now plus days" a retention that the bucket set may end, because clocks differ.
const CLOCK_SLACK: Duration = Duration::from_secs(3600);
/// One day of retention.
const DAY: Duration = Duration::from_secs(86_400);

/// A bucket, its settings and its capabilities.
pub(super) struct BucketObjects {
    pub(super) bucket: Bucket,
    pub(super) settings: S3Settings,
    pub(super) capabilities: Capabilities,
    pub(super) is_measured: bool,
    /// Store id, for errors.
    pub(super) name: String,
    turns: [Mutex<()>; TURNS],
}

impl BucketObjects {
    pub(super) fn measure(
        bucket: &Bucket,
        settings: &S3Settings,
        name: &str,
    ) -> Result<Capabilities, StoreError> {
        let wanted = settings.retention.map(|retention| retention.mode);
        probe::probe(bucket, &settings.prefix, wanted)
            .map_err(|failure| failure.at(name, "probe", &settings.place()))
    }

    pub(super) fn measured(bucket: Bucket, settings: &S3Settings, name: &str) -> Result<Self, StoreError> {
        let capabilities = Self::measure(&bucket, settings, name)?;
        Ok(Self::new(bucket, settings, name, Some(capabilities)))
    }

    pub(super) fn new(
        bucket: Bucket,
        settings: &S3Settings,
        name: &str,
        measured: Option<Capabilities>,
    ) -> Self {
        Self {
            bucket,
            settings: settings.clone(),
            capabilities: measured.unwrap_or(Capabilities::NONE),
            is_measured: measured.is_some(),
            name: name.to_owned(),
            turns: [const { Mutex::new(()) }; TURNS],
        }
    }

    pub(super) fn object(&self, key: &Key) -> String {
        format!("{}{key}", self.settings.prefix)
    }

    pub(super) fn failed(&self, failure: Failure, operation: &'static str, key: &Key) -> StoreError {
        failure.at(&self.name, operation, key.as_str())
    }

    pub(super) fn conflict(&self, key: &Key) -> StoreError {
        StoreError::Conflict { store: self.name.clone(), key: key.to_string() }
    }

    pub(super) fn refused(&self, key: &Key, reason: &'static str) -> StoreError {
        StoreError::Refused { store: self.name.clone(), key: key.to_string(), reason }
    }

    /// If the server does not refuse a second create, creators of one key in this process take turns.
    pub(super) fn turn(&self, key: &Key) -> Option<MutexGuard<'_, ()>> {
        if self.capabilities.create_only {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let [byte, ..] = hasher.finish().to_le_bytes();
        #[expect(clippy::expect_used, reason = "the rest of a division by TURNS is below TURNS")]
        let turn = self.turns.get(usize::from(byte) % TURNS).expect("one of the turns");
        Some(turn.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn create(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        if bytes.len() as u64 > READ_BYTES_MAX {
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
            // The object is somebody else's, or comes from our own first attempt whose answer was lost.
            Err(failure) if failure.kind == FailureKind::Exists => {
                return self.check_same(key, &object, bytes);
            }
            version => version.map_err(|failure| self.failed(failure, "put", key))?,
        };
        // Crash now: the object is there but unacknowledged. The next create finds it.
        self.read_back(key, &object, bytes)?;
        self.ensure_lock(key, &object, version.as_deref(), lock)
    }

    pub(super) fn exists(&self, key: &Key, object: &str) -> Result<bool, StoreError> {
        match self.bucket.head(object) {
            Ok(_) => Ok(true),
            Err(failure) if failure.kind == FailureKind::Absent => Ok(false),
            Err(failure) => Err(self.failed(failure, "look for", key)),
        }
    }

    /// The key exists. If the bytes are the same, this is success once their lock is right.
    pub(super) fn check_same(&self, key: &Key, object: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let stored = self.bucket.get(object, None);
        let stored = stored.map_err(|failure| self.failed(failure, "compare", key))?;
        if stored != bytes {
            return Err(self.conflict(key));
        }
        // Any lock that has not ended is right, because it is as old as the object.
        let wanted = self
            .lock_wanted(key)
            .map(|retention| LockUntil { mode: retention.mode, until: SystemTime::now() });
        self.ensure_lock(key, object, None, wanted)
    }

    /// Checks that an acknowledged object is stored.
    pub(super) fn read_back(&self, key: &Key, object: &str, bytes: &[u8]) -> Result<(), StoreError> {
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
            head.length == bytes.len() as u64 && head.sha256.as_deref() == Some(sha256_header(bytes).as_str())
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

    /// The retention of objects of this kind, from the settings or from the bucket.
    pub(super) fn lock_wanted(&self, key: &Key) -> Option<Retention> {
        match key.kind() {
            KeyKind::Checkpoint | KeyKind::Detail | KeyKind::Marker => None,
            _ => self.settings.retention.or(self.capabilities.default_retention),
        }
    }

    /// The lock to send with the PUT.
    pub(super) fn lock_to_place(&self, key: &Key) -> Option<LockUntil> {
        let retention = self.lock_wanted(key)?;
        let until = SystemTime::now().checked_add(DAY.checked_mul(retention.days)?)?;
        Some(LockUntil { mode: retention.mode, until })
    }

    /// Reads the lock back. If it is missing, sets it once more; if it is still missing, fails.
    pub(super) fn ensure_lock(
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
        let least =
            LockUntil { until: wanted.until.checked_sub(CLOCK_SLACK).unwrap_or(wanted.until), ..wanted };
        if read()?.is_some_and(|found| least.is_met_by(found)) {
            return Ok(());
        }
        let Some(full) = self.lock_to_place(key) else {
            return Ok(());
        };
        self.bucket.retain(object, version, full).map_err(|failure| self.failed(failure, "lock", key))?;
        if read()?.is_some_and(|found| full.is_met_by(found)) {
            return Ok(());
        }
        let text = "the object is stored, but the server does not keep the retention it was given. See \
                    `exhibit-server store probe`";
        Err(self.failed(Failure::ours(FailureKind::Permanent, text), "lock", key))
    }

    /// Deletes every version of an object for good, or the object itself if there are no versions. Ask the
    /// bucket, whatever the probe said: a bucket whose versioning is suspended still keeps old versions.
    pub(super) fn erase(&self, key: &Key, object: &str) -> Result<(), Failure> {
        let mut found = match self.bucket.versions(object) {
            Ok(found) => found,
            // A server without versions does not know the request.
            Err(failure) if !self.capabilities.versions && failure.kind == FailureKind::Permanent => {
                Vec::new()
            }
            Err(failure) => return Err(failure),
        };
        found.retain(|version| version.name == *object);
        if found.is_empty() {
            return match self.bucket.delete(object, None, false) {
                Err(failure) if failure.kind == FailureKind::Absent => Ok(()),
                result => result,
            };
        }
        for version in found {
            tracing::debug!(%key, version = version.id, marker = version.is_marker, "Erasing a version");
            self.bucket.delete(object, Some(&version.id), false)?;
        }
        Ok(())
    }
}
