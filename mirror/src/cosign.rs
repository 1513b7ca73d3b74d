//! The notes that this mirror has vouched for: one state, changed by compare and set, and durable before a signature
//! leaves.
//!
//! Guarantee: the signed sizes of each role only grow, and they belong to one history. While a fraud is not acknowledged, the
//! mirror signs nothing. The rounds and the witness share this state. Not here: whether a tree is held ([`crate::pull`]).

pub mod fraud;
pub mod state;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use evidence::causes::chain;
use evidence::digest::Digest;
use ledger::{Checkpoint, Hash, Note, NoteSignature};

use self::fraud::FraudProof;
use self::state::{State, StateError, StateFile};
use crate::keys::Keys;
use crate::note::LogNote;
use crate::pins::Pins;

/// Folder of cosigned notes that no longer count.
const PUT_ASIDE: &str = "put-aside";

/// The statement that a cosignature makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The mirror has checked and holds everything below the checkpoint.
    Mirror,
    /// The checkpoint is consistent with everything that the mirror has seen.
    Witness,
}

impl Role {
    /// The role's word in key names and paths.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mirror => "mirror",
            Self::Witness => "witness",
        }
    }
}

/// The note that a role signed last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigned {
    /// The note as the log signed it.
    pub log: LogNote,
    /// This mirror's own line.
    pub line: NoteSignature,
}

impl Cosigned {
    /// The note's text, then the log's line and the own line.
    fn text(&self) -> String {
        let mut note = self.log.note.clone();
        // Two lines stay far below every limit.
        drop(note.add(self.line.clone()));
        note.to_string()
    }
}

/// Which of two contradicting notes somebody showed to this mirror. The other note is from the mirror's own
/// history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// The newer one.
    Newer,
    /// The older one.
    Older,
}

/// The mirror's conclusion from two contradicting notes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conviction {
    /// Name of the proof.
    pub file: String,
    /// A person has already seen the proof that holds the shown note, so it no longer stops anything.
    pub is_acknowledged: bool,
}

/// The keys and the state.
pub struct Cosigner {
    directory: PathBuf,
    pins: Pins,
    keys: Keys,
    file: StateFile,
    inner: Mutex<Inner>,
}

struct Inner {
    state: State,
    witnessed: Option<Cosigned>,
    held: Option<Cosigned>,
}

impl Inner {
    fn of(&self, role: Role) -> Option<&Cosigned> {
        match role {
            Role::Mirror => self.held.as_ref(),
            Role::Witness => self.witnessed.as_ref(),
        }
    }
}

impl Cosigner {
    /// Opens a mirror's state. The notes in it must verify under the mirror's own keys.
    ///
    /// # Errors
    /// If another process has the state, or it belongs to another mirror.
    pub fn open(directory: &Path, pins: Pins, keys: Keys) -> Result<Self, StateError> {
        let (file, state) = StateFile::open(directory)?;
        let refused =
            |reason: String| StateError::Content { path: directory.join(state::STATE_FILE), reason };
        if state.deployment != pins.deployment.as_str() {
            return Err(refused(format!("it is of deployment {}", state.deployment)));
        }
        let read = |text: &Option<String>, signer: &ledger::NoteSigner| {
            text.as_deref().map(|text| own(text, &pins, signer)).transpose().map_err(refused)
        };
        let witnessed = read(&state.witnessed, &keys.witness)?;
        let held = read(&state.held, &keys.mirror)?;
        let inner = Mutex::new(Inner { state, witnessed, held });
        let opened = Self { directory: directory.to_owned(), pins, keys, file, inner };
        opened.put_aside()?;
        Ok(opened)
    }

