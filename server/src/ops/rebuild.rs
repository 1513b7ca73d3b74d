//! Recreates the database from ledger and stores: the database is a projection, and this is the proof of it.
//! Guarantee: every entry, tile and checkpoint is verified before its rows are written, and the rows come from the same
//! functions that wrote the lost ones. The new database gets its name only when it is whole.
//!
//! Not rebuilt (LIVE): when endpoints were last seen; the repair and stamp queues, which the next start fills
//! again; `segments.copies`, which is counted again. Segments that were stored but never acknowledged appear
//! as well.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use evidence::digest::Digest;
use evidence::entry::{ActLocation, ActObject, Entry, EntryType};
use evidence::length::len;
use evidence::log_key::LogKeys;
use evidence::seal::Seal;
use store::{Key, KeyKind, ReplicaError, Replicas, Store, StoreErrorClass};

use crate::config::Config;
use crate::config::layout::Layout;
use crate::log::ledger::{FsckReport, check_store, verify_head};
use crate::ops::foundation::{FoundationError, open_for_check};
use crate::rows::collections::{self, CollectionRow};
use crate::rows::log::{self, ChainState};
use crate::rows::projection::{self, Fact, Objects};
use crate::rows::{Db, DbError, ProjectionError};

/// Entries in one transaction: 256, one bundle.
const ENTRIES_PER_COMMIT: usize = 256;

/// The counts of the recreated rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// Entries.
    pub entries: u64,
    /// Collections.
    pub collections: u64,
    /// Segments.
    pub segments: u64,
    /// Item records.
    pub items: u64,
    /// Faults that were found and did not stop the work.
    pub remarks: Vec<String>,
}

/// Recreates the database of a collector's directory. Refuses if one exists: move it away first.
///
/// # Errors
/// `RebuildError`. The directory is then as before, except for a file `exhibit.db.new`, which the next try
/// replaces.
pub fn rebuild(directory: &Path) -> Result<Rebuilt, RebuildError> {
    let layout = Layout::new(directory);
    let config = Config::load(directory)?;
    layout.check_modes().map_err(FoundationError::from)?;
    if layout.database().exists() {
        return Err(DbError::Exists { path: layout.database() }.into());
    }
    let (replicas, _) = open_for_check(&config, &layout)?;
    // The directory may come from a backup that is older than a change of the log key.
    let changes = crate::log::log_key::of_stores(&replicas).map_err(FoundationError::from)?;
    let key = crate::log::log_key::import(&layout, &config, &changes).map_err(FoundationError::from)?;
    let fresh = layout.directory.join("exhibit.db.new");
    remove_database(&fresh)?;
    Db::create(&fresh)?;
    let db = Db::open(&fresh, 1)?;
    let rebuilt = rebuild_into(&db, &replicas, &key)?;
    // The last handle folds the WAL into the file, so that one rename moves all of it.
    drop(db);
    let failed = |source| RebuildError::Io { source };
    durable::rename(&fresh, &layout.database()).map_err(failed)?;
    Ok(rebuilt)
}

