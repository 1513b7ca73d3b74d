//! Recomputes the whole ledger from its entries, in every store, and compares it with tiles, checkpoint and rows.
//! Guarantee: it reports every problem in what it examined, and repairs or changes nothing.

use std::collections::BTreeMap;

use evidence::digest::Digest;
use evidence::entry::{ActLocation, ActObject, ChainHead, Entry};
use evidence::length::len;
use evidence::log_key::LogKeys;
use evidence::manifest::Manifest;
use evidence::signed::Signed;
use ledger::tile::{TilePath, bundles_for_growth, decode_bundle, grow, tiles_for_root};
use ledger::{Hash, Tile, TileReader, TileSet, TileSource, leaf_hash, proof};
use store::{ContentCheck, Key, KeyKind, Replicas, Store};

use super::recorded_keys::RecordedKeys;
use super::recovery::verify_head;
use super::tiles::StoreTiles;
use crate::rows::collections::{self, CollectionRow};
use crate::rows::{Db, entries};

/// Rows compared in one transaction: 1024.
const ROWS: u64 = 1024;

/// The parts to examine besides the ledger itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct FsckOptions {
    /// Re-hash every object of every store: reads everything there is.
    pub evidence: bool,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Store id, or `database`.
    pub place: String,
    /// Object key, entry or row.
    pub what: String,
    /// What is wrong.
    pub why: String,
}

/// The result of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FsckReport {
    /// Entries of the largest log.
    pub entries: u64,
    /// Objects whose digest was recomputed, over all stores.
    pub objects: u64,
    /// Everything wrong.
    pub problems: Vec<Problem>,
}

impl FsckReport {
    fn problem(&mut self, place: &str, what: impl ToString, why: impl ToString) {
        self.problems.push(Problem { place: place.to_owned(), what: what.to_string(), why: why.to_string() });
    }
}

/// Checks every store, and compares the database with the first store that is whole.
pub fn fsck(replicas: &Replicas, key: &LogKeys, db: Option<&Db>, options: FsckOptions) -> FsckReport {
    let mut report = FsckReport::default();
    let mut compared = db.is_none();
    // Read this first: publications that follow only make stores longer.
    let published = db.and_then(|db| db.read(crate::rows::log::state).ok());
    let published = published.map_or(0, |state| state.published_size);
    for store in replicas.stores() {
        let leaves = check_store(store.as_ref(), key, &mut report);
        behind(store.as_ref(), key, published, &mut report);
        if let (Some(leaves), Some(db), false) = (&leaves, db, compared) {
            compare_rows(db, leaves, &mut report);
            compared = true;
        }
        if options.evidence {
            check_objects(store.as_ref(), &mut report);
        }
    }
    if let Some(db) = db {
        check_named(db, replicas, &mut report);
    }
    report
}

/// Reports a store whose ledger is whole but older than what was published.
fn behind(store: &dyn Store, key: &LogKeys, published: u64, report: &mut FsckReport) {
    // A store that cannot be read has its problem already.
    let Ok(head) = verify_head(store, key) else { return };
    let size = head.checkpoint.map_or(0, |checkpoint| checkpoint.size);
    if size < published {
        let place = store.identity().store.clone();
        let why = format!("size {size} is behind the {published} that were published");
        report.problem(&place, Key::checkpoint(), why);
    }
}

/// Asks every store for each acknowledged object, by key and length.
fn check_named(db: &Db, replicas: &Replicas, report: &mut FsckReport) {
    let rows = match db.read(|reader| collections::of_incident(reader, None)) {
        Ok(rows) => rows,
        Err(error) => return report.problem("database", "collections", error),
    };
    for row in rows {
        let now = crate::clock::now();
        match db.read(|reader| crate::rows::fence::disposal_of(reader, &row.id, now)) {
            // Two persons approved its destruction, so it is not missing.
            Ok(Some(_)) => continue,
            Ok(None) => {}
            Err(error) => report.problem("database", "disposals", error),
        }
        let segments = match db.read(|reader| collections::segments(reader, row.number)) {
            Ok(segments) => segments,
            Err(error) => {
                report.problem("database", format!("collection {}", row.id), error);
                continue;
            }
        };
        let id = row.id.as_bytes();
        for segment in &segments {
            let keys = [
                (Key::segment(id, segment.index, segment.sha256.as_bytes()), segment.stored_len),
                (Key::seal(id, segment.index, segment.seal_sha256.as_bytes()), segment.seal_len),
            ];
            for (key, len) in keys {
                for store in replicas.stores() {
                    let place = store.identity().store.as_str();
                    if db
                        .read(|reader| crate::rows::fence::is_disposed_of(reader, &key, Some(place), now))
                        .unwrap_or(false)
                    {
                        continue;
                    }
                    check_there(store.as_ref(), &key, len, report);
                }
            }
        }
        check_count(replicas, &row, segments.len(), report);
    }
}

