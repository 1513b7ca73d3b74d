//! Ledger entries: the envelope by the recording collector, followed by the actor's signed act (docs/spec/ledger.md).
//! Guarantee: an entry that parses has one spelling, sits in the right kind of chain with the refs that its type demands, and
//! carries the act that its event id names. Of a type that this version does not know, chain, refs and signatures are not judged.
//! Not here: who signed the act ([`Signers`] says who must), Merkle proofs (crate `ledger`).

pub mod act;
pub mod detail;
pub mod fields;
mod form;
pub mod incident;
mod kind;
pub mod pairs;
pub mod state;

use serde::{Deserialize, Serialize};

pub use kind::{ActDocument, ActForm, EntryType, Rule, Signers, TypeName, UnknownEntryType};

use crate::digest::Digest;
use crate::document::{Document, document_type};
use crate::id::{Chain, DeploymentId};
use crate::json::{self, JsonError};
use crate::signed::{Signed, SignedError};
use crate::text::serde_as_text;
use crate::time::Time;

/// Longest entry: 16 KiB, a quarter of what C2SP entry bundles can hold.
pub const ENTRY_BYTES_MAX: usize = 16 << 10;
/// Longest envelope line.
pub(crate) const ENVELOPE_BYTES_MAX: usize = 4 << 10;
/// Longest act inside an entry; a longer one is stored beside the ledger under its digest.
pub(crate) const INLINE_ACT_BYTES_MAX: usize = 8 << 10;

document_type!(
    /// `exhibit-entry-v1`
    EntryVersion, "exhibit-entry-v1"
);

/// The collector's part of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// Always `exhibit-entry-v1`.
    pub entry: EntryVersion,
    pub deployment: DeploymentId,
    #[serde(rename = "type")]
    pub type_: EntryType,
    pub incident: Chain,
    /// Place in the chain, from 0.
    pub seq: u64,
    /// Leaf hash of the previous entry of the chain; zeros for the first.
    pub prev: Digest,
    /// When it was recorded, by the collector's clock.
    pub time: Time,
    /// Digest of the act document.
    pub event: Digest,
    /// Ids, sorted by name.
    pub refs: Vec<(String, String)>,
    /// The place of the act.
    pub act: ActLocation,
}

impl Envelope {
    /// The value of a ref or `None`.
    pub fn reference(&self, name: &str) -> Option<&str> {
        pairs::find(&self.refs, name)
    }
}

/// The place of an entry's act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActLocation {
    /// After the envelope.
    Inline,
    /// In the store, under its document digest.
    Digest,
}

impl std::fmt::Display for ActLocation {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Inline => "inline",
            Self::Digest => "digest",
        })
    }
}

impl std::str::FromStr for ActLocation {
    type Err = EntryError;

    fn from_str(text: &str) -> Result<Self, EntryError> {
        match text {
            "inline" => Ok(Self::Inline),
            "digest" => Ok(Self::Digest),
            _ => Err(EntryError::ActLocation),
        }
    }
}
serde_as_text!(ActLocation);

/// An act's document with its signatures, if any: some acts are recorded by the collector alone and carry none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActObject {
    /// The document line with its LF.
    pub document: Vec<u8>,
    /// Armours, none for a collector's own act.
    pub signatures: Vec<String>,
}

impl ActObject {
    /// The event id: digest of the document without its signatures.
    pub fn event(&self) -> Digest {
        Digest::of(&self.document)
    }

    /// Document and armours, one after the other.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.document.clone();
        for armour in &self.signatures {
            bytes.extend_from_slice(armour.as_bytes());
        }
        bytes
    }

    /// Reads document and armours.
    ///
    /// # Errors
    /// If the bytes are not one line followed by canonical armours.
    pub fn parse(bytes: &[u8]) -> Result<Self, SignedError> {
        if bytes.iter().position(|byte| *byte == b'\n') == bytes.len().checked_sub(1)
            && bytes.len() <= json::DOCUMENT_BYTES_MAX
        {
            return Ok(Self { document: bytes.to_vec(), signatures: Vec::new() });
        }
        Signed::parse(bytes).map(Self::from)
    }

    /// Reads and validates the document **without** looking at its signatures.
    ///
    /// # Errors
    /// [`SignedError::Json`], [`SignedError::Invalid`].
    pub fn read<T: Document>(&self) -> Result<T, SignedError> {
        let document: T =
            json::parse_document(&self.document).map_err(|source| SignedError::Json { source })?;
        document.validate().map_err(|message| SignedError::Invalid { message })?;
        Ok(document)
    }

    /// As a signed object.
    ///
    /// # Errors
    /// When there is no signature.
    pub fn signed(&self) -> Result<Signed, SignedError> {
        Signed::from_parts(self.document.clone(), self.signatures.clone())
    }
}

