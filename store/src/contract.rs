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
/// - *Concurrency*: several threads may call any method at once. If two of them create one key, one wins.
/// - *Blocking*: calls block on the disk; call them only from blocking threads.
pub trait Store: Send + Sync {
    /// The identity in the store's marker.
    fn identity(&self) -> &StoreIdentity;

    /// The failure domain in force: the one that the marker names, or the device if the marker names none.
    fn domain(&self) -> &str;

    /// True if a flush has failed since the start: a read may then return bytes that never became durable.
    fn has_failed(&self) -> bool {
        false
    }

    /// The guarantees of this store. It never claims more than was measured.
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

    /// Opens an object whose key is known only at the end, because the key carries the digest of what
    /// arrives.
    ///
    /// # Errors
    /// As for `create`.
    fn create_writer(&self) -> Result<Box<dyn ObjectWriter>, StoreError>;

    /// Replaces `ledger/checkpoint`, atomically and durably.
    ///
    /// # Errors
    /// As for `create`, but never `Conflict`.
    fn replace_checkpoint(&self, bytes: &[u8]) -> Result<(), StoreError>;

    /// The whole object, at most [`READ_BYTES_MAX`]. Unverified: `Replicas::read` checks digests.
    ///
    /// # Errors
    /// `NotFound`, `Transient`, `Permanent` (also for a longer object).
    fn read(&self, key: &Key) -> Result<Vec<u8>, StoreError>;

    /// Up to `length` bytes from `offset`; fewer only at the object's end.
    ///
    /// # Errors
    /// As for `read`.
    fn read_range(&self, key: &Key, offset: u64, length: u64) -> Result<Vec<u8>, StoreError>;

    /// Length of the object.
    ///
    /// # Errors
    /// As for `read`.
    fn size(&self, key: &Key) -> Result<u64, StoreError>;

    /// Every key below a prefix that ends in `/` (or is empty), sorted.
    ///
    /// # Errors
    /// `Transient`, `Permanent`. A prefix without objects returns an empty list.
    fn list(&self, prefix: &str) -> Result<Vec<Key>, StoreError>;

    /// Erases a detail object, the only kind that can be erased. Succeeds if it is already gone.
    ///
    /// # Errors
    /// `Permanent` for any key outside `details/`, otherwise as `create`.
    fn remove(&self, key: &Key) -> Result<(), StoreError>;

    /// Moves a damaged object to `damaged/`, so that repair can write the right bytes under its key. Damaged
    /// means that its bytes do not match its key. Refuses to move an object whose bytes are right.
    ///
    /// # Errors
    /// `Conflict` if the object is not damaged or its key says nothing about its content; otherwise as for
    /// `create`.
    fn displace(&self, key: &Key) -> Result<(), StoreError>;

    /// As `displace`, for an object whose key says nothing about its content. The caller knows the right
    /// bytes from something that commits to them, and the stored bytes differ.
    ///
    /// # Errors
    /// `Conflict` if the bytes are the right ones, or the key is the marker's or the newest checkpoint's;
    /// otherwise as for `create`.
    fn make_way(&self, key: &Key, right: &[u8]) -> Result<(), StoreError>;

    /// Destroys an object of an approved plan for good: every name, version, delete marker and displaced copy
    /// of it. Calls `go_on` before each stored object. Safe to repeat: after an error, some of them are gone.
    ///
    /// # Errors
    /// `Refused` if the warrant does not cover the object, `Locked` if the store keeps it, otherwise as for
    /// `create`.
    fn dispose(
        &self,
        object: &Disposable,
        warrant: &Warrant,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Destroyed, StoreError>;

    /// The end of the store's own lock on an object; `None` if the object is not locked.
    ///
    /// # Errors
    /// As for `read`.
    fn locked_until(&self, key: &Key) -> Result<Option<SystemTime>, StoreError> {
        let _ = key;
        Ok(None)
    }

    /// Sets or clears a legal hold on every version of an object, if the store itself supports holds.
    ///
    /// # Errors
    /// `Permanent` if the store has no holds, otherwise as for `create`.
    fn set_legal_hold(&self, key: &Key, held: bool) -> Result<(), StoreError> {
        let _ = held;
        Err(StoreError::Refused {
            store: self.identity().store.clone(),
            key: key.to_string(),
            reason: "this store cannot hold an object by itself; the collector has to",
        })
    }
}

/// An object that is being written. If the writer is dropped without `commit`, nothing is left.
#[must_use = "an object that is not committed is not stored"]
pub trait ObjectWriter: Send {
    /// Appends a chunk. Nothing is durable yet.
    ///
    /// # Errors
    /// `Full`, `Transient`, `Permanent`.
    fn write(&mut self, chunk: &[u8]) -> Result<(), StoreError>;

    /// Gives the object its name, durably, with the rules of `Store::create`.
    ///
    /// # Errors
    /// As for `Store::create`.
    fn commit(self: Box<Self>, key: &Key) -> Result<(), StoreError>;
}
