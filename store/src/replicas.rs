//! Several stores together: a write goes to all of them in parallel, a read goes to the next when bytes are wrong.
//! Guarantee: [`Written`] says how many stores hold the object durably and whether they can fail together. If there are fewer than
//! the policy asks for, the policy decides between going on (`degraded`) and refusing.
//! Not here: when missing copies are made (the collector's repair).

use std::sync::Arc;

use crate::contract::{ObjectWriter, Store};
use crate::error::{StoreError, StoreErrorClass};
use crate::key::{ContentCheck, Key};

/// What to do when fewer stores than `copies` can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Degraded {
    /// Go on with at least one copy, say so everywhere, repair later.
    Accept,
    /// Refuse: the sender waits and retries.
    Wait,
}

/// How many copies an acknowledgement stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicationPolicy {
    /// Stores that must hold an object, default 2.
    pub copies: usize,
    /// When they cannot.
    pub degraded: Degraded,
}

impl Default for ReplicationPolicy {
    fn default() -> Self {
        Self { copies: 2, degraded: Degraded::Accept }
    }
}

/// Where an object is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Stores that hold it durably.
    pub copies: u32,
    /// Fewer than policy asks.
    pub degraded: bool,
    /// At least two of them do not share a failure domain.
    pub independent: bool,
}

impl Written {
    /// What holds for two objects together: the weaker of each.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            copies: self.copies.min(other.copies),
            degraded: self.degraded || other.degraded,
            independent: self.independent && other.independent,
        }
    }
}

/// Why a store is wanting an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanting {
    /// It has bytes that are not the right ones.
    Damaged,
    /// It does not have it.
    Missing,
}

/// Hears of every replica that should be there and is not.
///
/// Contract: must not fail and should not block long; what it forgets, `scan_for_missing` finds again.
pub trait WantingSink: Send + Sync {
    /// `store` is wanting `key`.
    fn wanting(&self, store: &str, key: &Key, wanting: Wanting);
}

/// All stores of a deployment.
#[derive(Clone)]
pub struct Replicas {
    stores: Vec<Arc<dyn Store>>,
    /// Stores being drained: read when nothing else has it, never written, never counted.
    leaving: Vec<Arc<dyn Store>>,
    policy: ReplicationPolicy,
    sink: Arc<dyn WantingSink>,
}

impl Replicas {
    /// Stores in order of preference for reads.
    pub fn new(stores: Vec<Arc<dyn Store>>, policy: ReplicationPolicy, sink: Arc<dyn WantingSink>) -> Self {
        Self { stores, leaving: Vec::new(), policy, sink }
    }

    /// The same, with stores that are being drained behind.
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
    /// `Conflict` when any store holds other bytes under the key; `TooFewCopies` when policy is not met. Retry is safe.
    pub fn create(&self, key: &Key, bytes: &[u8]) -> Result<Written, ReplicaError> {
        let results = self.each(|store| store.create(key, bytes));
        self.judge_copies(key, results)
    }

    /// Writes a signed object: of several with the same document the first wins. Returns the bytes that are stored.
    ///
    /// # Errors
    /// As `create`; `Conflict` when the key holds another *document*, or `bytes` are not of that key.
    pub fn create_signed(&self, key: &Key, bytes: &[u8]) -> Result<(Written, Vec<u8>), ReplicaError> {
        if key.check(bytes) != ContentCheck::Right {
            return Err(ReplicaError::Conflict { store: "(the request)".to_owned(), key: key.to_string() });
        }
        // Every store must end with the same signatures, so what one already has goes to all.
        let first = match self.read(key) {
            Ok(stored) => stored,
            Err(ReplicaError::Unreadable { .. }) => bytes.to_vec(),
            Err(other) => return Err(other),
        };
        match self.create(key, &first) {
            Err(ReplicaError::Conflict { .. }) => {
                // Another writer came between: its bytes are the first now.
                let first = self.read(key)?;
                Ok((self.create(key, &first)?, first))
            }
            result => Ok((result?, first)),
        }
    }

