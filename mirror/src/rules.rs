//! What stands between the log and the rule book (`custody`): the objects that an entry needs, and what the mirror must do with evidence.
//!
//! Guarantee: [`Rules::step`] either takes an entry or changes nothing. The state after entry *n* is a function of entries 0..=*n*,
//! the objects that they name, and the pins.
//! Not here: the rules (`custody`), where bytes come from ([`crate::objects`]), Merkle proofs ([`crate::pull`]).

mod collections;
mod disposal;
mod targets;
mod texts;

use std::collections::BTreeMap;

use custody::act::Act;
use custody::collection::Collection;
use custody::line::Vouched;
use custody::rule::{Broken, RuleId, must, must_have, must_hold};
use custody::{At, State, View};
use evidence::causes::chain;
use evidence::digest::Digest;
use evidence::entry::act::Act as ActV1;
use evidence::entry::detail::Detail;
use evidence::entry::{ActDocument, ActLocation, ActObject, Entry, EntryType, Envelope};
use evidence::order::Order;
use evidence::signed::SignedError;
use store::Key;

pub use collections::{CollectionToCopy, Extent};
pub use disposal::DueDisposal;

use crate::note::LogNote;
use crate::objects::{ObjectError, Objects};
use crate::pins::Pins;
use crate::source::SourceError;

/// The state of the rule book, and what only a mirror keeps beside it.
#[derive(Debug)]
pub struct Rules {
    pins: Pins,
    state: State,
    /// Texts that are missing, and texts that stay although a plan names them.
    texts: texts::Texts,
    /// The history that an entry vouches for. It stays here until a round has compared it with the tree,
    /// because a round may end before that.
    vouched: Option<Vouched>,
}

/// Why an entry is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The entry or its act breaks a rule. No later entry is taken.
    #[error(transparent)]
    Rule(#[from] Broken),
    /// An object that the entry names cannot be fetched (now).
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The entry is of a type of a later version. It and what follows wait for that version.
    #[error("this mirror does not know {type_}: upgrade it")]
    NotKnown { type_: EntryType },
}

impl Rules {
    /// The state before the first entry.
    #[must_use]
    pub fn new(pins: Pins) -> Self {
        let known = custody::Pins {
            deployment: pins.deployment.clone(),
            authority: pins.authority.clone(),
            ca_sha256: pins.ca_sha256,
            log_keys: pins.log_keys.keys(),
        };
        let state = State::new(known, View::Whole);
        Self { pins, state, texts: texts::Texts::default(), vouched: None }
    }

    /// Number of entries taken so far.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.state.next()
    }

    /// Collections, by id.
    #[must_use]
    pub fn collections(&self) -> &BTreeMap<Digest, Collection> {
        self.state.collections()
    }

    /// The history for which a change of the log key vouches, until a round has compared it with the tree.
    pub(crate) const fn vouched(&self) -> Option<Vouched> {
        self.vouched
    }

    /// Notes that a round has compared the vouched history with the tree.
    pub(crate) const fn vouched_holds(&mut self) {
        self.vouched = None;
    }

    /// Judges the next entry and takes it.
    ///
    /// # Errors
    /// `Refused`. The state is then the same as before.
    pub fn step(&mut self, body: &[u8], objects: &Objects<'_>) -> Result<(), Refused> {
        let entry = custody::entry::read(body)?;
        let envelope = &entry.envelope;
        if !envelope.type_.is_known() {
            return Err(Refused::NotKnown { type_: envelope.type_ });
        }
        let at = At { index: self.state.next(), leaf: ledger::leaf_hash(body) };
        // For an entry that cannot stand here, nothing is fetched.
        self.state.follows(at, &entry)?;
        let object = act_of(&entry, objects)?;
        let act = Act::read(&entry, &object, self.beside(envelope, &object, objects)?)?;
        let names_a_log_key = matches!(
            envelope.type_,
            EntryType::LogGenesis | EntryType::KeyRotated | EntryType::LogSuccession
        );
        if names_a_log_key {
            // A round may have learned of changes that the log had not recorded yet.
            self.state.set_line(self.pins.log_keys.keys());
        }
        // Nothing else changes before the whole entry is judged.
        let change = self.state.step(at, &entry, &act)?;
        let missing = named_objects(envelope, &object, objects, &self.pins)?;
        if envelope.type_ == EntryType::CollectionStarted && envelope.act == ActLocation::Inline {
            // The collector also reads a delegation from the stores, so it could not be restored from a copy
            // without the delegation.
            let key = Key::document(envelope.event.as_bytes());
            if objects.own.read(&key).is_err() {
                objects.offer(key, object.encode());
            }
        }
        objects.store_pending()?;
        self.vouched = change.vouched().or(self.vouched);
        self.state.take(change);
        if names_a_log_key {
            self.pins.log_keys.set(self.state.line().clone());
        }
        if envelope.incident.incident().is_none() {
            self.texts.of_deployment.extend(act.plain().and_then(|act| act.detail));
        }
        self.texts.missing.extend(missing);
        Ok(())
    }
}

