//! Reads the own copy again: every object that the ledger names and every one that is there, within a set time and rate.
//!
//! Guarantee: what the state says is held is looked for by name, not by what a listing still shows; what is damaged or lost is
//! fetched again and verified; what cannot be is counted and stays an alarm. Not here: when (the caller).

use std::sync::atomic::AtomicU64;

use ledger::AuthenticatedReader;
use ledger::tile::{bundles_for_growth, tiles_for_growth};
use store::{ContentCheck, Key, KeyKind, Replicas};

use crate::chain;
use crate::copy::{CopyError, copy, keys};
use crate::cosign::LogNote;
use crate::objects::{ObjectError, Objects};
use crate::rules::{Job, objects_of};
use crate::source::Source;
use crate::throttle::Throttle;

/// What a pass found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Objects read, each copy counted.
    pub objects: u64,
    /// Of these, damaged or missing.
    pub damaged: u64,
    /// Not put back, with the reason; the first hundred.
    pub lost: Vec<String>,
}

/// Everything a pass needs.
pub struct Parts<'a> {
    /// Own copies.
    pub own: &'a Replicas,
    /// Where replacements come from.
    pub source: Option<&'a dyn Source>,
    /// Count of objects put back.
    pub repaired: &'a AtomicU64,
    /// Rate.
    pub throttle: &'a Throttle,
    /// `false` ends the pass.
    pub go_on: &'a dyn Fn() -> bool,
    /// Called now and then.
    pub progress: &'a dyn Fn(&Scrubbed),
}

/// Most reasons kept.
const LOST_MAX: usize = 100;

/// One pass over the tree of `held` and the collections of `jobs`. `None`: it was ended before it was through.
#[must_use]
pub fn scrub(parts: &Parts<'_>, held: &LogNote, jobs: &[Job]) -> Option<Scrubbed> {
    let mut found = Scrubbed::default();
    let objects = Objects::new(parts.own, parts.source, parts.repaired);
    let (size, root) = (held.checkpoint.size, held.checkpoint.root);
    // Tiles first: nothing else can be named without them.
    let mut paths = tiles_for_growth(0, size).unwrap_or_default();
    paths.extend(bundles_for_growth(0, size).unwrap_or_default());
    let reader = match AuthenticatedReader::new(&objects, size, &root) {
        Ok(reader) => reader,
        Err(error) => {
            lost(&mut found, format!("the tree's right edge: {}", chain(&error)));
            return Some(found);
        }
    };
    for path in &paths {
        if !(parts.go_on)() {
            return None;
        }
        tile(parts, &objects, &reader, path, &mut found);
    }
    (parts.progress)(&found);
    for bundle in 0..size.div_ceil(256) {
        let bodies = match reader.entries(bundle) {
            Ok(bodies) => bodies,
            Err(error) => {
                lost(&mut found, format!("bundle {bundle}: {}", chain(&error)));
                continue;
            }
        };
        for body in bodies {
            if !(parts.go_on)() {
                return None;
            }
            entry(parts, &objects, &body, &mut found);
        }
        (parts.progress)(&found);
    }
    for job in jobs {
        if !collection(parts, &objects, job, &mut found) {
            return None;
        }
        (parts.progress)(&found);
    }
    Some(found)
}

/// A tile or bundle on each store: the right one is what the reader, which verifies against the root, gives.
fn tile(
    parts: &Parts<'_>,
    objects: &Objects<'_>,
    reader: &AuthenticatedReader<&Objects<'_>>,
    path: &ledger::TilePath,
    found: &mut Scrubbed,
) {
    use ledger::tile::TileKind;
    let key = Key::tile(path);
    // A bundle verifies against its leaves; a tile of hashes against the bundles, or tiles, below it.
    let right = match path.kind() {
        TileKind::Entries => reader
            .entries(path.index())
            .map_err(|error| chain(&error))
            .and_then(|bodies| ledger::tile::encode_bundle(&bodies).map_err(|error| chain(&error))),
        TileKind::Hashes(level) => hashes(reader, level, path),
    };
    for store in parts.own.stores() {
        found.objects = found.objects.saturating_add(1);
        let stored = store.read(&key);
        parts
            .throttle
            .take(stored.as_ref().map_or(0, |bytes| length(bytes)));
        let whole = matches!((&stored, &right), (Ok(stored), Ok(right)) if stored == right);
        if whole {
            continue;
        }
        found.damaged = found.damaged.saturating_add(1);
        match &right {
            Ok(right) if stored.is_err() => match objects.keep(&key, right) {
                Ok(()) => put_back(parts, &key, &store.identity().store),
                Err(error) => lost(found, format!("{key}: {}", chain(&error))),
            },
            // A key without digest: the store cannot tell right from wrong, so nobody moves the file but a person.
            Ok(_) => lost(
                found,
                format!(
                    "{key} on store {} has other bytes; move that file away, it is written again",
                    store.identity().store
                ),
            ),
            Err(why) => lost(found, format!("{key}: {why}")),
        }
    }
}

