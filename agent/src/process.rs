//! The entry point of a reader's process.
//!
//! Guarantee: a reader looks at nothing before it is confined. Not here: its work (`collect::plan`).

use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::Context as _;
use cage::{Profile, channel};

use crate::collect::plan::{self, Params};
use crate::message::StartReader;
use crate::platform::SystemClock;
use crate::reader::Handles;

/// Runs the reader's process.
///
/// # Errors
/// The warden sees only that the process ended. The log of the service shows the text.
pub fn run_reader(socket: &OwnedFd) -> anyhow::Result<()> {
    cage::enter(Profile::Reader).context("confine the reader")?;
    let (start, descriptors) =
        channel::receive::<StartReader>(socket.as_fd()).context("talk to the warden")?;
    let [root, proc, sealer, check, state]: [OwnedFd; 5] =
        descriptors.try_into().or(Err(anyhow::anyhow!("the warden's message has not five descriptors")))?;
    let params: Params =
        serde_json::from_slice(&start.params).context("parameters in the warden's message")?;
    let handles = Handles { root, proc, sealer, check, state: vec![state] };
    plan::run(&params, handles, Some(socket), &SystemClock).context("read")
}
