//! The rule book of custody: every rule of docs/spec/rules.md that an entry must hold, written once, and one fold that asks them.
//!
//! Guarantee: the state after entry *n* is a function of the pins and the entries 0 to *n* with their acts. [`State::step`] changes
//! nothing; [`State::take`] cannot fail. Everything here is pure: it opens nothing, waits for nobody and reads no clock.
//! Memory grows with incidents, endpoints, orders and collections, and by 16 bytes an entry. A step costs O(1), and O(log n) for the
//! target of an order. Two exceptions: `disposition.approved` looks through the collections and makes its plan again, and
//! `disposition.executed` looks through what is gone.
//! Not here: rules that need a clock, a store or the tree. Their numbers are in [`rule::RuleId`] too.
#![forbid(unsafe_code)]
#![expect(missing_docs, reason = "a field or variant whose name says everything has no comment")]

pub mod act;
pub mod collection;
pub mod course;
pub mod endpoint;
pub mod entry;
pub mod incident;
pub mod line;
pub mod mirror;
pub mod order;
pub mod roster;
pub mod rule;

use std::collections::{BTreeMap, BTreeSet};

use evidence::container::dense_set::DenseSet;
use evidence::digest::Digest;
use evidence::entry::{ChainHead, Entry, EntryType, Envelope};
use evidence::id::{Chain, DeploymentId, EndpointId, MirrorId, PersonId};
use evidence::keys::PublicKey;
use evidence::log_key::LogKeys;
use evidence::roster::AuthoritySet;
use evidence::time::Time;

use act::Act;
use collection::{Collection, CollectionChange};
use course::{Courses, Next};
use endpoint::{Admitted, Enrolled, Slot, Tokens};
use entry::Place;
use line::Vouched;
use mirror::AdmittedMirror;
use order::{Issued, OrderEnd};
use roster::Published;
use rule::{Broken, RuleId, must};

/// What a reader knows before the first entry.
#[derive(Debug, Clone)]
pub struct Pins {
    pub deployment: DeploymentId,
    /// The authority's keys, which sign rosters and changes of the log key.
    pub authority: AuthoritySet,
    /// SHA-256 of the CA certificate.
    pub ca_sha256: Digest,
    /// The line of log keys, as far as it is known.
    pub log_keys: LogKeys,
}

/// Which entries the reader gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Every entry of the log.
    Whole,
    /// Those of a bundle: one incident whole, and of the deployment's chain what the incident needs (docs/spec/bundle.md).
    Bundle,
}

/// Where an entry stands in the log.
#[derive(Debug, Clone, Copy)]
pub struct At {
    pub index: u64,
    pub leaf: ledger::Hash,
}

/// Everything that is needed to judge the next entry.
#[derive(Debug)]
pub struct State {
    pins: Pins,
    view: View,
    /// Index of the next entry.
    next: u64,
    /// Time of the last entry.
    time: Time,
    chains: BTreeMap<Chain, ChainHead>,
    /// First half of each event id.
    events: DenseSet<u128>,
    roster: Option<Published>,
    tokens: Tokens,
    endpoints: BTreeMap<Slot, Enrolled>,
    orders: BTreeMap<Digest, Issued>,
    /// Orders whose documents a partial production leaves out. Nothing is known of them but that they were issued.
    left_out: BTreeSet<Digest>,
    /// The last attempt that an endpoint began under an order.
    attempts: BTreeMap<(Digest, EndpointId), u32>,
    mirrors: BTreeMap<MirrorId, AdmittedMirror>,
    collections: BTreeMap<Digest, Collection>,
    courses: Courses,
}

/// What a judged entry changes. [`State::take`] makes it true.
#[derive(Debug, Clone)]
#[must_use]
pub struct Change {
    chain: Chain,
    place: Place,
    effect: Effect,
    next: Option<Next>,
}

impl Change {
    /// The history for which the entry vouches: the reader compares it with the tree (`logkey-8`, `mirror-12`).
    #[must_use]
    pub const fn vouched(&self) -> Option<Vouched> {
        match &self.effect {
            Effect::LogKeys(_, vouched) | Effect::Collection(_, CollectionChange::Held(_, vouched)) => {
                Some(*vouched)
            }
            _ => None,
        }
    }
}

