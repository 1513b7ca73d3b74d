//! Lists every object that a mirror's copy must have according to its ledger: documents, lists, texts,
//! stamps, and the evidence that mirrors stated to hold. It leaves out objects that a disposal allows to be
//! missing here.
//!
//! Guarantee: each name comes from a verified entry, or from an object that such an entry names by digest;
//! never from a listing. Not here: whether the objects are whole. Memory: 100 bytes per object, and the
//! courses of all incidents.

use std::collections::{BTreeMap, BTreeSet};

use evidence::causes::chain;
use evidence::digest::Digest;
use evidence::disposal::{Course, Fact};
use evidence::entry::act::Act;
use evidence::entry::{ActDocument, ActLocation, ActObject, Entry, EntryType};
use evidence::id::{IncidentId, MirrorId};
use evidence::manifest::Manifest;
use evidence::seal::Seal;
use evidence::signed::Signed;
use evidence::time::Time;
use ledger::AuthenticatedReader;
use store::Key;

use crate::objects::Objects;
use crate::rules::objects_of;

/// Which mirror's copy it is, and the time.
#[derive(Debug, Clone, Copy)]
pub struct Here<'a> {
    /// The mirror; `None` for a single store, because nobody knows whose it was.
    pub mirror: Option<&'a MirrorId>,
    /// The time. Retention periods expire with it.
    pub now: Time,
}

/// Lists all keys. If a document is damaged, nobody knows which objects it names. The document itself is in
/// the list.
///
/// # Errors
/// If the entries cannot be read.
pub fn objects(
    reader: &AuthenticatedReader<&Objects<'_>>,
    objects: &Objects<'_>,
    size: u64,
    here: Here<'_>,
) -> Result<BTreeSet<Key>, String> {
    let mut keys = BTreeSet::new();
    let mut manifests: BTreeMap<Digest, Key> = BTreeMap::new();
    let mut replicated: BTreeSet<(IncidentId, Digest)> = BTreeSet::new();
    let mut courses: BTreeMap<IncidentId, Course> = BTreeMap::new();
    for bundle in 0..size.div_ceil(256) {
        let bodies = reader.entries(bundle).map_err(|error| format!("bundle {bundle}: {}", chain(&error)))?;
        for (place, body) in bodies.iter().enumerate() {
            let entry = Entry::parse(body)
                .map_err(|error| format!("entry {place} of bundle {bundle}: {}", chain(&error)))?;
            let envelope = &entry.envelope;
            let document = Key::document(envelope.event.as_bytes());
            if envelope.act == ActLocation::Digest || envelope.type_ == EntryType::CollectionStarted {
                keys.insert(document.clone());
            }
            let act = match entry.act {
                Some(act) => Some(act),
                None => objects.get(&document).ok().and_then(|bytes| ActObject::parse(&bytes).ok()),
            };
            if let Some(act) = &act {
                let named = objects_of(envelope, act)
                    .map_err(|error| format!("entry {place} of bundle {bundle}: {}", chain(&error)))?;
                keys.extend(named);
            }
            let Some(incident) = envelope.incident.incident() else {
                continue;
            };
            let is_act = envelope.type_.rule().document == ActDocument::Act;
            let act = act.filter(|_| is_act).and_then(|act| act.read::<Act>().ok());
            let index = bundle * 256 + place as u64;
            // The rules judged this entry before the mirror held it: signatures, roles, and what kept the
            // evidence.
            courses
                .entry(incident.clone())
                .or_insert_with(|| Course::new(envelope.deployment.clone(), incident.clone()))
                .apply(&Fact::of(index, envelope, act.as_ref(), false));
            let collection = envelope.reference("collection");
            let Some(collection) = collection.and_then(|id| Digest::from_hex(id).ok()) else {
                continue;
            };
            match envelope.type_ {
                EntryType::CollectionStored => {
                    manifests.insert(collection, document);
                }
                EntryType::EvidenceReplicated => {
                    replicated.insert((incident.clone(), collection));
                }
                _ => {}
            }
        }
    }
    for (incident, collection) in replicated {
        let may_lack = |course: &Course| course.may_lack(&collection, here.mirror, here.now);
        if courses.get(&incident).is_some_and(may_lack) {
            continue;
        }
        if let Some(manifest) = manifests.get(&collection) {
            evidence(manifest, objects, &mut keys);
        }
    }
    Ok(keys)
}

/// Seals and segments of a stored collection, up to the first seal that is not whole.
fn evidence(manifest: &Key, objects: &Objects<'_>, keys: &mut BTreeSet<Key>) {
    let manifest: Option<Manifest> =
        objects.get(manifest).ok().and_then(|bytes| Signed::parse(&bytes).ok()?.read().ok());
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
