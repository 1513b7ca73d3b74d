//! Reads stored objects again and says what became of each. The collector's scrub and the mirror's share this.
//!
//! Guarantee: the answer names an object only if the store answers as itself, by its marker. So a disk that is not mounted has lost
//! nothing. Not here: which objects should be there, and what happens to a damaged one (the caller).

mod throttle;

pub use throttle::Throttle;

use crate::contract::Store;
use crate::error::{StoreError, StoreErrorClass};
use crate::key::{ContentCheck, Key};

/// What became of one object on one store.
#[derive(Debug)]
pub enum Found {
    /// The store does not answer, or not as itself: nothing is known of any object.
    Away(StoreError),
    /// Other bytes, of this length.
    Damaged(u64),
    /// There is no such object.
    Missing,
    /// The store answers, but cannot read this object.
    Unreadable(StoreError),
    /// The right bytes, of this length.
    Whole(u64),
}

impl Found {
    /// Bytes that were read to find out.
    #[must_use]
    pub const fn bytes_read(&self) -> u64 {
        match self {
            Self::Damaged(length) | Self::Whole(length) => *length,
            Self::Away(_) | Self::Missing | Self::Unreadable(_) => 0,
        }
    }
}

/// Reads an object whole and judges it by the digest in its key. An object whose key has none counts as whole.
pub fn examine(store: &dyn Store, key: &Key) -> Found {
    examine_by(store, key, &|bytes| key.check(bytes) != ContentCheck::Wrong)
}

/// As [`examine`], for a caller who has another proof of the right bytes, such as the tree above a tile.
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
