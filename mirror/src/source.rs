//! Where a mirror's bytes come from: a collector, or a store that the collector writes to. The mirror trusts neither.

use std::sync::Arc;

use evidence::causes::chain;
use store::{Key, Store, StoreErrorClass};

/// Gives out objects by key.
///
/// Contract: `fetch` blocks. It returns unchecked bytes, at most [`store::READ_BYTES_MAX`].
pub trait Source: Send + Sync {
    /// The whole object.
    ///
    /// # Errors
    /// `Missing`: the object does not exist. `Away`: ask again later.
    fn fetch(&self, key: &Key) -> Result<Vec<u8>, SourceError>;
}

/// Why there is no object.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The source does not answer, or does not answer with an object.
    #[error("fetch {key}: {why}")]
    Away {
        /// The requested key.
        key: String,
        why: String,
    },
    /// The source has the object, but none of its copies is whole.
    #[error("no copy of {key} at the source is whole")]
    Damaged {
        /// The requested key.
        key: String,
    },
    /// The source has no such object.
    #[error("the source has no {key}")]
    Missing {
        /// The requested key.
        key: String,
    },
}

/// A store that is read in place: a directory or bucket that the collector writes to.
pub struct StoreSource(pub Arc<dyn Store>);

impl Source for StoreSource {
    fn fetch(&self, key: &Key) -> Result<Vec<u8>, SourceError> {
        self.0.read(key).map_err(|error| match error.class() {
            // A place that lost its marker is not mounted. That it returns nothing says nothing about any
            // object.
            StoreErrorClass::NotFound if self.0.read(&Key::marker()).is_ok() => {
                SourceError::Missing { key: key.to_string() }
            }
            _ => SourceError::Away { key: key.to_string(), why: chain(&error) },
        })
    }
}

impl<S: Source + ?Sized> Source for Arc<S> {
    fn fetch(&self, key: &Key) -> Result<Vec<u8>, SourceError> {
        (**self).fetch(key)
    }
}
