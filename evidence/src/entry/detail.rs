//! Detail objects: free text of an act, kept beside the ledger so that erasing it erases the text and leaves the tree whole.
//! Guarantee: the digest in the act commits to the text. Through the salt, it reveals nothing about the text once both are erased.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::json::{self, JsonError};
use crate::text::Nonce;

/// Longest text of one detail: 256 KiB, a long note with a pasted log.
pub const TEXT_BYTES_MAX: usize = 256 << 10;

/// Salt and text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detail {
    /// 16 random bytes: without them the text could be guessed from the digest.
    pub salt: Nonce,
    /// The person's text.
    pub text: String,
}

impl Detail {
    /// The object's bytes, and the digest for the act.
    ///
    /// # Errors
    /// If the text is over 256 KiB.
    pub fn encode(&self) -> Result<(Vec<u8>, Digest), DetailError> {
        if self.text.len() > TEXT_BYTES_MAX {
            return Err(DetailError::TooLong);
        }
        let bytes = json::to_document(self).map_err(|source| DetailError::Json { source })?;
        let digest = Digest::of(&bytes);
        Ok((bytes, digest))
    }

    /// Reads an object and checks it against the digest of its act.
    ///
    /// # Errors
    /// If it is another object, or not an object.
    pub fn open(bytes: &[u8], expected: &Digest) -> Result<Self, DetailError> {
        if Digest::of(bytes) != *expected {
            return Err(DetailError::Digest);
        }
        let detail: Self = json::parse_document(bytes).map_err(|source| DetailError::Json { source })?;
        if detail.text.len() > TEXT_BYTES_MAX { Err(DetailError::TooLong) } else { Ok(detail) }
    }
}

/// A detail object that is not the one its act names.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DetailError {
    /// The bytes are not those that the act commits to.
    #[error("detail object does not have the digest that its act names")]
    Digest,
    /// The bytes are not a detail object.
    #[error("read detail object")]
    Json {
        #[source]
        source: JsonError,
    },
    /// The text is over the limit.
    #[error("detail text is over 256 KiB")]
    TooLong,
}
