//! A person's request for a short-lived TLS certificate.

use serde::{Deserialize, Serialize};

use super::{EnrolmentError, open};
use crate::digest::Digest;
use crate::document::{Document, document_type};
use crate::id::{DeploymentId, PersonId};
use crate::keys::PublicKey;
use crate::roster::Roster;
use crate::signed::Signed;
use crate::text::FixedBytes;
use crate::time::Time;

document_type! {
    /// `exhibit-login-v1`.
    LoginType, "exhibit-login-v1"
}

/// A login: signed by a roster key of the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// Names the document type.
    #[serde(rename = "type")]
    pub type_: LoginType,
    pub deployment: DeploymentId,
    pub person: PersonId,
    /// The server's challenge, which is also that of the PKCS#10 request.
    pub challenge: FixedBytes<32>,
    /// The key of the TLS certificate: SHA-256 of its SubjectPublicKeyInfo (DER).
    pub tls_spki_sha256: Digest,
    /// Digest of the PKCS#10 request (DER).
    pub csr_sha256: Digest,
    /// When, by the person's clock.
    pub at: Time,
}

impl Document for Login {
    const TYPE: &'static str = LoginType::TEXT;

    fn validate(&self) -> Result<(), &'static str> {
        Ok(())
    }
}

impl Login {
    /// Reads a login and checks that a key of that person signed it. Whether the challenge is fresh, only
    /// the server knows.
    pub fn verify(signed: &Signed, roster: &Roster) -> Result<Self, EnrolmentError> {
        let (login, signers) = open::<Self>(signed)?;
        if login.deployment != roster.deployment {
            return Err(EnrolmentError::Differs { what: "the login's deployment" });
        }
        let of_person =
            |key: &PublicKey| roster.person_of_key(key).is_some_and(|person| person.id == login.person);
        match signers.as_slice() {
            [person] if of_person(person) => Ok(login),
            _ => Err(EnrolmentError::Signers { what: "login", by: "a roster key of the person" }),
        }
    }
}