/// The part of a change that depends on the type of the entry.
#[derive(Debug, Clone)]
enum Effect {
    Nothing,
    Roster(Box<Published>),
    Token(Digest, Box<evidence::enrolment::Token>),
    /// The slot, and the token that it used.
    Enrolled(Slot, Box<Enrolled>, Digest),
    Renewed(Slot, evidence::text::Nonce),
    Retired(Slot),
    Order(Digest, Box<Issued>),
    OrderLeftOut(Digest),
    Approved(Digest),
    OrderEnded(Digest, OrderEnd),
    LogKeys(Box<LogKeys>, Vouched),
    Mirror(MirrorId, Box<AdmittedMirror>),
    MirrorRetired(MirrorId),
    Started(Box<Collection>),
    Collection(Digest, CollectionChange),
}

/// The entry that is being judged.
struct Case<'a> {
    at: At,
    envelope: &'a Envelope,
}

impl State {
    /// The state before the first entry.
    #[must_use]
    pub fn new(pins: Pins, view: View) -> Self {
        Self {
            pins,
            view,
            next: 0,
            time: Time::EPOCH,
            chains: BTreeMap::new(),
            events: DenseSet::default(),
            roster: None,
            tokens: Tokens::new(),
            endpoints: BTreeMap::new(),
            orders: BTreeMap::new(),
            left_out: BTreeSet::new(),
            attempts: BTreeMap::new(),
            mirrors: BTreeMap::new(),
            collections: BTreeMap::new(),
            courses: Courses::new(),
        }
    }

    /// Index of the next entry.
    #[must_use]
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// Collections, by id.
    #[must_use]
    pub const fn collections(&self) -> &BTreeMap<Digest, Collection> {
        &self.collections
    }

    /// Judges the next entry. Changes nothing.
    ///
    /// # Errors
    /// `Broken`: no honest collector records the entry there.
    pub fn step(&self, at: At, entry: &Entry, act: &Act) -> Result<Change, Broken> {
        let place = self.place(at, &entry.envelope)?;
        self.effect(place, at, entry, act)
    }

    /// Judges what an entry says, wherever it stands in chain and log. For a reader that goes on behind an entry whose place
    /// ([`Self::follows`]) broke a rule.
    ///
    /// # Errors
    /// `Broken`, by any rule but those of places.
    pub fn step_anywhere(&self, at: At, entry: &Entry, act: &Act) -> Result<Change, Broken> {
        self.effect(self.anywhere(at, &entry.envelope), at, entry, act)
    }

    /// Keeps only the place of an entry that broke a rule or could not be judged: what follows it is judged by itself.
    pub fn pass(&mut self, at: At, entry: &Entry) {
        let place = self.anywhere(at, &entry.envelope);
        self.pass_course(&entry.envelope);
        self.stand(entry.envelope.incident.clone(), place);
    }

    fn effect(&self, place: Place, at: At, entry: &Entry, act: &Act) -> Result<Change, Broken> {
        let envelope = &entry.envelope;
        let case = Case { at, envelope };
        let effect = self.judge(&case, act)?;
        self.incident(&case)?;
        let next = self.course(&case, act)?;
        Ok(Change { chain: envelope.incident.clone(), place, effect, next })
    }

    fn judge(&self, case: &Case<'_>, act: &Act) -> Result<Effect, Broken> {
        match act {
            Act::Own(_) => self.own(case),
            Act::Person(_, person, key) => self.person(case, person, key),
            Act::Mirror(act, mirror, key) => self.mirror_states(case, act, mirror, key),
            Act::Approval(approval) => self.decided(case, approval),
            Act::Delegation(delegation, beside) => self.started(case, delegation, beside),
            Act::Enrolment(request) => self.enrolment(case, request),
            Act::LogKey(change) => self.log_key(case, change),
            Act::Login(login) => self.login(login),
            Act::Manifest(manifest) => self.stored(case, manifest),
            Act::Order(order) => self.issued(case, order),
            Act::Renewal(renewal) => self.renewal(renewal),
            Act::Roster(roster) => self.published(case, roster),
            Act::Token(token) => self.admitted(case, token),
            Act::LeftOut(delegation) => self.is_left_out(case, delegation.as_deref()),
        }
    }

    /// An act that the collector recorded by itself.
    fn own(&self, case: &Case<'_>) -> Result<Effect, Broken> {
        match case.envelope.type_ {
            EntryType::LogGenesis => self.genesis(case),
            EntryType::EvidenceAccessed => accessed(case),
            EntryType::OrderRefused => self.refused(case),
            EntryType::RecoveryPerformed => recovered(case),
            EntryType::CollectionProgress
            | EntryType::CollectionInterrupted
            | EntryType::CollectionMalformed
            | EntryType::CollectionContradicted
            | EntryType::EvidenceFixityFailed
            | EntryType::EvidenceRepaired => self.went_on(case),
            _ => Ok(Effect::Nothing),
        }
    }

