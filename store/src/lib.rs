//! Where evidence and ledger lie: a flat map from key to bytes, written once (docs/spec/store.md).
//! Guarantee: what [`Store::create`] has acknowledged survives power loss, and is never changed.
//! Not here: how many stores hold an object (`replicas`), what the bytes mean (crate `evidence`).
//!
//! Trust: a store may lose bytes; it cannot alter them unseen, for every key but those of tiles carries a digest and
//! tiles are committed to by the checkpoint.

mod directory;
mod disk;
mod dispose;
mod guarantees;
mod identity;
mod key;
mod linux;
mod place;
mod replicas;
mod s3;
mod unavailable;

#[cfg(any(test, feature = "faults"))]
pub mod conformance;
#[cfg(any(test, feature = "faults"))]
pub mod fault;

use std::io;
use std::time::SystemTime;

pub use directory::DirectoryStore;
pub use disk::{Disk, DiskFile};
#[cfg(any(test, feature = "faults"))]
pub use dispose::warrants;
pub use dispose::{Destroyed, Disposable};
pub use evidence::disposal::Warrant;
pub use guarantees::{Durable, Guarantees, Lock, WriteOnce};
pub use identity::{DOMAIN_OF_DEVICE, StoreIdentity};
pub use key::{ContentCheck, Key, KeyError, KeyKind};
pub use linux::LinuxDisk;
pub use place::StorePlace;
pub use replicas::{
    Degraded, ReplicaError, ReplicaWriter, Replicas, ReplicationPolicy, Wanting, WantingSink, Written,
};
pub use s3::{Capabilities, LockMode, LockProof, Retention, S3Settings, S3Store};
pub use unavailable::UnavailableStore;

/// Longest object that [`Store::read`] returns whole: 64 MiB, the largest seal. Bounds memory of one read.
pub const READ_BYTES_MAX: u64 = 64 << 20;

/// One place that keeps objects.
///
/// Contract, proved by `conformance` for each implementation:
/// - *Durability*: when `create`, `ObjectWriter::commit` or `replace` return `Ok`, bytes and name survive power loss.
/// - *Immutability*: `create` of an existing key succeeds when the bytes are the same and fails `Conflict` otherwise;
///   nothing stored changes in either case.
/// - *Atomicity*: after an error there is nothing or the whole object under the key, never a part. A retry is safe.
/// - *Concurrency*: every method may be called from several threads; of two creators of one key one wins.
/// - *Blocking*: calls block on the disk; call them from blocking threads.
pub trait Store: Send + Sync {
    /// Who this store is, as its marker says.
    fn identity(&self) -> &StoreIdentity;

    /// The failure domain in force: the marker's, or the device when the marker leaves it open.
    fn domain(&self) -> &str;

    /// True when a flush failed since the start: what can be read here may never have become durable.
    fn has_failed(&self) -> bool {
        false
    }

    /// What this store really guarantees; never more than was measured.
    fn guarantees(&self) -> Guarantees;

    /// What the bucket behind this store was seen to do; `None` where there is no bucket, or it was not tried.
    fn capabilities(&self) -> Option<&Capabilities> {
        None
    }

