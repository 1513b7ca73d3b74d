//! The objects that a mirror needs: read from its own store if they are whole there, otherwise fetched from
//! the source.
//!
//! Guarantee: what [`Objects::get`] returns has the digest of its key and is durable in the own store. If the own store lost or
//! damaged an object, the mirror fetches it again and counts that. If the source serves other bytes, the mirror refuses them.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};

use ledger::tile::{TileKind, TilePath};
use ledger::{Tile, TileSource};
use store::{ContentCheck, Key, KeyKind, ReplicaError, Replicas, StoreErrorClass};

use crate::source::{Source, SourceError};

/// The mirror's own store and its source.
pub struct Objects<'a> {
    /// The mirror's own copies.
    pub own: &'a Replicas,
    /// Where missing objects come from; `None` if only the own store counts.
    pub source: Option<&'a dyn Source>,
    /// Number of objects that had to be put back into the own store.
    pub repaired: &'a AtomicU64,
    /// Objects that were fetched for an entry that is not judged yet. They are not stored yet, because an
    /// object whose signatures do not hold must not occupy its key.
    pending: RefCell<Vec<(Key, Vec<u8>)>>,
    /// Read tiles from the source first, because those of the own store did not verify.
    distrust_own: Cell<bool>,
    /// Do not ask the source for texts.
    own_texts: bool,
}

impl<'a> Objects<'a> {
    /// Reads over an own store and a source.
    #[must_use]
    pub fn new(own: &'a Replicas, source: Option<&'a dyn Source>, repaired: &'a AtomicU64) -> Self {
        Self {
            own,
            source,
            repaired,
            pending: RefCell::default(),
            distrust_own: Cell::new(false),
            own_texts: false,
        }
    }

    /// The same, but a text that the own store lacks counts as lost. A replay must not wait for a text that a disposal may have destroyed.
    #[must_use]
    pub(crate) fn with_own_texts(self) -> Self {
        Self { own_texts: true, ..self }
    }

    /// The object, checked against the digest in its key. It becomes durable with
    /// [`Objects::store_pending`].
    pub fn peek(&self, key: &Key) -> Result<Vec<u8>, ObjectError> {
        if let Some((_, bytes)) = self.pending.borrow().iter().find(|(pending, _)| pending == key) {
            return Ok(bytes.clone());
        }
        if let Some(bytes) = self.read_own(key)? {
            return Ok(bytes);
        }
        let bytes = self.fetch(key)?;
        self.pending.borrow_mut().push((key.clone(), bytes.clone()));
        Ok(bytes)
    }

    /// Adds an object that travelled inside an entry to those that become durable.
    pub fn offer(&self, key: Key, bytes: Vec<u8>) {
        self.pending.borrow_mut().push((key, bytes));
    }

    /// Makes the objects that were only peeked at durable.
    pub(crate) fn store_pending(&self) -> Result<(), ObjectError> {
        let pending = self.pending.borrow().clone();
        for (key, bytes) in &pending {
            self.keep(key, bytes)?;
        }
        self.discard_pending();
        Ok(())
    }

    /// Reads something out of tiles: first those of the own store, then, if they do not verify, those of the
    /// source.
    pub fn verified<T, E>(&self, read: impl Fn() -> Result<T, E>) -> Result<T, E> {
        match read() {
            Err(_) if self.source.is_some() => {
                self.distrust_own.set(true);
                let again = read();
                self.distrust_own.set(false);
                again
            }
            first => first,
        }
    }

    /// Forgets the objects that were only peeked at, because their entry broke a rule.
    pub(crate) fn discard_pending(&self) {
        self.pending.borrow_mut().clear();
    }

    /// The object from the own store, if it is whole there.
    fn read_own(&self, key: &Key) -> Result<Option<Vec<u8>>, ObjectError> {
        match self.own.read(key) {
            Ok(bytes) if key.check(&bytes) != ContentCheck::Wrong => Ok(Some(bytes)),
            Err(error) if error.class() == StoreErrorClass::Transient => Err(error.into()),
            _ => Ok(None),
        }
    }

