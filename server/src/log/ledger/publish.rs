//! Publishes a committed tree: from the row to a checkpoint on the stores. Recovery at the start calls the same function.

use std::sync::Arc;

use ledger::tile::{TilePath, bundles_for_growth, tiles_for_growth};
use ledger::{AuthenticatedReader, Hash};
use store::{Degraded, Key, Replicas, Store, StoreError};

use super::edge::{EdgeError, verify_stored};
use super::log::Published;
use super::signer::{CheckpointSigner, SignerError};
use super::tiles::StoreTiles;
use crate::rows::{Db, DbError, log};

/// Most entries by which one publication brings up a lagging store: 65,536, so that a store that comes back
/// does not delay the others for longer than a few seconds.
const CATCH_UP_ENTRIES_MAX: u64 = 1 << 16;

/// Publishes the committed log.
pub(super) struct Publisher {
    pub(super) db: Db,
    pub(super) replicas: Replicas,
    pub(super) signer: Arc<dyn CheckpointSigner>,
    /// Size of the checkpoint on each store, in the order of the stores.
    pub(super) at_store: Vec<u64>,
    /// How far each lagging store has received tiles, still without a checkpoint.
    pub(super) brought_to: Vec<u64>,
    pub(super) published: Published,
}

/// Why one store did not take part.
#[derive(Debug, thiserror::Error)]
pub(super) enum LaneError {
    #[error("write the ledger")]
    Store(#[from] StoreError),
    #[error("read back what was written")]
    Edge(#[from] EdgeError),
    #[error("{missing} entries behind; brought up to size {reached} for now")]
    Behind { missing: u64, reached: u64 },
    #[error("no other store has the ledger whole up to size {size}")]
    NoSource { size: u64 },
}

impl Publisher {
    /// Brings the stores to the committed size. It is safe to repeat at any point.
    ///
    /// # Errors
    /// `TooFewStores`: retry. After any other error the state is unknown: stop, and let the next start decide.
    pub(super) fn publish(&mut self) -> Result<(), PublishError> {
        let state = self.db.read(log::state)?;
        let (size, root) = (state.size, state.root);
        if self.at_store.iter().all(|at| *at == size) {
            return Ok(());
        }
        let staged = self.staged()?;
        let results =
            self.each_store(|publisher, number, store| publisher.fill(number, store, &staged, size, &root));
        let mut failures = Vec::new();
        let mut filled = Vec::new();
        for (number, result) in results.into_iter().enumerate() {
            match result {
                Ok(()) => filled.push(number),
                Err(error) => {
                    if let (LaneError::Behind { reached, .. }, Some(brought)) =
                        (&error, self.brought_to.get_mut(number))
                    {
                        *brought = *reached;
                    }
                    failures.push(self.describe(number, &error));
                }
            }
        }
        self.check_enough(filled.len(), &failures)?;
        // Sign only the committed row, which was read above.
        let note = self.signer.sign(size, &root)?.to_string().into_bytes();
        // Crash now: no store has the note. The next start signs the same note again.
        let replaced = self.each_store(|publisher, number, store| {
            let is_due = filled.contains(&number) && publisher.at_store.get(number) != Some(&size);
            if is_due { store.replace_checkpoint(&note).map_err(LaneError::from) } else { Ok(()) }
        });
        let mut holders = 0;
        for (number, result) in replaced.into_iter().enumerate() {
            match result {
                Ok(()) if filled.contains(&number) => {
                    holders += 1;
                    if let Some(at) = self.at_store.get_mut(number) {
                        *at = size;
                    }
                }
                Ok(()) => {}
                Err(error) => failures.push(self.describe(number, &error)),
            }
        }
        self.check_enough(holders, &failures)?;
        for failure in &failures {
            tracing::warn!(failure, "Ledger published without a store; it is brought up when it is back");
        }
        self.published = Published { size, root, note: note.into() };
        Ok(())
    }

    fn staged(&self) -> Result<Vec<(Key, Vec<u8>)>, PublishError> {
        let rows = self.db.read(log::staged)?;
        rows.into_iter()
            .map(|row| Ok((Key::parse(&row.key).or(Err(PublishError::Staging))?, row.bytes)))
            .collect()
    }

    fn each_store(
        &self,
        call: impl Fn(&Self, usize, &dyn Store) -> Result<(), LaneError> + Sync,
    ) -> Vec<Result<(), LaneError>> {
        std::thread::scope(|scope| {
            let call = &call;
            let stores = self.replicas.stores();
            let threads: Vec<_> = stores
                .iter()
                .enumerate()
                .map(|(number, store)| scope.spawn(move || call(self, number, store.as_ref())))
                .collect();
            threads
                .into_iter()
                .zip(stores)
                .map(|(thread, store)| {
                    let failed = || StoreError::Failed { store: store.identity().store.clone() };
                    thread.join().unwrap_or_else(|_| Err(failed().into()))
                })
                .collect()
        })
    }

    /// Gives one store all tiles up to `size`, and proves new leaves from the bytes that it gives back.
    fn fill(
        &self,
        number: usize,
        store: &dyn Store,
        staged: &[(Key, Vec<u8>)],
        size: u64,
        root: &Hash,
    ) -> Result<(), LaneError> {
        // Both lists have a number for each store. 0 would only cost time: all tiles are copied again, and `create` takes the
        // same bytes a second time.
        let at = self.at_store.get(number).copied().unwrap_or(0);
        if at == size {
            return Ok(());
        }
        let base = self.published.size;
        if at < base {
            let brought_to = self.brought_to.get(number).copied().unwrap_or(0);
            self.catch_up(store, at.max(brought_to), base)?;
        }
        for (key, bytes) in staged {
            store.create(key, bytes)?;
        }
        // A store that is ahead of an empty ledger does not get here: the start refuses it.
        let last = size.checked_sub(1).ok_or(EdgeError::Size)?;
        Ok(verify_stored(store, size, root, &[base.min(last), last])?)
    }

    /// Copies published growth from a store that has it. Checks every entry against the published root.
    fn catch_up(&self, store: &dyn Store, from: u64, to: u64) -> Result<(), LaneError> {
        let sources = self.replicas.stores().iter().zip(&self.at_store);
        let mut sources = sources.filter(|(_, at)| **at >= to).map(|(source, _)| source);
        let no_source = || LaneError::NoSource { size: to };
        let source = sources.next().ok_or_else(no_source)?;
        let tiles = StoreTiles::new(source.as_ref());
        let reader = AuthenticatedReader::new(&tiles, to, &self.published.root).map_err(EdgeError::from)?;
        // Tiles of the full growth. A step in between would have partial tiles that nobody ever signed.
        let missing = to.checked_sub(from).ok_or(EdgeError::Size)?;
        let end = if missing <= CATCH_UP_ENTRIES_MAX { to } else { (from + CATCH_UP_ENTRIES_MAX) & !0xff };
        let plan = |old, new| -> Result<Vec<TilePath>, LaneError> {
            let mut paths = bundles_for_growth(old, new).or(Err(no_source()))?;
            paths.extend(tiles_for_growth(old, new).or(Err(no_source()))?);
            Ok(paths)
        };
        for path in plan(from, end)? {
            // Only tiles of the published tree: if `end` is a step, its partial tiles are not among them.
            if TilePath::in_tree(path.kind(), path.index(), to) != Some(path) {
                continue;
            }
            if path.kind() == ledger::TileKind::Entries {
                reader.entries(path.index()).map_err(EdgeError::from)?;
            }
            let key = Key::tile(&path);
            // Entries and level 0 were checked above. Higher tiles are checked when the new store is read back.
            match store.create(&key, &source.read(&key)?) {
                Ok(()) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if end < to {
            return Err(LaneError::Behind { missing: to - end, reached: end });
        }
        let copied = StoreTiles::new(store);
        let check = AuthenticatedReader::new(&copied, to, &self.published.root).map_err(EdgeError::from)?;
        for bundle in (from >> 8)..to.div_ceil(256) {
            check.entries(bundle).map_err(EdgeError::from)?;
        }
        Ok(())
    }

    fn check_enough(&self, stores: usize, failures: &[String]) -> Result<(), PublishError> {
        let policy = self.replicas.policy();
        let enough = stores >= policy.copies || (stores >= 1 && policy.degraded == Degraded::Accept);
        if enough {
            return Ok(());
        }
        Err(PublishError::TooFewStores { stores, needed: policy.copies, failures: failures.join("; ") })
    }

    fn describe(&self, number: usize, error: &LaneError) -> String {
        let store = self.replicas.stores().get(number).map_or("?", |store| &store.identity().store);
        let mut text = format!("store {store}: {error}");
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        text
    }
}

/// Why committed entries could not be published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The database failed.
    #[error("read what is committed")]
    Db(#[from] DbError),
    /// The signer refused, or has ended.
    #[error("sign the checkpoint")]
    Signer(#[from] SignerError),
    /// A staged object has a key that is not ours.
    #[error("staged objects are damaged")]
    Staging,
    /// Fewer stores than the policy asks for took the growth. Retry.
    #[error("ledger on {stores} of {needed} stores; {failures}")]
    TooFewStores {
        /// Number of stores that took it.
        stores: usize,
        /// Number of stores that the policy asks for.
        needed: usize,
        /// The errors of the other stores.
        failures: String,
    },
}

impl PublishError {
    /// True if waiting may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::TooFewStores { .. })
    }
}
