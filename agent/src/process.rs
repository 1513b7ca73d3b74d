//! The beginnings of the warden's children: each finds its socket as standard input.
//!
//! Guarantee: a child dies with the warden; a reader looks at nothing before it is confined. Not here: their work.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use crate::channel::{self, ChannelError, Wait};
use crate::collect::plan::{self, Params};
use crate::message::StartReader;
use crate::platform::SystemClock;
use crate::platform::sandbox::{self, Role, SandboxError};
use crate::reader::{Handles, ReaderError};

/// Why a reader ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReaderProcessError {
    /// The process could not be confined.
    #[error("confine the reader")]
    Sandbox(#[from] SandboxError),
    /// The warden's words.
    #[error("talk to the warden")]
    Channel(#[from] ChannelError),
    /// Not what a reader starts with.
    #[error("the warden's message has not six descriptors")]
    Descriptors,
    /// The parameters.
    #[error("parameters in the warden's message")]
    Params(#[from] serde_json::Error),
    /// The work.
    #[error("read")]
    Reader(#[from] ReaderError),
}

/// The child's socket. From here on the child dies with the warden.
///
/// # Errors
/// The system's error, or when this was not started by a warden.
pub fn socket() -> io::Result<OwnedFd> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The warden may have died before the line above; then init or a reaper has taken us over, and the socket is closed.
    if getppid().is_none() {
        return Err(io::Error::other("the warden is gone"));
    }
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    match rustix::net::sockopt::socket_type(&socket) {
        Ok(rustix::net::SocketType::SEQPACKET) => Ok(socket),
        _ => Err(io::Error::other("this is not a command: the agent starts it by itself")),
    }
}

/// The reader's process.
///
/// # Errors
/// [`ReaderProcessError`].
pub fn run_reader(socket: &OwnedFd) -> Result<(), ReaderProcessError> {
    sandbox::enter(Role::Reader)?;
    let received = channel::receive::<StartReader>(socket.as_fd(), Wait::Forever)?;
    let (start, descriptors) = received.ok_or(ChannelError::Closed)?;
    let [root, proc, sealer, check, status, state]: [OwnedFd; 6] =
        descriptors.try_into().or(Err(ReaderProcessError::Descriptors))?;
    let params: Params = serde_json::from_slice(&start.params)?;
    let handles = Handles { root, proc, sealer, check, state: vec![state] };
    Ok(plan::run(&params, handles, Some(&status), &SystemClock)?)
}
