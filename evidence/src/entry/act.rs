//! Acts: a person's or the collector's deed, as a small document that a ledger entry carries (docs/spec/ledger.md, Act).
//! Guarantee: names of refs and fields are sorted and unique, values are short, so a leaf stays small and has one spelling.
//! Not here: free text, which lives in an erasable [`crate::entry::detail`] object; whose signature an act needs ([`crate::entry`]).

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::document::{Document, document_type};
use crate::entry::EntryType;
use crate::entry::pairs;
use crate::id::{Actor, Chain, DeploymentId};
use crate::json;
use crate::text::{Nonce, serde_as_text};
use crate::time::Time;

document_type!(
    /// `exhibit-act-v1`
    ActType, "exhibit-act-v1"
);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Act {
    /// Always `exhibit-act-v1`.
    #[serde(rename = "type")]
    pub type_: ActType,
    pub deployment: DeploymentId,
    /// The entry type it stands for.
    pub act: EntryType,
    /// The chain it belongs to.
    pub incident: Chain,
    /// When, by the actor's clock.
    pub at: Time,
    pub by: Actor,
    /// Ids of the objects that the act is about, sorted by name.
    pub refs: Vec<(String, String)>,
    /// Enumerations and numbers, sorted by name.
    pub fields: Vec<(String, String)>,
    /// Digest of the detail object with the act's free text.
    #[serde(deserialize_with = "json::nullable")]
    pub detail: Option<Digest>,
    /// Distinguishes two acts with equal content. Empty if repeating the act must give the same act.
    pub nonce: ActNonce,
}

impl Act {
    /// The value of a ref or `None`.
    pub fn reference(&self, name: &str) -> Option<&str> {
        pairs::find(&self.refs, name)
    }

    /// The value of a field or `None`.
    pub fn field(&self, name: &str) -> Option<&str> {
        pairs::find(&self.fields, name)
    }
}

impl Document for Act {
    const TYPE: &'static str = ActType::TEXT;

    fn validate(&self) -> Result<(), &'static str> {
        pairs::check(&self.refs)?;
        pairs::check(&self.fields)?;
        self.act.rule().check_chain(&self.incident)
    }
}

/// 16 random bytes, or nothing if the act is idempotent by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActNonce {
    /// Two acts with the same content are the same act.
    ByContent,
    /// The act happened once.
    Once(Nonce),
}

impl std::fmt::Display for ActNonce {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ByContent => Ok(()),
            Self::Once(nonce) => nonce.fmt(out),
        }
    }
}

impl std::str::FromStr for ActNonce {
    type Err = crate::text::Base64Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() { Ok(Self::ByContent) } else { text.parse().map(Self::Once) }
    }
}
serde_as_text!(ActNonce);