fn check_there(store: &dyn Store, key: &Key, len: u64, report: &mut FsckReport) {
    let place = store.identity().store.clone();
    match store.size(key) {
        Ok(found) if found == len => {}
        Ok(found) => report.problem(&place, key, format!("has {found} bytes, {len} were acknowledged")),
        Err(error) => report.problem(&place, key, format!("was acknowledged: {error}")),
    }
}

/// The database may have been rebuilt from stores that had lost something. The manifest says how many segments there were.
fn check_count(replicas: &Replicas, row: &CollectionRow, segments: usize, report: &mut FsckReport) {
    let Some(manifest) = &row.manifest else { return };
    let what = format!("collection {}", row.id);
    let stated = replicas
        .read(&Key::document(manifest.as_bytes()))
        .map_err(|error| error.to_string())
        .and_then(|bytes| Signed::parse(&bytes).map_err(|error| error.to_string()))
        .and_then(|signed| signed.read::<Manifest>().map_err(|error| error.to_string()));
    match stated {
        Ok(manifest) if u64::try_from(segments).ok() == Some(manifest.segments) => {}
        Ok(manifest) => {
            let why = format!("{segments} segments are known, its manifest names {}", manifest.segments);
            report.problem("database", what, why);
        }
        Err(why) => report.problem("stores", what, why),
    }
}

/// Checks the ledger of one store. Returns the leaf hashes of its entries if all of it is right.
pub fn check_store(store: &dyn Store, key: &LogKeys, report: &mut FsckReport) -> Option<Vec<Hash>> {
    let place = store.identity().store.clone();
    let before = report.problems.len();
    let head = match verify_head(store, key) {
        Ok(head) => head,
        Err(error) => {
            report.problem(&place, Key::checkpoint(), error);
            return None;
        }
    };
    let Some(checkpoint) = head.checkpoint else {
        return Some(Vec::new());
    };
    report.entries = report.entries.max(checkpoint.size);
    let tiles = StoreTiles::new(store);
    let mut leaves: Vec<Hash> = Vec::new();
    let mut chains = Chains::default();
    let mut recorded = RecordedKeys::new(key);
    let mut derived = TileSet::default();
    let bundles = match bundles_for_growth(0, checkpoint.size) {
        Ok(bundles) => bundles,
        Err(error) => {
            report.problem(&place, Key::checkpoint(), error);
            return None;
        }
    };
    for path in bundles {
        let Ok(bundle) = tiles.tile(&path) else {
            report.problem(&place, path, "entry bundle is missing");
            return None;
        };
        let Ok(bodies) = decode_bundle(&bundle, path.width()) else {
            report.problem(&place, path, "entry bundle is malformed");
            return None;
        };
        let added: Vec<Hash> = bodies.iter().map(|body| leaf_hash(body)).collect();
        for body in bodies {
            let index = chains.next_index;
            recorded.see(body, index, &mut |why| report.problem(&place, format!("entry {index}"), why));
            chains.check(store, body, &mut |why| report.problem(&place, format!("entry {index}"), why));
        }
        let grown = grow(&derived, len(&leaves), &added).ok();
        leaves.extend(added);
        // The tiles that the next bundle will grow from.
        let edge = tiles_for_root(len(&leaves)).ok();
        let (Some(grown), Some(edge)) = (grown, edge) else {
            report.problem(&place, path, "tiles do not grow from this bundle");
            return None;
        };
        derived.0.extend(grown.iter().map(|(path, tile)| (*path, tile.encode())));
        derived.0.retain(|path, _| edge.contains(path));
        for (path, tile) in grown {
            // Partial tiles of sizes in between were never published, so only the tree of this checkpoint counts.
            if TilePath::in_tree(path.kind(), path.index(), checkpoint.size) == Some(path) {
                compare_tile(&tiles, &path, &tile, &place, report);
            }
        }
    }
    match proof::root(&TileReader::new(&derived, checkpoint.size), checkpoint.size) {
        Ok(root) if root == checkpoint.root => {}
        Ok(root) => {
            report.problem(
                &place,
                Key::checkpoint(),
                format!("entries have root {root}, the checkpoint says {}", checkpoint.root),
            );
        }
        Err(error) => report.problem(&place, Key::checkpoint(), error),
    }
    recorded.check(&leaves, &head.note, &mut |why| report.problem(&place, Key::checkpoint(), why));
    (report.problems.len() == before).then_some(leaves)
}

