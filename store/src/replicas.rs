//! Several stores together: a write goes to all of them in parallel, a read goes to the next store when bytes
//! are wrong. Guarantee: [`Written`] says how many stores hold the object durably and whether they can fail
//! together. If there are fewer than the policy asks for, the policy decides between going on (`degraded`)
//! and refusing. Not here: when missing copies are made (the collector's repair).

use std::sync::Arc;

use crate::contract::{ObjectWriter, Store};
use crate::error::{StoreError, StoreErrorClass};
use crate::key::{ContentCheck, Key};

/// What to do if fewer stores than `copies` can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Degraded {
    /// Continue with at least one copy, report it everywhere, and repair later.
    Accept,
    /// Refuse. The sender waits and retries.
    Wait,
}

/// How many copies an acknowledgement stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicationPolicy {
    /// How many stores must hold an object; default 2.
    pub copies: usize,
    /// What to do if that many cannot hold it.
    pub degraded: Degraded,
}

impl Default for ReplicationPolicy {
    fn default() -> Self {
        Self { copies: 2, degraded: Degraded::Accept }
    }
}

impl ReplicationPolicy {
    /// `copies` as rows and messages count them.
    #[must_use]
    pub fn copies_wanted(&self) -> u32 {
        count_of_stores(self.copies)
    }
}

/// A number of stores as rows and messages count them.
#[must_use]
#[expect(clippy::expect_used, reason = "settings name a handful of stores")]
pub fn count_of_stores(stores: usize) -> u32 {
    u32::try_from(stores).expect("a handful")
}

/// The copies of an object that are stored now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Stores that hold it durably.
    pub copies: u32,
    /// True if the copies are fewer than the policy asks for.
    pub degraded: bool,
    /// True if at least two of the stores do not share a failure domain.
    pub independent: bool,
}

impl Written {
    /// The result for two objects together: the weaker of the two in each field.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            copies: self.copies.min(other.copies),
            degraded: self.degraded || other.degraded,
            independent: self.independent && other.independent,
        }
    }
}

/// What is wrong with an object on a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanting {
    /// The store has other bytes under the key.
    Damaged,
    /// The store does not have the object.
    Missing,
}

/// Is told of every replica that should exist and does not.
///
/// Contract: must not fail and should not block long. If it forgets a replica, `scan_for_missing` finds it
/// again.
pub trait WantingSink: Send + Sync {
    /// `store` lacks a right replica of `key`.
    fn wanting(&self, store: &str, key: &Key, wanting: Wanting);
}

/// All stores of a deployment.
#[derive(Clone)]
pub struct Replicas {
    stores: Vec<Arc<dyn Store>>,
    /// Stores that are being drained. They are read only if no other store has the object, and they are
    /// neither written nor counted.
    leaving: Vec<Arc<dyn Store>>,
    policy: ReplicationPolicy,
    sink: Arc<dyn WantingSink>,
}

impl Replicas {
    /// Stores in order of preference for reads.
    pub fn new(stores: Vec<Arc<dyn Store>>, policy: ReplicationPolicy, sink: Arc<dyn WantingSink>) -> Self {
        Self { stores, leaving: Vec::new(), policy, sink }
    }

    /// The same, with the stores that are being drained last.
    #[must_use]
    pub fn with_leaving(mut self, leaving: Vec<Arc<dyn Store>>) -> Self {
        self.leaving = leaving;
        self
    }

    /// Stores that are being drained.
    pub fn leaving(&self) -> &[Arc<dyn Store>] {
        &self.leaving
    }

    /// The stores, in order.
    pub fn stores(&self) -> &[Arc<dyn Store>] {
        &self.stores
    }

    /// The policy in force.
    pub fn policy(&self) -> ReplicationPolicy {
        self.policy
    }

    /// Copies and independence when every store works.
    pub fn at_best(&self) -> Written {
        self.describe(&self.stores.iter().collect::<Vec<_>>())
    }

