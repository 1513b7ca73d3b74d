//! The entry point of a reader's process.
//!
//! Guarantee: a reader looks at nothing before it is confined. Not here: its work (`collect::plan`).

use std::os::fd::{AsFd as _, OwnedFd};

use cage::channel;
use cage::datagram::DatagramError;
use cage::{CageError, Profile};

use crate::collect::plan::{self, Params};
use crate::message::StartReader;
use crate::platform::SystemClock;
use crate::reader::{Handles, ReaderError};

/// Why a reader ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReaderProcessError {
    /// The process could not be confined.
    #[error("confine the reader")]
    Sandbox(#[from] CageError),
    /// The warden's message could not be received.
    #[error("talk to the warden")]
    Channel(#[from] DatagramError),
    /// The message is not the one that a reader starts with.
    #[error("the warden's message has not five descriptors")]
    Descriptors,
    /// The parameters are malformed.
    #[error("parameters in the warden's message")]
    Params(#[from] serde_json::Error),
    /// The work failed.
    #[error("read")]
    Reader(#[from] ReaderError),
}

/// Runs the reader's process.
pub fn run_reader(socket: &OwnedFd) -> Result<(), ReaderProcessError> {
    cage::enter(Profile::Reader)?;
    let (start, descriptors) = channel::receive::<StartReader>(socket.as_fd())?;
    let [root, proc, sealer, check, state]: [OwnedFd; 5] =
        descriptors.try_into().or(Err(ReaderProcessError::Descriptors))?;
    let params: Params = serde_json::from_slice(&start.params)?;
    let handles = Handles { root, proc, sealer, check, state: vec![state] };
    Ok(plan::run(&params, handles, Some(socket), &SystemClock)?)
}
