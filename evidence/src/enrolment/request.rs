//! The documents that an endpoint signs to enrol and to renew its certificate.

use serde::{Deserialize, Serialize};

use super::token::Token;
use super::{EnrolmentError, open};
use crate::digest::Digest;
use crate::document::{Document, document_type};
use crate::id::{DeploymentId, EndpointId, Generation};
use crate::keys::PublicKey;
use crate::signed::Signed;
use crate::text::Nonce;
use crate::time::Time;

document_type! {
    /// `exhibit-enrolment-v1`.
    EnrolmentType, "exhibit-enrolment-v1"
}

document_type! {
    /// `exhibit-renewal-v1`.
    RenewalType, "exhibit-renewal-v1"
}

/// An enrolment request: signed by one-time key and evidence key, in this order. The TLS key signs the PKCS#10 request alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentRequest {
    /// Names the document type.
    #[serde(rename = "type")]
    pub type_: EnrolmentType,
    pub deployment: DeploymentId,
    pub endpoint: EndpointId,
    pub generation: Generation,
    /// Digest of the token document.
    pub token: Digest,
    /// The key that signs evidence.
    pub evidence_key: PublicKey,
    /// The key of the TLS certificate: SHA-256 of its SubjectPublicKeyInfo (DER).
    pub tls_spki_sha256: Digest,
    /// Digest of the PKCS#10 request (DER).
    pub csr_sha256: Digest,
    /// The challenge of the PKCS#10 request.
    pub nonce: Nonce,
    /// When, by the endpoint's clock.
    pub at: Time,
    pub agent: AgentBuild,
}

/// The program that enrols.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentBuild {
    pub version: String,
    /// SHA-256 of its program file, as it reports it.
    pub build_sha256: Digest,
}

impl Document for EnrolmentRequest {
    const TYPE: &'static str = EnrolmentType::TEXT;

    fn validate(&self) -> Result<(), &'static str> {
        if self.evidence_key.application().is_some() {
            return Err("an evidence key is a plain ssh-ed25519 key");
        }
        if (1..=100).contains(&self.agent.version.len()) {
            Ok(())
        } else {
            Err("a version has 1 to 100 bytes")
        }
    }
}

impl EnrolmentRequest {
    /// Reads a request and checks that it answers the token and that both keys signed it.
    pub fn verify(signed: &Signed, token: &Token, token_sha256: Digest) -> Result<Self, EnrolmentError> {
        let (request, signers) = open::<Self>(signed)?;
        for (what, same) in [
            ("deployment", request.deployment == token.deployment),
            ("endpoint", request.endpoint == token.endpoint),
            ("generation", request.generation == token.generation),
            ("token", request.token == token_sha256),
            ("key", request.evidence_key != token.key),
        ] {
            if !same {
                return Err(EnrolmentError::Differs { what });
            }
        }
        if signers.as_slice() == [token.key.clone(), request.evidence_key.clone()] {
            Ok(request)
        } else {
            Err(EnrolmentError::Signers { what: "enrolment", by: "one-time key and evidence key" })
        }
    }
}

/// A renewal: signed by the evidence key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renewal {
    /// Names the document type.
    #[serde(rename = "type")]
    pub type_: RenewalType,
    pub deployment: DeploymentId,
    pub endpoint: EndpointId,
    pub generation: Generation,
    /// Digest of the PKCS#10 request (DER).
    pub csr_sha256: Digest,
    /// The key of the new TLS certificate: SHA-256 of its SubjectPublicKeyInfo (DER).
    pub tls_spki_sha256: Digest,
    /// The challenge of the PKCS#10 request: a fresh one.
    pub nonce: Nonce,
    /// When, by the endpoint's clock.
    pub at: Time,
}

impl Document for Renewal {
    const TYPE: &'static str = RenewalType::TEXT;

    fn validate(&self) -> Result<(), &'static str> {
        Ok(())
    }
}

impl Renewal {
    /// Reads a renewal and checks that the evidence key signed it.
    pub fn verify(signed: &Signed, evidence_key: &PublicKey) -> Result<Self, EnrolmentError> {
        let (renewal, signers) = open::<Self>(signed)?;
        if signers.as_slice() == [evidence_key.clone()] {
            Ok(renewal)
        } else {
            Err(EnrolmentError::Signers { what: "renewal", by: "the evidence key" })
        }
    }
}