    /// The object, durable and checked against the digest in its key.
    pub fn get(&self, key: &Key) -> Result<Vec<u8>, ObjectError> {
        if let Some(bytes) = self.read_own(key)? {
            return Ok(bytes);
        }
        let bytes = self.fetch(key)?;
        self.keep(key, &bytes)?;
        Ok(bytes)
    }

    /// The object from the source, checked but not kept.
    pub fn fetch(&self, key: &Key) -> Result<Vec<u8>, ObjectError> {
        let is_asked = !(self.own_texts && key.kind() == KeyKind::Detail);
        let Some(source) = self.source.filter(|_| is_asked) else {
            return Err(ObjectError::Lost { key: key.to_string() });
        };
        let bytes = source.fetch(key)?;
        if key.check(&bytes) == ContentCheck::Wrong {
            return Err(ObjectError::Spoiled { key: key.to_string() });
        }
        Ok(bytes)
    }

    /// Makes an object durable. A damaged object under its key is moved away first.
    pub fn keep(&self, key: &Key, bytes: &[u8]) -> Result<(), ObjectError> {
        if !matches!(key.kind(), KeyKind::Tile | KeyKind::StampedCheckpoint) {
            for store in self.own.stores() {
                // The store compares the bytes itself, and moves them only if they are not the key's content.
                if store.size(key).is_ok() && store.displace(key).is_ok() {
                    self.repaired.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(%key, store = store.identity().store, "An object of the own store was damaged; it is replaced");
                }
            }
        }
        match self.own.create(key, bytes) {
            Ok(_) => Ok(()),
            // The first signatures win. This cannot happen for two targets, tiles or evidence objects under
            // one key.
            Err(error) if key.kind() == KeyKind::Document && error.class() == StoreErrorClass::Conflict => {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Reads tiles, wherever they are. The caller keeps the growing edge in memory.
impl TileSource for Objects<'_> {
    type Error = ObjectError;

    fn tile(&self, path: &TilePath) -> Result<Vec<u8>, ObjectError> {
        let key = Key::tile(path);
        if !self.distrust_own.get()
            && let Ok(bytes) = self.own.read(&key)
        {
            return Ok(bytes);
        }
        match self.fetch(&key) {
            Err(ObjectError::Source(SourceError::Missing { .. })) if path.is_partial() => self.cut(path),
            other => other,
        }
    }
}

impl Objects<'_> {
    /// Reads a partial tile out of the full one that replaced it.
    fn cut(&self, path: &TilePath) -> Result<Vec<u8>, ObjectError> {
        let lost = || ObjectError::Lost { key: Key::tile(path).to_string() };
        let full = TilePath::new(path.kind(), path.index(), ledger::tile::TILE_WIDTH).or(Err(lost()))?;
        let bytes = self.fetch(&Key::tile(&full))?;
        match path.kind() {
            TileKind::Hashes(_) => {
                let tile = Tile::decode(&bytes, ledger::tile::TILE_WIDTH).or(Err(lost()))?;
                let hashes = tile.hashes().iter().take(usize::from(path.width())).copied();
                Tile::new(hashes.collect()).map(|tile| tile.encode()).or(Err(lost()))
            }
            TileKind::Entries => {
                let entries =
                    ledger::tile::decode_bundle(&bytes, ledger::tile::TILE_WIDTH).or(Err(lost()))?;
                let entries: Vec<&[u8]> = entries.into_iter().take(usize::from(path.width())).collect();
                ledger::tile::encode_bundle(&entries).or(Err(lost()))
            }
        }
    }
}

/// Why there is no object.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// The own store lacks the object, and nothing else may be asked.
    #[error("the own store lost {key}")]
    Lost { key: String },
    /// The own store failed.
    #[error("the mirror's own store")]
    Own(#[from] ReplicaError),
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The source served other bytes than the key names.
    #[error("the source served other bytes than {key} names")]
    Spoiled { key: String },
}