    /// Writes an object to every store.
    ///
    /// # Errors
    /// `Conflict` if any store holds other bytes under the key; `TooFewCopies` if the policy is not met. A
    /// retry is safe.
    pub fn create(&self, key: &Key, bytes: &[u8]) -> Result<Written, ReplicaError> {
        let results = self.each(|store| store.create(key, bytes));
        self.judge_copies(key, results)
    }

    /// Writes a signed object. If several have the same document, the first one wins. Returns the bytes that
    /// are stored.
    ///
    /// # Errors
    /// As for `create`; `Conflict` if the key holds another *document*, or if `bytes` do not belong to that
    /// key.
    pub fn create_signed(&self, key: &Key, bytes: &[u8]) -> Result<(Written, Vec<u8>), ReplicaError> {
        if key.check(bytes) != ContentCheck::Right {
            return Err(ReplicaError::Conflict { store: "(the request)".to_owned(), key: key.to_string() });
        }
        // Every store must end with the same signatures. So if one store already has some, those go to all
        // stores.
        let first = match self.read(key) {
            Ok(stored) => stored,
            Err(ReplicaError::Unreadable { .. }) => bytes.to_vec(),
            Err(other) => return Err(other),
        };
        match self.create(key, &first) {
            Err(ReplicaError::Conflict { .. }) => {
                // Another writer was faster: its bytes now count as the first.
                let first = self.read(key)?;
                Ok((self.create(key, &first)?, first))
            }
            result => Ok((result?, first)),
        }
    }

    /// Opens an object whose key is known only at the end, on every store.
    ///
    /// # Errors
    /// `TooFewCopies` if the policy can no longer be met.
    pub fn create_writer(&self) -> Result<ReplicaWriter<'_>, ReplicaError> {
        let lanes = self.stores.iter().map(|store| store.create_writer()).collect();
        let writer = ReplicaWriter { replicas: self, lanes };
        writer.check_hope()?;
        Ok(writer)
    }

    /// The object's bytes from the first store that has the right ones.
    ///
    /// # Errors
    /// `Unreadable` if no store has them.
    pub fn read(&self, key: &Key) -> Result<Vec<u8>, ReplicaError> {
        self.read_checked(key, |bytes| key.check(bytes) != ContentCheck::Wrong)
    }

    /// As `read`, for bytes that the caller can check better than the key can (tiles).
    ///
    /// # Errors
    /// `Unreadable` if no store has bytes that pass the check.
    pub fn read_checked(&self, key: &Key, is_right: impl Fn(&[u8]) -> bool) -> Result<Vec<u8>, ReplicaError> {
        let mut failures = Vec::new();
        for store in self.stores.iter().chain(&self.leaving) {
            match store.read(key) {
                Ok(bytes) if is_right(&bytes) => return Ok(bytes),
                Ok(_) => {
                    // Do not repair a draining store. The other stores get its objects.
                    if !self.leaving.iter().any(|leaving| Arc::ptr_eq(leaving, store)) {
                        self.sink.wanting(&store.identity().store, key, Wanting::Damaged);
                    }
                    let store = store.identity().store.clone();
                    failures.push(StoreError::Conflict { store, key: key.to_string() });
                }
                Err(error) => {
                    failures.push(error);
                }
            }
        }
        Err(ReplicaError::Unreadable { key: key.to_string(), failures })
    }

    /// Keys below a prefix on any store, sorted. A store that cannot be listed is skipped, as long as another
    /// one can.
    ///
    /// # Errors
    /// `Unreadable` if no store can be listed.
    pub fn list(&self, prefix: &str) -> Result<Vec<Key>, ReplicaError> {
        let (mut keys, mut failures) = (Vec::new(), Vec::new());
        for store in self.stores.iter().chain(&self.leaving) {
            match store.list(prefix) {
                Ok(found) => keys.extend(found),
                Err(error) => failures.push(error),
            }
        }
        if failures.len() == self.stores.len() + self.leaving.len() {
            return Err(ReplicaError::Unreadable { key: prefix.to_owned(), failures });
        }
        keys.sort();
        keys.dedup();
        Ok(keys)
    }

    /// Counts the stores that hold an object of known length, without reading it. A store with a failed flush
    /// does not count: a name that can be read there may never have reached the disk.
    pub fn copies_of(&self, key: &Key, length: u64) -> Written {
        let holders: Vec<_> = self
            .stores
            .iter()
            .filter(|store| !store.has_failed() && store.size(key).ok() == Some(length))
            .collect();
        self.describe(&holders)
    }

    /// Runs the same call on every store at once. A flush takes milliseconds; starting a thread takes tens of
    /// microseconds.
    fn each(
        &self,
        call: impl Fn(&dyn Store) -> Result<(), StoreError> + Sync,
    ) -> Vec<Result<(), StoreError>> {
        match self.stores.as_slice() {
            [only] => vec![call(only.as_ref())],
            stores => std::thread::scope(|scope| {
                let call = &call;
                let threads: Vec<_> =
                    stores.iter().map(|store| scope.spawn(move || call(store.as_ref()))).collect();
                threads
                    .into_iter()
                    .zip(stores)
                    .map(|(thread, store)| joined(thread, store.as_ref()))
                    .collect()
            }),
        }
    }

    fn judge_copies(&self, key: &Key, results: Vec<Result<(), StoreError>>) -> Result<Written, ReplicaError> {
        let (mut holders, mut failures) = (Vec::new(), Vec::new());
        for (store, result) in self.stores.iter().zip(results) {
            match result {
                Ok(()) => holders.push(store),
                Err(StoreError::Conflict { store, key }) => {
                    return Err(ReplicaError::Conflict { store, key });
                }
                Err(error) => failures.push((store, error)),
            }
        }
        let written = self.describe(&holders);
        // Requires at least one holder. Without any, nothing can be repaired and the sender must retry.
        if !holders.is_empty() {
            for (store, _) in &failures {
                self.sink.wanting(&store.identity().store, key, Wanting::Missing);
            }
        }
        let enough = !holders.is_empty() && (!written.degraded || self.policy.degraded == Degraded::Accept);
        if enough {
            return Ok(written);
        }
        let failures = failures.into_iter().map(|(_, error)| error).collect();
        let (key, needed) = (key.to_string(), self.policy.copies);
        Err(ReplicaError::TooFewCopies { key, written: holders.len(), needed, failures })
    }

    fn describe(&self, holders: &[&Arc<dyn Store>]) -> Written {
        let mut domains: Vec<&str> = holders.iter().map(|store| store.domain()).collect();
        domains.sort_unstable();
        domains.dedup();
        Written {
            copies: count_of_stores(holders.len()),
            degraded: holders.len() < self.policy.copies,
            independent: domains.len() >= 2,
        }
    }
}

