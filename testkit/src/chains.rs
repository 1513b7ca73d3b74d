//! Chains of entries in one log. A draft is an act before it is numbered. The chain numbers it, links it and logs it.
//!
//! This module judges nothing: a dishonest operator's log accepts what its key signs, even what the rules forbid.

#![expect(missing_docs, reason = "the fields of a draft are those of an envelope")]

use std::collections::BTreeMap;
use std::time::Duration;

use evidence::digest::Digest;
use evidence::entry::act::{Act, ActNonce, ActType};
use evidence::entry::{ActLocation, ActObject, Entry, EntryType, EntryVersion, Envelope, pairs};
use evidence::id::Chain;
use evidence::json;
use evidence::text::FixedBytes;
use evidence::time::Time;

use crate::log::Log;
use crate::people::sign;

/// A time on the day on which everything happens.
pub fn at(text: &str) -> Time {
    format!("2026-11-21T{text}.000Z").parse().unwrap()
}

/// The deployment of all entries.
pub const DEPLOYMENT: &str = "acme";

/// An act that is not an entry yet.
pub struct Draft {
    pub type_: EntryType,
    pub chain: Chain,
    pub time: Time,
    pub refs: Vec<(String, String)>,
    pub act: ActObject,
}

impl Draft {
    /// Makes a draft of a time of the day. Its act repeats the draft's other fields.
    pub fn new<const N: usize>(
        type_: EntryType,
        chain: Chain,
        time: &str,
        refs: [(&str, String); N],
        make: impl FnOnce(&Self) -> ActObject,
    ) -> Self {
        Self::at(type_, chain, at(time), refs, make)
    }

    /// Makes a draft of any time.
    pub fn at<const N: usize>(
        type_: EntryType,
        chain: Chain,
        time: Time,
        refs: [(&str, String); N],
        make: impl FnOnce(&Self) -> ActObject,
    ) -> Self {
        let act = ActObject { document: vec![], signatures: vec![] };
        let mut draft = Self { type_, chain, time, refs: pairs::sorted(refs), act };
        draft.act = make(&draft);
        draft
    }

    /// The act of a person about this entry.
    pub fn signed(&self, by: &str, number: u8) -> ActObject {
        sign(&self.act_by(by), &[number]).into()
    }

    /// The act of a person about this entry, with a text.
    pub fn told(&self, by: &str, number: u8, text: Digest) -> ActObject {
        sign(&Act { detail: Some(text), ..self.act_by(by) }, &[number]).into()
    }

    /// The entry of this draft, at a place in its chain.
    pub fn entry(self, seq: u64, prev: Digest) -> Entry {
        let envelope = Envelope {
            entry: EntryVersion,
            deployment: DEPLOYMENT.parse().unwrap(),
            type_: self.type_,
            incident: self.chain,
            seq,
            prev,
            time: self.time,
            event: self.act.event(),
            refs: self.refs,
            act: Entry::act_location(self.type_, &self.act),
        };
        let inline = envelope.act == ActLocation::Inline;
        Entry { envelope, act: inline.then_some(self.act) }
    }

    /// The document of its act, by an actor.
    pub fn act_by(&self, by: &str) -> Act {
        act(self.type_, &self.chain, self.time, by, &self.refs)
    }
}

/// Makes the document of an act. Its nonce follows from its content.
pub fn act(type_: EntryType, chain: &Chain, time: Time, by: &str, refs: &[(String, String)]) -> Act {
    Act {
        type_: ActType,
        deployment: DEPLOYMENT.parse().unwrap(),
        act: type_,
        incident: chain.clone(),
        at: time,
        by: by.parse().unwrap(),
        refs: refs.to_vec(),
        fields: fields(type_),
        detail: None,
        nonce: ActNonce::Once(FixedBytes(
            Digest::of(format!("{type_} {time} {refs:?}").as_bytes()).0[..16].try_into().unwrap(),
        )),
    }
}

/// The fields that each act of a type has.
fn fields(type_: EntryType) -> Vec<(String, String)> {
    let text = str::to_owned;
    match type_ {
        EntryType::IncidentOpened => {
            pairs::sorted([("class", text("intrusions")), ("severity", text("high")), ("tlp", text("amber"))])
        }
        EntryType::EvidenceReplicated => pairs::sorted([("bytes", text("0")), ("segments", text("0"))]),
        _ => vec![],
    }
}

/// An act that the collector records by itself.
pub fn own(act: &Act) -> ActObject {
    ActObject { document: json::to_document(act).unwrap(), signatures: vec![] }
}

