//! The mirror's private keys: one file each, its owner's alone, never replaced.

use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evidence::id::MirrorId;
use evidence::keys::SigningKey;
use ledger::NoteSigner;
use zeroize::Zeroizing;

const HEADER: &str = "exhibit-mirror-key-v1 ";

/// Act key and the two cosigner keys.
pub struct Keys {
    /// Signs statements about evidence.
    pub act: SigningKey,
    /// `<id>/witness`
    pub witness: NoteSigner,
    /// `<id>/mirror`
    pub mirror: NoteSigner,
}

impl Keys {
    /// Keys from seeds: act, witness, mirror.
    ///
    /// # Errors
    /// When the id cannot stand in a note.
    pub fn from_seeds(id: &MirrorId, seeds: [&[u8; 32]; 3]) -> Result<Self, ledger::note::NoteError> {
        let [act, witness, mirror] = seeds;
        Ok(Self {
            act: SigningKey::from_seed(act),
            witness: NoteSigner::new(&format!("{id}/witness"), witness)?,
            mirror: NoteSigner::new(&format!("{id}/mirror"), mirror)?,
        })
    }

    /// Makes three new keys below `directory`, which must not have any.
    ///
    /// # Errors
    /// `KeyError`.
    pub fn create(directory: &Path, id: &MirrorId) -> Result<Self, KeyError> {
        for name in ["act", "witness", "mirror"] {
            create(&directory.join(name))?;
        }
        Self::load(directory, id)
    }

    /// Reads the three keys.
    ///
    /// # Errors
    /// `KeyError`.
    pub fn load(directory: &Path, id: &MirrorId) -> Result<Self, KeyError> {
        let seed = |name: &str| read(&directory.join(name));
        let (act, witness, mirror) = (seed("act")?, seed("witness")?, seed("mirror")?);
        Self::from_seeds(id, [&act, &witness, &mirror]).map_err(KeyError::Name)
    }
}

fn create(path: &Path) -> Result<(), KeyError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).map_err(KeyError::Random)?;
    let mut options = fs_err::OpenOptions::new();
    options.write(true).create_new(true).options_mut().mode(0o600);
    let mut file = options.open(path).map_err(KeyError::Io)?;
    let line = Zeroizing::new(format!("{HEADER}{}\n", STANDARD.encode(seed.as_ref())));
    file.write_all(line.as_bytes()).map_err(KeyError::Io)?;
    file.sync_all().map_err(KeyError::Io)?;
    let parent = path.parent().unwrap_or(Path::new("."));
    fs_err::File::open(parent).and_then(|parent| parent.sync_all()).map_err(KeyError::Io)
}

fn read(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let mode = fs_err::metadata(path).map_err(KeyError::Io)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Mode { path: path.to_owned(), mode });
    }
    let text = Zeroizing::new(fs_err::read_to_string(path).map_err(KeyError::Io)?);
    let form = || KeyError::Form { path: path.to_owned() };
    let encoded = text.strip_prefix(HEADER).and_then(|rest| rest.strip_suffix('\n')).ok_or_else(form)?;
    let bytes = Zeroizing::new(STANDARD.decode(encoded).or(Err(form()))?);
    let mut seed = Zeroizing::new([0; 32]);
    if bytes.len() != seed.len() {
        return Err(form());
    }
    seed.copy_from_slice(&bytes);
    Ok(seed)
}

/// A key that cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not one line of our form.
    #[error("{} is no key of a mirror; restore it from the backup", path.display())]
    Form {
        /// The file.
        path: PathBuf,
    },
    /// The file.
    #[error("key file")]
    Io(#[source] std::io::Error),
    /// Others may read it.
    #[error("{} has mode {mode:04o}, others may read it; run chmod 600, and consider the key known", path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The name cannot stand in a note.
    #[error("name of the cosigner")]
    Name(#[source] ledger::note::NoteError),
    /// No randomness.
    #[error("draw a key from the kernel")]
    Random(#[source] getrandom::Error),
}
