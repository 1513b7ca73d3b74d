//! `exhibit`: the program of responders, admins and auditors.
//! Guarantee: the program verifies each answer of a collector under the pins of this person's home before it shows the answer as true.
//! Not here: collecting (agent), storing (server), verifying a bundle (exhibit-verify).
#![forbid(unsafe_code)]

mod acts;
mod args;
mod checkpoints;
mod clock;
mod commands;
mod context;
mod cosigners;
mod directory;
mod failure;
mod home;
mod log_keys;
mod output;
mod pins;
mod profile;
mod progress;
mod receipts;
mod session;
mod settings;
mod signer;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Cli;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Format, Output};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(refused) => {
            // Help and version are answers. Everything else is a command line that cannot be parsed.
            let code = if refused.use_stderr() { Exit::Usage as u8 } else { 0 };
            return match refused.print() {
                Ok(()) => ExitCode::from(code),
                Err(_) => ExitCode::from(Exit::CouldNot as u8),
            };
        }
    };
    let output = Output { format: if cli.json { Format::Json } else { Format::Text } };
    let run = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(cli.command.run(Context { named: cli.home, output })));
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ExitCode::from(print_failure(&error, output)),
    }
}

/// Prints state, cause and next step. Returns the exit code.
fn print_failure(error: &anyhow::Error, output: Output) -> u8 {
    let failure = error.chain().find_map(|cause| cause.downcast_ref::<Failure>());
    let next = failure.map_or("", |failure| failure.next.as_str());
    let states: Vec<String> = error
        .chain()
        .map(|cause| match cause.downcast_ref::<Failure>() {
            Some(failure) => failure.state.clone(),
            None => cause.to_string(),
        })
        .collect();
    let state = output::shown_lines(&states.join(": "));
    match output.format {
        Format::Json => eprintln!("{}", serde_json::json!({"error": state, "next": next})),
        Format::Text if next.is_empty() => eprintln!("exhibit: {state}"),
        Format::Text => eprintln!("exhibit: {state}\n  next: {next}"),
    }
    failure.map_or(Exit::CouldNot, |failure| failure.exit) as u8
}