/// Fills an empty database from the ledger and the objects of stores.
pub(crate) fn rebuild_into(db: &Db, replicas: &Replicas, key: &LogKeys) -> Result<Rebuilt, RebuildError> {
    let (source, remarks) = best_store(replicas, key)?;
    let head = verify_head(source.as_ref(), key)
        .map_err(|source| RebuildError::Head { source: Box::new(source) })?;
    let Some(checkpoint) = head.checkpoint else {
        return Err(RebuildError::NoLedger { reasons: remarks.join("; ") });
    };
    let mut rebuilt = Rebuilt { entries: checkpoint.size, collections: 0, segments: 0, items: 0, remarks };
    let tiles = crate::log::ledger::StoreTiles::new(source.as_ref());
    let reader = ledger::AuthenticatedReader::new(&tiles, checkpoint.size, &checkpoint.root)
        .map_err(|error| RebuildError::Entry { index: 0, reason: error.to_string() })?;
    let mut started = Vec::new();
    let mut last_time = None;
    let mut deployment = None;
    for bundle in 0..checkpoint.size.div_ceil(256) {
        let first = bundle * 256;
        let bodies = reader
            .entries(bundle)
            .map_err(|error| RebuildError::Entry { index: first, reason: error.to_string() })?;
        let mut prepared = Vec::with_capacity(ENTRIES_PER_COMMIT);
        for (index, body) in (first..).zip(bodies) {
            let (entry, act, objects) = load(replicas, index, &body)?;
            if entry.envelope.type_ == EntryType::CollectionStarted {
                started
                    .extend(entry.envelope.reference("collection").and_then(|id| Digest::from_hex(id).ok()));
            }
            last_time = Some(entry.envelope.time);
            deployment.get_or_insert_with(|| entry.envelope.deployment.clone());
            prepared.push((index, ledger::leaf_hash(&body), entry, act, objects));
        }
        db.write::<(), RebuildError>(move |tx| {
            for (index, leaf, entry, act, objects) in &prepared {
                let fact = Fact { index: *index, leaf: *leaf, envelope: &entry.envelope, act };
                projection::apply(tx, fact, objects)
                    .map_err(|source| RebuildError::Projection { index: *index, source })?;
                // A document's numbers are below 2^53.
                let chain = ChainState { next_seq: entry.envelope.seq + 1, head: (*leaf).into() };
                log::advance_chain(tx, &entry.envelope.incident, &chain)?;
            }
            Ok(())
        })?;
    }
    for id in started {
        rebuild_segments(db, replicas, &id, &mut rebuilt)?;
    }
    // Do this again, now with the counted copies and with what the stores gave up.
    if let Some(deployment) = deployment {
        crate::upkeep::disposal::mark_disposed(db, &deployment, replicas)?;
    }
    db.write(collections::mark_repaired)?;
    let (size, root, note) = (checkpoint.size, checkpoint.root, head.note);
    db.write::<(), RebuildError>(move |tx| {
        let empty = (0, ledger::EMPTY_ROOT);
        if !log::compare_and_swap(tx, empty, (size, root), last_time)? {
            return Err(RebuildError::NotEmpty);
        }
        Ok(log::record_published(tx, size, &note)?)
    })?;
    Ok(rebuilt)
}

/// The store with the largest whole ledger.
fn best_store(replicas: &Replicas, key: &LogKeys) -> Result<(Arc<dyn Store>, Vec<String>), RebuildError> {
    let mut remarks = Vec::new();
    let mut best: Option<(usize, &Arc<dyn Store>)> = None;
    for store in replicas.stores() {
        let mut report = FsckReport::default();
        let leaves = check_store(store.as_ref(), key, &mut report);
        remarks.extend(
            report
                .problems
                .iter()
                .map(|problem| format!("{}: {}: {}", problem.place, problem.what, problem.why)),
        );
        if let Some(leaves) = leaves
            && best.is_none_or(|(size, _)| leaves.len() > size)
        {
            best = Some((leaves.len(), store));
        }
    }
    match best {
        Some((size, store)) if size > 0 => Ok((Arc::clone(store), remarks)),
        _ => Err(RebuildError::NoLedger { reasons: remarks.join("; ") }),
    }
}

