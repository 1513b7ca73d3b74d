//! One key of the log, as tokens and changes of the key name it.

use std::fmt;
use std::str::FromStr;

use ledger::note::NoteError;
use ledger::policy::PolicyError;
use ledger::{Policy, VerifierKey};

use crate::text::serde_as_text;

/// A C2SP verifier key of type Ed25519, kept as text.
#[derive(Clone, PartialEq, Eq)]
pub struct LogKey {
    text: String,
    key: VerifierKey,
}

impl LogKey {
    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// The text `<name>+<id>+<base64>`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// A trust policy of this log alone, without cosigners.
    ///
    /// # Errors
    /// If a policy may not name this key as a log's, for example because it is a cosigner's.
    pub fn policy(&self) -> Result<Policy, PolicyError> {
        Policy::parse(format!("log {}\nquorum none\n", self.text).as_bytes())
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
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let key = VerifierKey::parse(text)?;
        Ok(Self { text: text.to_owned(), key })
    }
}
serde_as_text!(LogKey);