    fn genesis(&self, case: &Case<'_>) -> Result<Effect, Broken> {
        let named = case.envelope.reference("log").unwrap_or_default();
        let keys = &self.pins.log_keys;
        let is_known = ledger::VerifierKey::parse(named).is_ok_and(|key| keys.has(&key));
        must(RuleId::Log3, is_known, "it names a log key that is none of the pinned log")?;
        must(RuleId::Log4, named == keys.first().to_string(), "it names another log key than the first")?;
        let pinned = [("authority", self.pins.authority.id()), ("ca", self.pins.ca_sha256)];
        for (name, value) in pinned {
            must(
                RuleId::Log5,
                case.envelope.reference(name) == Some(value.to_string().as_str()),
                format_args!("it names another {name} than the pinned one"),
            )?;
        }
        Ok(Effect::Nothing)
    }

    /// An act that one person signs.
    fn person(&self, case: &Case<'_>, person: &PersonId, key: &PublicKey) -> Result<Effect, Broken> {
        self.speaks(RuleId::Entry17, case, person, Some(key))?;
        match case.envelope.type_ {
            EntryType::EndpointRetired => self.retired(case),
            EntryType::OrderCancelled => self.cancelled(case),
            EntryType::MirrorAdmitted => self.mirror_admitted(case),
            EntryType::MirrorRetired => self.mirror_retired(case),
            _ => Ok(Effect::Nothing),
        }
    }

    /// Makes a change true that [`Self::step`] returned for the next entry.
    pub fn take(&mut self, change: Change) {
        match change.effect {
            Effect::Nothing => {}
            Effect::Roster(roster) => self.roster = Some(*roster),
            Effect::Token(digest, token) => {
                self.tokens.insert(digest, Admitted::Open(token));
            }
            Effect::Enrolled(slot, enrolled, token) => {
                self.tokens.insert(token, Admitted::Used);
                self.endpoints.insert(slot, *enrolled);
            }
            Effect::Renewed(slot, nonce) => {
                if let Some(endpoint) = self.endpoints.get_mut(&slot) {
                    endpoint.nonces.insert(nonce);
                }
            }
            Effect::Retired(slot) => {
                if let Some(endpoint) = self.endpoints.get_mut(&slot) {
                    endpoint.is_retired = true;
                }
            }
            Effect::Order(id, order) => {
                self.orders.insert(id, *order);
            }
            Effect::OrderLeftOut(id) => {
                self.left_out.insert(id);
            }
            Effect::Approved(id) => {
                if let Some(order) = self.orders.get_mut(&id) {
                    order.is_in_force = true;
                }
            }
            Effect::OrderEnded(id, end) => {
                if let Some(order) = self.orders.get_mut(&id) {
                    order.ended = Some(end);
                }
            }
            Effect::LogKeys(keys, _) => self.pins.log_keys = *keys,
            Effect::Mirror(id, admitted) => {
                self.mirrors.insert(id, *admitted);
            }
            Effect::MirrorRetired(id) => {
                if let Some(mirror) = self.mirrors.get_mut(&id) {
                    mirror.is_retired = true;
                }
            }
            Effect::Started(collection) => {
                let begun = &collection.delegation;
                self.attempts.insert((begun.order, begun.endpoint.clone()), begun.attempt);
                self.collections.insert(collection.delegation.collection, *collection);
            }
            Effect::Collection(id, change) => {
                if let Some(collection) = self.collections.get_mut(&id) {
                    collection.take(change);
                }
            }
        }
        if let Some(next) = &change.next {
            self.go_on(next);
        }
        self.stand(change.chain, change.place);
    }

    /// Takes the place of an entry.
    fn stand(&mut self, chain: Chain, place: Place) {
        self.events.insert(place.event);
        self.chains.insert(chain, place.head);
        (self.next, self.time) = (place.next, place.head.time);
    }
}

fn accessed(case: &Case<'_>) -> Result<Effect, Broken> {
    let envelope = case.envelope;
    let is_object = evidence::entry::fields::is_object(&envelope.refs, &envelope.incident);
    must(RuleId::Access3, is_object, "it names an object that nobody can be given")?;
    Ok(Effect::Nothing)
}

fn recovered(case: &Case<'_>) -> Result<Effect, Broken> {
    let size: u64 = entry::value(case.envelope, "size")?;
    must(
        RuleId::Recovery1,
        size <= case.at.index,
        format_args!("restored to {size} entries, which came later"),
    )?;
    Ok(Effect::Nothing)
}