    /// Opens an object on every store whose key is known at the end.
    ///
    /// # Errors
    /// `TooFewCopies` when policy cannot be met any more.
    pub fn create_writer(&self) -> Result<ReplicaWriter<'_>, ReplicaError> {
        let lanes = self.stores.iter().map(|store| store.create_writer()).collect();
        let writer = ReplicaWriter { replicas: self, lanes };
        writer.check_hope()?;
        Ok(writer)
    }

    /// The object's bytes from the first store that has them right.
    ///
    /// # Errors
    /// `Unreadable` when no store has them.
    pub fn read(&self, key: &Key) -> Result<Vec<u8>, ReplicaError> {
        self.read_checked(key, |bytes| key.check(bytes) != ContentCheck::Wrong)
    }

    /// As `read`, for bytes that the caller can check better than the key (tiles).
    ///
    /// # Errors
    /// `Unreadable` when no store has bytes that pass.
    pub fn read_checked(&self, key: &Key, is_right: impl Fn(&[u8]) -> bool) -> Result<Vec<u8>, ReplicaError> {
        let mut failures = Vec::new();
        for store in self.stores.iter().chain(&self.leaving) {
            match store.read(key) {
                Ok(bytes) if is_right(&bytes) => return Ok(bytes),
                Ok(_) => {
                    // A draining store is not mended. The others get its objects.
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

    /// Keys below a prefix on any store, sorted. A store that cannot be listed is left out as long as one can.
    ///
    /// # Errors
    /// `Unreadable` when no store can be listed.
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

    /// Counts where an object of known length is, without reading it. A store that failed a flush counts for nothing:
    /// a name that can be read there may never have reached the disk.
    pub fn copies_of(&self, key: &Key, length: u64) -> Written {
        let holders: Vec<_> = self
            .stores
            .iter()
            .filter(|store| !store.has_failed() && store.size(key).ok() == Some(length))
            .collect();
        self.describe(&holders)
    }

    /// Runs the same call on every store at once. A flush takes milliseconds, a thread tens of microseconds.
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
        // At least one holder: without any there is nothing to repair from, and the sender retries.
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
        #[expect(clippy::expect_used, reason = "settings name a handful of stores")]
        Written {
            copies: u32::try_from(holders.len()).expect("a handful"),
            degraded: holders.len() < self.policy.copies,
            independent: domains.len() >= 2,
        }
    }
}

fn joined(
    thread: std::thread::ScopedJoinHandle<'_, Result<(), StoreError>>,
    store: &dyn Store,
) -> Result<(), StoreError> {
    // A panicking store has an unknown state, as a failed one has.
    thread.join().unwrap_or_else(|_| Err(StoreError::Failed { store: store.identity().store.clone() }))
}

/// One object being written to every store.
#[must_use = "an object that is not committed is not stored"]
pub struct ReplicaWriter<'replicas> {
    replicas: &'replicas Replicas,
    lanes: Vec<Result<Box<dyn ObjectWriter>, StoreError>>,
}

impl ReplicaWriter<'_> {
    /// Appends a chunk everywhere. A store that fails is given up for this object.
    ///
    /// # Errors
    /// `TooFewCopies` when policy cannot be met any more.
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
    /// The same error once more, for a second report. The cause is kept as its number, or as its text.
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

/// The stores together did not do the request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplicaError {
    /// A store holds other bytes under the key.
    #[error("store {store}: {key} already holds other bytes")]
    Conflict {
        /// Store id.
        store: String,
        /// Key.
        key: String,
    },
    /// Policy asks for more copies than could be written.
    #[error("{key}: {written} of {needed} copies; {}", list(failures))]
    TooFewCopies {
        /// Key.
        key: String,
        /// Copies there are.
        written: usize,
        /// Copies policy asks for.
        needed: usize,
        /// What each other store said.
        failures: Vec<StoreError>,
    },
    /// No store gave the right bytes.
    #[error("{key}: no store has it whole; {}", list(failures))]
    Unreadable {
        /// Key.
        key: String,
        /// What each store said.
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
