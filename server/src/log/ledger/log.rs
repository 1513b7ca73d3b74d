//! The published log for readers: entries, proofs, checkpoints.
//! Guarantee: every answer was verified against the published root. The reader skips a store with damaged tiles.

use std::sync::Arc;

use evidence::length::to_usize;
use evidence::log_key::LogKeys;
use ledger::tile::{TileKind, TilePath, TileReadError};
use ledger::{AuthenticatedReader, Hash, Note, ProofFile, TileReader, VerifierKey, leaf_hash, proof};
use store::{Replicas, Store};
use tokio::sync::watch;

use super::tiles::{StoreTiles, TileFetchError};

/// A checkpoint that is on the stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Number of entries that it covers.
    pub size: u64,
    /// Root of its tree.
    pub root: Hash,
    /// The signed note; empty before the first entry.
    pub note: Arc<[u8]>,
}

/// Reads the published log. Clones share the view. All methods block on disks, except `published` and the two that wait.
#[derive(Clone)]
pub struct Log {
    replicas: Replicas,
    newest: watch::Receiver<Published>,
    keys: Arc<LogKeys>,
}

impl Log {
    pub(super) fn new(replicas: Replicas, newest: watch::Receiver<Published>, keys: LogKeys) -> Self {
        Self { replicas, newest, keys: Arc::new(keys) }
    }

    /// The log's public key.
    pub fn verifier_key(&self) -> &VerifierKey {
        self.keys.current()
    }

    /// All keys that the log has had.
    pub fn keys(&self) -> &LogKeys {
        &self.keys
    }

    /// The newest checkpoint on the stores.
    pub fn published(&self) -> Published {
        self.newest.borrow().clone()
    }

    /// Waits until at least `size` entries are published. `None`: the sequencer has ended.
    pub async fn wait_until_covered(&self, size: u64) -> Option<Published> {
        let mut newest = self.newest.clone();
        let covering = newest.wait_for(|published| published.size >= size).await;
        covering.ok().map(|published| published.clone())
    }

    /// Waits until more than `size` entries are published. `None`: the sequencer has ended.
    pub async fn wait_for_growth(&self, size: u64) -> Option<Published> {
        let mut newest = self.newest.clone();
        let grown = newest.wait_for(|published| published.size > size).await;
        grown.ok().map(|published| published.clone())
    }

    /// The bytes of one entry.
    ///
    /// # Errors
    /// `OutsideLog` if `index` is not published; another error if no store has the entry whole.
    pub fn entry(&self, index: u64) -> Result<Vec<u8>, LogError> {
        let bundle = self.bundle(&self.published(), index)?;
        let place = usize::try_from(index & 0xff).ok();
        place.and_then(|place| bundle.get(place).cloned()).ok_or(LogError::OutsideLog { index })
    }

    /// Returns entries from `start` on: at most `limit`, and at most one bundle. Ask again from the end of the answer.
    ///
    /// # Errors
    /// `OutsideLog` if `start` is not published; another error if no store has the entries whole.
    pub fn entries(&self, start: u64, limit: usize) -> Result<Vec<Vec<u8>>, LogError> {
        let bundle = self.bundle(&self.published(), start)?;
        let place = to_usize(start & 0xff);
        Ok(bundle.into_iter().skip(place).take(limit).collect())
    }

    /// The `.tlog-proof` of an entry under the newest checkpoint.
    ///
    /// # Errors
    /// `OutsideLog` if `index` is not published; another error if no store proves the entry.
    pub fn prove(&self, index: u64) -> Result<Vec<u8>, LogError> {
        let published = self.published();
        let entry = self.entry(index)?;
        self.proofs(&published, &[(index, leaf_hash(&entry))])?.pop().ok_or(LogError::OutsideLog { index })
    }

    /// An entry with its proof.
    pub fn entry_with_proof(&self, index: u64) -> Result<(Vec<u8>, Vec<u8>), LogError> {
        let published = self.published();
        let entry = self.entry(index)?;
        let proof = self.proofs(&published, &[(index, leaf_hash(&entry))])?.pop();
        Ok((entry, proof.ok_or(LogError::OutsideLog { index })?))
    }

