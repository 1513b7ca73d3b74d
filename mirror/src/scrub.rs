//! Reads the mirror's own copy again: every object that the ledger names, on every store, at a set rate.
//!
//! Guarantee: the scrub looks for objects by the names that the held ledger gives, not by a store's listing. It fetches damaged and
//! lost objects again and verifies them. What it cannot put back stays an alarm. Not here: when a pass is due (`run`), how one object
//! is read and judged ([`store::scrub`]).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use evidence::causes::chain;
use evidence::entry::{ActLocation, ActObject, Entry, EntryType};
use ledger::tile::{bundles_for_growth, tiles_for_growth};
use ledger::{AuthenticatedReader, TilePath};
use store::scrub::{Found, Throttle, examine_by};
use store::{ContentCheck, Key, KeyKind, Replicas, Store, StoreErrorClass};

use crate::note::LogNote;
use crate::objects::Objects;
use crate::pins::Pins;
use crate::replicate::copy::{self, CopyError, copy, keys};
use crate::replicate::judge::Judges;
use crate::rules::{CollectionToCopy, objects_of};
use crate::source::Source;

/// The result of a pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Number of objects read. Each copy counts.
    pub objects: u64,
    /// How many of these were damaged or missing.
    pub damaged: u64,
    /// Objects that could not be put back, each with the reason. Only the first hundred.
    pub lost: Vec<String>,
}

/// Everything that a pass needs.
pub struct Parts<'a> {
    /// Which log the mirror follows.
    pub pins: &'a Pins,
    pub own: &'a Replicas,
    /// The source of replacements.
    pub source: Option<&'a dyn Source>,
    /// Counts the objects that were put back.
    pub repaired: &'a AtomicU64,
    /// The judge for a collection whose seal chain is damaged.
    pub judges: &'a dyn Judges,
    pub throttle: &'a Throttle,
    /// `false` ends the pass.
    pub go_on: &'a dyn Fn() -> bool,
    /// Called now and then to report progress.
    pub progress: &'a dyn Fn(&Scrubbed),
}

/// Most reasons that are kept.
const LOST_MAX: usize = 100;

/// Makes one pass over the tree of `held` and the `collections`. `None` if the pass was stopped before its
/// end.
#[must_use]
pub fn scrub(parts: &Parts<'_>, held: &LogNote, collections: &[CollectionToCopy]) -> Option<Scrubbed> {
    let objects = Objects::new(parts.own, parts.source, parts.repaired);
    let (size, root) = (held.checkpoint.size, held.checkpoint.root);
    let mut pass = Pass { parts, objects: &objects, found: Scrubbed::default(), away: BTreeSet::new() };
    // Read tiles first: they are needed to name everything else.
    let reader = match objects.verified(|| AuthenticatedReader::new(&objects, size, &root)) {
        Ok(reader) => reader,
        Err(error) => {
            pass.lost(format!("the tree's right edge: {}", chain(&error)));
            return Some(pass.found);
        }
    };
    let paths = tiles_for_growth(0, size).and_then(|mut paths| {
        paths.extend(bundles_for_growth(0, size)?);
        Ok(paths)
    });
    let paths = match paths {
        Ok(paths) => paths,
        Err(error) => {
            pass.lost(format!("the tree's tiles: {}", chain(&error)));
            return Some(pass.found);
        }
    };
    for path in &paths {
        if !(parts.go_on)() {
            return None;
        }
        pass.tile(&reader, path);
    }
    (parts.progress)(&pass.found);
    for bundle in 0..size.div_ceil(256) {
        let bodies = match objects.verified(|| reader.entries(bundle)) {
            Ok(bodies) => bodies,
            Err(error) => {
                pass.lost(format!("bundle {bundle}: {}", chain(&error)));
                continue;
            }
        };
        for body in bodies {
            if !(parts.go_on)() {
                return None;
            }
            pass.entry(&reader, &body);
        }
        (parts.progress)(&pass.found);
    }
    for collection in collections {
        if !pass.collection(collection) {
            return None;
        }
        (parts.progress)(&pass.found);
    }
    Some(pass.found)
}

type Reader<'a> = AuthenticatedReader<&'a Objects<'a>>;

/// A pass that is under way.
struct Pass<'a> {
    parts: &'a Parts<'a>,
    objects: &'a Objects<'a>,
    found: Scrubbed,
    /// Stores that did not answer, or whose marker was not the expected one. The pass reports each once, and
    /// reports nothing about its objects.
    away: BTreeSet<String>,
}

