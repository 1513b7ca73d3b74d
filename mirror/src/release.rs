//! Gives a person one stored object, if the ledger records the access (docs/spec/mirror.md, *Release*).
//!
//! Guarantee: the access entry is proven under the log's key, in the history that this mirror holds. Only the object that the entry
//! names leaves, whole. An object that an approved plan destroys does not leave, unless a hold retains it. A release only reads, and
//! works while the mirror runs. Not here: items, which share segments with other items.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicU64;

use evidence::causes::chain;
use evidence::digest::Digest;
use evidence::disposal::{Course, Fact, Object};
use evidence::entry::act::Act;
use evidence::entry::{ActDocument, Entry, EntryType, Envelope};
use evidence::manifest::Manifest;
use evidence::seal::Seal;
use evidence::signed::Signed;
use ledger::{AuthenticatedReader, ProofFile};
use store::{Key, Replicas};

use crate::config::{Layout, open_stores_to_read};
use crate::cosign::state::{State, StateError};
use crate::note::LogNote;
use crate::objects::Objects;
use crate::pins::Pins;

/// A released object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    /// Index of the access entry.
    pub index: u64,
    /// The person who accessed the evidence, according to the entry.
    pub person: String,
    /// Key of the object.
    pub key: Key,
    pub bytes: Vec<u8>,
}

/// Checks an access entry with its proof, and reads the object that it names from the mirror's copy.
///
/// # Errors
/// `ReleaseError`. Then nothing is released.
pub fn release(directory: &Path, entry: &[u8], proof: &[u8]) -> Result<Released, ReleaseError> {
    let layout = Layout(directory.to_owned());
    let config = layout.config()?;
    let (pins, _) = layout.pins(&config.deployment)?;
    let state = State::read(directory)?;
    let held = state.held.ok_or(ReleaseError::NothingHeld)?;
    let held = LogNote::read(held.as_bytes(), &pins.origin(), &pins.log_keys.keys())
        .map_err(|error| ReleaseError::Copy(format!("state.json: {error}")))?;
    if state.fraud.is_some() {
        return Err(ReleaseError::Refused(
            "an unacknowledged fraud stops this mirror: exhibit-server mirror status".to_owned(),
        ));
    }
    of_copy(&open_stores_to_read(&config)?, &pins, &held, entry, proof)
}

/// As [`release`], over a copy that is already open.
pub fn of_copy(
    own: &Replicas,
    pins: &Pins,
    held: &LogNote,
    entry: &[u8],
    proof: &[u8],
) -> Result<Released, ReleaseError> {
    let refused = |why: String| ReleaseError::Refused(why);
    let proof = ProofFile::parse(proof).map_err(|error| refused(format!("the proof: {}", chain(&error))))?;
    let note = proof.checkpoint().to_string();
    let note = LogNote::read(note.as_bytes(), &pins.origin(), &pins.log_keys.keys())
        .map_err(|error| refused(format!("the proof: {error}")))?;
    let (index, leaf) = (proof.index(), ledger::leaf_hash(entry));
    let shown = &note.checkpoint;
    ledger::proof::verify_inclusion(index, shown.size, &leaf, proof.hashes(), &shown.root)
        .map_err(|error| refused(format!("the proof is not of this entry: {error}")))?;
    let checkpoint = &held.checkpoint;
    if index >= checkpoint.size {
        return Err(refused(format!(
            "entry {index} is not held yet, this mirror holds {}: try again later",
            checkpoint.size
        )));
    }
    let repaired = AtomicU64::new(0);
    let objects = Objects::new(own, None, &repaired);
    let reader = AuthenticatedReader::new(&objects, checkpoint.size, &checkpoint.root)
        .map_err(|error| ReleaseError::Copy(chain(&error)))?;
    let bodies = reader.entries(index >> 8).map_err(|error| ReleaseError::Copy(chain(&error)))?;
    let place = (index & 0xff) as usize;
    if bodies.get(place).is_none_or(|body| body != entry) {
        return Err(refused(format!(
            "entry {index} of the history that this mirror holds is another one: keep the proof, and compare it with the mirror's checkpoint"
        )));
    }
    let parsed = Entry::parse(entry).map_err(|error| refused(chain(&error)))?;
    let envelope = &parsed.envelope;
    if envelope.type_ != EntryType::EvidenceAccessed {
        return Err(refused(format!("it is {}, not evidence.accessed", envelope.type_.as_str())));
    }
    let named = |name| envelope.reference(name).ok_or_else(|| refused(format!("it has no ref {name}")));
    let (object, person) = (named("object")?, named("person")?);
    // Custody documents stay, whatever is destroyed. Ask this first, because the way to a segment leads
    // through seals that may be gone.
    if !object.ends_with("/manifest") && !object.ends_with("/delegation") {
        not_disposed(&reader, checkpoint.size, envelope, object)?;
    }
    let key = Facts::below(&reader, index)?.key(object, &objects)?;
    let bytes = objects.get(&key).map_err(|error| ReleaseError::Copy(chain(&error)))?;
    Ok(Released { index, person: person.to_owned(), key, bytes })
}

