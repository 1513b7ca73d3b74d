//! Compares database and stores at a start: which is ahead, and do they tell one history?
//! Guarantee: the start refuses a database restored from an old copy, and a second history, and prints both heads. The collector
//! signs nothing until they agree.
//!
//! | found | done |
//! |---|---|
//! | database = stores | start |
//! | database ahead of stores | staged objects are published again |
//! | a store behind others | brought up from them |
//! | database behind a store, or another root at a store's size | refuse |
//! | every store behind what the database calls published | refuse |

use std::sync::Arc;

use evidence::log_key::LogKeys;
use ledger::{Checkpoint, EMPTY_ROOT, Note, TileReader, proof};
use store::{Key, Replicas, Store, StoreError, StoreErrorClass};

use super::edge::Edge;
use super::log::Published;
use super::publish::{PublishError, Publisher};
use super::signer::{CheckpointSigner, SignerError};
use super::tiles::StoreTiles;
use crate::failure::chain;
use crate::rows::log::{self, LogState};
use crate::rows::{Db, DbError};

/// The checkpoint on one store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadAtStore {
    /// Size and root; `None` if the store has no checkpoint yet.
    pub checkpoint: Option<Checkpoint>,
    /// The signed note.
    pub note: Vec<u8>,
}

/// Reads and verifies the checkpoint on a store.
///
/// # Errors
/// If the store cannot be read, or its note is not of this log.
pub fn verify_head(store: &dyn Store, keys: &LogKeys) -> Result<HeadAtStore, StartError> {
    let name = || store.identity().store.clone();
    let note = match store.read(&Key::checkpoint()) {
        Ok(note) => note,
        Err(error) if error.class() == StoreErrorClass::NotFound => {
            return Ok(HeadAtStore { checkpoint: None, note: Vec::new() });
        }
        Err(source) => return Err(StartError::Store { source }),
    };
    let foreign = |reason: String| StartError::ForeignNote { store: name(), reason };
    let parsed = Note::parse(&note).map_err(|error| foreign(error.to_string()))?;
    let policy = keys.policy().map_err(|error| foreign(chain(&error)))?;
    let verified = policy.verify_note(&parsed).map_err(|error| foreign(chain(&error)))?;
    let checkpoint = verified.checkpoint;
    Ok(HeadAtStore { checkpoint: Some(checkpoint), note })
}

/// Compares database and stores, publishes what is committed, and loads the right edge.
pub(super) fn recover(
    db: &Db,
    replicas: &Replicas,
    signer: &Arc<dyn CheckpointSigner>,
) -> Result<(Publisher, Edge), StartError> {
    let state = db.read(log::state)?;
    let mut heads = Vec::new();
    let mut unreadable = Vec::new();
    let keys = signer.keys();
    for store in replicas.stores() {
        match verify_head(store.as_ref(), &keys) {
            Ok(head) => heads.push(Some(head)),
            // If one store is away, the start continues degraded; if a note is not ours, it stops.
            Err(StartError::Store { source }) => {
                unreadable.push(source.to_string());
                heads.push(None);
            }
            Err(other) => return Err(other),
        }
    }
    if heads.iter().all(Option::is_none) {
        return Err(StartError::NoStore { failures: unreadable.join("; ") });
    }
    for (store, head) in replicas.stores().iter().zip(&heads) {
        if let Some(HeadAtStore { checkpoint: Some(checkpoint), note }) = head {
            compare(store.as_ref(), checkpoint, note, &state, signer.as_ref())?;
        }
    }
    let sizes: Vec<u64> = heads.iter().map(|head| size_of(head.as_ref())).collect();
    let best = heads
        .iter()
        .flatten()
        .filter(|head| head.checkpoint.is_some())
        .max_by_key(|head| size_of(Some(head)));
    let published = match best {
        Some(HeadAtStore { checkpoint: Some(checkpoint), note }) => {
            Published { size: checkpoint.size, root: checkpoint.root, note: note.clone().into() }
        }
        _ => Published { size: 0, root: EMPTY_ROOT, note: Vec::new().into() },
    };
    if published.size < state.published_size {
        let database = String::from_utf8_lossy(&state.checkpoint).into_owned();
        let store = String::from_utf8_lossy(&published.note).into_owned();
        return Err(StartError::StoresBehind {
            published: state.published_size,
            found: published.size,
            database,
            store,
        });
    }
    check_one_history(replicas, &sizes, &heads, &published)?;
    if published.size > 0 {
        signer.remember(published.size, &published.root)?;
    }
    let mut publisher = Publisher {
        db: db.clone(),
        replicas: replicas.clone(),
        signer: Arc::clone(signer),
        at_store: sizes.clone(),
        brought_to: vec![0; sizes.len()],
        published,
    };
    publisher.publish()?;
    let edge = load_edge(&publisher)?;
    Ok((publisher, edge))
}

/// The right edge from any store that has the published size.
pub(super) fn load_edge(publisher: &Publisher) -> Result<Edge, StartError> {
    let (size, root) = (publisher.published.size, publisher.published.root);
    if size == 0 {
        return Ok(Edge::empty());
    }
    let mut last = None;
    for (store, at) in publisher.replicas.stores().iter().zip(&publisher.at_store) {
        if *at == size {
            match Edge::load(store.as_ref(), size, &root) {
                Ok(edge) => return Ok(edge),
                Err(error) => last = Some(error),
            }
        }
    }
    Err(last.map_or(StartError::NoStore { failures: String::new() }, StartError::Edge))
}