fn act_of(entry: &Entry, objects: &Objects<'_>) -> Result<ActObject, Refused> {
    if let (Some(act), ActLocation::Inline) = (&entry.act, entry.envelope.act) {
        return Ok(act.clone());
    }
    let bytes = objects.peek(&Key::document(entry.envelope.event.as_bytes()))?;
    let parsed = ActObject::parse(&bytes);
    let why = parsed.as_ref().err().map(|error| chain(error)).unwrap_or_default();
    Ok(must_have(RuleId::Entry1, parsed.ok(), format_args!("read its act: {why}"))?)
}

/// Fetches the objects that the act names. Returns the missing texts, each with true if the source was asked
/// for it.
fn named_objects(
    envelope: &Envelope,
    act: &ActObject,
    objects: &Objects<'_>,
    pins: &Pins,
) -> Result<Vec<(Digest, bool)>, Refused> {
    let mut missing = Vec::new();
    for key in must_hold(RuleId::Entry1, objects_of(envelope, act))? {
        match objects.peek(&key) {
            // The only kind whose key says nothing about its content.
            Ok(bytes) if key.kind() == store::KeyKind::StampedCheckpoint => stamped(&key, &bytes, pins)?,
            Ok(bytes) if key.kind() == store::KeyKind::Detail => {
                // Its bytes have the digest of the key.
                must_hold(RuleId::Entry19, Detail::open(&bytes, &Digest::of(&bytes)))?;
            }
            Ok(_) => {}
            Err(why @ (ObjectError::Source(SourceError::Missing { .. }) | ObjectError::Lost { .. }))
                if key.kind() == store::KeyKind::Detail =>
            {
                let was_asked = matches!(why, ObjectError::Source(_));
                missing.extend(key.digest().map(|text| (Digest(text), was_asked)));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(missing)
}

fn stamped(key: &Key, bytes: &[u8], pins: &Pins) -> Result<(), Broken> {
    let read = LogNote::read(bytes, &pins.origin(), &pins.log_keys.keys());
    let why = read.as_ref().err().map(|error| chain(error)).unwrap_or_default();
    let note = must_have(RuleId::Stamp2, read.ok(), format_args!("the stamped checkpoint: {why}"))?;
    must(
        RuleId::Stamp2,
        *key == Key::stamped_checkpoint(note.checkpoint.size),
        "the stamped checkpoint is of another size",
    )
}

/// Keys of the objects that an entry names, without evidence and the act itself.
///
/// # Errors
/// If the act is not a document of its type.
pub fn objects_of(envelope: &Envelope, act: &ActObject) -> Result<Vec<Key>, SignedError> {
    Ok(match envelope.type_.rule().document {
        ActDocument::Act => {
            let act: ActV1 = act.read()?;
            let mut keys: Vec<Key> = act.detail.iter().map(|digest| Key::detail(digest.as_bytes())).collect();
            if envelope.type_ == EntryType::TsaStamped {
                let size = act.reference("size").and_then(|size| size.parse().ok());
                let stamp = act.reference("stamp").and_then(|stamp| Digest::from_hex(stamp).ok());
                if let (Some(size), Some(stamp)) = (size, stamp) {
                    keys.push(Key::stamp(size, stamp.as_bytes()));
                    keys.push(Key::stamped_checkpoint(size));
                }
            }
            keys
        }
        ActDocument::Order => {
            let order: Order = act.read()?;
            vec![Key::targets(order.targets_root.as_bytes())]
        }
        _ => Vec::new(),
    })
}
