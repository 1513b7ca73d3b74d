//! The log key in a process of its own, without files, network or other programs (`sandbox`).
//! Guarantee: whoever takes over the collector can have the next tree signed, never a second history, and cannot carry
//! the key away.
//!
//! ```text
//! parent → child   kind (1: remember, 2: sign), size u64be, root 32 bytes
//! child → parent   status (0: ok, 1: refused), length u32be, note or words
//! ```
//! The child's first answer, unasked, is its verifier key. It ends when its input ends.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use ledger::{Hash, Note, VerifierKey};

use super::read_log_key;
use super::signer::{CheckpointSigner, MonotonicSigner, SignerError};
use crate::sandbox::{self, Cage};

const REMEMBER: u8 = 1;
const SIGN: u8 = 2;
const OK: u8 = 0;
const REFUSED: u8 = 1;
/// Longest answer: a note with one signature is below 1 KiB.
const ANSWER_BYTES_MAX: usize = 4096;
/// Address space of the child: 256 MiB; it needs its own image and a few pages.
const MEMORY_BYTES_MAX: u64 = 256 << 20;

/// A signer in a child process.
pub struct ProcessSigner {
    pipe: Mutex<Pipe>,
    key: VerifierKey,
}

struct Pipe {
    child: Child,
    requests: Option<ChildStdin>,
    answers: ChildStdout,
}

impl ProcessSigner {
    /// Starts `program __signer KEY_FILE ORIGIN` (the collector's own binary) and waits until it has its key.
    ///
    /// # Errors
    /// When it cannot be started or does not get its key; its own words are on standard error.
    pub fn start(program: &Path, key_file: &Path, origin: &str) -> Result<Self, SignerError> {
        let gone = |source| SignerError::Gone { source };
        let mut child = Command::new(program)
            .arg("__signer")
            .arg(key_file)
            .arg(origin)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(gone)?;
        let missing = || SignerError::Gone { source: io::ErrorKind::BrokenPipe.into() };
        let requests = Some(child.stdin.take().ok_or_else(missing)?);
        let answers = child.stdout.take().ok_or_else(missing)?;
        let mut pipe = Pipe { child, requests, answers };
        let text = pipe.answer()?;
        let key = String::from_utf8(text).ok().and_then(|text| VerifierKey::parse(&text).ok());
        let key = key.filter(|key| key.name() == origin).ok_or_else(missing)?;
        Ok(Self { pipe: Mutex::new(pipe), key })
    }

    fn ask(&self, kind: u8, size: u64, root: &Hash) -> Result<Vec<u8>, SignerError> {
        let mut request = vec![kind];
        request.extend(size.to_be_bytes());
        request.extend(root.0);
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        let requests =
            pipe.requests.as_mut().ok_or(SignerError::Gone { source: io::ErrorKind::BrokenPipe.into() })?;
        requests
            .write_all(&request)
            .and_then(|()| requests.flush())
            .map_err(|source| SignerError::Gone { source })?;
        pipe.answer()
    }
}

impl Pipe {
    fn answer(&mut self) -> Result<Vec<u8>, SignerError> {
        let gone = |source| SignerError::Gone { source };
        let mut head = [0; 5];
        self.answers.read_exact(&mut head).map_err(gone)?;
        let [status, length @ ..] = head;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > ANSWER_BYTES_MAX {
            return Err(gone(io::ErrorKind::InvalidData.into()));
        }
        let mut answer = vec![0; length];
        self.answers.read_exact(&mut answer).map_err(gone)?;
        if status == OK {
            Ok(answer)
        } else {
            Err(SignerError::Refused { reason: String::from_utf8_lossy(&answer).into_owned() })
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // End of its input ends the child.
        drop(self.requests.take());
        drop(self.child.wait());
    }
}

impl CheckpointSigner for ProcessSigner {
    fn verifier_key(&self) -> &VerifierKey {
        &self.key
    }

    fn remember(&self, size: u64, root: &Hash) -> Result<(), SignerError> {
        self.ask(REMEMBER, size, root).map(drop)
    }

    fn sign(&self, size: u64, root: &Hash) -> Result<Note, SignerError> {
        let note = self.ask(SIGN, size, root)?;
        let note = Note::parse(&note).map_err(|source| SignerError::Note { source })?;
        // The child has the key and nothing else of ours: check that it signed what it was asked.
        note.verify(std::slice::from_ref(&self.key)).map_err(|source| SignerError::Note { source })?;
        Ok(note)
    }
}

/// Body of the `__signer` child: reads the key, enters the cage, answers until its input ends.
///
/// # Errors
/// When the key cannot be read, the cage cannot be entered or the pipe breaks.
pub fn run_signer_child(key_file: &Path, origin: &str) -> Result<(), SignerError> {
    let seed = read_log_key(key_file).map_err(|source| SignerError::Key { source })?;
    let mut keeper = MonotonicSigner::new(origin, &seed)?;
    drop(seed);
    let gone = |source| SignerError::Gone { source };
    // No core file and no ptrace by processes of the same user: the key stays here.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(|error| gone(error.into()))?;
    sandbox::enter(Cage { memory_bytes_max: MEMORY_BYTES_MAX, cpu_s_max: u64::MAX })
        .map_err(|error| gone(io::Error::other(error)))?;
    let (mut requests, mut answers) = (io::stdin().lock(), io::stdout().lock());
    answer(&mut answers, OK, keeper.verifier_key().to_string().as_bytes()).map_err(gone)?;
    let (mut kind, mut size, mut root) = ([0; 1], [0; 8], [0; 32]);
    loop {
        match requests.read_exact(&mut kind) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(source) => return Err(gone(source)),
        }
        requests.read_exact(&mut size).and_then(|()| requests.read_exact(&mut root)).map_err(gone)?;
        let (size, root) = (u64::from_be_bytes(size), Hash(root));
        let result = match kind {
            [REMEMBER] => keeper.remember(size, &root).map(|()| Vec::new()),
            [SIGN] => keeper.sign(size, &root).map(|note| note.to_string().into_bytes()),
            _ => Err(SignerError::Refused { reason: "unknown request".to_owned() }),
        };
        match result {
            Ok(bytes) => answer(&mut answers, OK, &bytes),
            Err(error) => answer(&mut answers, REFUSED, error.to_string().as_bytes()),
        }
        .map_err(gone)?;
    }
}

fn answer(out: &mut impl Write, status: u8, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    out.write_all(&[status])?;
    out.write_all(&length.to_be_bytes())?;
    out.write_all(bytes)?;
    out.flush()
}