/// The hashes of a tile, each verified by the reader.
fn hashes(
    reader: &AuthenticatedReader<&Objects<'_>>,
    level: u8,
    path: &ledger::TilePath,
) -> Result<Vec<u8>, String> {
    use ledger::HashReader as _;
    let first = path.index() << 8;
    let mut bytes = Vec::with_capacity(usize::from(path.width()) * 32);
    for index in first..first.saturating_add(u64::from(path.width())) {
        let hash = reader
            .node(level.saturating_mul(8), index)
            .map_err(|error| chain(&error))?;
        bytes.extend_from_slice(hash.as_bytes());
    }
    Ok(bytes)
}

/// What an entry names.
fn entry(parts: &Parts<'_>, objects: &Objects<'_>, body: &[u8], found: &mut Scrubbed) {
    use evidence::entry::{ActObject, ActPlace, Entry, EntryType};
    let Ok(entry) = Entry::parse(body) else { return };
    let envelope = &entry.envelope;
    let mut wanted = Vec::new();
    if envelope.act == ActPlace::Digest || envelope.type_ == EntryType::CollectionStarted {
        // Looked at before it is used: reading it through `objects` would mend it unseen.
        object(parts, objects, &Key::document(envelope.event.as_bytes()), found);
    }
    let act = match &entry.act {
        Some(act) => Some(act.clone()),
        None => objects
            .get(&Key::document(envelope.event.as_bytes()))
            .ok()
            .and_then(|bytes| ActObject::parse(&bytes).ok()),
    };
    if let Some(act) = act {
        wanted.extend(objects_of(envelope, &act).unwrap_or_default());
    }
    for key in wanted {
        object(parts, objects, &key, found);
    }
}

fn collection(parts: &Parts<'_>, objects: &Objects<'_>, job: &Job, found: &mut Scrubbed) -> bool {
    let Some(keys) = keys(job, parts.own, parts.repaired) else {
        // The chain itself is damaged: verifying it anew fetches what is wrong.
        found.damaged = found.damaged.saturating_add(1);
        match copy(job, parts.own, parts.source, parts.repaired, parts.go_on) {
            Ok(_) => return true,
            Err(CopyError::Stopped) => return false,
            Err(error) => lost(found, format!("collection {}: {}", job.id, chain(&error))),
        }
        return true;
    };
    for key in keys {
        if !(parts.go_on)() {
            return false;
        }
        object(parts, objects, &key, found);
    }
    true
}

/// One object on each store.
fn object(parts: &Parts<'_>, objects: &Objects<'_>, key: &Key, found: &mut Scrubbed) {
    for store in parts.own.stores() {
        found.objects = found.objects.saturating_add(1);
        let stored = store.read(key);
        parts
            .throttle
            .take(stored.as_ref().map_or(0, |bytes| length(bytes)));
        if stored.is_ok_and(|bytes| key.check(&bytes) != ContentCheck::Wrong) {
            continue;
        }
        // A text may have been erased, or never been there: nothing tells from here.
        if key.kind() == KeyKind::Detail && store.size(key).is_err() {
            continue;
        }
        found.damaged = found.damaged.saturating_add(1);
        let right = match parts.own.read(key) {
            Ok(bytes) if key.check(&bytes) != ContentCheck::Wrong => Ok(bytes),
            _ => objects.fetch(key),
        };
        match right.and_then(|bytes| objects.keep(key, &bytes)) {
            Ok(()) => put_back(parts, key, &store.identity().store),
            Err(error) => lost(found, told(key, &error)),
        }
    }
}

fn told(key: &Key, error: &ObjectError) -> String {
    format!("{key}: {}", chain(error))
}

fn put_back(parts: &Parts<'_>, key: &Key, store: &str) {
    parts.repaired.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    tracing::error!(%key, store, "Scrub: a damaged or missing object was put back");
}

fn lost(found: &mut Scrubbed, why: String) {
    tracing::error!("Scrub: {why}");
    if found.lost.len() < LOST_MAX {
        found.lost.push(why);
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
