//! `entry-*`, `log-*`: what an entry must be by itself, and where it may stand in its chain and in the log.
//! Not here: the act ([`crate::act`]).

use std::str::FromStr;

use evidence::digest::Digest;
use evidence::entry::{ChainError, ChainHead, Entry, EntryError, EntryType, Envelope, UnknownEntryType};
use evidence::id::Chain;
use evidence::json::JsonError;
use evidence::time::Time;

use crate::rule::{Broken, RuleId, must, must_have, must_hold};
use crate::{At, State, View};

/// Reads the bytes of a leaf.
///
/// # Errors
/// If they are not an entry of this version (`entry-1` to `entry-7`).
pub fn read(bytes: &[u8]) -> Result<Entry, Broken> {
    let read = Entry::parse(bytes);
    let rule = read.as_ref().err().map_or(RuleId::Entry1, rule_of);
    must_hold(rule, read)
}

fn rule_of(error: &EntryError) -> RuleId {
    match error {
        EntryError::Chain { .. } => RuleId::Entry3,
        EntryError::Ref { .. }
        | EntryError::RefForm { .. }
        | EntryError::Refs { .. }
        | EntryError::UnknownRef { .. } => RuleId::Entry4,
        EntryError::ActLocation | EntryError::ActPlace { .. } => RuleId::Entry5,
        EntryError::Event { .. } => RuleId::Entry6,
        EntryError::Signatures { .. } => RuleId::Entry7,
        // The parser of JSON passes on only the text of an error of a value.
        EntryError::Json { source: JsonError::Form { message } } => {
            if message.starts_with(&UnknownEntryType.to_string()) {
                RuleId::Entry2
            } else if message.starts_with(&EntryError::ActLocation.to_string()) {
                RuleId::Entry5
            } else {
                RuleId::Entry1
            }
        }
        _ => RuleId::Entry1,
    }
}

/// The value of a ref. [`read`] has checked its form.
pub(crate) fn value<T: FromStr>(envelope: &Envelope, name: &'static str) -> Result<T, Broken> {
    let found = envelope.reference(name).and_then(|text| text.parse().ok());
    must_have(RuleId::Entry4, found, format_args!("it has no {name}"))
}

/// Compares refs of the envelope with the document that is its act.
pub(crate) fn refs(envelope: &Envelope, rule: RuleId, wanted: &[(&str, String)]) -> Result<(), Broken> {
    let differs = wanted.iter().find(|(name, value)| envelope.reference(name) != Some(value.as_str()));
    let name = differs.map_or("", |(name, _)| name);
    must(rule, differs.is_none(), format_args!("it names another {name} than its act"))
}

/// Where the next entry of a chain must stand, and what it changes there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) head: ChainHead,
    pub(crate) event: u128,
    pub(crate) next: u64,
}

impl State {
    /// Asks only whether an entry may stand at this place of its chain and of the log. [`Self::step`] asks it as well.
    ///
    /// # Errors
    /// `Broken`. A reader that gets it need not fetch the act.
    pub fn follows(&self, at: At, entry: &Entry) -> Result<(), Broken> {
        self.place(at, &entry.envelope).map(drop)
    }

    pub(crate) fn place(&self, at: At, envelope: &Envelope) -> Result<Place, Broken> {
        must(
            RuleId::Entry8,
            envelope.deployment == self.pins.deployment,
            format_args!("it is of deployment {}", envelope.deployment),
        )?;
        must(
            RuleId::Entry13,
            at.index >= self.next,
            format_args!("index {} where {} or a later one follows", at.index, self.next),
        )?;
        let head = self.head(at, envelope)?;
        let event = half(&envelope.event);
        must(RuleId::Entry14, !self.events.contains(&event), "the same act was recorded before")?;
        let says = "log.genesis is the first entry, and no other";
        match envelope.type_ {
            EntryType::LogGenesis => must(RuleId::Log1, at.index == 0, says)?,
            _ => must(RuleId::Log2, at.index > 0, says)?,
        }
        must(
            RuleId::Entry12,
            envelope.time >= self.time,
            format_args!("it is dated {}, before the entry before it in the log", envelope.time),
        )?;
        Ok(Place { head, event, next: at.index + 1 })
    }

    /// The place of an entry that broke a rule. Index and times never fall: what follows is not blamed for it.
    pub(crate) fn anywhere(&self, at: At, envelope: &Envelope) -> Place {
        let before = self.chains.get(&envelope.incident).map_or(Time::EPOCH, |head| head.time);
        let head = ChainHead {
            next_seq: envelope.seq.saturating_add(1),
            prev: Digest(at.leaf.0),
            time: envelope.time.max(before).max(self.time),
        };
        Place { head, event: half(&envelope.event), next: self.next.max(at.index.saturating_add(1)) }
    }
}

impl State {
    /// The end of the entry's chain with the entry.
    fn head(&self, at: At, envelope: &Envelope) -> Result<ChainHead, Broken> {
        let mut head = self.chains.get(&envelope.incident).copied().unwrap_or(ChainHead::START);
        let has_gaps = self.view == View::Bundle && envelope.incident == Chain::Deployment;
        if has_gaps && envelope.seq > head.next_seq {
            // The entries between are not here, nor is the one that it links to.
            must(RuleId::Entry9, envelope.seq <= at.index, "its number is above its index")?;
            must(RuleId::Entry10, envelope.prev != Digest::ZERO, "it links to no entry")?;
            (head.next_seq, head.prev) = (envelope.seq, envelope.prev);
        }
        let stepped = head.step(envelope, Digest(at.leaf.0));
        let rule = match &stepped {
            Err(ChainError::Link { .. }) => RuleId::Entry10,
            Err(ChainError::Time { .. }) => RuleId::Entry11,
            _ => RuleId::Entry9,
        };
        must_hold(rule, stepped)?;
        Ok(head)
    }
}

/// First half of an event id. An accidental collision is not to be expected before 2^64 entries.
pub(crate) fn half(event: &Digest) -> u128 {
    event.as_bytes().first_chunk().map_or(0, |bytes: &[u8; 16]| u128::from_be_bytes(*bytes))
}