/// An entry with its act and the objects its rows need.
fn load(replicas: &Replicas, index: u64, body: &[u8]) -> Result<(Entry, ActObject, Objects), RebuildError> {
    let broken = |reason: String| RebuildError::Entry { index, reason };
    let entry = Entry::parse(body).map_err(|error| broken(error.to_string()))?;
    let act = match (&entry.act, entry.envelope.act) {
        (Some(act), ActLocation::Inline) => act.clone(),
        _ => {
            let bytes = replicas.read(&Key::document(entry.envelope.event.as_bytes()))?;
            ActObject::parse(&bytes).map_err(|error| broken(error.to_string()))?
        }
    };
    let mut objects = Objects::new();
    let wanted = projection::objects_of(entry.envelope.type_, &act)
        .map_err(|source| RebuildError::Projection { index, source })?;
    for key in wanted {
        match replicas.read(&key) {
            Ok(bytes) => {
                objects.insert(key, bytes);
            }
            Err(error) if key.kind() == KeyKind::Detail && error.class() == StoreErrorClass::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok((entry, act, objects))
}

/// Rows of a collection's segments, made from its seals, as far as the chain reaches and the segments are
/// there.
fn rebuild_segments(
    db: &Db,
    replicas: &Replicas,
    id: &Digest,
    rebuilt: &mut Rebuilt,
) -> Result<(), RebuildError> {
    let row = db.read(|reader| collections::at(reader, id))?;
    let Some(CollectionRow { sealer, .. }) = row else {
        return Ok(());
    };
    rebuilt.collections += 1;
    let collection = *id;
    let mut previous = Digest::ZERO;
    let mut next = 0;
    for key in replicas.list(&format!("seals/{id}/"))? {
        if key.index() != Some(next) {
            continue;
        }
        let object = replicas.read(&key)?;
        let seal = match Seal::parse(&object).and_then(|seal| seal.verify(&sealer).map(|()| seal)) {
            Ok(seal) => seal,
            Err(error) => {
                rebuilt.remarks.push(format!("{key}: {error}"));
                continue;
            }
        };
        // If one index has two seals, the endpoint equivocated. The chain says which seal was accepted.
        if seal.header.prev != previous || seal.header.collection != *id {
            rebuilt.remarks.push(format!("{key}: does not continue the chain"));
            continue;
        }
        let segment = Key::segment(id.as_bytes(), next, seal.header.sha256.as_bytes());
        let copies = replicas.copies_of(&segment, seal.header.stored_len).copies;
        if copies == 0 {
            rebuilt.remarks.push(format!("{segment}: no store has it"));
            break;
        }
        let length = len(&object);
        let (segment, items) = projection::segment_rows(&seal, length, copies)
            .map_err(|source| RebuildError::Projection { index: 0, source })?;
        previous = seal.digest;
        next += 1;
        rebuilt.segments += 1;
        rebuilt.items += len(&items);
        db.write::<(), DbError>(move |tx| collections::add_segment(tx, &collection, &segment, items))?;
    }
    Ok(())
}

fn remove_database(path: &Path) -> Result<(), RebuildError> {
    for suffix in ["", "-wal", "-shm"] {
        let file = PathBuf::from(format!("{}{suffix}", path.display()));
        durable::remove(&file).map_err(|source| RebuildError::Io { source })?;
    }
    Ok(())
}

/// Why the database was not recreated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// Settings.
    #[error("read settings")]
    Config(#[from] store::settings::SettingsError),
    /// The database.
    #[error("write the database")]
    Db(#[from] DbError),
    /// An entry cannot be read.
    #[error("entry {index}: {reason}")]
    Entry {
        /// Index.
        index: u64,
        /// What is wrong.
        reason: String,
    },
    /// The directory.
    #[error("open the collector's directory")]
    Foundation(#[from] FoundationError),
    /// The checkpoint.
    #[error("read the checkpoint")]
    Head {
        /// Why.
        #[source]
        source: Box<crate::log::ledger::StartError>,
    },
    /// A file.
    #[error("read or write a file")]
    Io {
        /// Cause, naming the file.
        #[source]
        source: std::io::Error,
    },
    /// No store has a whole ledger.
    #[error("no store has a whole ledger: {reasons}")]
    NoLedger {
        /// What is wrong with each store.
        reasons: String,
    },
    /// The database already had a log.
    #[error("the database to fill is not empty")]
    NotEmpty,
    /// Rows of an entry.
    #[error("rows of entry {index}")]
    Projection {
        /// Index.
        index: u64,
        /// Why.
        #[source]
        source: ProjectionError,
    },
    /// An object.
    #[error("read an object that the ledger names")]
    Store(#[from] ReplicaError),
}

#[cfg(test)]
pub(crate) mod tests;