impl Pass<'_> {
    /// Examines one object on each store. If a copy is not right, `mend` writes the right bytes there.
    fn object(
        &mut self,
        key: &Key,
        is_right: &dyn Fn(&[u8]) -> bool,
        mend: &dyn Fn(&dyn Store) -> Result<(), String>,
    ) {
        for store in self.parts.own.stores() {
            let name = &store.identity().store;
            if self.away.contains(name) {
                continue;
            }
            let found = examine_by(store.as_ref(), key, is_right);
            self.found.objects += 1;
            self.parts.throttle.spend(found.bytes_read());
            match found {
                Found::Whole(_) => continue,
                // A text may have been erased or may never have been there. The scrub cannot tell which.
                Found::Missing if key.kind() == KeyKind::Detail => continue,
                Found::Away(error) => {
                    self.away.insert(name.clone());
                    self.lost(format!("store {name} is away: {}", chain(&error)));
                    continue;
                }
                Found::Damaged(_) | Found::Missing | Found::Unreadable(_) => {}
            }
            self.found.damaged += 1;
            match mend(store.as_ref()) {
                Ok(()) => {
                    self.parts.repaired.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(%key, store = %name, "Scrub: a damaged or missing object was put back");
                }
                Err(why) => self.lost(format!("{key} on store {name}: {why}")),
            }
        }
    }

    /// Mends an object whose key carries its digest, from another own store or from the source.
    fn by_digest(&mut self, key: &Key) {
        let (own, objects) = (self.parts.own, self.objects);
        let is_right = |bytes: &[u8]| key.check(bytes) != ContentCheck::Wrong;
        self.object(key, &is_right, &|_| {
            let right = match own.read(key) {
                Ok(bytes) if is_right(&bytes) => Ok(bytes),
                _ => objects.fetch(key),
            };
            right.and_then(|bytes| objects.keep(key, &bytes)).map_err(|error| chain(&error))
        });
    }

    /// A tile or bundle: the tree commits to it, so the right bytes are known whatever the store holds.
    fn tile(&mut self, reader: &Reader<'_>, path: &TilePath) {
        let key = Key::tile(path);
        let right = self.objects.verified(|| reader.content(path)).map_err(|error| chain(&error));
        let is_right = |bytes: &[u8]| right.as_ref().is_ok_and(|right| right == bytes);
        self.object(&key, &is_right, &|store| put_back(store, &key, right.as_ref().map_err(Clone::clone)?));
    }

    /// The objects that an entry names.
    fn entry(&mut self, reader: &Reader<'_>, body: &[u8]) {
        let entry = match Entry::parse(body) {
            Ok(entry) => entry,
            Err(error) => return self.lost(format!("an entry of the held tree: {}", chain(&error))),
        };
        let envelope = &entry.envelope;
        let document = Key::document(envelope.event.as_bytes());
        if envelope.act == ActLocation::Digest || envelope.type_ == EntryType::CollectionStarted {
            // Examine the document before using it: reading it through `objects` would mend it without a
            // report.
            self.by_digest(&document);
        }
        let act = match entry.act {
            Some(act) => Some(act),
            None => self.objects.get(&document).ok().and_then(|bytes| ActObject::parse(&bytes).ok()),
        };
        // If the document is damaged and no source has it, nobody knows which objects it names. The document
        // itself counts as lost.
        let Some(act) = act else { return };
        let named = match objects_of(envelope, &act) {
            Ok(named) => named,
            Err(broken) => return self.lost(format!("{document}: {}", chain(&broken))),
        };
        for key in named {
            if key.kind() == KeyKind::StampedCheckpoint {
                self.stamped(reader, &key);
            } else {
                self.by_digest(&key);
            }
        }
    }

    /// A stamped checkpoint. Its key says nothing about its content, but the log's key and the tree decide
    /// what is right.
    fn stamped(&mut self, reader: &Reader<'_>, key: &Key) {
        let (own, objects, pins) = (self.parts.own, self.objects, self.parts.pins);
        let is_right = |bytes: &[u8]| {
            LogNote::read(bytes, &pins.origin(), &pins.log_keys.keys()).is_ok_and(|note| {
                let checkpoint = note.checkpoint;
                let root = objects.verified(|| ledger::root(reader, checkpoint.size));
                *key == Key::stamped_checkpoint(checkpoint.size)
                    && root.is_ok_and(|root| root == checkpoint.root)
            })
        };
        self.object(key, &is_right, &|store| {
            let others = own.stores().iter().filter_map(|other| other.read(key).ok());
            let right = others.chain(objects.fetch(key)).find(|bytes| is_right(bytes));
            let right = right.ok_or("neither a store nor the source has the log's note of that size")?;
            put_back(store, key, &right)
        });
    }

    /// Handles a damaged seal chain: verifying the collection again fetches the damaged objects.
    fn collection(&mut self, collection: &CollectionToCopy) -> bool {
        let parts = self.parts;
        let Some(keys) = keys(collection, parts.own, parts.repaired) else {
            // Count the damage before verifying: the verification mends it.
            self.found.damaged += 1;
            let again = copy::Parts {
                own: parts.own,
                source: parts.source,
                repaired: parts.repaired,
                judges: parts.judges,
                go_on: parts.go_on,
            };
            match copy(collection, &again) {
                Ok(_) => {}
                Err(CopyError::Stopped) => return false,
                Err(error) => self.lost(format!("collection {}: {}", collection.id, chain(&error))),
            }
            return true;
        };
        for key in keys {
            if !(parts.go_on)() {
                return false;
            }
            self.by_digest(&key);
        }
        true
    }

    fn lost(&mut self, why: String) {
        tracing::error!("Scrub: {why}");
        if self.found.lost.len() < LOST_MAX {
            self.found.lost.push(why);
        }
    }
}

/// Writes bytes that are known to be right. The store moves other bytes under this key to `damaged/`.
fn put_back(store: &dyn Store, key: &Key, right: &[u8]) -> Result<(), String> {
    let created = match store.create(key, right) {
        Err(error) if matches!(error.class(), StoreErrorClass::Conflict | StoreErrorClass::Permanent) => {
            store.make_way(key, right).and_then(|()| store.create(key, right))
        }
        created => created,
    };
    created.map_err(|error| chain(&error))
}