/// Refuses evidence that an approved plan destroys or has destroyed here. It judges as of the newest held
/// entry, so that approvals after the access count as well.
fn not_disposed(
    reader: &AuthenticatedReader<&Objects<'_>>,
    size: u64,
    access: &Envelope,
    object: &str,
) -> Result<(), ReleaseError> {
    let (Some(incident), Some(collection)) =
        (access.incident.incident(), object.split_once('/').and_then(|(id, _)| Digest::from_hex(id).ok()))
    else {
        return Ok(());
    };
    let mut course = Course::new(access.deployment.clone(), incident.clone());
    for bundle in 0..size.div_ceil(256) {
        let bodies = reader.entries(bundle).map_err(|error| ReleaseError::Copy(chain(&error)))?;
        for (index, body) in (bundle << 8..).zip(&bodies) {
            let entry = Entry::parse(body).map_err(|error| ReleaseError::Copy(chain(&error)))?;
            if entry.envelope.incident != access.incident {
                continue;
            }
            let is_act = entry.envelope.type_.rule().document == ActDocument::Act;
            let act = entry.act.as_ref().filter(|_| is_act);
            let act = act.and_then(|act| act.read::<Act>().ok());
            course.apply(&Fact::of(index, &entry.envelope, act.as_ref(), false));
        }
    }
    let Some(plan) = course.plan_of(&Object::Collection(collection)) else {
        return Ok(());
    };
    if course.refuse_if_kept(crate::now()).is_err() {
        return Ok(());
    }
    let approved = course.proposed().into_iter().filter(|(found, _)| *found == plan);
    let by: Vec<String> =
        approved.flat_map(|(_, by)| by.into_iter().map(|one| format!("person:{}", one.person))).collect();
    let plan: String = plan.digest().to_string().chars().take(12).collect();
    Err(ReleaseError::Refused(format!(
        "collection {collection} is disposed of under plan {plan}, approved by {}: nothing of it is given out any more. Who needs it places a hold, which keeps what is left: exhibit incident hold place {incident} --reason …; then ask again, when this mirror has that entry",
        by.join(" and ")
    )))
}

/// The manifests, delegations and last seals of collections, from the ledger below an entry.
#[derive(Default)]
struct Facts {
    manifests: BTreeMap<String, Digest>,
    delegations: BTreeMap<String, Digest>,
    interrupted: BTreeMap<String, (Digest, u64)>,
}

