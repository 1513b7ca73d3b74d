//! The command line of `exhibit-server`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::ops::{commands, log_key, mirror_cmd, restore_cmd, serve, store_cmd};
use clap::{CommandFactory as _, Parser, Subcommand};

/// The collector: receives evidence, stores it in several places, and records every act in one ledger
#[derive(Debug, Parser)]
#[command(
    name = "exhibit-server",
    version,
    after_help = "Examples:
  exhibit-server init --help                 what a new collector needs
  exhibit-server run /srv/exhibit            run in the foreground, as the service does
  exhibit-server publish-roster /srv/exhibit roster-2.signed
  exhibit-server fsck /srv/exhibit --evidence    with the collector stopped
  exhibit-server store probe /srv/exhibit    measure what each store really guarantees"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(Box<commands::InitArgs>),
    Run(serve::RunArgs),
    PublishRoster(serve::PublishRosterArgs),
    Rebuild(commands::RebuildArgs),
    Fsck(commands::FsckArgs),
    #[command(subcommand)]
    Store(store_cmd::StoreArgs),
    LogKey(log_key::LogKeyArgs),
    Mirror(mirror_cmd::MirrorArgs),
    Restore(restore_cmd::RestoreArgs),
    /// Write the manual pages
    #[command(hide = true)]
    Man {
        /// Folder to write into
        #[arg(long)]
        dir: PathBuf,
    },
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    // Handle the caged children first: they must not start threads, read settings or open anything else.
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_deref().and_then(std::ffi::OsStr::to_str) {
        Some("__verify") => {
            return match crate::services::ingest::child::run() {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::from(70),
            };
        }
        Some("__signer") => {
            let origin = |origin: OsString| origin.into_string().ok();
            let given = arguments.next().zip(arguments.next().and_then(origin));
            let Some((key_file, origin)) = given else {
                eprintln!("exhibit-server signer: start it with a key file and an origin");
                return ExitCode::from(70);
            };
            return sign(Path::new(&key_file), &origin);
        }
        _ => {}
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            drop(error.print());
            return if error.use_stderr() { ExitCode::from(64) } else { ExitCode::SUCCESS };
        }
    };
    let result = match cli.command {
        Command::Init(args) => commands::run_init(*args),
        Command::Run(args) => serve::run(&args),
        Command::PublishRoster(args) => serve::publish_roster(&args),
        Command::Rebuild(args) => commands::run_rebuild(&args),
        Command::Fsck(args) => commands::run_fsck(&args),
        Command::Store(args) => store_cmd::run(args),
        Command::LogKey(args) => log_key::run(args),
        Command::Mirror(args) => mirror_cmd::run(args),
        Command::Restore(args) => restore_cmd::run(&args),
        Command::Man { dir } => man(&dir),
    };
    result.unwrap_or_else(|error| {
        eprintln!("exhibit-server: {error:#}");
        ExitCode::from(2)
    })
}

fn man(dir: &Path) -> anyhow::Result<ExitCode> {
    fs_err::create_dir_all(dir)?;
    clap_mangen::generate_to(Cli::command(), dir)?;
    Ok(ExitCode::SUCCESS)
}

fn sign(key_file: &Path, origin: &str) -> ExitCode {
    match crate::log::ledger::run_signer_child(key_file, origin) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("exhibit-server signer: {:#}", anyhow::Error::new(error));
            ExitCode::from(70)
        }
    }
}
