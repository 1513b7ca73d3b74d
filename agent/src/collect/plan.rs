//! The driver of one collection: runs the plan's steps in order, each by its collector.
//!
//! Guarantee: every step of the plan is announced to the sealer and ended, or the run ends with an error because the
//! sealer is gone. Not here: what a step reads (`collect`), how an object is opened (`reader`).

use std::os::fd::OwnedFd;

use evidence::order::Step;
use serde::{Deserialize, Serialize};

use super::run_step;
use crate::platform::Clock;
use crate::reader::{Flow, Handles, Reader, ReaderError, Scope};

/// What the warden asks of the reader's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The plan.
    pub steps: Vec<Step>,
    /// What may be opened.
    pub scope: Scope,
}

/// One line on the status pipe, after each step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Position of the step in the plan.
    pub step: u32,
    /// Objects handed over so far.
    pub items: u64,
    /// Process ids of helpers that hang: they belong to the agent's own processes in the next collection.
    pub stuck: Vec<i32>,
}

/// Reads what the plan asks for and hands it to the sealer, step by step. `status` gets a JSON line after each step.
///
/// # Errors
/// [`ReaderError`]; the items handed over until then are good.
pub fn run(
    params: &Params,
    handles: Handles,
    status: Option<&OwnedFd>,
    clock: &dyn Clock,
) -> Result<(), ReaderError> {
    let (reader, checks) = Reader::open(&params.scope, handles, clock)?;
    std::thread::scope(|scope| {
        scope.spawn(move || checks.answer());
        // The reader closes its socket when it goes; the sealer then closes the check socket, which ends the thread.
        run_steps(reader, &params.steps, status)
    })
}

fn run_steps(mut reader: Reader<'_>, steps: &[Step], status: Option<&OwnedFd>) -> Flow {
    for (position, step) in (0..).zip(steps) {
        reader.begin_step(position, step.collector())?;
        let end = run_step(&mut reader, step)?;
        reader.end_step(end)?;
        if let Some(status) = status {
            report(&reader, position, status);
        }
    }
    reader.end_plan()
}

/// Tells the warden how far the plan is. When the pipe is full the warden misses the line; the reader never waits.
fn report(reader: &Reader<'_>, step: u32, status: &OwnedFd) {
    let line = Status { step, items: reader.items(), stuck: reader.stuck_helpers() };
    if let Ok(mut line) = serde_json::to_vec(&line) {
        line.push(b'\n');
        rustix::io::write(status, &line).ok();
    }
}
