//! The evidence key's two signatures on a collection: the delegation before it, the manifest after it.
//!
//! Guarantee: the evidence key signs a manifest only for the running attempt, for the segments that passed
//! through here, under the limits and policy that were in force. It signs the sealer's bytes and does not
//! rebuild them. Not here: whether the items are right; the collector verifies them against the seals.

use evidence::digest::Digest;
use evidence::document::Document as _;
use evidence::keys::SigningKey;
use evidence::keys::sshsig;
use evidence::manifest::{CollectionResult, LogHead, Manifest, StepEnd};
use evidence::order::{Limits, Order};
use evidence::seal::delegation::{Delegation, DelegationType, collection_id};
use evidence::signed::{Signed, SignedError};
use evidence::text::Nonce;
use evidence::time::Time;

use crate::state::identity::Pins;

/// What the warden knows about a collection and the sealer must repeat.
#[derive(Debug, Clone)]
pub struct Expectation {
    /// The order.
    pub order: Order,
    /// The delegation, signed.
    pub delegation_signed: Signed,
    /// The delegation.
    pub delegation: Delegation,
    /// Effective limits.
    pub limits: Limits,
    /// Policy in force.
    pub policy_sha256: Digest,
    /// The agent, as the sealer was told.
    pub agent: evidence::manifest::Agent,
    /// Head of the endpoint's log at the start.
    pub log_head: LogHead,
}

/// The segments that have passed through the warden.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Observed {
    /// Number of segments.
    pub segments: u64,
    /// Their stored bytes.
    pub stored_len: u64,
    /// Digest of the last seal.
    pub seal_head: Digest,
    /// Whether the last one was the final segment.
    pub is_final: bool,
}

/// Why the evidence key does not sign.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// It is not a document, or cannot be signed.
    #[error("manifest")]
    Document(#[from] SignedError),
    /// The signature failed.
    #[error("sign")]
    Signature(#[from] sshsig::SshSigError),
    /// Another key than that of the collection's sealer signed it.
    #[error("the manifest is not signed by the sealer alone")]
    Signer,
    /// A field differs from what happened.
    #[error("the manifest's {0} is not what happened")]
    Field(&'static str),
    /// The signed result does not verify.
    #[error("the co-signed manifest does not verify")]
    Verify(#[from] evidence::manifest::ManifestError),
}

/// Makes and signs a delegation.
pub(crate) fn delegate(
    pins: &Pins,
    evidence_key: &SigningKey,
    sealer: &SigningKey,
    (order, attempt, nonce): (Digest, u32, Nonce),
    at: Time,
) -> Result<(Delegation, Signed), SignedError> {
    let collection = collection_id(&order, &evidence_key.public().fingerprint(), attempt, &nonce);
    let delegation = Delegation {
        type_: DelegationType,
        deployment: pins.deployment.clone(),
        endpoint: pins.endpoint.clone(),
        generation: pins.generation,
        order,
        attempt,
        collection,
        sealer: sealer.public(),
        at,
        nonce,
    };
    let signed = Signed::sign(&delegation, &[evidence_key])?;
    Ok((delegation, signed))
}

/// Checks the sealer's manifest against what happened, and adds the evidence key's signature.
pub(crate) fn sign_manifest(
    evidence_key: &SigningKey,
    expected: &Expectation,
    observed: &Observed,
    sealed: &Signed,
) -> Result<(Manifest, Signed), ManifestError> {
    let (manifest, signers) = sealed.open::<Manifest>()?;
    if signers.as_slice() != std::slice::from_ref(&expected.delegation.sealer) {
        return Err(ManifestError::Signer);
    }
    let plan: Vec<&str> = expected.order.plan.steps().iter().map(evidence::order::Step::collector).collect();
    let steps: Vec<&str> = manifest.steps.iter().map(|step| step.collector.as_str()).collect();
    let all_done = manifest.steps.iter().all(|step| step.result == StepEnd::Done);
    for (field, holds) in [
        ("incident", manifest.incident == expected.order.incident),
        ("policy_sha256", manifest.policy_sha256 == expected.policy_sha256),
        ("limits", manifest.limits == expected.limits),
        ("agent", manifest.agent == expected.agent),
        ("log_head", manifest.log_head == expected.log_head),
        ("steps", steps == plan),
        ("result", all_done || manifest.result == CollectionResult::Limited),
        ("segments", observed.segments == manifest.segments),
        ("stored_len", observed.stored_len == manifest.stored_len),
        ("seal_head", observed.seal_head == manifest.seal_head && observed.is_final),
        (
            "stored_len",
            manifest
                .stored_len
                .checked_sub(STORED_SLACK)
                .is_none_or(|len| len <= expected.limits.stored_bytes),
        ),
    ] {
        if !holds {
            return Err(ManifestError::Field(field));
        }
    }
    let mut signatures = sealed.signatures.clone();
    signatures.push(sshsig::sign(evidence_key, Manifest::TYPE, &sealed.document)?);
    let signed = Signed::from_parts(sealed.document.clone(), signatures)?;
    let digest = expected.delegation_signed.digest();
    let manifest = Manifest::verify(&signed, &expected.delegation, &digest, &evidence_key.public())?;
    Ok((manifest, signed))
}

/// How far a collection may exceed its limit of stored bytes: a limit still lets the sealer write the open
/// frame, the list of outcomes and the seek table.
const STORED_SLACK: u64 = 64 << 20;
