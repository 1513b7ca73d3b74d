//! The contract of a store. `conformance` proves it for each implementation.

use std::time::SystemTime;

use evidence::disposal::Warrant;

use crate::capabilities::Capabilities;
use crate::dispose::{Destroyed, Disposable};
use crate::error::StoreError;
use crate::guarantees::Guarantees;
use crate::identity::StoreIdentity;
use crate::key::Key;

/// Longest object that [`Store::read`] returns whole: 64 MiB, the largest seal. This bounds the memory of one read.
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
    /// The identity in the store's marker.
    fn identity(&self) -> &StoreIdentity;

    /// The failure domain in force: the marker's, or the device when the marker leaves it open.
    fn domain(&self) -> &str;

    /// True when a flush failed since the start: what can be read here may never have become durable.
    fn has_failed(&self) -> bool {
        false
    }

    /// The guarantees of this store, never more than was measured.
    fn guarantees(&self) -> Guarantees;

    /// The measured capabilities of the bucket behind this store; `None` without a bucket, or if it was not measured.
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

    /// The end of the store's own lock on an object; `None` if it is not locked.
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