impl Facts {
    fn below(reader: &AuthenticatedReader<&Objects<'_>>, index: u64) -> Result<Self, ReleaseError> {
        let mut facts = Self::default();
        for bundle in 0..=(index >> 8) {
            let bodies = reader.entries(bundle).map_err(|error| ReleaseError::Copy(chain(&error)))?;
            for (at, body) in (bundle << 8..).zip(&bodies) {
                if at > index {
                    break;
                }
                let entry = Entry::parse(body).map_err(|error| ReleaseError::Copy(chain(&error)))?;
                let envelope = &entry.envelope;
                let Some(collection) = envelope.reference("collection").map(str::to_owned) else {
                    continue;
                };
                match envelope.type_ {
                    EntryType::CollectionStarted => {
                        facts.delegations.insert(collection, envelope.event);
                    }
                    EntryType::CollectionStored => {
                        facts.manifests.insert(collection, envelope.event);
                    }
                    EntryType::CollectionInterrupted => {
                        let seal = envelope.reference("seal").and_then(|seal| seal.parse().ok());
                        let segments = envelope.reference("segments").and_then(|count| count.parse().ok());
                        if let Some(ended) = seal.zip(segments) {
                            facts.interrupted.insert(collection, ended);
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(facts)
    }

    /// The key of the object that an access entry names.
    fn key(&self, object: &str, objects: &Objects<'_>) -> Result<Key, ReleaseError> {
        let refused = |why: String| Err(ReleaseError::Refused(why));
        let (collection, what) = object.split_once('/').unwrap_or((object, ""));
        let document = |found: Option<&Digest>| match found {
            Some(digest) => Ok(Key::document(digest.as_bytes())),
            None => refused(format!("there is no {what} of {collection} below that entry")),
        };
        let (kind, number) = match what {
            "delegation" => return document(self.delegations.get(collection)),
            "manifest" => return document(self.manifests.get(collection)),
            _ => what.split_once('/').unwrap_or((what, "")),
        };
        if !matches!(kind, "segment" | "seal") {
            return refused(format!(
                "it names {what}, which lies in segments beside what it does not name. Have access to the segments recorded: exhibit evidence cat COLLECTION --object segment/N --purpose …"
            ));
        }
        let Ok(wanted) = number.parse::<u64>() else {
            return refused(format!("{object} is no stored object"));
        };
        let Ok(id) = Digest::from_hex(collection) else {
            return refused(format!("{collection} is no collection"));
        };
        let (mut digest, count) = self.head(collection, objects)?;
        if wanted >= count {
            return refused(format!("{collection} has {count} segments"));
        }
        for index in (0..count).rev() {
            let seal_key = Key::seal(id.as_bytes(), index, digest.as_bytes());
            if kind == "seal" && index == wanted {
                return Ok(seal_key);
            }
            let bytes = objects.get(&seal_key).map_err(|error| ReleaseError::Copy(chain(&error)))?;
            let seal = Seal::parse(&bytes).map_err(|error| ReleaseError::Copy(chain(&error)))?;
            if index == wanted {
                return Ok(Key::segment(id.as_bytes(), index, seal.header.sha256.as_bytes()));
            }
            digest = seal.header.prev;
        }
        refused(format!("{collection} has {count} segments"))
    }

    /// The last seal and the number of segments.
    fn head(&self, collection: &str, objects: &Objects<'_>) -> Result<(Digest, u64), ReleaseError> {
        let Some(manifest) = self.manifests.get(collection) else {
            return self.interrupted.get(collection).copied().ok_or_else(|| {
                ReleaseError::Refused(format!("{collection} was neither stored nor interrupted before"))
            });
        };
        let bytes = objects
            .get(&Key::document(manifest.as_bytes()))
            .map_err(|error| ReleaseError::Copy(chain(&error)))?;
        let manifest: Manifest = Signed::parse(&bytes)
            .and_then(|signed| signed.read())
            .map_err(|error| ReleaseError::Copy(chain(&error)))?;
        Ok((manifest.seal_head, manifest.segments))
    }
}

/// Why nothing is released.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// Settings, pins or stores.
    #[error(transparent)]
    Config(#[from] anyhow::Error),
    /// The mirror's copy failed.
    #[error("read the mirror's copy: {0}. A scrub of the running mirror mends it")]
    Copy(String),
    /// No round has ended yet, so the mirror holds no tree.
    #[error("this mirror holds nothing yet")]
    NothingHeld,
    /// The entry or its proof does not permit a release.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    State(#[from] StateError),
}
