//! The manifest: what one collection is, co-signed by its sealer and its endpoint (docs/spec/manifest.md).
//! Guarantee: [`Manifest::verify`] binds a manifest to its delegation, and [`Manifest::check_container`] binds it to the
//! bytes. An unknown encoding is refused by name.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::container::ContainerSummary;
use crate::digest::Digest;
use crate::document::{Document, document_type};
use crate::id::{DeploymentId, EndpointId, Generation, IncidentId, PersonId};
use crate::item::outcome::Outcome;
use crate::json;
use crate::keys::PublicKey;
use crate::order::Limits;
use crate::seal::delegation::Delegation;
use crate::signed::{Signed, SignedError};
use crate::text::serde_as_text;
use crate::text::words::words;
use crate::time::{FileTime, Time};

/// Most lines in `footprint` and in `limitations`.
pub const REMARKS_MAX: usize = 256;
/// Longest of these lines.
pub const REMARK_BYTES_MAX: usize = 500;

document_type! {
    /// `exhibit-manifest-v1`.
    ManifestType, "exhibit-manifest-v1"
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Names the document type.
    #[serde(rename = "type")]
    pub type_: ManifestType,
    pub deployment: DeploymentId,
    pub collection: Digest,
    /// The origin of the collection.
    pub origin: Origin,
    /// Digest of the delegation document.
    pub delegation: Digest,
    /// How the bytes are packed.
    pub encoding: Encoding,
    /// The incident it belongs to.
    pub incident: IncidentId,
    /// First act of the collection, by the endpoint's clock.
    pub begun: Time,
    pub ended: Time,
    /// The clocks at the end.
    pub clock: Clock,
    /// Kernel's boot id; recorded, never decisive.
    #[serde(deserialize_with = "json::nullable")]
    pub boot_id: Option<String>,
    /// machine-id; recorded, never decisive.
    #[serde(deserialize_with = "json::nullable")]
    pub machine_id: Option<String>,
    /// The program that collected.
    pub agent: Agent,
    /// Digest of the owner's policy in force.
    pub policy_sha256: Digest,
    /// Limits in force.
    pub limits: Limits,
    /// The result of each step of the plan.
    pub steps: Vec<StepResult>,
    pub segments: u64,
    /// Their stored bytes.
    pub stored_len: u64,
    pub plain_len: u64,
    /// Digest of the concatenated segments.
    pub container_sha256: Digest,
    pub items: u64,
    /// RFC 6962 root over the record lines.
    pub items_root: Digest,
    /// Number of items for each outcome, sorted by outcome.
    pub outcomes: Vec<(Outcome, u64)>,
    /// Sum of the sizes of members with content.
    pub content_bytes: u64,
    /// Digest of the last seal.
    pub seal_head: Digest,
    /// Known exceptions to "nothing on the endpoint changes".
    pub footprint: Vec<String>,
    /// The limits of what this collection shows.
    pub limitations: Vec<String>,
    /// Head of the endpoint's own log.
    pub log_head: LogHead,
    /// True if the plan ran to its end.
    pub result: CollectionResult,
}

/// The origin of a collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Origin {
    /// An endpoint obeyed an order.
    #[serde(rename = "endpoint")]
    Endpoint(EndpointOrigin),
    /// A person handed something in.
    #[serde(rename = "intake")]
    Intake(IntakeOrigin),
}

/// An endpoint that obeyed an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointOrigin {
    pub id: EndpointId,
    pub generation: Generation,
    /// Its evidence key.
    pub evidence_key: PublicKey,
    pub order: Digest,
    pub attempt: u32,
}

/// A person who handed something in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntakeOrigin {
    pub person: PersonId,
    /// The origin of the bytes.
    pub source: String,
    /// How they were obtained.
    pub method: String,
    /// When they were observed.
    pub observed: Time,
}

/// How a container is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `tar+zstd`
    TarZstd,
}

impl fmt::Display for Encoding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("tar+zstd")
    }
}

impl std::str::FromStr for Encoding {
    type Err = EncodingError;

    fn from_str(text: &str) -> Result<Self, EncodingError> {
        match text {
            "tar+zstd" => Ok(Self::TarZstd),
            other => Err(EncodingError { encoding: other.chars().take(64).collect() }),
        }
    }
}
serde_as_text!(Encoding);

/// An encoding this version does not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("encoding {encoding:?} is not one this version reads (tar+zstd)")]
pub struct EncodingError {
    /// Its name, cut.
    pub encoding: String,
}

/// Clocks of the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// Real time.
    pub wall: FileTime,
    /// Time since boot, sleep included.
    pub boot: FileTime,
    /// The local clock minus the collector's, if it was measured.
    #[serde(deserialize_with = "json::nullable")]
    pub offset_ms: Option<i64>,
    /// Whether the kernel says its clock follows a time server.
    #[serde(deserialize_with = "json::nullable")]
    pub synchronised: Option<bool>,
}

