//! `bundle.json`: the exporter's statement of what a bundle holds.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::document::document_type;
use crate::id::{Actor, DeploymentId, IncidentId};
use crate::json::{self, JsonError};
use crate::time::Time;

document_type!(
    /// `exhibit-bundle-v2`
    BundleVersion, "exhibit-bundle-v2"
);

/// Formats that earlier versions wrote and this one does not read.
const EARLIER: [&str; 1] = ["exhibit-bundle-v1"];

/// `bundle.json`: the exporter's statement of the content. A verifier checks each field against signed bytes and believes none of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overview {
    /// Always `exhibit-bundle-v2`.
    pub format: BundleVersion,
    pub deployment: DeploymentId,
    /// The incident whose evidence and custody this is.
    pub incident: IncidentId,
    /// Origin of the ledger.
    pub origin: String,
    /// When, by the collector's clock.
    pub exported: Time,
    /// The person who exports and signs SHA256SUMS.
    pub by: Actor,
    /// Sequence number of the incident's last entry in this bundle.
    pub head_seq: u64,
    /// Its leaf hash.
    pub head: Digest,
    /// Size of the tree under `ledger/checkpoint`.
    pub entries: u64,
    /// Collections in here, sorted.
    pub collections: Vec<Digest>,
    /// True for a selective production: some of the evidence is left out on purpose.
    pub partial: bool,
    /// True if `ledger/checkpoint` had the quorum of cosigners that the collector's policy asks for. False if it asks for none.
    pub quorum: bool,
    /// True if the exporter exported without the required quorum. Left out otherwise.
    #[serde(default, skip_serializing_if = "is_not", deserialize_with = "only_true")]
    pub without_quorum: bool,
}

/// The field in the act of `bundle.exported` that repeats [`Overview::without_quorum`].
pub const WITHOUT_QUORUM_FIELD: (&str, &str) = ("without_quorum", "yes");

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_not(flag: &bool) -> bool {
    !*flag
}

/// An optional flag has one spelling: `true`.
fn only_true<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match bool::deserialize(deserializer)? {
        true => Ok(true),
        false => Err(serde::de::Error::custom("without_quorum is left out unless it is true")),
    }
}

impl Overview {
    /// The file's bytes, with the collections in their one order.
    pub fn encode(&self) -> Result<Vec<u8>, JsonError> {
        let mut sorted = self.clone();
        sorted.collections = Self::listed(sorted.collections);
        json::to_document(&sorted)
    }

    /// The format that a `bundle.json` of an earlier version names. Its other fields are not looked at.
    #[must_use]
    pub fn earlier_format(bytes: &[u8]) -> Option<&'static str> {
        #[derive(Deserialize)]
        struct Named {
            format: String,
        }
        let named: Named = serde_json::from_slice(bytes).ok()?;
        EARLIER.into_iter().find(|format| *format == named.format)
    }

    /// Collections as [`Overview::collections`] lists them: sorted by digest.
    #[must_use]
    pub fn listed(collections: impl IntoIterator<Item = Digest>) -> Vec<Digest> {
        let mut collections: Vec<Digest> = collections.into_iter().collect();
        collections.sort_unstable();
        collections
    }
}