    /// Writes an object under a new key.
    ///
    /// # Errors
    /// `Conflict` when the key holds other bytes, `Full`, `Transient` (retry), `Permanent`.
    fn create(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError>;

    /// Opens an object whose key is known only at the end, because it carries the digest of what arrives.
    ///
    /// # Errors
    /// As `create`.
    fn create_writer(&self) -> Result<Box<dyn ObjectWriter>, StoreError>;

    /// Replaces `ledger/checkpoint`, atomically and durably.
    ///
    /// # Errors
    /// As `create`, without `Conflict`.
    fn replace_checkpoint(&self, bytes: &[u8]) -> Result<(), StoreError>;

    /// The whole object, at most [`READ_BYTES_MAX`]. Unverified: `Replicas::read` checks digests.
    ///
    /// # Errors
    /// `NotFound`, `Transient`, `Permanent` (also for a longer object).
    fn read(&self, key: &Key) -> Result<Vec<u8>, StoreError>;

    /// Up to `length` bytes from `offset`; fewer only at the object's end.
    ///
    /// # Errors
    /// As `read`.
    fn read_range(&self, key: &Key, offset: u64, length: u64) -> Result<Vec<u8>, StoreError>;

    /// Length of the object.
    ///
    /// # Errors
    /// As `read`.
    fn size(&self, key: &Key) -> Result<u64, StoreError>;

    /// Every key below a prefix that ends in `/` (or is empty), sorted.
    ///
    /// # Errors
    /// `Transient`, `Permanent`. A prefix without objects is an empty list.
    fn list(&self, prefix: &str) -> Result<Vec<Key>, StoreError>;

    /// Erases a detail object, the one erasable kind. Succeeds when it is gone already.
    ///
    /// # Errors
    /// `Permanent` for any key outside `details/`, otherwise as `create`.
    fn remove(&self, key: &Key) -> Result<(), StoreError>;

    /// Moves an object that does not have its key's content out of the way, to `damaged/`, so that repair can
    /// write the right bytes. Refused when the content is right: nothing whole is ever displaced.
    ///
    /// # Errors
    /// `Conflict` when the object is not damaged or its key says nothing of its content; otherwise as `create`.
    fn displace(&self, key: &Key) -> Result<(), StoreError>;

    /// As `displace`, for an object whose key says nothing of its content: the caller knows the right bytes from what
    /// commits to them, and they are not these.
    ///
    /// # Errors
    /// `Conflict` when the bytes are the right ones, or the key is the marker's or the newest checkpoint's; otherwise as
    /// `create`.
    fn make_way(&self, key: &Key, right: &[u8]) -> Result<(), StoreError>;

    /// Destroys an object of an approved plan for good: every name, version, delete marker and displaced copy of it. `go_on`
    /// is asked before each stored object. Safe to repeat: after an error some are gone.
    ///
    /// # Errors
    /// `Refused` when the warrant does not cover it, `Locked` when the store keeps it, otherwise as `create`.
    fn dispose(
        &self,
        object: &Disposable,
        warrant: &Warrant,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Destroyed, StoreError>;

    /// Until when the store itself keeps an object from everybody; `None`: it does not.
    ///
    /// # Errors
    /// As `read`.
    fn locked_until(&self, key: &Key) -> Result<Option<SystemTime>, StoreError> {
        let _ = key;
        Ok(None)
    }

    /// Sets or clears a legal hold on every version of an object, where the store itself can hold one.
    ///
    /// # Errors
    /// `Permanent` where it cannot, otherwise as `create`.
    fn set_legal_hold(&self, key: &Key, held: bool) -> Result<(), StoreError> {
        let _ = held;
        Err(StoreError::Refused {
            store: self.identity().store.clone(),
            key: key.to_string(),
            reason: "this store cannot hold an object by itself; the collector has to",
        })
    }
}

/// An object being written; dropped without `commit` it leaves nothing.
#[must_use = "an object that is not committed is not stored"]
pub trait ObjectWriter: Send {
    /// Appends a chunk. Nothing is durable yet.
    ///
    /// # Errors
    /// `Full`, `Transient`, `Permanent`.
    fn write(&mut self, chunk: &[u8]) -> Result<(), StoreError>;

    /// Gives the object its name, durably, as `Store::create` does.
    ///
    /// # Errors
    /// As `Store::create`.
    fn commit(self: Box<Self>, key: &Key) -> Result<(), StoreError>;
}

/// What a caller may do about a [`StoreError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorClass {
    /// Other bytes are there: one of two writers lies. Never retried.
    Conflict,
    /// No room: retry when the operator made some.
    Full,
    /// There is no such object.
    NotFound,
    /// The store is broken or the request is wrong.
    Permanent,
    /// Retry after a while.
    Transient,
}

/// A store that did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The key holds other bytes.
    #[error("store {store}: {key} already holds other bytes")]
    Conflict {
        /// Store id.
        store: String,
        /// Key.
        key: String,
    },
    /// It could not be opened at the start.
    #[error("store {store} is away since the start: {why}. Bring it back and restart")]
    Away {
        /// Store id.
        store: String,
        /// Why it could not be opened.
        why: String,
    },
    /// An earlier flush failed: what the kernel still shows may not be on the disk.
    #[error("store {store} is failed since an earlier fsync error; repair the disk and restart")]
    Failed {
        /// Store id.
        store: String,
    },
    /// No room.
    #[error("store {store} is full: {operation} {key}")]
    Full {
        /// Store id.
        store: String,
        /// System call or step.
        operation: &'static str,
        /// Key or path.
        key: String,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The store keeps it from being destroyed.
    #[error("store {store}: {key} is locked{}; it can be destroyed when that has ended", at(until))]
    Locked {
        /// Store id.
        store: String,
        /// Key.
        key: String,
        /// Until when; `None`: it does not say.
        until: Option<SystemTime>,
    },
    /// There is no usable marker; `init` makes one, nothing else does.
    #[error("{path} is not an Exhibit store: {reason}")]
    Marker {
        /// Place of the store.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// No such object.
    #[error("store {store}: no object {key}")]
    NotFound {
        /// Store id.
        store: String,
        /// Key.
        key: String,
    },
    /// Will not get better by waiting.
    #[error("store {store}: {operation} {key}")]
    Permanent {
        /// Store id.
        store: String,
        /// System call or step.
        operation: &'static str,
        /// Key or path.
        key: String,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The request itself is not allowed.
    #[error("store {store}: {key}: {reason}")]
    Refused {
        /// Store id.
        store: String,
        /// Key.
        key: String,
        /// Why.
        reason: &'static str,
    },
    /// May work when tried again.
    #[error("store {store}: {operation} {key}")]
    Transient {
        /// Store id.
        store: String,
        /// System call or step.
        operation: &'static str,
        /// Key or path.
        key: String,
        /// Cause.
        #[source]
        source: io::Error,
    },
}

impl StoreError {
    /// What the caller may do.
    pub fn class(&self) -> StoreErrorClass {
        match self {
            Self::Conflict { .. } => StoreErrorClass::Conflict,
            Self::Full { .. } => StoreErrorClass::Full,
            Self::NotFound { .. } => StoreErrorClass::NotFound,
            Self::Transient { .. } => StoreErrorClass::Transient,
            Self::Away { .. }
            | Self::Failed { .. }
            | Self::Locked { .. }
            | Self::Marker { .. }
            | Self::Permanent { .. }
            | Self::Refused { .. } => StoreErrorClass::Permanent,
        }
    }

    /// Sorts an error of the operating system into a class.
    pub(crate) fn from_io(store: &str, operation: &'static str, key: &str, source: io::Error) -> Self {
        use io::ErrorKind as Kind;
        let (store, key) = (store.to_owned(), key.to_owned());
        match source.kind() {
            Kind::NotFound => Self::NotFound { store, key },
            Kind::StorageFull | Kind::QuotaExceeded => Self::Full { store, operation, key, source },
            Kind::Interrupted
            | Kind::WouldBlock
            | Kind::OutOfMemory
            | Kind::ResourceBusy
            | Kind::TimedOut => Self::Transient { store, operation, key, source },
            // Descriptors run out under load and come back.
            _ if matches!(source.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                Self::Transient { store, operation, key, source }
            }
            _ => Self::Permanent { store, operation, key, source },
        }
    }
}

/// A lock's end for people.
fn at(until: &Option<SystemTime>) -> String {
    let since = until.and_then(|until| until.duration_since(SystemTime::UNIX_EPOCH).ok());
    let time = since.and_then(|since| u64::try_from(since.as_millis()).ok());
    match time.and_then(evidence::time::Time::from_unix_ms) {
        Some(time) => format!(" until {time}"),
        None => " by an Object Lock or a rule of the bucket".to_owned(),
    }
}

#[cfg(test)]
mod servers;
#[cfg(test)]
mod tests;
