//! Stores of evidence and ledger: a flat map from key to bytes, written once (docs/spec/store.md). Guarantee:
//! what [`Store::create`] has acknowledged survives power loss and never changes. Not here: what the bytes
//! mean (crate `evidence`).
//!
//! Trust: a store can lose bytes. It cannot change them unseen: every key except a tile's carries a digest,
//! and the checkpoint commits to the tiles.
//!
//! Features: `buckets` (on by default) adds stores in S3 buckets; without it the programs refuse settings
//! that name a bucket. `faults` adds the test doubles.
#![expect(missing_docs, reason = "a field or variant whose name says everything has no comment")]

mod capabilities;
mod contract;
mod directory;
mod dispose;
mod error;
mod guarantees;
mod identity;
mod key;
mod location;
mod replicas;
#[cfg(feature = "buckets")]
mod s3;
mod s3_settings;
pub mod scrub;
pub mod settings;
mod toml_text;
mod unavailable;

#[cfg(feature = "faults")]
pub mod conformance;
#[cfg(feature = "faults")]
pub mod fault;

pub use capabilities::{Capabilities, LockProof};
pub use contract::{ObjectWriter, READ_BYTES_MAX, Store};
pub use directory::DirectoryStore;
pub use directory::disk::{Disk, DiskFile};
pub use directory::linux::LinuxDisk;
#[cfg(feature = "faults")]
pub use dispose::warrants;
pub use dispose::{Destroyed, Disposable};
pub use error::{StoreError, StoreErrorClass};
pub use evidence::disposal::Warrant;
pub use guarantees::{Durable, Guarantees, Lock, WriteOnce};
pub use identity::{DOMAIN_OF_DEVICE, StoreIdentity};
pub use key::{ContentCheck, Key, KeyError, KeyKind};
pub use location::StoreLocation;
pub use replicas::{
    Degraded, ReplicaError, ReplicaWriter, Replicas, ReplicationPolicy, Wanting, WantingSink, Written,
    count_of_stores,
};
#[cfg(feature = "buckets")]
pub use s3::S3Store;
#[cfg(all(feature = "buckets", feature = "faults"))]
#[doc(hidden)]
pub use s3::bucket as raw_bucket; // tests look at a bucket past the store
pub use s3_settings::{LockMode, Retention, S3Settings};
pub use unavailable::UnavailableStore;
