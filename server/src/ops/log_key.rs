//! `exhibit-server log-key`: replaces the log key with a new one, on the authority's signed change.

pub mod adopt;
mod level;
pub mod propose;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand, ValueEnum};
use evidence::log_key::Reason;

const EXAMPLES: &str = "\
Example of a planned change:
  exhibit-server log-key propose /srv/exhibit                        # makes the new key and log-key-1.json
  exhibit authority sign-log-key admin log-key-1.json                # offline, by as many admins as the threshold requires
  systemctl stop exhibit-server
  exhibit-server log-key adopt /srv/exhibit log-key-1.signed
  systemctl start exhibit-server

Endpoints, persons and mirrors follow without help. Give the new verifier key to witnesses and monitors of other makes.
Back up keys/ and log-keys/. After a theft (--reason compromised), stop the collector before `propose` and leave it stopped.";

/// Change the key that signs the ledger, with the authority's signature
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct LogKeyArgs {
    #[command(subcommand)]
    command: LogKeyCommand,
}

#[derive(Debug, Subcommand)]
enum LogKeyCommand {
    /// Make the next key, and the document for the authority to sign
    #[command(
        after_help = "Examples:\n  exhibit-server log-key propose /srv/exhibit\n  exhibit-server log-key propose /srv/exhibit --reason lost"
    )]
    Propose {
        /// Directory of the collector
        directory: PathBuf,
        /// Why the key changes
        #[arg(long, value_enum, default_value_t = ReasonArg::Planned)]
        reason: ReasonArg,
    },
    /// Put a signed change into effect while the collector is stopped; resumes an interrupted run
    #[command(
        after_help = "Example, with the collector stopped:\n  exhibit-server log-key adopt /srv/exhibit log-key-1.signed"
    )]
    Adopt {
        /// Directory of the collector
        directory: PathBuf,
        /// The change document with the authority's signatures
        signed: PathBuf,
        /// Delete the old private key instead of moving it to keys/retired
        #[arg(long)]
        destroy_old: bool,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ReasonArg {
    /// The old key is on this machine and nowhere else
    Planned,
    /// The old key is lost
    Lost,
    /// Somebody else may hold the old key
    Compromised,
}

/// `exhibit-server log-key …`
pub fn run(args: LogKeyArgs) -> Result<ExitCode> {
    match args.command {
        LogKeyCommand::Propose { directory, reason } => {
            let reason = match reason {
                ReasonArg::Planned => Reason::Planned,
                ReasonArg::Lost => Reason::Lost,
                ReasonArg::Compromised => Reason::Compromised,
            };
            let made =
                propose::propose(&directory, reason, crate::clock::now()).context("propose a log key")?;
            println!(
                "Change {} of the log key, {}, to be signed by the authority",
                made.change.number, made.change.reason
            );
            println!("  old   {}", made.change.old);
            println!("  new   {}", made.change.new);
            println!("  size  {} entries are vouched for, root {}", made.change.size, made.change.root);
            println!(
                "Next, on the admins' machine: exhibit authority sign-log-key DIR {}",
                made.path.display()
            );
        }
        LogKeyCommand::Adopt { directory, signed, destroy_old } => {
            let program = std::env::current_exe()?;
            let done =
                adopt::adopt(&directory, &program, &signed, destroy_old).context("adopt the log key")?;
            println!(
                "Change {} of the log key is in force, recorded as entry {}",
                done.change.number, done.index
            );
            println!("  old   {}", done.change.old);
            println!("  new   {}", done.change.new);
            if let Some(retired) = done.retired {
                println!("The old private key is in {}; nothing needs it any more", retired.display());
            }
            println!("Back up keys/ and log-keys/. Next: exhibit-server run {}", directory.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}
