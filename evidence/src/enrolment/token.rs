//! The enrolment token: one slot for one endpoint, granted by an endpoint administrator.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::address::Address;
use super::{EnrolmentError, open};
use crate::digest::Digest;
use crate::document::{Document, document_type};
use crate::id::{CollectorId, DeploymentId, EndpointId, Generation, PersonId};
use crate::keys::PublicKey;
use crate::log_key::LogKey;
use crate::roster::{Role, Roster};
use crate::signed::Signed;
use crate::time::Time;

/// Longest life of a token: 7 days.
pub(crate) const TOKEN_LIFETIME_MAX: Duration = Duration::from_secs(7 * 86_400);

document_type! {
    /// `exhibit-token-v1`.
    TokenType, "exhibit-token-v1"
}

/// A token, signed by a person with the role `endpoint-admin`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Names the document type.
    #[serde(rename = "type")]
    pub type_: TokenType,
    pub deployment: DeploymentId,
    /// The slot's name.
    pub endpoint: EndpointId,
    /// Which enrolment of that name.
    pub generation: Generation,
    /// Public half of the one-time key.
    pub key: PublicKey,
    /// The person who grants it.
    pub issuer: PersonId,
    pub issued: Time,
    pub not_after: Time,
    /// Listener for enrolment.
    pub enrol: Address,
    pub collector: Address,
    /// The collector's name.
    pub collector_id: CollectorId,
    /// Authority set id.
    pub authority: Digest,
    /// SHA-256 of the CA certificate (DER).
    pub ca_sha256: Digest,
    /// The ledger's verifier key.
    pub log_key: LogKey,
    /// Lowest roster version to take.
    pub roster_version_min: u64,
}

impl Document for Token {
    const TYPE: &'static str = TokenType::TEXT;

    fn validate(&self) -> Result<(), &'static str> {
        if self.not_after <= self.issued || self.not_after.since(self.issued) > TOKEN_LIFETIME_MAX {
            return Err("a token lives at most 7 days");
        }
        if self.key.application().is_some() {
            return Err("a one-time key is a plain ssh-ed25519 key");
        }
        if self.log_key.key().name() != format!("exhibit/{}", self.deployment) {
            return Err("the log key has another name than exhibit/<deployment>");
        }
        if self.roster_version_min == 0 { Err("roster versions begin at 1") } else { Ok(()) }
    }
}

impl Token {
    /// Reads a token and checks that its issuer signed it and is an endpoint administrator of `roster`.
    pub fn verify(signed: &Signed, roster: &Roster) -> Result<Self, EnrolmentError> {
        let (token, signers) = open::<Self>(signed)?;
        if token.deployment != roster.deployment {
            return Err(EnrolmentError::Differs { what: "the token's deployment" });
        }
        match signers.as_slice() {
            [key] if roster.speaks_for(key, &token.issuer, &[Role::EndpointAdmin]) => Ok(token),
            _ => Err(EnrolmentError::Signers { what: "token", by: "its issuer as endpoint-admin" }),
        }
    }

    /// Checks that the token is valid at `now`.
    pub fn check_time(&self, now: Time) -> Result<(), EnrolmentError> {
        if (self.issued..self.not_after).contains(&now) {
            Ok(())
        } else {
            Err(EnrolmentError::Expired { issued: self.issued, not_after: self.not_after })
        }
    }
}