impl From<Signed> for ActObject {
    fn from(signed: Signed) -> Self {
        Self { document: signed.document, signatures: signed.signatures }
    }
}

/// An entry: envelope, and the act when it is inline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The collector's part.
    pub envelope: Envelope,
    /// The act, when it travels inside.
    pub act: Option<ActObject>,
}

impl Entry {
    /// Where an act of this type and size is kept.
    pub fn act_location(type_: EntryType, act: &ActObject) -> ActLocation {
        match type_.rule().form {
            ActForm::Inline if act.encode().len() <= INLINE_ACT_BYTES_MAX => ActLocation::Inline,
            ActForm::Inline | ActForm::Digest => ActLocation::Digest,
        }
    }

    /// The leaf's bytes.
    ///
    /// # Errors
    /// If the entry breaks a rule of its type, is of a type that this version does not write, or is too long.
    pub fn encode(&self) -> Result<Vec<u8>, EntryError> {
        self.check()?;
        let type_ = self.envelope.type_;
        if !type_.rule().written {
            return Err(EntryError::NotWritten { type_ });
        }
        let mut bytes = json::to_document(&self.envelope).map_err(|source| EntryError::Json { source })?;
        if bytes.len() > ENVELOPE_BYTES_MAX {
            return Err(EntryError::TooLong);
        }
        if let Some(act) = &self.act {
            bytes.extend_from_slice(&act.encode());
        }
        if bytes.len() > ENTRY_BYTES_MAX { Err(EntryError::TooLong) } else { Ok(bytes) }
    }

    /// Reads a leaf.
    ///
    /// # Errors
    /// If the bytes are not an entry of this version, or break a rule of its type.
    pub fn parse(bytes: &[u8]) -> Result<Self, EntryError> {
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(EntryError::TooLong);
        }
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(EntryError::NoEnvelope)?;
        let (line, rest) = bytes.split_at_checked(end + 1).ok_or(EntryError::NoEnvelope)?;
        if line.len() > ENVELOPE_BYTES_MAX {
            return Err(EntryError::TooLong);
        }
        let envelope: Envelope = json::parse_document(line).map_err(|source| EntryError::Json { source })?;
        let act = if rest.is_empty() {
            None
        } else {
            Some(ActObject::parse(rest).map_err(|source| EntryError::Act { source })?)
        };
        let entry = Self { envelope, act };
        entry.check()?;
        Ok(entry)
    }

    fn check(&self) -> Result<(), EntryError> {
        let type_ = self.envelope.type_;
        let rule = type_.rule();
        pairs::check(&self.envelope.refs).map_err(|why| EntryError::Refs { type_, why })?;
        rule.check_chain(&self.envelope.incident).map_err(|why| EntryError::Chain { type_, why })?;
        if !type_.is_known() {
            return self.check_act(&rule);
        }
        if let Some(missing) = rule.refs.iter().find(|name| self.envelope.reference(name).is_none()) {
            return Err(EntryError::Ref { type_, name: missing });
        }
        if let Some((name, _)) =
            self.envelope.refs.iter().find(|(name, _)| !rule.refs.contains(&name.as_str()))
        {
            return Err(EntryError::UnknownRef { type_, name: name.clone() });
        }
        if let Some((name, _)) = self.envelope.refs.iter().find(|(name, value)| !form::fits(name, value)) {
            return Err(EntryError::RefForm { type_, name: name.clone() });
        }
        self.check_act(&rule)
    }

    fn check_act(&self, rule: &Rule) -> Result<(), EntryError> {
        let type_ = self.envelope.type_;
        let act = |why| EntryError::ActPlace { type_, why };
        match (&self.act, self.envelope.act) {
            (Some(inline), ActLocation::Inline) => {
                if rule.form == ActForm::Digest {
                    return Err(act("its act may hold text or paths and must not be inline"));
                }
                if inline.encode().len() > INLINE_ACT_BYTES_MAX {
                    return Err(EntryError::TooLong);
                }
                if inline.event() != self.envelope.event {
                    return Err(EntryError::Event { type_ });
                }
                let counted = match (rule.signers, rule.signers.count()) {
                    (Signers::Unspecified, _) => true,
                    (_, Some(count)) => inline.signatures.len() == count,
                    (_, None) => !inline.signatures.is_empty(),
                };
                if counted { Ok(()) } else { Err(EntryError::Signatures { type_ }) }
            }
            (None, ActLocation::Digest) => Ok(()),
            (Some(_), ActLocation::Digest) => {
                Err(act("bytes behind the envelope of an entry whose act is elsewhere"))
            }
            (None, ActLocation::Inline) => Err(act("its inline act is missing")),
        }
    }
}