fn joined(
    thread: std::thread::ScopedJoinHandle<'_, Result<(), StoreError>>,
    store: &dyn Store,
) -> Result<(), StoreError> {
    // If a store panics, its state is unknown. Treat it like a store that failed.
    thread.join().unwrap_or_else(|_| Err(StoreError::Failed { store: store.identity().store.clone() }))
}

/// An object that is being written to every store.
#[must_use = "an object that is not committed is not stored"]
pub struct ReplicaWriter<'replicas> {
    replicas: &'replicas Replicas,
    lanes: Vec<Result<Box<dyn ObjectWriter>, StoreError>>,
}

impl ReplicaWriter<'_> {
    /// Appends a chunk on every store. After a store fails, this object no longer uses it.
    ///
    /// # Errors
    /// `TooFewCopies` if the policy can no longer be met.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), ReplicaError> {
        for lane in &mut self.lanes {
            if let Ok(writer) = lane
                && let Err(error) = writer.write(chunk)
            {
                *lane = Err(error);
            }
        }
        self.check_hope()
    }

    /// Makes the object durable everywhere, in parallel.
    pub fn commit(self, key: &Key) -> Result<Written, ReplicaError> {
        let Self { replicas, lanes } = self;
        let results = std::thread::scope(|scope| {
            let threads: Vec<_> = lanes
                .into_iter()
                .map(|lane| scope.spawn(move || lane.and_then(|writer| writer.commit(key))))
                .collect();
            let stores = &replicas.stores;
            threads.into_iter().zip(stores).map(|(thread, store)| joined(thread, store.as_ref())).collect()
        });
        replicas.judge_copies(key, results)
    }

    fn check_hope(&self) -> Result<(), ReplicaError> {
        let alive = self.lanes.iter().filter(|lane| lane.is_ok()).count();
        let policy = self.replicas.policy;
        let needed = if policy.degraded == Degraded::Accept { 1 } else { policy.copies };
        if alive >= needed {
            return Ok(());
        }
        let failures =
            self.lanes.iter().filter_map(|lane| lane.as_ref().err().map(StoreError::again)).collect();
        Err(ReplicaError::TooFewCopies {
            key: "(being written)".to_owned(),
            written: alive,
            needed,
            failures,
        })
    }
}

