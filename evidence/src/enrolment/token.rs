//! The enrolment token: one slot for one endpoint, granted by an endpoint administrator.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::address::Address;
use super::{EnrolmentError, open};
use crate::digest::Digest;
use crate::document::{Document, document_type};
use crate::id::{CollectorId, DeploymentId, EndpointId, Generation, PersonId};
use crate::keys::PublicKey;
use crate::roster::{Role, Roster};
use crate::signed::Signed;
use crate::text::serde_as_text;
use crate::time::Time;

/// Longest life of a token: 7 days.
pub const TOKEN_LIFETIME_MAX: Duration = Duration::from_secs(7 * 86_400);

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
    /// Deployment.
    pub deployment: DeploymentId,
    /// The slot's name.
    pub endpoint: EndpointId,
    /// Which enrolment of that name.
    pub generation: Generation,
    /// Public half of the one-time key.
    pub key: PublicKey,
    /// Who grants it.
    pub issuer: PersonId,
    /// From when.
    pub issued: Time,
    /// Until when.
    pub not_after: Time,
    /// Listener for enrolment.
    pub enrol: Address,
    /// Main listener.
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
    ///
    /// # Errors
    /// [`EnrolmentError`].
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
    ///
    /// # Errors
    /// [`EnrolmentError::Expired`].
    pub fn check_time(&self, now: Time) -> Result<(), EnrolmentError> {
        if (self.issued..self.not_after).contains(&now) {
            Ok(())
        } else {
            Err(EnrolmentError::Expired { issued: self.issued, not_after: self.not_after })
        }
    }
}

/// A C2SP verifier key of type Ed25519, kept as text.
#[derive(Clone, PartialEq, Eq)]
pub struct LogKey {
    text: String,
    key: ledger::VerifierKey,
}

impl LogKey {
    /// The key.
    pub fn key(&self) -> &ledger::VerifierKey {
        &self.key
    }

    /// The text `<name>+<id>+<base64>`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// A trust policy of this log alone, without cosigners.
    ///
    /// # Errors
    /// [`EnrolmentError::LogKey`].
    pub fn policy(&self) -> Result<ledger::Policy, EnrolmentError> {
        ledger::Policy::parse(format!("log {}\nquorum none\n", self.text).as_bytes())
            .map_err(|source| EnrolmentError::LogKey { source })
    }
}

impl fmt::Display for LogKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl FromStr for LogKey {
    type Err = ledger::note::NoteError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let key = ledger::VerifierKey::parse(text)?;
        Ok(Self { text: text.to_owned(), key })
    }
}
serde_as_text!(LogKey);
