//! The log key in a process of its own, without files, network or other programs (`cage`).
//! Guarantee: an attacker who takes over the collector can have the next tree signed, but never a second history, and cannot carry
//! the key away.
//!
//! ```text
//! parent → child   kind 1: remember, kind 2: sign; size u64be, root 32 bytes
//! child → parent   kind 0: ok, kind 1: refused; note or words
//! ```
//! The child first sends its verifier key, unasked. It ends when its input ends.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::process::Child;
use std::sync::{Mutex, PoisonError};

use cage::datagram::{self, DatagramError};
use cage::{Errors, Launch, Profile, pieces};
use ledger::{Hash, Note, VerifierKey};

use super::read_log_key;
use super::signer::{CheckpointSigner, MonotonicSigner, SignerError};

const REMEMBER: u8 = 1;
const SIGN: u8 = 2;
const OK: u8 = 0;
const REFUSED: u8 = 1;
/// Longest answer: a note with one signature is below 1 KiB.
const ANSWER_BYTES_MAX: usize = 4096;
/// Longest request: a size and a root.
const REQUEST_BYTES_MAX: usize = 40;

/// A signer in a child process.
pub struct ProcessSigner {
    pipe: Mutex<Pipe>,
    key: VerifierKey,
}

struct Pipe {
    child: Child,
    /// `None` once the collector has told the child to end.
    socket: Option<OwnedFd>,
    buffer: Vec<u8>,
}

fn gone(source: impl Into<io::Error>) -> SignerError {
    SignerError::Gone { source: source.into() }
}

/// The error for a broken conversation: the child has ended or speaks nonsense.
fn broken(error: DatagramError) -> SignerError {
    gone(io::Error::other(error))
}

impl ProcessSigner {
    /// Starts `program __signer KEY_FILE ORIGIN` (the collector's own binary) and waits until the child has its key.
    ///
    /// # Errors
    /// If the child cannot be started or does not get its key. The child explains itself on standard error.
    pub fn start(program: &Path, key_file: &Path, origin: &str) -> Result<Self, SignerError> {
        // The child runs in another working directory than this process.
        let key_file = std::path::absolute(key_file).map_err(gone)?;
        let launch = Launch {
            program,
            name: None,
            arguments: &["__signer".into(), key_file.into(), origin.into()],
            environment: &[],
            user: None,
            answers_on_stdout: true,
            errors: Errors::Inherited,
        };
        let (mut command, socket) = launch.prepare().map_err(gone)?;
        let child = command.spawn().map_err(gone)?;
        drop(command);
        let mut pipe = Pipe { child, socket: Some(socket), buffer: datagram::buffer() };
        let text = pipe.answer()?;
        let key = String::from_utf8(text).ok().and_then(|text| VerifierKey::parse(&text).ok());
        let key = key.filter(|key| key.name() == origin).ok_or_else(|| gone(io::ErrorKind::BrokenPipe))?;
        Ok(Self { pipe: Mutex::new(pipe), key })
    }

    fn ask(&self, kind: u8, size: u64, root: &Hash) -> Result<Vec<u8>, SignerError> {
        let request = [size.to_be_bytes().as_slice(), &root.0].concat();
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = pipe.socket.as_ref().ok_or_else(|| gone(io::ErrorKind::BrokenPipe))?;
        pieces::send(socket.as_fd(), kind, &request).map_err(broken)?;
        pipe.answer()
    }
}

impl Pipe {
    fn answer(&mut self) -> Result<Vec<u8>, SignerError> {
        let socket = self.socket.as_ref().ok_or_else(|| gone(io::ErrorKind::BrokenPipe))?;
        let frame = pieces::receive(socket.as_fd(), &mut self.buffer, ANSWER_BYTES_MAX).map_err(broken)?;
        let frame = frame.ok_or_else(|| gone(io::ErrorKind::UnexpectedEof))?;
        if frame.kind == OK {
            Ok(frame.body)
        } else {
            Err(SignerError::Refused { reason: String::from_utf8_lossy(&frame.body).into_owned() })
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // The child ends when its input ends.
        drop(self.socket.take());
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
        // The child holds only the key, so check here that it signed what it was asked to.
        note.verify(std::slice::from_ref(&self.key)).map_err(|source| SignerError::Note { source })?;
        Ok(note)
    }
}

/// Body of the `__signer` child: reads the key, enters the cage, answers until its input ends.
///
/// # Errors
/// If the key cannot be read, the cage cannot be entered or the pipe breaks.
pub fn run_signer_child(key_file: &Path, origin: &str) -> Result<(), SignerError> {
    let seed = read_log_key(key_file).map_err(|source| SignerError::Key { source })?;
    let mut signer = MonotonicSigner::new(origin, &seed)?;
    drop(seed);
    // No core file, and no ptrace by processes of the same user: the key stays in this process.
    cage::enter(Profile::Signer).map_err(|error| gone(io::Error::other(error)))?;
    let mut buffer = datagram::buffer();
    answer(OK, signer.verifier_key().to_string().as_bytes())?;
    while let Some(frame) =
        pieces::read(io::stdin().as_fd(), &mut buffer, REQUEST_BYTES_MAX).map_err(broken)?
    {
        let result = match (frame.kind, request(&frame.body)) {
            (REMEMBER, Some((size, root))) => signer.remember(size, &root).map(|()| Vec::new()),
            (SIGN, Some((size, root))) => signer.sign(size, &root).map(|note| note.to_string().into_bytes()),
            _ => Err(SignerError::Refused { reason: "unknown request".to_owned() }),
        };
        match result {
            Ok(bytes) => answer(OK, &bytes)?,
            Err(error) => answer(REFUSED, error.to_string().as_bytes())?,
        }
    }
    Ok(())
}

fn request(body: &[u8]) -> Option<(u64, Hash)> {
    let (size, root) = body.split_first_chunk()?;
    Some((u64::from_be_bytes(*size), Hash(root.try_into().ok()?)))
}

fn answer(status: u8, bytes: &[u8]) -> Result<(), SignerError> {
    pieces::write(io::stdout().as_fd(), status, bytes).map_err(broken)
}