/// The program that collected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    pub version: String,
    /// Digest of its file, by its own word.
    pub build_sha256: Digest,
    /// User id it ran under.
    pub uid: u32,
    /// Effective capabilities of the reader, hexadecimal.
    pub capabilities: String,
}

/// The result of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepResult {
    pub collector: String,
    pub begun: Time,
    pub ended: Time,
    pub items: u64,
    /// How it ended.
    pub result: StepEnd,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepEnd {
    /// To its end.
    Done,
    /// It could not run.
    Failed,
    /// A limit cut it.
    Limit,
    /// It was never begun.
    NotRun,
}

/// Head of the endpoint's own log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogHead {
    /// Sequence number of its last line.
    pub seq: u64,
    /// Digest of that line.
    pub sha256: Digest,
}

words! {
    /// Whether the plan ran to its end.
    CollectionResult of "a result of a collection" {
        /// Every step was done.
        Complete = "complete",
        /// A limit or a failed step ended it early.
        Limited = "limited",
    }
}
serde_as_text!(CollectionResult);

impl Manifest {
    /// Checks signatures (sealer, then evidence key) and that the manifest is about the collection of its delegation.
    pub fn verify(
        signed: &Signed,
        delegation: &Delegation,
        delegation_sha256: &Digest,
        evidence_key: &PublicKey,
    ) -> Result<Self, ManifestError> {
        let (manifest, signers) =
            signed.open::<Self>().map_err(|source| ManifestError::Document { source })?;
        if signers.as_slice() != [delegation.sealer.clone(), evidence_key.clone()].as_slice() {
            return Err(ManifestError::Signers);
        }
        let Origin::Endpoint(origin) = &manifest.origin else {
            return Err(ManifestError::Binding { field: "origin" });
        };
        for (field, holds) in [
            ("deployment", manifest.deployment == delegation.deployment),
            ("collection", manifest.collection == delegation.collection),
            ("delegation", manifest.delegation == *delegation_sha256),
            ("origin.id", origin.id == delegation.endpoint),
            ("origin.generation", origin.generation == delegation.generation),
            ("origin.evidence_key", origin.evidence_key == *evidence_key),
            ("origin.order", origin.order == delegation.order),
            ("origin.attempt", origin.attempt == delegation.attempt),
        ] {
            if !holds {
                return Err(ManifestError::Binding { field });
            }
        }
        Ok(manifest)
    }

    /// Checks that the manifest describes the container that was verified.
    ///
    /// # Errors
    /// [`ManifestError::Container`] with the first field that differs.
    pub fn check_container(&self, container: &ContainerSummary) -> Result<(), ManifestError> {
        for (field, holds) in [
            ("segments", self.segments == container.segments),
            ("stored_len", self.stored_len == container.stored_len),
            ("plain_len", self.plain_len == container.plain_len),
            ("container_sha256", self.container_sha256 == container.container_sha256),
            ("items", self.items == container.items),
            ("items_root", self.items_root == container.items_root),
            ("content_bytes", self.content_bytes == container.content_bytes),
            ("seal_head", self.seal_head == container.seal_head),
            (
                "outcomes",
                self.outcomes
                    .iter()
                    .map(|(outcome, count)| (outcome, count))
                    .eq(&container.counts_by_outcome),
            ),
        ] {
            if !holds {
                return Err(ManifestError::Container { field });
            }
        }
        Ok(())
    }

    /// The outcomes of a container in the manifest's form.
    pub fn outcomes_of(container: &ContainerSummary) -> Vec<(Outcome, u64)> {
        container.counts_by_outcome.iter().map(|(outcome, count)| (outcome.clone(), *count)).collect()
    }
}

impl Document for Manifest {
    const TYPE: &'static str = ManifestType::TEXT;

    fn validate(&self) -> Result<(), &'static str> {
        for remarks in [&self.footprint, &self.limitations] {
            if remarks.len() > REMARKS_MAX || remarks.iter().any(|remark| remark.len() > REMARK_BYTES_MAX) {
                return Err("footprint and limitations hold at most 256 lines of 500 bytes");
            }
        }
        if self.steps.len() > 256 {
            return Err("more steps than a plan can have");
        }
        let short = |text: &Option<String>| text.as_ref().is_none_or(|text| text.len() <= 64);
        if !short(&self.boot_id)
            || !short(&self.machine_id)
            || self.agent.version.len() > 64
            || self.agent.capabilities.len() > 32
        {
            return Err("an identifier is over its length");
        }
        Ok(())
    }
}

/// A manifest that does not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// About something else than its delegation.
    #[error("manifest's {field} is not that of its delegation")]
    Binding { field: &'static str },
    /// Does not describe the container.
    #[error("manifest's {field} is not that of the container")]
    Container { field: &'static str },
    /// The bytes are not a signed manifest.
    #[error("manifest")]
    Document {
        #[source]
        source: SignedError,
    },
    /// Its signatures are not those of sealer and evidence key.
    #[error("manifest is not signed by its sealer and its endpoint's evidence key")]
    Signers,
}
