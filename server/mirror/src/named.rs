//! Every object that a ledger says there is: documents, lists, texts, stamps, and the evidence that mirrors stated to hold and
//! nobody destroyed on two persons' word.
//!
//! Guarantee: names come from verified entries and from what these name by digest, never from a listing. Not here: whether
//! the objects are whole. Memory: 100 bytes an object.

use std::collections::{BTreeMap, BTreeSet};

use evidence::disposal::Object;
use evidence::entry::{ActObject, ActPlace, Entry, EntryType};
use evidence::manifest::Manifest;
use evidence::seal::Seal;
use evidence::signed::Signed;
use ledger::AuthenticatedReader;
use store::Key;

use crate::chain;
use crate::objects::Objects;
use crate::rules::objects_of;

/// Keys of all of them. Where a document is damaged, what it would have named is not known: it is among them itself.
///
/// # Errors
/// When the entries cannot be read.
pub fn objects(
    reader: &AuthenticatedReader<&Objects<'_>>,
    objects: &Objects<'_>,
    size: u64,
) -> Result<BTreeSet<Key>, String> {
    let mut keys = BTreeSet::new();
    let mut manifests: BTreeMap<String, Key> = BTreeMap::new();
    let (mut replicated, mut destroyed) = (BTreeSet::new(), BTreeSet::new());
    for bundle in 0..size.div_ceil(256) {
        let bodies = reader
            .entries(bundle)
            .map_err(|error| format!("bundle {bundle}: {}", chain(&error)))?;
        for (place, body) in bodies.iter().enumerate() {
            let entry = Entry::parse(body)
                .map_err(|error| format!("entry {place} of bundle {bundle}: {}", chain(&error)))?;
            let envelope = &entry.envelope;
            let document = Key::document(envelope.event.as_bytes());
            if envelope.act == ActPlace::Digest || envelope.type_ == EntryType::CollectionStarted {
                keys.insert(document.clone());
            }
            let act = match entry.act {
                Some(act) => Some(act),
                None => objects
                    .get(&document)
                    .ok()
                    .and_then(|bytes| ActObject::parse(&bytes).ok()),
            };
            if let Some(act) = act {
                keys.extend(objects_of(envelope, &act).unwrap_or_default());
            }
            let collection = || envelope.reference("collection").unwrap_or_default().to_owned();
            match envelope.type_ {
                EntryType::CollectionStored => {
                    manifests.insert(collection(), document);
                }
                EntryType::EvidenceReplicated => {
                    replicated.insert(collection());
                }
                // Held by rules that asked for both approvals: destroyed somewhere, it is to be had nowhere.
                EntryType::DispositionExecuted | EntryType::DispositionConfirmed => {
                    let object = envelope.reference("object").unwrap_or_default();
                    if let Ok(Object::Collection(id)) = object.parse() {
                        destroyed.insert(id.to_string());
                    }
                }
                _ => {}
            }
        }
    }
    for collection in replicated.difference(&destroyed) {
        if let Some(manifest) = manifests.get(collection) {
            evidence(manifest, objects, &mut keys);
        }
    }
    Ok(keys)
}

/// Seals and segments of a stored collection, as far as its seals are whole; the first that is not ends what is known.
fn evidence(manifest: &Key, objects: &Objects<'_>, keys: &mut BTreeSet<Key>) {
    let manifest: Option<Manifest> = objects
        .get(manifest)
        .ok()
        .and_then(|bytes| Signed::parse(&bytes).ok()?.read().ok());
    let Some(manifest) = manifest else { return };
    let (id, mut digest) = (manifest.collection, manifest.seal_head);
    for index in (0..manifest.segments).rev() {
        let key = Key::seal(id.as_bytes(), index, digest.as_bytes());
        keys.insert(key.clone());
        let Ok(bytes) = objects.get(&key) else { return };
        let Ok(seal) = Seal::parse(&bytes) else { return };
        keys.insert(Key::segment(id.as_bytes(), index, seal.header.sha256.as_bytes()));
        digest = seal.header.prev;
    }
}