    /// Puts the last note of `/witness` aside if the log's key signed it outside the key's term. Somebody who
    /// has that key showed it before the authority's signed change arrived, so the note does not count.
    /// `/witness` continues from the held note.
    ///
    /// # Errors
    /// If that cannot be made durable.
    pub(crate) fn put_aside(&self) -> Result<(), StateError> {
        let keys = self.pins.log_keys.keys();
        let mut inner = self.lock();
        let Some(witnessed) = &inner.witnessed else {
            return Ok(());
        };
        let Some(why) = witnessed.log.outside_term(&keys) else {
            return Ok(());
        };
        let (text, size) = (witnessed.text(), witnessed.log.checkpoint.size);
        let folder = self.directory.join(PUT_ASIDE);
        durable::create_private_folder(&folder).map_err(StateError::Io)?;
        let name = format!("{size}-{}.note", Digest::of(text.as_bytes()));
        durable::replace(&folder.join(&name), text.as_bytes(), 0o644).map_err(StateError::Io)?;
        let mut state = inner.state.clone();
        state.witnessed = None;
        self.file.write(&state)?;
        inner.state = state;
        inner.witnessed = None;
        tracing::error!(
            file = %folder.join(&name).display(), %why,
            "What this mirror's witness cosigned is put aside: it goes on from what is held"
        );
        Ok(())
    }

    /// The mirror's directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The pins.
    #[must_use]
    pub fn pins(&self) -> &Pins {
        &self.pins
    }

    /// The private keys.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The note that a role signed last.
    #[must_use]
    pub fn last(&self, role: Role) -> Option<Cosigned> {
        self.lock().of(role).cloned()
    }

    /// The note with the mirror's own line, as `GET checkpoint` serves it.
    #[must_use]
    pub fn served(&self, role: Role) -> Option<String> {
        self.lock().of(role).map(Cosigned::text)
    }

    /// The file of an unacknowledged fraud.
    #[must_use]
    pub fn fraud(&self) -> Option<String> {
        self.lock().state.fraud.clone()
    }

    /// Signs a note for a role, if the note that the role signed last still has size `old` (0: none). The
    /// caller must have checked that the new tree continues the old one. This call checks that the tree does
    /// not shrink, and that one size has one root.
    pub fn sign(&self, role: Role, old: u64, new: &LogNote) -> Result<Cosigned, CosignError> {
        let mut inner = self.lock();
        if let Some(file) = &inner.state.fraud {
            return Err(CosignError::Stopped { file: file.clone() });
        }
        let last = inner.of(role);
        let size = last.map_or(0, |last| last.log.checkpoint.size);
        if size != old {
            return Err(CosignError::Moved { size });
        }
        if let Some(last) = last {
            let (before, now) = (&last.log.checkpoint, &new.checkpoint);
            if now.size < before.size || (now.size == before.size && now.root != before.root) {
                return Err(CosignError::Moved { size });
            }
        }
        let seconds = crate::now().unix_seconds();
        let signer = match role {
            Role::Mirror => &self.keys.mirror,
            Role::Witness => &self.keys.witness,
        };
        let line =
            signer.cosign(new.note.text(), seconds).map_err(|error| CosignError::Sign(chain(&error)))?;
        let signed = Cosigned { log: new.clone(), line };
        let mut state = inner.state.clone();
        let place = match role {
            Role::Mirror => &mut state.held,
            Role::Witness => &mut state.witnessed,
        };
        *place = Some(signed.text());
        self.file.write(&state)?;
        // The signature may leave only now.
        inner.state = state;
        match role {
            Role::Mirror => inner.held = Some(signed.clone()),
            Role::Witness => inner.witnessed = Some(signed.clone()),
        }
        Ok(signed)
    }

