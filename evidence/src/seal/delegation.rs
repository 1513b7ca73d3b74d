//! Sealer delegation: the evidence key lends one collection to a fresh key (docs/spec/manifest.md, Delegation).
//! Guarantee: the collection id binds order, endpoint, attempt and nonce; a delegation that names another id is refused.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::document::{Document, document_type};
use crate::id::{DeploymentId, EndpointId, Generation};
use crate::keys::{Fingerprint, PublicKey};
use crate::order::ATTEMPTS_MAX;
use crate::signed::{Signed, SignedError};
use crate::text::Nonce;
use crate::time::Time;

document_type! {
    /// `exhibit-delegation-v1`.
    DelegationType, "exhibit-delegation-v1"
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delegation {
    /// Names the document type.
    #[serde(rename = "type")]
    pub type_: DelegationType,
    pub deployment: DeploymentId,
    /// Endpoint that collects.
    pub endpoint: EndpointId,
    pub generation: Generation,
    /// The order it obeys.
    pub order: Digest,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// The collection's id.
    pub collection: Digest,
    /// The fresh key.
    pub sealer: PublicKey,
    /// When, by the endpoint's clock.
    pub at: Time,
    /// Makes the id unguessable before the attempt begins.
    pub nonce: Nonce,
}

impl Delegation {
    /// Checks that `evidence_key` alone signed, and that the collection id is the one of these fields.
    pub fn verify(signed: &Signed, evidence_key: &PublicKey) -> Result<Self, DelegationError> {
        let (delegation, signers) =
            signed.open::<Self>().map_err(|source| DelegationError::Document { source })?;
        if signers.as_slice() != std::slice::from_ref(evidence_key) {
            return Err(DelegationError::Signer);
        }
        if delegation.sealer == *evidence_key {
            return Err(DelegationError::SealerIsEvidenceKey);
        }
        let id = collection_id(
            &delegation.order,
            &evidence_key.fingerprint(),
            delegation.attempt,
            &delegation.nonce,
        );
        if id == delegation.collection { Ok(delegation) } else { Err(DelegationError::Collection) }
    }
}

/// The id of a collection.
pub fn collection_id(order: &Digest, evidence_key: &Fingerprint, attempt: u32, nonce: &Nonce) -> Digest {
    Digest::of(format!("exhibit-collection-v1\n{order}\n{evidence_key}\n{attempt}\n{nonce}\n").as_bytes())
}

impl Document for Delegation {
    const TYPE: &'static str = DelegationType::TEXT;

    fn validate(&self) -> Result<(), &'static str> {
        if !(1..=ATTEMPTS_MAX).contains(&self.attempt) {
            return Err("attempt is not 1 to 10");
        }
        if self.sealer.application().is_some() { Err("a sealer is a plain Ed25519 key") } else { Ok(()) }
    }
}

/// A delegation that does not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DelegationError {
    /// The id is not the one that its fields make.
    #[error("collection id is not the one of order, endpoint, attempt and nonce")]
    Collection,
    /// The bytes are not a signed delegation.
    #[error("delegation")]
    Document {
        #[source]
        source: SignedError,
    },
    /// The sealer key is the evidence key itself.
    #[error("sealer key is the evidence key")]
    SealerIsEvidenceKey,
    /// Signed by another key than the endpoint's evidence key.
    #[error("delegation is not signed by the endpoint's evidence key alone")]
    Signer,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;
    use crate::text::FixedBytes;

    fn good(evidence: &SigningKey) -> Delegation {
        let (order, nonce) = (Digest([3; 32]), FixedBytes([4; 16]));
        Delegation {
            type_: DelegationType,
            deployment: "acme".parse().unwrap(),
            endpoint: "web-03".parse().unwrap(),
            generation: Generation::FIRST,
            order,
            attempt: 2,
            collection: collection_id(&order, &evidence.public().fingerprint(), 2, &nonce),
            sealer: SigningKey::from_seed(&[2; 32]).public(),
            at: "2026-11-21T10:00:00.000Z".parse().unwrap(),
            nonce,
        }
    }

    #[test]
    fn only_the_evidence_key_delegates_and_only_this_collection() {
        let evidence = SigningKey::from_seed(&[1; 32]);
        let other = SigningKey::from_seed(&[9; 32]);
        let signed = Signed::sign(&good(&evidence), &[&evidence]).unwrap();
        assert_eq!(Delegation::verify(&signed, &evidence.public()).unwrap(), good(&evidence));
        assert!(matches!(Delegation::verify(&signed, &other.public()), Err(DelegationError::Signer)));
        let twice = Signed::sign(&good(&evidence), &[&evidence, &other]).unwrap();
        assert!(matches!(Delegation::verify(&twice, &evidence.public()), Err(DelegationError::Signer)));
        let mut moved = good(&evidence);
        moved.attempt = 3;
        let moved = Signed::sign(&moved, &[&evidence]).unwrap();
        assert!(matches!(Delegation::verify(&moved, &evidence.public()), Err(DelegationError::Collection)));
        let mut lazy = good(&evidence);
        lazy.sealer = evidence.public();
        let lazy = Signed::sign(&lazy, &[&evidence]).unwrap();
        assert!(matches!(
            Delegation::verify(&lazy, &evidence.public()),
            Err(DelegationError::SealerIsEvidenceKey)
        ));
    }
}
