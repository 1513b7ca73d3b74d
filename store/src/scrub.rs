//! Reads stored objects again and reports the state of each. The collector's scrub and the mirror's scrub
//! share this.
//!
//! Guarantee: the answer says something about an object only if the store's marker shows that it is the right
//! store. So an unmounted disk does not count as lost objects. Not here: which objects should be there, and
//! what happens to a damaged one (the caller).

mod throttle;

pub use throttle::Throttle;

use crate::contract::Store;
use crate::error::{StoreError, StoreErrorClass};
use crate::key::{ContentCheck, Key};

/// The state of one object on one store.
#[derive(Debug)]
pub enum Found {
    /// The store does not answer, or its marker is not the expected one. Nothing is known about any object.
    Away(StoreError),
    /// The store has other bytes, of this length.
    Damaged(u64),
    /// There is no such object.
    Missing,
    /// The store answers, but cannot read this object.
    Unreadable(StoreError),
    /// The right bytes, of this length.
    Whole(u64),
}

impl Found {
    /// Number of bytes that were read for this.
    #[must_use]
    pub const fn bytes_read(&self) -> u64 {
        match self {
            Self::Damaged(length) | Self::Whole(length) => *length,
            Self::Away(_) | Self::Missing | Self::Unreadable(_) => 0,
        }
    }
}

/// Reads a whole object and checks it against the digest in its key. An object whose key carries no digest
/// counts as whole.
pub fn examine(store: &dyn Store, key: &Key) -> Found {
    examine_by(store, key, &|bytes| key.check(bytes) != ContentCheck::Wrong)
}

/// As [`examine`], for a caller that has another proof of the right bytes, such as the tree above a tile.
pub fn examine_by(store: &dyn Store, key: &Key, is_right: &dyn Fn(&[u8]) -> bool) -> Found {
    let error = match store.read(key) {
        Ok(bytes) if is_right(&bytes) => return Found::Whole(bytes.len() as u64),
        Ok(bytes) => return Found::Damaged(bytes.len() as u64),
        Err(error) => error,
    };
    match store.read(&Key::marker()) {
        Err(away) => Found::Away(away),
        Ok(_) if matches!(error, StoreError::Away { .. } | StoreError::Failed { .. }) => Found::Away(error),
        Ok(_) => match error.class() {
            StoreErrorClass::NotFound => Found::Missing,
            StoreErrorClass::Transient => Found::Away(error),
            _ => Found::Unreadable(error),
        },
    }
}
