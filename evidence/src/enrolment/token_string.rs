//! The token in the form that people carry: one string, which holds the one-time secret.
//! Guarantee: the secret is wiped from memory, and `Debug` never shows it.

use std::fmt;

use zeroize::{Zeroize as _, Zeroizing};

use super::{EnrolmentError, Token};
use crate::keys::SigningKey;
use crate::signed::Signed;
use crate::text::{from_base64url, to_base64url};

/// Longest token string: 16 KiB.
const STRING_BYTES_MAX: usize = 16 << 10;

/// A token with its signature and its secret.
pub struct TokenString {
    signed: Signed,
    token: Token,
    key: SigningKey,
}

impl TokenString {
    /// Joins a signed token and the one-time key that it names.
    ///
    /// # Errors
    /// [`EnrolmentError`] if the document is not a token, has not exactly one signature, or names another key.
    pub fn new(signed: Signed, key: SigningKey) -> Result<Self, EnrolmentError> {
        let token: Token = signed.read().map_err(|source| EnrolmentError::Document { source })?;
        if signed.signatures.len() != 1 {
            return Err(EnrolmentError::Signers { what: "token", by: "its issuer" });
        }
        if token.key != key.public() {
            return Err(EnrolmentError::Differs { what: "the token's one-time key" });
        }
        Ok(Self { signed, token, key })
    }

    /// The document. [`Token::verify`] checks its issuer's signature once the roster is known.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// Document and signature: what the collector registers.
    pub fn signed(&self) -> &Signed {
        &self.signed
    }

    /// The one-time key, which signs the enrolment request.
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// The string to hand over. It is a secret until the endpoint has enrolled.
    pub fn encode(&self) -> Zeroizing<String> {
        let armours = self.signed.signatures.concat();
        let mut seed = to_base64url(self.key.seed().as_slice());
        let document = to_base64url(&self.signed.document);
        let string = format!("exhibit1.{document}.{}.{seed}", to_base64url(armours.as_bytes()));
        seed.zeroize();
        Zeroizing::new(string)
    }

    /// Reads a string.
    ///
    /// # Errors
    /// [`EnrolmentError::TokenString`], and those of [`TokenString::new`].
    pub fn parse(text: &str) -> Result<Self, EnrolmentError> {
        if text.len() > STRING_BYTES_MAX {
            return Err(EnrolmentError::TokenString);
        }
        let mut parts = text.split('.');
        let head = (parts.next(), parts.next(), parts.next(), parts.next(), parts.next());
        let (Some("exhibit1"), Some(document), Some(armour), Some(seed), None) = head else {
            return Err(EnrolmentError::TokenString);
        };
        let decode = |text| from_base64url(text).ok_or(EnrolmentError::TokenString);
        let seed = Zeroizing::new(decode(seed)?);
        let seed = seed.as_array().ok_or(EnrolmentError::TokenString)?;
        let armour = String::from_utf8(decode(armour)?).or(Err(EnrolmentError::TokenString))?;
        let signed = Signed::from_parts(decode(document)?, vec![armour]);
        Self::new(signed.map_err(|source| EnrolmentError::Document { source })?, SigningKey::from_seed(seed))
    }
}

impl fmt::Debug for TokenString {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "TokenString({} {}#{})",
            self.token.deployment, self.token.endpoint, self.token.generation
        )
    }
}
