//! Chains of entries in one log. A draft is an act before it is numbered. The chain numbers it, links it and logs it.
//!
//! This module judges nothing: a dishonest operator's log accepts what its key signs, even what the rules forbid.

#![expect(missing_docs, reason = "the fields of a draft are those of an envelope")]

use std::collections::BTreeMap;

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
    /// Makes a draft. Its act repeats the draft's other fields.
    pub fn new<const N: usize>(
        type_: EntryType,
        chain: Chain,
        time: &str,
        refs: [(&str, String); N],
        make: impl FnOnce(&Self) -> ActObject,
    ) -> Self {
        let act = ActObject { document: vec![], signatures: vec![] };
        let mut draft = Self { type_, chain, time: at(time), refs: pairs::sorted(refs), act };
        draft.act = make(&draft);
        draft
    }

    /// The act of a person about this entry.
    pub fn signed(&self, by: &str, number: u8) -> ActObject {
        sign(&self.act_by(by), &[number]).into()
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
        fields: vec![],
        detail: None,
        nonce: ActNonce::Once(FixedBytes(
            Digest::of(format!("{type_} {time} {refs:?}").as_bytes()).0[..16].try_into().unwrap(),
        )),
    }
}

/// An act that the collector records by itself.
pub fn own(act: &Act) -> ActObject {
    ActObject { document: json::to_document(act).unwrap(), signatures: vec![] }
}

/// A log with the entries of all its chains.
pub struct Chains {
    /// The log.
    pub log: Log,
    /// Each entry with its bytes, in the order of the log.
    pub entries: Vec<(Entry, Vec<u8>)>,
    heads: BTreeMap<Chain, (u64, Digest)>,
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

impl Chains {
    /// An empty log.
    pub fn new(log: Log) -> Self {
        Self { log, entries: Vec::new(), heads: BTreeMap::new() }
    }

    /// Numbers a draft, links it to the previous entry of its chain, and logs it.
    pub fn append(&mut self, draft: Draft, hands: &Hands<'_>) {
        let index = self.entries.len();
        let head = self.heads.entry(draft.chain.clone()).or_insert((0, Digest::ZERO));
        let envelope = Envelope {
            entry: EntryVersion,
            deployment: DEPLOYMENT.parse().unwrap(),
            type_: draft.type_,
            incident: draft.chain,
            seq: head.0,
            prev: head.1,
            time: draft.time,
            event: draft.act.event(),
            refs: draft.refs,
            act: Entry::act_location(draft.type_, &draft.act),
        };
        let inline = envelope.act == ActLocation::Inline;
        let mut entry = (index, Entry { envelope, act: inline.then_some(draft.act) });
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
