//! The mirror's private keys: one file for each, mode 0600, never replaced.

use std::path::{Path, PathBuf};

use durable::KeyFileError;
use evidence::id::MirrorId;
use evidence::keys::SigningKey;
use ledger::NoteSigner;
use zeroize::Zeroizing;

const HEADER: &str = "exhibit-mirror-key-v1 ";

/// The act key and the two cosigner keys.
pub struct Keys {
    /// Signs statements about evidence.
    pub act: SigningKey,
    pub witness: NoteSigner,
    pub mirror: NoteSigner,
}

impl Keys {
    /// Builds the keys from seeds: act, witness, mirror.
    ///
    /// # Errors
    /// If the id cannot stand in a note.
    pub fn from_seeds(id: &MirrorId, seeds: [&[u8; 32]; 3]) -> Result<Self, ledger::note::NoteError> {
        let [act, witness, mirror] = seeds;
        Ok(Self {
            act: SigningKey::from_seed(act),
            witness: NoteSigner::new(&format!("{id}/witness"), witness)?,
            mirror: NoteSigner::new(&format!("{id}/mirror"), mirror)?,
        })
    }

    /// Makes three new keys below `directory`, which must not have any yet.
    pub fn create(directory: &Path, id: &MirrorId) -> Result<Self, KeyError> {
        for name in ["act", "witness", "mirror"] {
            durable::create_seed(&directory.join(name), HEADER)?;
        }
        Self::load(directory, id)
    }

    /// Reads the three keys.
    pub fn load(directory: &Path, id: &MirrorId) -> Result<Self, KeyError> {
        let seed = |name: &str| read(&directory.join(name));
        let (act, witness, mirror) = (seed("act")?, seed("witness")?, seed("mirror")?);
        Self::from_seeds(id, [&act, &witness, &mirror]).map_err(KeyError::Name)
    }
}

fn read(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    durable::read_seed(path, HEADER).map_err(|error| match error {
        KeyFileError::Form { path } => KeyError::Form { path },
        other => KeyError::File(other),
    })
}

/// Why there is no usable key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read or written, or others may read it.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The file does not hold one line of our form.
    #[error("{} is no key of a mirror; restore it from the backup", path.display())]
    Form { path: PathBuf },
    /// The mirror's id cannot stand in a note.
    #[error("name of the cosigner")]
    Name(#[source] ledger::note::NoteError),
}
