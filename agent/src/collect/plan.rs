//! Drives one collection: runs the plan's steps in order, each with its collector.
//!
//! Guarantee: every step of the plan is announced to the sealer and ended, or the run ends with an error because the
//! sealer is gone. Not here: what a step reads (`collect`), how an object is opened (`reader`).

use std::os::fd::{AsFd as _, OwnedFd};

use cage::channel::Outgoing;
use evidence::order::Step;
use serde::{Deserialize, Serialize};

use super::run_step;
use crate::message::FromReader;
use crate::platform::Clock;
use crate::reader::{Flow, Handles, Reader, ReaderError, Scope};

/// The warden's request to the reader's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The plan to run.
    pub steps: Vec<Step>,
    /// The objects that the reader may open.
    pub scope: Scope,
}

/// Reads what the plan asks for and hands it to the sealer, step by step. Tells `warden` about each step that
/// ended.
///
/// # Errors
/// [`ReaderError`]. The items that were handed over until then are good.
pub fn run(
    params: &Params,
    handles: Handles,
    warden: Option<&OwnedFd>,
    clock: &dyn Clock,
) -> Result<(), ReaderError> {
    let (reader, checks) = Reader::open(&params.scope, handles, clock)?;
    std::thread::scope(|scope| {
        scope.spawn(move || checks.answer());
        // The reader closes its socket when it ends. The sealer then closes the check socket, which ends the
        // thread.
        run_steps(reader, &params.steps, warden)
    })
}

fn run_steps(mut reader: Reader<'_>, steps: &[Step], warden: Option<&OwnedFd>) -> Flow {
    for (position, step) in (0..).zip(steps) {
        reader.begin_step(position, step.collector())?;
        let end = run_step(&mut reader, step)?;
        reader.end_step(end)?;
        if let Some(warden) = warden {
            report(&reader, position, warden);
        }
    }
    reader.end_plan()
}

/// Tells the warden how far the plan has come, without waiting. If the warden is gone, the sealer notices it.
fn report(reader: &Reader<'_>, step: u32, warden: &OwnedFd) {
    let message = FromReader { step, items: reader.items(), stuck_helpers: reader.stuck_helpers() };
    // A report that does not fit is left out: the next one says more.
    drop(Outgoing::new(&message, Vec::new()).and_then(|message| message.try_send(warden.as_fd())));
}