fn compare_tile(tiles: &StoreTiles<'_>, path: &TilePath, tile: &Tile, place: &str, report: &mut FsckReport) {
    match tiles.tile(path) {
        Ok(stored) if stored == tile.encode() => {}
        Ok(_) => report.problem(place, path, "tile is not the one its entries make"),
        Err(error) => report.problem(
            place,
            path,
            std::error::Error::source(&error).map_or_else(String::new, ToString::to_string),
        ),
    }
}

/// Sequence numbers, links and times of all chains.
#[derive(Default)]
struct Chains {
    heads: BTreeMap<String, ChainHead>,
    events: BTreeMap<Digest, u64>,
    last_time: Option<evidence::time::Time>,
    next_index: u64,
}

impl Chains {
    fn check(&mut self, store: &dyn Store, body: &[u8], problem: &mut dyn FnMut(String)) {
        let index = self.next_index;
        self.next_index += 1;
        let entry = match Entry::parse(body) {
            Ok(entry) => entry,
            Err(error) => return problem(error.to_string()),
        };
        let head = self.heads.entry(entry.envelope.incident.to_string()).or_insert(ChainHead::START);
        if let Err(error) = head.step(&entry.envelope, Digest(leaf_hash(body).0)) {
            problem(error.to_string());
        }
        if self.last_time.is_some_and(|last| entry.envelope.time < last) {
            problem("time is before that of the entry before".to_owned());
        }
        self.last_time = Some(entry.envelope.time);
        if let Some(first) = self.events.insert(entry.envelope.event, index) {
            problem(format!("its event is recorded already as entry {first}"));
        }
        if entry.envelope.act == ActLocation::Digest {
            let key = Key::document(entry.envelope.event.as_bytes());
            match store.read(&key) {
                Ok(bytes) if key.check(&bytes) != ContentCheck::Right => {
                    problem(format!("{key} holds other bytes"))
                }
                Ok(bytes) if ActObject::parse(&bytes).is_err() => {
                    problem(format!("{key} is no signed object"))
                }
                Ok(_) => {}
                Err(error) => problem(error.to_string()),
            }
        }
    }
}

fn compare_rows(db: &Db, leaves: &[Hash], report: &mut FsckReport) {
    const PLACE: &str = "database";
    let size = len(leaves);
    match db.read(crate::rows::log::state) {
        Ok(state) if state.size >= size => {}
        Ok(state) => {
            report.problem(PLACE, "log", format!("size {} is behind the stores' {size}", state.size))
        }
        Err(error) => return report.problem(PLACE, "log", error),
    }
    let mut from = 0;
    while from < size {
        let rows = match db.read(|reader| entries::from_index(reader, from, ROWS.min(size - from))) {
            Ok(rows) if !rows.is_empty() => rows,
            Ok(_) => return report.problem(PLACE, format!("entry {from}"), "row is missing"),
            Err(error) => return report.problem(PLACE, format!("entry {from}"), error),
        };
        for row in rows {
            if row.index != from {
                return report.problem(PLACE, format!("entry {from}"), "row is missing");
            }
            let leaf = usize::try_from(from).ok().and_then(|at| leaves.get(at));
            if leaf != Some(&row.leaf) {
                report.problem(PLACE, format!("entry {from}"), "row has another leaf hash than the log");
            }
            from += 1;
        }
    }
}

/// Re-hashes every object whose key carries a digest.
fn check_objects(store: &dyn Store, report: &mut FsckReport) {
    let place = store.identity().store.clone();
    let keys = match store.list("") {
        Ok(keys) => keys,
        Err(error) => return report.problem(&place, "listing", error),
    };
    for key in
        keys.iter().filter(|key| !matches!(key.kind(), KeyKind::Tile | KeyKind::Checkpoint | KeyKind::Marker))
    {
        match store.read(key).map(|bytes| key.check(&bytes)) {
            Ok(ContentCheck::Right | ContentCheck::Unknown) => report.objects += 1,
            Ok(ContentCheck::Wrong) => report.problem(&place, key, "bytes do not have the digest of the key"),
            Err(error) => report.problem(&place, key, error),
        }
    }
}
