//! Entry rules: what each entry must be, given all entries before it (docs/spec/mirror.md, *Entry rules*).
//!
//! Guarantee: [`Rules::step`] either takes an entry or changes nothing. The state after entry *n* is a function of entries 0..=*n*,
//! the objects that they name, and the pins. Memory grows with incidents, endpoints, orders and collections, and by 16 bytes an entry.
//! Not here: where bytes come from ([`crate::objects`]), Merkle proofs ([`crate::pull`]).

mod acts;
mod broken;
mod collections;
mod disposal;
mod endpoints;
mod log_keys;
mod orders;
mod texts;

use std::collections::BTreeMap;

use evidence::container::dense_set::DenseSet;
use evidence::digest::Digest;
use evidence::entry::{ActDocument, ActLocation, ActObject, ChainHead, Entry, EntryType, Envelope, Signers};
use evidence::id::{EndpointId, MirrorId};
use evidence::log_key::LogKeys;
use evidence::roster::AdmittedRoster;
use evidence::signed::Signed;
use store::Key;

pub(crate) use acts::read_act;
pub use broken::{BrokenRule, OrderEnd};
pub use collections::{Collection, CollectionToCopy, Extent};
pub use disposal::DueDisposal;

use crate::note::LogNote;
use crate::objects::{ObjectError, Objects};
use crate::pins::Pins;
use crate::source::SourceError;

/// Everything that is needed to judge the next entry.
#[derive(Debug)]
pub struct Rules {
    pins: Pins,
    next: u64,
    chains: BTreeMap<String, ChainHead>,
    /// First half of each event id. An accidental collision is not to be expected before 2^64 entries.
    events: DenseSet<u128>,
    roster: Option<AdmittedRoster>,
    tokens: BTreeMap<Digest, endpoints::Admitted>,
    endpoints: BTreeMap<(EndpointId, u32), endpoints::Enrolled>,
    orders: BTreeMap<Digest, orders::Issued>,
    mirrors: BTreeMap<MirrorId, acts::MirrorKeys>,
    collections: BTreeMap<Digest, Collection>,
    /// What keeps evidence and what disposals destroy, by incident.
    courses: disposal::Courses,
    /// Texts that are missing, and texts that stay although a plan names them.
    texts: texts::Texts,
    /// The history that the authority vouched for. It stays here until a round has compared it with the tree,
    /// because a round may end before that.
    vouched: Option<Vouched>,
}

/// The history on which the authority based its change of the log key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Vouched {
    /// Index of the entry that records this.
    pub(crate) index: u64,
    pub(crate) size: u64,
    pub(crate) root: ledger::Hash,
}

/// The entry that is being judged.
struct Case<'a> {
    index: u64,
    envelope: &'a Envelope,
    act: &'a ActObject,
    objects: &'a Objects<'a>,
}

