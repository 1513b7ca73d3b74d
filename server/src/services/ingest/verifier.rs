//! A caged process and the collector's side of its pipe.
//!
//! Guarantee: it never invents a verdict. A process that dies, hangs past its deadline or breaks the frame rules gives
//! [`VerifierError::Died`], never `Good`. Dropping it kills and reaps the process. Not here: what it runs (`ingest::child`).

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use cage::{Connection, Errors, Launch};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::process::{Child, Command};

use super::child::{Accepted, Begin, Defect, Finished};
use super::pipe::{Frame, Kind, PAYLOAD_BYTES_MAX};

/// Longest wait for one answer. A segment (64 MiB plain, 256 MiB of records) needs a second of an idle core. A machine
/// that swaps is slow, not hostile.
const ANSWER_DEADLINE: Duration = Duration::from_secs(300);

/// Most bytes of record lines in the answer for one segment: 256 MiB plain (docs/spec/seal.md).
const RECORDS_BYTES_MAX: usize = 256 << 20;

/// The program that runs in the cage: this executable, under a hidden command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    pub arguments: Vec<String>,
}

impl Program {
    /// The running executable's `__verify`.
    ///
    /// # Errors
    /// If the kernel does not say which file that is.
    pub fn own() -> io::Result<Self> {
        Ok(Self { path: std::env::current_exe()?, arguments: vec!["__verify".to_owned()] })
    }
}

/// The verdict of the caged process.
#[derive(Debug)]
pub enum Verdict<T> {
    /// Correct, byte for byte.
    Good(T),
    /// Against the format or the limits. The process has ended.
    Bad(Defect),
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifierError {
    /// The process could not be started. Try again later.
    #[error("start the caged process")]
    Start(#[source] io::Error),
    /// The process ended, hung or spoke nonsense; the text says which.
    #[error("the caged process ended without a verdict: {0}")]
    Died(String),
}

/// A running caged process. Not cancellation-safe: after a dropped call it is out of step, so drop the process as well.
#[derive(Debug)]
pub struct Caged {
    child: Child,
    connection: Connection,
}

impl Caged {
    /// Starts the process, which then waits for its first frame.
    pub fn start(program: &Program) -> Result<Self, VerifierError> {
        let arguments: Vec<OsString> = program.arguments.iter().map(OsString::from).collect();
        // An empty environment: no secrets, no backtraces, no loader tricks.
        let launch = Launch {
            program: &program.path,
            name: None,
            arguments: &arguments,
            environment: &[],
            user: None,
            answers_on_stdout: true,
            errors: Errors::Discarded,
        };
        let (command, socket) = launch.prepare().map_err(VerifierError::Start)?;
        let child = Command::from(command).kill_on_drop(true).spawn().map_err(VerifierError::Start)?;
        let connection = Connection::new(socket).map_err(VerifierError::Start)?;
        Ok(Self { child, connection })
    }

    /// Sends a frame.
    pub async fn send(&mut self, kind: Kind, payload: &[u8]) -> Result<(), VerifierError> {
        let sent = self.connection.send(kind.byte(), payload);
        match tokio::time::timeout(ANSWER_DEADLINE, sent).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.died(format!("writing to it: {error}")).await),
            Err(_) => Err(self.died(format!("it read nothing for {ANSWER_DEADLINE:?}")).await),
        }
    }

    /// Sends a JSON frame.
    pub async fn send_json(&mut self, kind: Kind, value: &impl Serialize) -> Result<(), VerifierError> {
        let text = serde_json::to_vec(value).map_err(|error| VerifierError::Died(error.to_string()))?;
        self.send(kind, &text).await
    }

    /// Waits for a frame.
    pub async fn receive(&mut self) -> Result<Frame, VerifierError> {
        let received = self.connection.receive(PAYLOAD_BYTES_MAX);
        match tokio::time::timeout(ANSWER_DEADLINE, received).await {
            Ok(Ok(Some(frame))) => match Frame::try_from(frame) {
                Ok(frame) => Ok(frame),
                Err(error) => Err(self.died(format!("reading from it: {error}")).await),
            },
            Ok(Ok(None)) => Err(self.died("it closed its output".to_owned()).await),
            Ok(Err(error)) => Err(self.died(format!("reading from it: {error}")).await),
            Err(_) => Err(self.died(format!("no answer in {ANSWER_DEADLINE:?}")).await),
        }
    }

    /// Adds the exit status, which tells an operator more than a broken pipe.
    async fn died(&mut self, text: String) -> VerifierError {
        crate::metrics::verifier_died();
        let ended = tokio::time::timeout(Duration::from_secs(1), self.child.wait()).await;
        VerifierError::Died(match ended {
            Ok(Ok(status)) => format!("{text}; {status}"),
            Ok(Err(_)) | Err(_) => text,
        })
    }
}

/// A caged verifier that has seen every segment of one container so far.
#[derive(Debug)]
pub struct Verifier(Caged);

/// A segment that passed.
#[derive(Debug)]
pub struct Judged {
    /// The counts of the process.
    pub accepted: Accepted,
    /// Lines of the item records that ended in the segment, each with LF.
    pub records: Vec<u8>,
}

impl Verifier {
    /// Starts a process for one container.
    pub async fn start(program: &Program, begin: &Begin) -> Result<Self, VerifierError> {
        let mut caged = Caged::start(program)?;
        caged.send_json(Kind::Begin, begin).await?;
        Ok(Self(caged))
    }

    /// Judges the next segment.
    pub async fn segment(&mut self, seal: &Bytes, stored: &Bytes) -> Result<Verdict<Judged>, VerifierError> {
        self.0.send(Kind::Seal, seal).await?;
        self.0.send(Kind::Segment, stored).await?;
        let mut records = Vec::new();
        loop {
            let frame = self.0.receive().await?;
            match frame.kind {
                Kind::Records if records.len() + frame.payload.len() <= RECORDS_BYTES_MAX => {
                    records.extend_from_slice(&frame.payload);
                }
                Kind::Accepted => {
                    return Ok(Verdict::Good(Judged { accepted: parse(&frame.payload)?, records }));
                }
                Kind::Malformed => return Ok(Verdict::Bad(parse(&frame.payload)?)),
                other => {
                    return Err(VerifierError::Died(format!("it answered a segment with {other:?}")));
                }
            }
        }
    }

    /// Asks for the verdict on the whole container, after the final segment. The process ends with its answer.
    pub async fn finish(mut self) -> Result<Verdict<Finished>, VerifierError> {
        self.0.send(Kind::Finish, &[]).await?;
        let frame = self.0.receive().await?;
        match frame.kind {
            Kind::Finished => Ok(Verdict::Good(parse(&frame.payload)?)),
            Kind::Malformed => Ok(Verdict::Bad(parse(&frame.payload)?)),
            other => Err(VerifierError::Died(format!("it answered the end with {other:?}"))),
        }
    }
}

/// Reads a JSON payload of a caged process. The answer is as untrusted as the bytes that the process parsed.
pub fn parse<T: DeserializeOwned>(payload: &[u8]) -> Result<T, VerifierError> {
    serde_json::from_slice(payload)
        .map_err(|error| VerifierError::Died(format!("its answer is not readable: {error}")))
}
