//! Reads the own copy again: every object that the ledger names and every one that is there, within a set time and rate.
//!
//! Guarantee: what the state says is held is looked for by name, not by what a listing still shows; what is damaged or lost is
//! fetched again and verified; what cannot be is counted and stays an alarm. Not here: when (the caller).

use std::sync::atomic::AtomicU64;

use ledger::AuthenticatedReader;
use ledger::tile::{bundles_for_growth, tiles_for_growth};
use store::{ContentCheck, Key, KeyKind, Replicas, Store, StoreError, StoreErrorClass};

use crate::chain;
use crate::copy::{self, CopyError, copy, keys};
use crate::cosign::LogNote;
use crate::judge::Judges;
use crate::objects::{ObjectError, Objects};
use crate::rules::{Job, Pins, objects_of};
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
    /// Whose log it is.
    pub pins: &'a Pins,
    /// Own copies.
    pub own: &'a Replicas,
    /// Where replacements come from.
    pub source: Option<&'a dyn Source>,
    /// Count of objects put back.
    pub repaired: &'a AtomicU64,
    /// Who verifies a collection whose chain is damaged.
    pub judges: &'a dyn Judges,
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
    let reader = match objects.verified(|| AuthenticatedReader::new(&objects, size, &root)) {
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
        let bodies = match objects.verified(|| reader.entries(bundle)) {
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
            entry(parts, &objects, &reader, &body, &mut found);
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
    let key = Key::tile(path);
    let right = objects.verified(|| reader.content(path)).map_err(|error| chain(&error));
    for store in parts.own.stores() {
        found.objects = found.objects.saturating_add(1);
        let stored = store.read(&key);
        parts.throttle.take(stored.as_ref().map_or(0, |bytes| length(bytes)));
        let whole = matches!((&stored, &right), (Ok(stored), Ok(right)) if stored == right);
        if whole {
            continue;
        }
        found.damaged = found.damaged.saturating_add(1);
        // The tree commits to it, so its bytes are known whatever the store has.
        let mended = match &right {
            Ok(right) => mend(store.as_ref(), &key, right).map_err(|error| chain(&error)),
            Err(why) => Err(why.clone()),
        };
        match mended {
            Ok(()) => put_back(parts, &key, &store.identity().store),
            Err(why) => lost(found, format!("{key} on store {}: {why}", store.identity().store)),
        }
    }
}

/// Writes the right bytes; what is there instead goes to `damaged/`.
fn mend(store: &dyn Store, key: &Key, right: &[u8]) -> Result<(), StoreError> {
    match store.create(key, right) {
        Err(error) if matches!(error.class(), StoreErrorClass::Conflict | StoreErrorClass::Permanent) => {
            store.make_way(key, right)?;
            store.create(key, right)
        }
        result => result,
    }
}

/// What an entry names.
fn entry(
    parts: &Parts<'_>,
    objects: &Objects<'_>,
    reader: &AuthenticatedReader<&Objects<'_>>,
    body: &[u8],
    found: &mut Scrubbed,
) {
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
        if key.kind() == KeyKind::StampedCheckpoint {
            stamped(parts, objects, reader, &key, found);
        } else {
            object(parts, objects, &key, found);
        }
    }
}

/// A stamped checkpoint: its key says nothing of its content, the log's key and the tree say all.
fn stamped(
    parts: &Parts<'_>,
    objects: &Objects<'_>,
    reader: &AuthenticatedReader<&Objects<'_>>,
    key: &Key,
    found: &mut Scrubbed,
) {
    let is_right = |bytes: &[u8]| {
        LogNote::read(bytes, &parts.pins.origin(), &parts.pins.log_keys.keys()).is_ok_and(|note| {
            let checkpoint = note.checkpoint;
            let root = objects.verified(|| ledger::root(reader, checkpoint.size));
            *key == Key::stamped_checkpoint(checkpoint.size) && root.is_ok_and(|root| root == checkpoint.root)
        })
    };
    for store in parts.own.stores() {
        found.objects = found.objects.saturating_add(1);
        let stored = store.read(key);
        parts.throttle.take(stored.as_ref().map_or(0, |bytes| length(bytes)));
        if stored.is_ok_and(|bytes| is_right(&bytes)) {
            continue;
        }
        found.damaged = found.damaged.saturating_add(1);
        let others = parts.own.stores().iter().filter_map(|other| other.read(key).ok());
        let right = others.chain(objects.fetch(key)).find(|bytes| is_right(bytes));
        let mended = match right {
            Some(right) => mend(store.as_ref(), key, &right).map_err(|error| chain(&error)),
            None => Err("neither a store nor the source has the log's note of that size".to_owned()),
        };
        match mended {
            Ok(()) => put_back(parts, key, &store.identity().store),
            Err(why) => lost(found, format!("{key}: {why}")),
        }
    }
}

fn collection(parts: &Parts<'_>, objects: &Objects<'_>, job: &Job, found: &mut Scrubbed) -> bool {
    let Some(keys) = keys(job, parts.own, parts.repaired) else {
        // The chain itself is damaged: verifying it anew fetches what is wrong.
        found.damaged = found.damaged.saturating_add(1);
        let again = copy::Parts {
            own: parts.own,
            source: parts.source,
            repaired: parts.repaired,
            judges: parts.judges,
            go_on: parts.go_on,
        };
        match copy(job, &again) {
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
        parts.throttle.take(stored.as_ref().map_or(0, |bytes| length(bytes)));
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
