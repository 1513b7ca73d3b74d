//! The mirror's private keys: one file for each, mode 0600, never replaced.

use std::path::Path;

use anyhow::Context as _;
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
    pub fn create(directory: &Path, id: &MirrorId) -> anyhow::Result<Self> {
        for name in ["act", "witness", "mirror"] {
            durable::create_seed(&directory.join(name), HEADER).context("make the mirror's keys")?;
        }
        Self::load(directory, id)
    }

    /// Reads the three keys.
    pub fn load(directory: &Path, id: &MirrorId) -> anyhow::Result<Self> {
        let seed = |name: &str| read(&directory.join(name));
        let (act, witness, mirror) = (seed("act")?, seed("witness")?, seed("mirror")?);
        Self::from_seeds(id, [&act, &witness, &mirror]).context("name the cosigner after the mirror")
    }
}

fn read(path: &Path) -> anyhow::Result<Zeroizing<[u8; 32]>> {
    durable::read_seed(path, HEADER).map_err(|error| match error {
        KeyFileError::Form { path } => {
            anyhow::anyhow!("{} is no key of a mirror; restore it from the backup", path.display())
        }
        // Its mode is wrong: the text says what to do.
        error @ KeyFileError::Mode { .. } => error.into(),
        error => {
            let text = format!("read {}. Restore the keys from the backup", path.display());
            anyhow::Error::from(error).context(text)
        }
    })
}
