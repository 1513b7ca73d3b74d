//! `exhibit-agent`: commands for the machine's owner, and the entry points of the agent's own processes.
//!
//! Exit codes: 0 done; 1 something did not pass its check (an enrolment that does not hold, an altered log); 2 it could
//! not be done or checked; 64 wrong usage.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use agent::enrol::{EnrolError, Enrolled};
use agent::warden::{LinkSource, Settings};
use agent::{diary, enrol, link, policy, process, sealer, status, warden};
use anyhow::Context as _;
use clap::{Args, CommandFactory as _, Parser, Subcommand};

const DEFAULT_STATE: &str = "/var/lib/exhibit-agent";

/// Collects evidence from this machine when persons have signed an order, within the limits that its owner sets.
#[derive(Debug, Parser)]
#[command(
    name = "exhibit-agent",
    version,
    after_help = "Examples:
  exhibit-agent enrol --token exhibit1.eyJ0eXBl...       enrol; the token comes from an endpoint admin
  exhibit-agent enrol --token - < token.txt              the same, without showing the token to other users
  systemctl start exhibit-agent                          or in the foreground: exhibit-agent run
  exhibit-agent status                                   identity, policy in force, warnings
  exhibit-agent log                                      every order that this machine received, served or refused

The owner of this machine decides in /etc/exhibit/policy.toml what may be collected.
Exit codes: 0 done; 1 a check failed; 2 could not do it; 64 usage."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Enrol this machine as an endpoint of a deployment
    #[command(after_help = "Example:
  exhibit-agent enrol --token - < token.txt

The collector must prove everything that the token names. Otherwise nothing is written.
To enrol again with new keys, get a token for the next generation and add --replace. The old keys are kept aside.")]
    Enrol(EnrolArgs),
    /// Run in the foreground; the service does this
    #[command(after_help = "Examples:
  exhibit-agent run
  exhibit-agent run --state ./agent --policy ./policy.toml    a trial run, without the service")]
    Run(RunArgs),
    /// Print the endpoint's own log, and verify that nothing was removed from it
    #[command(after_help = "Examples:
  exhibit-agent log
  exhibit-agent log --json | tail -n 20")]
    Log(LogArgs),
    /// Show identity, policy in force, and warnings
    #[command(after_help = "Examples:
  exhibit-agent status
  exhibit-agent status --json")]
    Status(StatusArgs),
    /// Write the manual pages
    #[command(hide = true)]
    Man {
        /// Folder to write into
        #[arg(long)]
        dir: PathBuf,
    },
    #[command(name = agent::LINK_ROLE, hide = true)]
    Link,
    #[command(name = agent::READER_ROLE, hide = true)]
    Reader,
    #[command(name = agent::SEALER_ROLE, hide = true)]
    Sealer,
}

#[derive(Debug, Args)]
struct StateArgs {
    /// State directory
    #[arg(long = "state", id = "state", value_name = "DIR", default_value = DEFAULT_STATE)]
    dir: PathBuf,
    /// The owner's policy [default: /etc/exhibit/policy.toml, or the built-in policy if that file does not exist]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct EnrolArgs {
    /// The token from your endpoint admin; `-` reads it from standard input
    #[arg(long, value_name = "TOKEN", env = "EXHIBIT_TOKEN", hide_env_values = true)]
    token: String,
    /// Enrol again, although this machine is enrolled already
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    state: StateArgs,
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    state: StateArgs,
    /// Collect from this tree instead of the whole system
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Shortest wait between connections, in milliseconds
    #[arg(long, hide = true, env = "EXHIBIT_RECONNECT_MIN_MS", default_value_t = 1000)]
    reconnect_min_ms: u64,
    /// Longest wait between connections, in milliseconds
    #[arg(long, hide = true, env = "EXHIBIT_RECONNECT_MAX_MS", default_value_t = 300_000)]
    reconnect_max_ms: u64,
}

#[derive(Debug, Args)]
struct LogArgs {
    /// State directory
    #[arg(long, value_name = "DIR", default_value = DEFAULT_STATE)]
    state: PathBuf,
    /// Print the lines exactly as the file holds them
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct StatusArgs {
    #[command(flatten)]
    state: StateArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What the exit code says.
enum Failure {
    /// A check failed.
    Check(anyhow::Error),
    /// It could not be done.
    Other(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers; everything else is wrong usage (EX_USAGE).
            drop(error.print());
            return if error.use_stderr() { ExitCode::from(64) } else { ExitCode::SUCCESS };
        }
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env(agent::LOG_VARIABLE)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Check(error)) => report(&error, 1),
        Err(Failure::Other(error)) => report(&error, 2),
    }
}