    /// Keeps a fraud proof and stops signing. An exception is a note whose fraud a person has already
    /// acknowledged. `grown` is for unequal sizes: the root of the newer tree at the older size, with its
    /// consistency proof.
    ///
    /// # Errors
    /// If the notes prove no fraud (then nothing is kept), or if the proof cannot be written.
    pub fn convict(
        &self,
        older: &LogNote,
        newer: &LogNote,
        grown: Option<(&Hash, &[Hash])>,
        shown: Shown,
    ) -> Result<Conviction, CosignError> {
        let found = crate::now().to_string();
        let deployment = self.pins.deployment.as_str();
        let proof = FraudProof::new(deployment, &found, &older.note, &newer.note, grown);
        proof.check(&self.pins.log_keys.keys()).map_err(CosignError::NoFraud)?;
        let name = proof.file_name();
        let folder = self.directory.join("fraud");
        let mut inner = self.lock();
        let stranger = match shown {
            Shown::Newer => &newer.checkpoint,
            Shown::Older => &older.checkpoint,
        };
        if let Some(file) = acknowledged(&folder, stranger).map_err(StateError::Io)? {
            return Ok(Conviction { file, is_acknowledged: true });
        }
        if !folder.join(&name).exists() {
            durable::create_private_folder(&folder).map_err(StateError::Io)?;
            durable::replace(&folder.join(&name), &proof.to_bytes(), 0o644).map_err(StateError::Io)?;
        }
        let mut state = inner.state.clone();
        state.fraud = Some(name.clone());
        self.file.write(&state)?;
        inner.state = state;
        tracing::error!(
            file = %folder.join(&name).display(),
            older = older.checkpoint.size, newer = newer.checkpoint.size,
            "FRAUD: the log signed two histories. Both notes are kept; nothing is pulled or cosigned until an operator acknowledges it"
        );
        Ok(Conviction { file: name, is_acknowledged: false })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // If a thread panicked between write and assignment, the state in memory is older than the file,
        // never newer.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn own(text: &str, pins: &Pins, signer: &ledger::NoteSigner) -> Result<Cosigned, String> {
    let log = LogNote::read_of_any_size(text.as_bytes(), &pins.origin(), &pins.log_keys.keys())
        .map_err(|error| error.to_string())?;
    let note = Note::parse(text.as_bytes()).map_err(|error| error.to_string())?;
    let keys = [signer.verifier_key(ledger::KeyType::CosignatureV1)];
    let line = note
        .verify(&keys)
        .ok()
        .and_then(|lines| lines.first().map(|line| line.signature.clone()))
        .ok_or_else(|| format!("a note without the line of {}", signer.name()))?;
    Ok(Cosigned { log, line })
}

/// Clears a fraud that a person has seen. The mirror must not be running. It continues with its own history.
///
/// # Errors
/// If the mirror runs, or there is no fraud.
pub fn acknowledge(directory: &Path) -> Result<String, StateError> {
    let (file, mut state) = StateFile::open(directory)?;
    let Some(name) = state.fraud.take() else {
        return Err(StateError::Content {
            path: directory.join(state::STATE_FILE),
            reason: "there is no fraud to acknowledge".to_owned(),
        });
    };
    // Write the mark first: after a crash in between, the person acknowledges the fraud once more.
    let seen = format!("{}\n", crate::now());
    durable::replace(&directory.join("fraud").join(format!("{name}{SEEN}")), seen.as_bytes(), 0o644)
        .map_err(StateError::Io)?;
    file.write(&state)?;
    Ok(name)
}

/// End of a file name. The file says when a person saw the proof whose name comes before it.
const SEEN: &str = ".acknowledged";

/// The acknowledged proof that names this checkpoint. Only the foreign note of a proof can be shown again:
/// the other one is from the mirror's own history, which contradicts nothing.
fn acknowledged(folder: &Path, checkpoint: &Checkpoint) -> std::io::Result<Option<String>> {
    let names = match fs_err::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        names => names?,
    };
    for name in names {
        let name = name?.file_name().to_string_lossy().into_owned();
        let Some(proof) = name.strip_suffix(SEEN) else {
            continue;
        };
        let bytes = fs_err::read(folder.join(proof))?;
        if FraudProof::from_bytes(&bytes).is_ok_and(|proof| proof.names(checkpoint)) {
            return Ok(Some(proof.to_owned()));
        }
    }
    Ok(None)
}

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
pub enum CosignError {
    /// The role has signed another size meanwhile, or the note is older than that.
    #[error("this role signed size {size} last")]
    Moved { size: u64 },
    /// The two notes do not contradict each other.
    #[error("no fraud: {0}")]
    NoFraud(String),
    /// The cryptographic library refused.
    #[error("cosign: {0}")]
    Sign(String),
    /// The state could not be made durable.
    #[error(transparent)]
    State(#[from] StateError),
    /// A fraud is not acknowledged yet.
    #[error("stopped by an unacknowledged fraud: {file}")]
    Stopped { file: String },
}
