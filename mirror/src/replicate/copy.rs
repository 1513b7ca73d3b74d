//! Copies one collection. It first walks from the seal that the ledger names back to the first one, then
//! passes each segment forward through the verifier.
//!
//! Guarantee: the own store gets only objects that verified, up to the manifest of a stored collection. When `copy` returns `Ok`,
//! every byte of the collection is durable there. Memory: 72 bytes a segment, one segment, and the verifier's state.

use std::sync::atomic::AtomicU64;

use evidence::causes::chain;
use evidence::container::{Expect, Limits};
use evidence::digest::Digest;
use evidence::entry::ActObject;
use evidence::manifest::Manifest;
use evidence::order::Order;
use evidence::seal::{Identity, Seal};
use evidence::signed::Signed;
use store::{Key, Replicas};

use crate::objects::{ObjectError, Objects};
use crate::replicate::judge::{JudgeError, Judges};
use crate::rules::{CollectionToCopy, Extent};
use crate::source::Source;

/// The size of a copied and verified collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    pub segments: u64,
    /// Their stored bytes.
    pub bytes: u64,
}

/// One link of the seal chain.
struct Link {
    seal: Digest,
    segment: Digest,
}

/// Everything that a copy needs except the collection.
pub struct Parts<'a> {
    pub own: &'a Replicas,
    /// The source of missing objects.
    pub source: Option<&'a dyn Source>,
    /// Counts the objects that were put back.
    pub repaired: &'a AtomicU64,
    pub judges: &'a dyn Judges,
    /// `false` ends the copy.
    pub go_on: &'a dyn Fn() -> bool,
}

/// Copies and verifies a collection. It does not fetch objects that the own store has.
///
/// # Errors
/// `CopyError`. Objects that were verified before the error stay.
pub fn copy(collection: &CollectionToCopy, parts: &Parts<'_>) -> Result<Copied, CopyError> {
    let (objects, go_on) = (Objects::new(parts.own, parts.source, parts.repaired), parts.go_on);
    let order = order(&collection.delegation.order, &objects)?;
    let manifest = manifest(collection, &objects)?;
    let (head, count) = match (&collection.extent, &manifest) {
        (Extent::Interrupted { seal, segments }, _) => (*seal, *segments),
        (Extent::Stored { .. }, Some(manifest)) => (manifest.seal_head, manifest.segments),
        (Extent::Stored { .. }, None) => return Err(CopyError::Evidence("it has no manifest".to_owned())),
    };
    let links = links(collection, head, count, &objects, go_on)?;
    let mut judge = parts.judges.begin(Expect {
        identity: Identity {
            deployment: collection.delegation.deployment.clone(),
            collection: collection.id,
            order: collection.delegation.order,
            attempt: u64::from(collection.delegation.attempt),
        },
        sealer: collection.delegation.sealer.clone(),
        limits: Limits::of_order(&order.limits),
    })?;
    let mut copied = Copied { segments: 0, bytes: 0 };
    for (index, link) in (0..).zip(&links) {
        if !go_on() {
            return Err(CopyError::Stopped);
        }
        let seal_key = Key::seal(collection.id.as_bytes(), index, link.seal.as_bytes());
        let segment_key = Key::segment(collection.id.as_bytes(), index, link.segment.as_bytes());
        let (seal, segment) = (objects.peek(&seal_key)?, objects.peek(&segment_key)?);
        judge.segment(&seal, &segment).map_err(|error| match error {
            JudgeError::Malformed(why) => CopyError::Evidence(format!("segment {index}: {why}")),
            other => other.into(),
        })?;
        // The segment is verified against digest, seal, chain and its own records. Only now may it be stored
        // under its keys.
        objects.store_pending()?;
        copied.segments += 1;
        copied.bytes += segment.len() as u64;
    }
    if let Some(manifest) = manifest {
        let summary = judge.finish()?;
        manifest.check_container(&summary).map_err(|error| CopyError::Evidence(chain(&error)))?;
    }
    Ok(copied)
}

/// Walks the chain from its last seal to the first. It stores each seal because something verified names its
/// digest: the entry, or the seal after it.
fn links(
    collection: &CollectionToCopy,
    head: Digest,
    count: u64,
    objects: &Objects<'_>,
    go_on: &dyn Fn() -> bool,
) -> Result<Vec<Link>, CopyError> {
    let mut links = Vec::new();
    let mut digest = head;
    for index in (0..count).rev() {
        if !go_on() {
            return Err(CopyError::Stopped);
        }
        let bytes = objects.get(&Key::seal(collection.id.as_bytes(), index, digest.as_bytes()))?;
        let seal = Seal::parse(&bytes)
            .map_err(|error| CopyError::Evidence(format!("seal {index}: {}", chain(&error))))?;
        if seal.header.index != index || seal.header.collection != collection.id {
            return Err(CopyError::Evidence(format!("seal {index} is of another place")));
        }
        links.push(Link { seal: digest, segment: seal.header.sha256 });
        digest = seal.header.prev;
    }
    if digest != Digest::ZERO {
        return Err(CopyError::Evidence("the first seal names one before it".to_owned()));
    }
    links.reverse();
    Ok(links)
}

/// Keys of every object of a copied collection, from the own store alone; `None` if the chain cannot be
/// walked.
#[must_use]
pub fn keys(collection: &CollectionToCopy, own: &Replicas, repaired: &AtomicU64) -> Option<Vec<Key>> {
    let objects = Objects::new(own, None, repaired);
    let (head, count) = match &collection.extent {
        Extent::Interrupted { seal, segments } => (*seal, *segments),
        Extent::Stored { .. } => {
            let manifest = manifest(collection, &objects).ok()??;
            (manifest.seal_head, manifest.segments)
        }
    };
    let links = links(collection, head, count, &objects, &|| true).ok()?;
    let mut keys = Vec::new();
    for (index, link) in (0..).zip(links) {
        keys.push(Key::seal(collection.id.as_bytes(), index, link.seal.as_bytes()));
        keys.push(Key::segment(collection.id.as_bytes(), index, link.segment.as_bytes()));
    }
    Some(keys)
}

fn order(id: &Digest, objects: &Objects<'_>) -> Result<Order, CopyError> {
    let bytes = objects.get(&Key::document(id.as_bytes()))?;
    let object = ActObject::parse(&bytes).map_err(|error| CopyError::Evidence(chain(&error)))?;
    evidence::json::parse_document(&object.document).map_err(|error| CopyError::Evidence(chain(&error)))
}

fn manifest(collection: &CollectionToCopy, objects: &Objects<'_>) -> Result<Option<Manifest>, CopyError> {
    let Extent::Stored { manifest, .. } = &collection.extent else {
        return Ok(None);
    };
    let bytes = objects.get(&Key::document(manifest.as_bytes()))?;
    let signed = Signed::parse(&bytes).map_err(|error| CopyError::Evidence(chain(&error)))?;
    Manifest::verify(&signed, &collection.delegation, &collection.delegation_sha256, &collection.evidence_key)
        .map(Some)
        .map_err(|error| CopyError::Evidence(chain(&error)))
}

/// Why the collection is not copied (now).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The served bytes do not verify.
    #[error("evidence does not verify: {0}")]
    Evidence(String),
    #[error("verify the container")]
    Judge(#[from] JudgeError),
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The process must end.
    #[error("stopped")]
    Stopped,
}