    /// The proof that the newest checkpoint continues the log of `old_size`, with the checkpoint that it leads to.
    ///
    /// # Errors
    /// `OutsideLog` if `old_size` is above the published size; another error if no store proves it.
    pub fn consistency(&self, old_size: u64) -> Result<(Vec<Hash>, Published), LogError> {
        let published = self.published();
        self.consistency_between(old_size, published.size).map(|hashes| (hashes, published))
    }

    /// The proof that the log of `new_size` continues the log of `old_size`.
    ///
    /// # Errors
    /// `OutsideLog` if a size is above the published one; another error if no store proves it.
    pub fn consistency_between(&self, old_size: u64, new_size: u64) -> Result<Vec<Hash>, LogError> {
        let published = self.published();
        if old_size > new_size || new_size > published.size {
            return Err(LogError::OutsideLog { index: old_size.max(new_size) });
        }
        if old_size == 0 || old_size == new_size {
            return Ok(Vec::new());
        }
        self.at_any_store(|store| {
            // The reader authenticates the edge and each tile on the way down, so the proof holds.
            let reader = AuthenticatedReader::new(StoreTiles::new(store), published.size, &published.root)?;
            proof::consistency_proof(&reader, old_size, new_size).map_err(|error| match error {
                proof::ProveError::Read(error) => error,
                _ => TileReadError::OutsideTree { level: 0, index: old_size, size: new_size },
            })
        })
    }

    /// Proofs of several leaves under one checkpoint. Reads each tile once.
    pub(super) fn proofs(
        &self,
        published: &Published,
        leaves: &[(u64, Hash)],
    ) -> Result<Vec<Vec<u8>>, LogError> {
        let note = Note::parse(&published.note).or(Err(LogError::Empty))?;
        self.at_any_store(|store| {
            let tiles = StoreTiles::new(store);
            let reader = TileReader::new(&tiles, published.size);
            let prove = |(index, leaf): &(u64, Hash)| {
                let outside = TileReadError::OutsideTree { level: 0, index: *index, size: published.size };
                let hashes = match proof::inclusion_proof(&reader, *index, published.size) {
                    Ok(hashes) => hashes,
                    Err(proof::ProveError::Read(error)) => return Err(error),
                    Err(_) => return Err(outside),
                };
                if proof::verify_inclusion(*index, published.size, leaf, &hashes, &published.root).is_err() {
                    let path = TilePath::in_tree(TileKind::Hashes(0), index >> 8, published.size);
                    return Err(path.map_or(outside, |path| TileReadError::Altered { path }));
                }
                let file = ProofFile::new(*index, hashes, note.clone(), None);
                file.map(|file| file.encode().into_bytes()).or(Err(TileReadError::OutsideTree {
                    level: 0,
                    index: *index,
                    size: published.size,
                }))
            };
            leaves.iter().map(prove).collect()
        })
    }

    fn bundle(&self, published: &Published, index: u64) -> Result<Vec<Vec<u8>>, LogError> {
        if index >= published.size {
            return Err(LogError::OutsideLog { index });
        }
        self.at_any_store(|store| {
            AuthenticatedReader::new(StoreTiles::new(store), published.size, &published.root)?
                .entries(index >> 8)
        })
    }

    fn at_any_store<T>(
        &self,
        read: impl Fn(&dyn Store) -> Result<T, TileReadError<TileFetchError>>,
    ) -> Result<T, LogError> {
        let mut failures = Vec::new();
        for store in self.replicas.stores() {
            match read(store.as_ref()) {
                Ok(value) => return Ok(value),
                Err(error) => {
                    let store = &store.identity().store;
                    tracing::warn!(
                        store,
                        error = &error as &dyn std::error::Error,
                        "A store does not prove the log"
                    );
                    failures.push(format!("store {store}: {error}"));
                }
            }
        }
        Err(LogError::NoStore { failures: failures.join("; ") })
    }
}

/// Why the log cannot answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// Nothing is published yet.
    #[error("the log is empty")]
    Empty,
    /// No store proves it.
    #[error("no store proves it: {failures}")]
    NoStore {
        /// The error of each store.
        failures: String,
    },
    /// The entry is not published.
    #[error("the published log has no entry {index}")]
    OutsideLog {
        /// The index that the caller asked for.
        index: u64,
    },
}