fn report(error: &anyhow::Error, code: u8) -> ExitCode {
    // If standard error is closed, there is nobody to tell. The exit code still tells.
    drop(writeln!(std::io::stderr(), "exhibit-agent: {error:#}"));
    ExitCode::from(code)
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Enrol(args) => enrol(&args),
        Command::Run(args) => Ok(serve(args)?),
        Command::Log(args) => log(&args),
        Command::Status(args) => Ok(show_status(&args)?),
        Command::Man { dir } => {
            fs_err::create_dir_all(&dir)?;
            Ok(clap_mangen::generate_to(Cli::command(), &dir)?)
        }
        Command::Link => Ok(link::run(cage::parent_socket()?)?),
        Command::Reader => Ok(process::run_reader(&cage::parent_socket()?)?),
        Command::Sealer => Ok(sealer::process::run(cage::parent_socket()?)?),
    }
}

fn enrol(args: &EnrolArgs) -> Result<(), Failure> {
    // Find a policy that cannot be understood now, not at the first order.
    policy::Policy::load(args.state.policy.as_deref())?;
    let token = if args.token == "-" {
        let mut token = String::new();
        std::io::stdin()
            .take(64 << 10)
            .read_to_string(&mut token)
            .context("read the token from standard input")?;
        token
    } else {
        args.token.clone()
    };
    let build = warden::build_sha256().context("read the agent's own program")?;
    let enrolled =
        enrol::enrol(&token, &args.state.dir, build, args.replace).map_err(|error| match error {
            EnrolError::Token(_)
            | EnrolError::Enrolment(_)
            | EnrolError::Roster(_)
            | EnrolError::Impostor(_)
            | EnrolError::WrongCertificate(_) => Failure::Check(error.into()),
            other => Failure::Other(other.into()),
        })?;
    print_enrolled(&enrolled, args)?;
    Ok(())
}

fn print_enrolled(enrolled: &Enrolled, args: &EnrolArgs) -> std::io::Result<()> {
    let pins = &enrolled.pins;
    let mut out = std::io::stdout().lock();
    writeln!(out, "Enrolled as {} generation {} of {}.", pins.endpoint, pins.generation, pins.deployment)?;
    writeln!(out, "Compare with what your endpoint admin gave you:")?;
    writeln!(out, "  evidence key  {} (made here)", enrolled.evidence_key)?;
    writeln!(out, "  authority     {}", enrolled.authority)?;
    writeln!(out, "  CA            {}", enrolled.ca_sha256)?;
    writeln!(out, "  log           {}", pins.log_key)?;
    writeln!(out, "  roster        version {}", enrolled.roster_version)?;
    writeln!(out, "  ledger entry  {}", enrolled.index)?;
    let state = args.state.dir.display();
    writeln!(
        out,
        "State is in {state}. Next: systemctl start exhibit-agent (or: exhibit-agent run --state {state})"
    )
}

fn serve(args: RunArgs) -> Result<(), warden::WardenError> {
    // Start children from this very file, even if a new version was installed meanwhile.
    let program = PathBuf::from("/proc/self/exe");
    warden::run(Settings {
        state: args.state.dir,
        policy: args.state.policy,
        root: args.root,
        program,
        link: LinkSource::Start,
        backoff_min: Duration::from_millis(args.reconnect_min_ms.max(1)),
        backoff_max: Duration::from_millis(args.reconnect_max_ms.max(1)),
        stop: None,
    })
}

fn log(args: &LogArgs) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let mut failed = None;
    let read = diary::read(&args.state, |line| {
        let shown = if args.json { line.to_owned() } else { diary::shown(line) };
        if failed.is_none() {
            failed = writeln!(out, "{shown}").err();
        }
    });
    // If a reader such as `head` went away, that is no failure of the log.
    if let Some(error) = failed.filter(|error| error.kind() != std::io::ErrorKind::BrokenPipe) {
        return Err(error.into());
    }
    match read {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(Failure::Other(anyhow::anyhow!(
            "`{}` holds no log. Is --state right, and has the agent run?",
            args.state.display()
        ))),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Err(Failure::Check(error.into())),
        Err(error) => Err(error.into()),
    }
}

fn show_status(args: &StatusArgs) -> anyhow::Result<()> {
    let status = status::read(&args.state.dir, args.state.policy.as_deref())?;
    let mut out = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer(&mut out, &status)?;
        writeln!(out)?;
    } else {
        write!(out, "{status}")?;
    }
    Ok(())
}
