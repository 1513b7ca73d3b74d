//! Holds the log key and decides what it signs.
//! Guarantee: over the life of a signer, sizes only grow and each size has one root, whatever the caller asks. A confused or hijacked
//! sequencer therefore cannot make the two notes that would convict the operator of forking.

use std::sync::{Mutex, PoisonError};

use evidence::log_key::LogKeys;
use ledger::{Checkpoint, Hash, KeyType, Note, NoteSigner, VerifierKey};

/// Signs checkpoints of one log.
///
/// Contract: it refuses a size below any that it signed or was told of, and another root for the same size. It is deterministic: the
/// same checkpoint gives the same note.
pub trait CheckpointSigner: Send + Sync {
    /// The log's public key.
    fn verifier_key(&self) -> &VerifierKey;

    /// All keys that the log has had, this one last.
    fn keys(&self) -> LogKeys {
        LogKeys::unchanged(self.verifier_key().clone())
    }

    /// Tells the signer of a checkpoint that was published before it started.
    ///
    /// # Errors
    /// `Refused` if the checkpoint contradicts what the signer knows.
    fn remember(&self, size: u64, root: &Hash) -> Result<(), SignerError>;

    /// Signs the checkpoint of a committed tree.
    fn sign(&self, size: u64, root: &Hash) -> Result<Note, SignerError>;
}

/// The key, and a memory of what it signed.
pub(super) struct MonotonicSigner {
    signer: NoteSigner,
    newest: Option<(u64, Hash)>,
}

impl MonotonicSigner {
    pub(super) fn new(origin: &str, seed: &[u8; 32]) -> Result<Self, SignerError> {
        let signer = NoteSigner::new(origin, seed).map_err(|source| SignerError::Note { source })?;
        Ok(Self { signer, newest: None })
    }

    pub(super) fn verifier_key(&self) -> VerifierKey {
        self.signer.verifier_key(KeyType::Ed25519)
    }

    /// Moves on to a checkpoint, or says why not.
    pub(super) fn remember(&mut self, size: u64, root: &Hash) -> Result<(), SignerError> {
        match self.newest {
            Some((newest, _)) if size < newest => Err(SignerError::Smaller { newest, asked: size }),
            Some((newest, known)) if size == newest && known != *root => {
                Err(SignerError::OtherRoot { size, known, asked: *root })
            }
            _ => {
                self.newest = Some((size, *root));
                Ok(())
            }
        }
    }

    pub(super) fn sign(&mut self, size: u64, root: &Hash) -> Result<Note, SignerError> {
        let checkpoint = Checkpoint::new(self.signer.name(), size, *root)
            .map_err(|source| SignerError::Checkpoint { source })?;
        self.remember(size, root)?;
        let text = checkpoint.to_text();
        let signature = self.signer.sign(&text).map_err(|source| SignerError::Note { source })?;
        Note::new(&text, vec![signature]).map_err(|source| SignerError::Note { source })
    }
}

/// A signer in this process, for `init`, `rebuild` and tests. The collector runs a [`super::ProcessSigner`].
pub struct LocalSigner {
    signer: Mutex<MonotonicSigner>,
    key: VerifierKey,
}

impl LocalSigner {
    /// Makes a signer from the log key.
    ///
    /// # Errors
    /// `Note` if the origin cannot be a key name.
    pub fn new(origin: &str, seed: &[u8; 32]) -> Result<Self, SignerError> {
        let signer = MonotonicSigner::new(origin, seed)?;
        let key = signer.verifier_key();
        Ok(Self { signer: Mutex::new(signer), key })
    }
}

impl CheckpointSigner for LocalSigner {
    fn verifier_key(&self) -> &VerifierKey {
        &self.key
    }

    fn remember(&self, size: u64, root: &Hash) -> Result<(), SignerError> {
        self.signer.lock().unwrap_or_else(PoisonError::into_inner).remember(size, root)
    }

    fn sign(&self, size: u64, root: &Hash) -> Result<Note, SignerError> {
        self.signer.lock().unwrap_or_else(PoisonError::into_inner).sign(size, root)
    }
}

/// Why a checkpoint was not signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignerError {
    /// The size belongs to an earlier key.
    #[error(
        "refused to sign size {size}: the change to this log key lets it sign from {from} on. Finish `exhibit-server log-key adopt`"
    )]
    BeforeTerm {
        /// The size that the caller asked for.
        size: u64,
        /// The smallest size of this key.
        from: u64,
    },
    /// Size and root do not make a checkpoint.
    #[error("make a checkpoint")]
    Checkpoint {
        /// Why.
        #[source]
        source: ledger::checkpoint::CheckpointError,
    },
    /// The signer process has ended or speaks nonsense.
    #[error("talk to the signer process")]
    Gone {
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// The key file cannot be used.
    #[error("read the log key")]
    Key {
        /// Why.
        #[source]
        source: super::KeyFileError,
    },
    /// The note could not be made.
    #[error("sign a note")]
    Note {
        /// Why.
        #[source]
        source: ledger::note::NoteError,
    },
    /// The key file holds another key than the log's.
    #[error(
        "`keys/log` holds {found}, the log's key in force is {in_force}. Put the right key in place, or finish `exhibit-server log-key adopt`"
    )]
    OtherKey {
        /// The key in the file.
        found: String,
        /// The key that should be there.
        in_force: String,
    },
    /// Two roots for one size would be a fork.
    #[error("refused to sign root {asked} for size {size}: it was {known} before")]
    OtherRoot {
        /// Size.
        size: u64,
        /// Root signed before.
        known: Hash,
        /// Root asked for.
        asked: Hash,
    },
    /// The signer process refused.
    #[error("signer process refused: {reason}")]
    Refused {
        /// Its words.
        reason: String,
    },
    /// A log cannot shrink.
    #[error("refused to sign size {asked}: {newest} was signed before")]
    Smaller {
        /// Largest size signed.
        newest: u64,
        /// Size asked for.
        asked: u64,
    },
}