impl Case<'_> {
    fn signed(&self) -> Result<Signed, Broken> {
        Ok(self.act.signed().map_err(BrokenRule::Signed)?)
    }

    /// Checks that the envelope has exactly these refs, all of them named in the type's row.
    fn refs(&self, wanted: &[(&'static str, String)]) -> Result<(), Broken> {
        match wanted.iter().find(|(name, value)| self.envelope.reference(name) != Some(value.as_str())) {
            None => Ok(()),
            Some((name, _)) => Err(BrokenRule::Ref { name }.into()),
        }
    }

    fn digest(&self, name: &'static str) -> Result<Digest, Broken> {
        let value = self.envelope.reference(name).and_then(|value| Digest::from_hex(value).ok());
        Ok(value.ok_or(BrokenRule::DigestMissing { name })?)
    }
}

/// Why an entry is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The entry or its act breaks a rule. No later entry is accepted.
    #[error(transparent)]
    Rule(#[from] BrokenRule),
    /// An object that the entry names cannot be fetched (now).
    #[error(transparent)]
    Object(#[from] ObjectError),
}

impl Rules {
    /// The state before the first entry.
    #[must_use]
    pub fn new(pins: Pins) -> Self {
        Self {
            pins,
            next: 0,
            chains: BTreeMap::new(),
            events: DenseSet::default(),
            roster: None,
            tokens: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            orders: BTreeMap::new(),
            mirrors: BTreeMap::new(),
            collections: BTreeMap::new(),
            courses: disposal::Courses::new(),
            texts: texts::Texts::default(),
            vouched: None,
        }
    }

    /// Number of entries accepted so far.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Collections, by id.
    #[must_use]
    pub fn collections(&self) -> &BTreeMap<Digest, Collection> {
        &self.collections
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
    /// `Broken`. The state is then the same as before.
    pub fn step(&mut self, body: &[u8], objects: &Objects<'_>) -> Result<(), Broken> {
        let entry = Entry::parse(body).map_err(BrokenRule::Entry)?;
        let envelope = &entry.envelope;
        if envelope.deployment != self.pins.deployment {
            return Err(BrokenRule::Deployment { found: envelope.deployment.clone() }.into());
        }
        let name = envelope.incident.to_string();
        let mut head = self.chains.get(&name).copied().unwrap_or(ChainHead::START);
        head.step(envelope, ledger::leaf_hash(body).into()).map_err(BrokenRule::Chain)?;
        let event = half(&envelope.event);
        if self.events.contains(&event) {
            return Err(BrokenRule::ActRepeated.into());
        }
        if (self.next == 0) != (envelope.type_ == EntryType::LogGenesis) {
            return Err(BrokenRule::Genesis.into());
        }
        let act = act_of(&entry, objects)?;
        let case = Case { index: self.next, envelope, act: &act, objects };
        // Nothing changes before the whole entry is judged.
        let change = self.judge(&case)?;
        let course = self.course(&case)?;
        let missing = named_objects(&case, &self.pins)?;
        if envelope.type_ == EntryType::CollectionStarted && envelope.act == ActLocation::Inline {
            // The collector also reads a delegation from the stores, so it could not be restored from a copy
            // without the delegation.
            let key = Key::document(envelope.event.as_bytes());
            if objects.own.read(&key).is_err() {
                objects.offer(key, act.encode());
            }
        }
        objects.store_pending()?;
        self.apply(change);
        self.go_on(&course);
        self.texts.missing.extend(missing);
        self.events.insert(event);
        self.chains.insert(name, head);
        self.next += 1;
        Ok(())
    }

    fn judge(&self, case: &Case<'_>) -> Result<Change, Broken> {
        let type_rule = case.envelope.type_.rule();
        let found = case.act.signatures.len();
        if let Some(wanted) = type_rule.signers.count()
            && found != wanted
        {
            return Err(BrokenRule::SignatureCount { found, wanted }.into());
        }
        match type_rule.signers {
            Signers::Authority if type_rule.document == ActDocument::LogKey => self.log_key(case),
            Signers::Authority => self.roster(case),
            Signers::Person(roles) => self.person(case, roles),
            Signers::PersonTls => self.login(case),
            Signers::Nobody => self.collector(case),
            Signers::TokenEvidenceTls => self.enrolment(case),
            Signers::EvidenceTls => self.renewal(case),
            Signers::Evidence => self.started(case),
            Signers::SealerEvidence => self.stored(case),
            Signers::Mirror => self.mirror_statement(case),
            Signers::Unspecified => Err(BrokenRule::SignersUnknown.into()),
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::None => {}
            Change::Roster(roster) => self.roster = Some(*roster),
            Change::Token(digest, token) => {
                self.tokens.insert(digest, *token);
            }
            Change::Enrolled(id, enrolled, token) => {
                self.tokens.remove(&token);
                self.endpoints.insert(id, *enrolled);
            }
            Change::Retired(id) => {
                if let Some(endpoint) = self.endpoints.get_mut(&id) {
                    endpoint.is_retired = true;
                }
            }
            Change::Order(id, order) => {
                self.orders.insert(id, order);
            }
            Change::Approved(id) => {
                if let Some(order) = self.orders.get_mut(&id) {
                    order.is_in_force = true;
                }
            }
            Change::OrderEnded(id, end) => {
                if let Some(order) = self.orders.get_mut(&id) {
                    order.ended = Some(end);
                }
            }
            Change::LogKeys(keys, vouched) => {
                self.pins.log_keys.set(*keys);
                self.vouched = Some(vouched);
            }
            Change::Mirror(id, keys) => {
                self.mirrors.insert(id, keys);
            }
            Change::MirrorRetired(id) => {
                if let Some(mirror) = self.mirrors.get_mut(&id) {
                    mirror.is_retired = true;
                }
            }
            Change::Started(id, collection) => {
                self.collections.insert(id, *collection);
            }
            Change::Collection(id, change) => {
                if let Some(collection) = self.collections.get_mut(&id) {
                    collection.apply(change);
                }
            }
        }
    }
}

/// The change of state that a judged entry causes.
enum Change {
    None,
    Roster(Box<AdmittedRoster>),
    Token(Digest, Box<endpoints::Admitted>),
    Enrolled((EndpointId, u32), Box<endpoints::Enrolled>, Digest),
    Retired((EndpointId, u32)),
    Order(Digest, orders::Issued),
    Approved(Digest),
    OrderEnded(Digest, OrderEnd),
    /// Changes the log's keys, and the history that the authority vouched for.
    LogKeys(Box<LogKeys>, Vouched),
    Mirror(MirrorId, acts::MirrorKeys),
    MirrorRetired(MirrorId),
    Started(Digest, Box<Collection>),
    Collection(Digest, collections::CollectionChange),
}

fn half(event: &Digest) -> u128 {
    event.as_bytes().first_chunk().map_or(0, |bytes: &[u8; 16]| u128::from_be_bytes(*bytes))
}

fn act_of(entry: &Entry, objects: &Objects<'_>) -> Result<ActObject, Broken> {
    if let (Some(act), ActLocation::Inline) = (&entry.act, entry.envelope.act) {
        return Ok(act.clone());
    }
    let bytes = objects.peek(&Key::document(entry.envelope.event.as_bytes()))?;
    Ok(ActObject::parse(&bytes).map_err(BrokenRule::Act)?)
}

/// Fetches the objects that the act names. Returns the missing texts, each with true if the source was asked
/// for it.
fn named_objects(case: &Case<'_>, pins: &Pins) -> Result<Vec<(Digest, bool)>, Broken> {
    let mut missing = Vec::new();
    for key in objects_of(case.envelope, case.act)? {
        match case.objects.peek(&key) {
            // The only kind whose key says nothing about its content.
            Ok(bytes) if key.kind() == store::KeyKind::StampedCheckpoint => {
                let note = LogNote::read(&bytes, &pins.origin(), &pins.log_keys.keys())
                    .map_err(BrokenRule::StampedCheckpoint)?;
                if key != Key::stamped_checkpoint(note.checkpoint.size) {
                    return Err(BrokenRule::StampedCheckpointSize.into());
                }
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

/// Keys of the objects that an entry names, without evidence and the act itself.
///
/// # Errors
/// If the act is not a document of its type.
pub fn objects_of(envelope: &Envelope, act: &ActObject) -> Result<Vec<Key>, Broken> {
    Ok(match envelope.type_.rule().document {
        ActDocument::Act => {
            let act = acts::read_act(act)?;
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
            let order: evidence::order::Order = acts::read(act)?;
            vec![Key::targets(order.targets_root.as_bytes())]
        }
        _ => Vec::new(),
    })
}
