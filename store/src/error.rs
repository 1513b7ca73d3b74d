//! The errors of a store. Their classes say what the caller may do.

use std::io;
use std::time::SystemTime;

/// The caller's options after a [`StoreError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorClass {
    /// The key holds other bytes, so one of two writers lies. Never retry.
    Conflict,
    /// The store is full: retry after the operator has made room.
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
    Conflict { store: String, key: String },
    /// The store could not be opened at the start.
    #[error("store {store} is away since the start: {why}. Bring it back and restart")]
    Away {
        store: String,
        /// Why the store could not be opened.
        why: String,
    },
    /// An earlier flush failed. What the kernel still shows may not be on the disk.
    #[error("store {store} is failed since an earlier fsync error; repair the disk and restart")]
    Failed { store: String },
    /// The store has no room.
    #[error("store {store} is full: {operation} {key}")]
    Full {
        store: String,
        /// System call or step.
        operation: &'static str,
        /// Key or path.
        key: String,
        #[source]
        source: io::Error,
    },
    /// The store refuses to let the object be destroyed.
    #[error("store {store}: {key} is locked{}; it can be destroyed when that has ended", at(until))]
    Locked {
        store: String,
        key: String,
        /// When the lock ends; `None` if the store does not say.
        until: Option<SystemTime>,
    },
    /// There is no usable marker. Only `init` makes one.
    #[error("{path} is not an Exhibit store: {reason}")]
    Marker {
        /// Place of the store.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// There is no such object.
    #[error("store {store}: no object {key}")]
    NotFound { store: String, key: String },
    /// Waiting will not help.
    #[error("store {store}: {operation} {key}")]
    Permanent {
        store: String,
        /// System call or step.
        operation: &'static str,
        /// Key or path.
        key: String,
        #[source]
        source: io::Error,
    },
    /// The request itself is not allowed.
    #[error("store {store}: {key}: {reason}")]
    Refused { store: String, key: String, reason: &'static str },
    /// A retry may succeed.
    #[error("store {store}: {operation} {key}")]
    Transient {
        store: String,
        /// System call or step.
        operation: &'static str,
        /// Key or path.
        key: String,
        #[source]
        source: io::Error,
    },
}

impl StoreError {
    /// The class of the error.
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
            // Descriptors can run out under load; they become free again.
            _ if matches!(source.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                Self::Transient { store, operation, key, source }
            }
            _ => Self::Permanent { store, operation, key, source },
        }
    }
}

/// A lock's end, as text for people.
fn at(until: &Option<SystemTime>) -> String {
    let since = until.and_then(|until| until.duration_since(SystemTime::UNIX_EPOCH).ok());
    let time = since.and_then(|since| u64::try_from(since.as_millis()).ok());
    match time.and_then(evidence::time::Time::from_unix_ms) {
        Some(time) => format!(" until {time}"),
        None => " by an Object Lock or a rule of the bucket".to_owned(),
    }
}