impl StoreError {
    /// A copy of an error, for a second report. The cause is kept as its number or its text.
    fn again(&self) -> Self {
        let same = |source: &std::io::Error| match source.raw_os_error() {
            Some(number) => std::io::Error::from_raw_os_error(number),
            None => std::io::Error::new(source.kind(), source.to_string()),
        };
        match self {
            Self::Away { store, why } => Self::Away { store: store.clone(), why: why.clone() },
            Self::Conflict { store, key } => Self::Conflict { store: store.clone(), key: key.clone() },
            Self::Failed { store } => Self::Failed { store: store.clone() },
            Self::Full { store, operation, key, source } => {
                Self::Full { store: store.clone(), operation, key: key.clone(), source: same(source) }
            }
            Self::Locked { store, key, until } => {
                Self::Locked { store: store.clone(), key: key.clone(), until: *until }
            }
            Self::Marker { path, reason } => Self::Marker { path: path.clone(), reason: reason.clone() },
            Self::NotFound { store, key } => Self::NotFound { store: store.clone(), key: key.clone() },
            Self::Permanent { store, operation, key, source } => {
                Self::Permanent { store: store.clone(), operation, key: key.clone(), source: same(source) }
            }
            Self::Refused { store, key, reason } => {
                Self::Refused { store: store.clone(), key: key.clone(), reason }
            }
            Self::Transient { store, operation, key, source } => {
                Self::Transient { store: store.clone(), operation, key: key.clone(), source: same(source) }
            }
        }
    }
}

/// Why the stores together did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplicaError {
    /// A store holds other bytes under the key.
    #[error("store {store}: {key} already holds other bytes")]
    Conflict { store: String, key: String },
    /// The policy asks for more copies than could be written.
    #[error("{key}: {written} of {needed} copies; {}", list(failures))]
    TooFewCopies {
        key: String,
        /// Number of copies that exist.
        written: usize,
        /// Number of copies that the policy asks for.
        needed: usize,
        /// What each failed store reported.
        failures: Vec<StoreError>,
    },
    /// No store returned the right bytes.
    #[error("{key}: no store has it whole; {}", list(failures))]
    Unreadable {
        key: String,
        /// What each store reported.
        failures: Vec<StoreError>,
    },
}

impl ReplicaError {
    /// The class of the error.
    pub fn class(&self) -> StoreErrorClass {
        let (Self::TooFewCopies { failures, .. } | Self::Unreadable { failures, .. }) = self else {
            return StoreErrorClass::Conflict;
        };
        let any = |class| failures.iter().any(|failure| failure.class() == class);
        if !failures.is_empty() && failures.iter().all(|failure| failure.class() == StoreErrorClass::NotFound)
        {
            StoreErrorClass::NotFound
        } else if any(StoreErrorClass::Full) {
            StoreErrorClass::Full
        } else if any(StoreErrorClass::Transient) {
            StoreErrorClass::Transient
        } else {
            StoreErrorClass::Permanent
        }
    }
}

fn list(failures: &[StoreError]) -> String {
    failures
        .iter()
        .map(|failure| match std::error::Error::source(failure) {
            Some(source) => format!("{failure}: {source}"),
            None => failure.to_string(),
        })
        .collect::<Vec<_>>()
        .join("; ")
}