fn size_of(head: Option<&HeadAtStore>) -> u64 {
    head.and_then(|head| head.checkpoint.as_ref()).map_or(0, |checkpoint| checkpoint.size)
}

/// Compares a store's head with the database.
fn compare(
    store: &dyn Store,
    checkpoint: &Checkpoint,
    note: &[u8],
    state: &LogState,
    signer: &dyn CheckpointSigner,
) -> Result<(), StartError> {
    let contradicts = checkpoint.size == state.size && checkpoint.root != state.root;
    if checkpoint.size <= state.size && !contradicts {
        return Ok(());
    }
    let (store, note) = (store.identity().store.clone(), String::from_utf8_lossy(note).into_owned());
    let database = match Checkpoint::new(signer.verifier_key().name(), state.size, state.root) {
        Ok(checkpoint) => checkpoint.to_text(),
        Err(error) => format!("size {}, of which no checkpoint can be written: {error}\n", state.size),
    };
    Err(if contradicts {
        StartError::Fork { store, note, database }
    } else {
        StartError::DatabaseBehind { store, note, database }
    })
}

/// Every smaller head must be a beginning of the largest. Computes this from the tiles of a store that has the largest.
fn check_one_history(
    replicas: &Replicas,
    sizes: &[u64],
    heads: &[Option<HeadAtStore>],
    published: &Published,
) -> Result<(), StartError> {
    let largest = replicas.stores().iter().zip(sizes).find(|(_, size)| **size == published.size);
    let Some((source, _)) = largest.filter(|_| published.size > 0) else {
        return Ok(());
    };
    let tiles = StoreTiles::new(source.as_ref());
    for (store, head) in replicas.stores().iter().zip(heads) {
        let Some(HeadAtStore { checkpoint: Some(checkpoint), note }) = head else {
            continue;
        };
        let reader = TileReader::new(&tiles, published.size);
        let hashes = proof::consistency_proof(&reader, checkpoint.size, published.size).map_err(|error| {
            StartError::Unproven { store: source.identity().store.clone(), reason: error.to_string() }
        })?;
        let (old, new) = (&checkpoint.root, &published.root);
        if proof::verify_consistency(checkpoint.size, old, published.size, new, &hashes).is_err() {
            return Err(StartError::Fork {
                store: store.identity().store.clone(),
                note: String::from_utf8_lossy(note).into_owned(),
                database: String::from_utf8_lossy(&published.note).into_owned(),
            });
        }
    }
    Ok(())
}

/// Why the ledger does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The database is older than a store: somebody restored it from a copy.
    #[error(
        "the database is behind store {store}: it was restored from an old copy, or belongs to another place. \
         Nothing was signed. Move it away and run `exhibit-server rebuild`.\n--- database\n{database}\n--- store {store}\n{note}"
    )]
    DatabaseBehind {
        /// Store.
        store: String,
        /// Its note.
        note: String,
        /// The database's head, as the text of a note.
        database: String,
    },
    /// The database failed.
    #[error("read the database")]
    Db(#[from] DbError),
    /// The right edge cannot be read.
    #[error("read the right edge of the log")]
    Edge(#[from] super::EdgeError),
    /// The checkpoint on a store is not one of this log.
    #[error(
        "store {store} has a checkpoint that is not of this log: {reason}. Check the paths in `server.toml`. If the log key changed after this directory's backup was \
         made, move exhibit.db away and run `exhibit-server rebuild`: the stores have the change"
    )]
    ForeignNote {
        /// Store.
        store: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Database and stores tell two histories.
    #[error(
        "store {store} tells another history: two signed heads contradict each other. Keep both, they are evidence. \
         Nothing was signed.\n--- expected\n{database}\n--- store {store}\n{note}"
    )]
    Fork {
        /// Store.
        store: String,
        /// Its note.
        note: String,
        /// The head that it contradicts.
        database: String,
    },
    /// No store can be read.
    #[error("no store can be read: {failures}")]
    NoStore {
        /// The error of each store.
        failures: String,
    },
    /// The committed entries could not be published.
    #[error("publish what is committed")]
    Publish(#[from] PublishError),
    /// The signer could not be started.
    #[error("start the signer")]
    Signer(#[from] SignerError),
    /// The rule book cannot be folded.
    #[error("fold the ledger for the rules of custody")]
    Rules(#[from] super::BookError),
    /// A store failed.
    #[error("read the checkpoint")]
    Store {
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The stores lost what was published.
    #[error(
        "the stores are behind what was published: the database says size {published}, the largest store has {found}. \
         Mount the stores that are missing; do not go on without them.\n--- database\n{database}\n--- stores\n{store}"
    )]
    StoresBehind {
        /// Size published.
        published: u64,
        /// Largest size found.
        found: u64,
        /// Note in the database.
        database: String,
        /// Largest note found.
        store: String,
    },
    /// The worker thread could not be started.
    #[error("start the sequencer's thread")]
    Thread(#[source] std::io::Error),
    /// The tiles of a store do not prove its own head.
    #[error("tiles of store {store} do not prove its own checkpoint: {reason}. Run `exhibit-server fsck`")]
    Unproven {
        /// Store.
        store: String,
        /// Why.
        reason: String,
    },
}
