//! Commands for a running collector: run it, give it a new roster.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::config::layout::{Layout, read_authority};
use crate::ops::run;
use crate::services::rosters;
use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};

/// How long a running collector may take to publish a roster.
const PUBLISH_WAIT: Duration = Duration::from_secs(30);

/// Run the collector until SIGTERM
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  exhibit-server run /srv/exhibit\n  EXHIBIT_LOG=server=debug exhibit-server run /srv/exhibit --log json\n\n\
    The log goes to standard error. EXHIBIT_LOG sets the level, such as info or server=debug.\n\
    While it runs, DIRECTORY/run/addresses.json holds the addresses that it listens on."
)]
pub struct RunArgs {
    /// Directory of the collector
    directory: PathBuf,
    /// Format of the log
    #[arg(long, value_enum, default_value_t = LogForm::Text)]
    log: LogForm,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogForm {
    /// Lines for people
    Text,
    /// One JSON object per line
    Json,
}

/// Put the next roster in force, whether the collector is running or not
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  exhibit-server publish-roster /srv/exhibit roster-2.signed\n\
    Endpoints receive the roster with the next order. Persons who are no longer in it lose their connections at once.")]
pub struct PublishRosterArgs {
    /// Directory of the collector
    directory: PathBuf,
    /// The signed roster, as `exhibit authority` wrote it
    roster: PathBuf,
}

/// `exhibit-server run`
pub fn run(args: &RunArgs) -> Result<ExitCode> {
    log_to_stderr(args.log)?;
    match run::run(&args.directory) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            tracing::error!(cause = %crate::failure::chain(error.as_ref()), "Collector ends");
            Err(error)
        }
    }
}

/// Starts logging to standard error.
pub fn log_to_stderr(form: LogForm) -> Result<()> {
    let filter = std::env::var("EXHIBIT_LOG").unwrap_or_else(|_| "info".to_owned());
    let filter = tracing_subscriber::EnvFilter::try_new(&filter).context("EXHIBIT_LOG")?;
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    let set = match form {
        LogForm::Text => builder.try_init(),
        LogForm::Json => builder.json().try_init(),
    };
    set.map_err(|error| anyhow::anyhow!(error)).context("start logging")
}

/// `exhibit-server publish-roster`
///
/// # Errors
/// If the roster is not signed by the pinned authority, or the collector refuses it.
pub fn publish_roster(args: &PublishRosterArgs) -> Result<ExitCode> {
    let bytes = fs_err::read(&args.roster)?;
    let config = Config::load(&args.directory)?;
    let layout = Layout::new(&args.directory);
    let authority = read_authority(&layout.authority())?;
    // Pass on only a roster that the collector would accept. Whether it is the next version, only the
    // collector knows.
    let people =
        crate::people::People::open(config.deployment, authority, &bytes).context("check the roster")?;
    let version = people.newest().roster().version;
    let directory = layout.run();
    durable::create_private_folder(&directory)?;
    let (drop_path, refusal) = (rosters::drop_path(&directory), rosters::refusal_path(&directory));
    durable::remove(&refusal)?;
    durable::replace(&drop_path, &bytes, 0o644)?;
    if !directory.join("addresses.json").exists() {
        println!("The collector is not running: roster {version} comes into force when it starts.");
        return Ok(ExitCode::SUCCESS);
    }
    let begun = Instant::now();
    while drop_path.exists() {
        if begun.elapsed() > PUBLISH_WAIT {
            bail!("the collector has not taken the roster in {} s; its log says why", PUBLISH_WAIT.as_secs());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    if refusal.exists() {
        bail!("the collector refuses it: {}", fs_err::read_to_string(&refusal)?.trim());
    }
    println!("Roster {version} is in force");
    Ok(ExitCode::SUCCESS)
}