/// An act that the collector records by itself, in the form of its own recorder: what is the same twice is one act.
pub fn own_act(type_: EntryType, chain: &Chain, refs: &[(String, String)]) -> ActObject {
    own(&Act { nonce: ActNonce::ByContent, ..act(type_, chain, Time::EPOCH, "collector:c1", refs) })
}

/// A log with the entries of all its chains.
#[derive(Clone)]
pub struct Chains {
    /// The log.
    pub log: Log,
    /// Each entry with its bytes, in the order of the log.
    pub entries: Vec<(Entry, Vec<u8>)>,
    heads: BTreeMap<Chain, (u64, Digest)>,
    /// The time of the newest draft that this made.
    clock: Time,
}

/// Changes a value that has this place in the log.
pub type Hand<'a, T> = &'a dyn Fn(&mut (usize, T));

/// The changes of a test between the steps of [`Chains::append`]. Both get the place in the log.
pub struct Hands<'a> {
    /// Changes an entry after it is numbered and before it is hashed.
    pub entry: Hand<'a, Entry>,
    /// Changes the bytes of an entry before they are hashed.
    pub leaf: Hand<'a, Vec<u8>>,
}

impl Hands<'static> {
    /// Changes nothing.
    pub const NONE: Self = Self { entry: &|_| (), leaf: &|_| () };
}

impl Chains {
    /// An empty log.
    pub fn new(log: Log) -> Self {
        Self { log, entries: Vec::new(), heads: BTreeMap::new(), clock: at("12:00:00") }
    }

    /// The same entries, to go on otherwise: what follows is dated an hour later.
    pub fn fork(&self) -> Self {
        Self { clock: self.clock.checked_add(Duration::from_secs(3600)).unwrap(), ..self.clone() }
    }

    /// The number of entries.
    pub fn size(&self) -> u64 {
        self.log.size()
    }

    /// The bytes of an entry, and the proof that it is in the log.
    pub fn proven(&self, index: u64) -> (Vec<u8>, Vec<u8>) {
        let (_, bytes) = self.entries.get(usize::try_from(index).unwrap()).unwrap();
        (bytes.clone(), self.log.proof(index))
    }

    /// Makes a draft of what happens next, a second after the draft before.
    pub fn draft<const N: usize>(
        &mut self,
        type_: EntryType,
        chain: &Chain,
        refs: [(&str, String); N],
        make: impl FnOnce(&Draft) -> ActObject,
    ) -> Draft {
        self.clock = self.clock.checked_add(Duration::from_secs(1)).unwrap();
        Draft::at(type_, chain.clone(), self.clock, refs, make)
    }

    /// Adds an act that the collector records by itself. Returns its event.
    pub fn own<const N: usize>(
        &mut self,
        type_: EntryType,
        chain: &Chain,
        refs: [(&str, String); N],
    ) -> Digest {
        let draft = self.draft(type_, chain, refs, |draft| own(&draft.act_by("collector:c1")));
        self.push(draft)
    }

    /// Adds an act of somebody, signed with the key of a number. Returns its event.
    pub fn signed<const N: usize>(
        &mut self,
        type_: EntryType,
        chain: &Chain,
        refs: [(&str, String); N],
        (by, number): (&str, u8),
    ) -> Digest {
        let draft = self.draft(type_, chain, refs, |draft| draft.signed(by, number));
        self.push(draft)
    }

    /// Adds an entry of a document that exists already. Returns its event.
    pub fn record<const N: usize>(
        &mut self,
        type_: EntryType,
        chain: &Chain,
        refs: [(&str, String); N],
        act: impl Into<ActObject>,
    ) -> Digest {
        let draft = self.draft(type_, chain, refs, |_| act.into());
        self.push(draft)
    }

    /// Numbers a draft, links it to the previous entry of its chain, and logs it. Returns its event.
    pub fn push(&mut self, draft: Draft) -> Digest {
        let event = draft.act.event();
        self.append(draft, &Hands::NONE);
        event
    }

    /// As [`Self::push`], with changes on the way.
    pub fn append(&mut self, draft: Draft, hands: &Hands<'_>) {
        let index = self.entries.len();
        let head = self.heads.entry(draft.chain.clone()).or_insert((0, Digest::ZERO));
        let mut entry = (index, draft.entry(head.0, head.1));
        (hands.entry)(&mut entry);
        // Not `Entry::encode`, which refuses what the rules forbid.
        let mut bytes = json::to_document(&entry.1.envelope).unwrap();
        bytes.extend(entry.1.act.iter().flat_map(ActObject::encode));
        let mut leaf = (index, bytes);
        (hands.leaf)(&mut leaf);
        self.log.append(&leaf.1);
        *head = (head.0 + 1, ledger::leaf_hash(&leaf.1).into());
        self.entries.push((entry.1, leaf.1));
    }
}