/// The end of a chain: the next entry must continue from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainHead {
    /// Entries so far.
    pub next_seq: u64,
    /// Leaf hash of the last; zeros at the beginning.
    pub prev: Digest,
    /// Time of the last.
    pub time: Time,
}

impl ChainHead {
    /// Before the first entry.
    pub const START: Self = Self { next_seq: 0, prev: Digest::ZERO, time: Time::EPOCH };

    /// Checks that an entry continues the chain, and moves on.
    ///
    /// # Errors
    /// If its sequence number, link or time does not follow.
    pub fn step(&mut self, envelope: &Envelope, leaf: Digest) -> Result<(), ChainError> {
        if envelope.seq != self.next_seq {
            return Err(ChainError::Sequence { expected: self.next_seq, found: envelope.seq });
        }
        if envelope.prev != self.prev {
            return Err(ChainError::Link { seq: envelope.seq });
        }
        if envelope.time < self.time {
            return Err(ChainError::Time { seq: envelope.seq });
        }
        *self = Self { next_seq: self.next_seq + 1, prev: leaf, time: envelope.time };
        Ok(())
    }
}

/// A chain with a gap, a wrong link, or time running backwards.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// `prev` is not the leaf hash of the previous entry.
    #[error("entry {seq} does not link to the one before it")]
    Link { seq: u64 },
    /// An entry is missing or repeated.
    #[error("sequence number {found} where {expected} follows")]
    Sequence { expected: u64, found: u64 },
    /// Earlier than the entry before.
    #[error("entry {seq} is dated before the one before it")]
    Time { seq: u64 },
}

/// Why bytes are not an entry, or an entry breaks its type's rules.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// The act after the envelope cannot be read.
    #[error("read the act inside the entry")]
    Act {
        #[source]
        source: SignedError,
    },
    /// The envelope cannot be read.
    #[error("read entry envelope")]
    Json {
        #[source]
        source: JsonError,
    },
    #[error("entry has no envelope line")]
    NoEnvelope,
    /// `act` is neither.
    #[error("act is neither inline nor digest")]
    ActLocation,
    /// The act is inline where its type forbids that, missing, or there although it is elsewhere.
    #[error("{type_}: {why}")]
    ActPlace { type_: EntryType, why: &'static str },
    /// The type belongs to the other kind of chain.
    #[error("{type_}: {why}")]
    Chain { type_: EntryType, why: &'static str },
    #[error("{type_}: event is not the digest of its act")]
    Event { type_: EntryType },
    /// The type is unknown or reserved. Readers take it.
    #[error("{type_}: this version does not write entries of this type")]
    NotWritten { type_: EntryType },
    /// A ref its type demands is missing.
    #[error("{type_} lacks the ref {name}")]
    Ref { type_: EntryType, name: &'static str },
    /// The value of a ref does not have the form that the ref's name requires.
    #[error("{type_}: the ref {name} has another form than docs/spec/ledger.md gives it")]
    RefForm { type_: EntryType, name: String },
    /// The refs are not in their one order and form.
    #[error("{type_}: {why}")]
    Refs { type_: EntryType, why: &'static str },
    #[error("{type_}: its act has another number of signatures than its type asks")]
    Signatures { type_: EntryType },
    /// Over 16 KiB, or an envelope over 4 KiB.
    #[error("entry or its envelope is over the size limit")]
    TooLong,
    /// A ref that its type does not have.
    #[error("{type_} has no ref {name}")]
    UnknownRef { type_: EntryType, name: String },
}

#[cfg(test)]
mod tests;
