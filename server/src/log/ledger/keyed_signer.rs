//! A signer that knows which keys its own key followed.
//! Guarantee: it never signs a size that belongs to an earlier key (docs/spec/ledger.md, *Change of the log key*).

use std::sync::Arc;

use evidence::log_key::LogKeys;
use ledger::{Hash, Note, VerifierKey};

use super::signer::{CheckpointSigner, SignerError};

/// The signer of a log whose key may have changed.
pub struct KeyedSigner {
    signer: Arc<dyn CheckpointSigner>,
    keys: LogKeys,
}

impl KeyedSigner {
    /// Makes a signer. Its key must be the newest of `keys`.
    pub fn new(signer: Arc<dyn CheckpointSigner>, keys: LogKeys) -> Result<Self, SignerError> {
        if signer.verifier_key() == keys.current() {
            Ok(Self { signer, keys })
        } else {
            Err(SignerError::OtherKey {
                found: signer.verifier_key().to_string(),
                in_force: keys.current().to_string(),
            })
        }
    }
}

impl CheckpointSigner for KeyedSigner {
    fn verifier_key(&self) -> &VerifierKey {
        self.signer.verifier_key()
    }

    fn keys(&self) -> LogKeys {
        self.keys.clone()
    }

    fn remember(&self, size: u64, root: &Hash) -> Result<(), SignerError> {
        self.signer.remember(size, root)
    }

    fn sign(&self, size: u64, root: &Hash) -> Result<Note, SignerError> {
        let from = self.keys.terms().first().map_or(0, |term| term.from);
        if size < from {
            return Err(SignerError::BeforeTerm { size, from });
        }
        self.signer.sign(size, root)
    }
}
