//! `exhibit-server mirror …`: a backup server, beside or instead of a collector on this machine.
//! Exit codes: 0 ok, 1 an alarm, 2 could not, 64 usage.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use evidence::enrolment::Address;
use evidence::id::MirrorId;
use evidence::log_key::LogKeys;
use mirror::init::{InitOptions, init};
use mirror::status::Status;
use store::StoreLocation;

use crate::services::ingest::verifier::Program;

use crate::ops::mirror_judge::Caged;
use crate::ops::serve::{LogForm, log_to_stderr};

/// Keep a verified copy of ledger and evidence on another machine, and cosign the ledger
#[derive(Debug, Args)]
#[command(after_help = "A mirror from nothing:\n  \
    exhibit-server mirror init /srv/mirror --id backup-1 --card deployment.json --authority authority --store /disk1/copy\n  \
    exhibit mirror admit admission.json          an endpoint-admin, on their machine\n  \
    exhibit-server mirror run /srv/mirror\n  \
    exhibit-server mirror status /srv/mirror     exit code 1 if somebody must act")]
pub struct MirrorArgs {
    #[command(subcommand)]
    command: MirrorCommand,
}

#[derive(Debug, Subcommand)]
enum MirrorCommand {
    Init(Box<MirrorInitArgs>),
    Run(MirrorRunArgs),
    Status(StatusArgs),
    Acknowledge(AcknowledgeArgs),
    CheckFraud(CheckFraudArgs),
    Release(ReleaseArgs),
}

/// Create a mirror: keys, store, pins, settings, and admission.json for an endpoint-admin
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    exhibit-server mirror init /srv/mirror --id backup-1 --card deployment.json --authority authority \\\n      \
    --store /disk1/copy --listen 0.0.0.0:7453\n\n\
    Get deployment.json and the authority file from the deployment's admin, not from the collector: the mirror trusts what they say.")]
pub struct MirrorInitArgs {
    /// Directory of the mirror; empty or new
    directory: PathBuf,
    /// Id of this mirror; it must be new in the deployment
    #[arg(long)]
    id: MirrorId,
    /// Public card of the deployment
    #[arg(long)]
    card: PathBuf,
    /// Public keys of the authority
    #[arg(long)]
    authority: PathBuf,
    /// Directory of a store, or s3:FILE with the settings of a bucket; repeat it for several copies
    #[arg(long = "store", required = true)]
    stores: Vec<PathBuf>,
    /// Main listener of the collector [default: as the card says]
    #[arg(long, value_name = "HOST:PORT")]
    collector: Option<Address>,
    /// Enrolment listener of the collector [default: as the card says]
    #[arg(long, value_name = "HOST:PORT")]
    enrol: Option<Address>,
    /// A store of the collector to read from: a directory mounted here, or s3:FILE with the settings of a bucket
    #[arg(long)]
    source: Option<PathBuf>,
    /// Address at which the C2SP witness listens
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Listener for /metrics; keep it on loopback
    #[arg(long)]
    metrics_listen: Option<SocketAddr>,
    /// Limit in bytes per second from the collector
    #[arg(long, default_value = "unlimited")]
    bandwidth: String,
}

/// Follow, check, copy and cosign the ledger until SIGTERM
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  exhibit-server mirror run /srv/mirror --log json\n\n\
    EXHIBIT_LOG sets the level of the log. While it runs, DIRECTORY/run/addresses.json holds the addresses that it listens on.")]
pub struct MirrorRunArgs {
    /// Directory of the mirror
    directory: PathBuf,
    /// Format of the log
    #[arg(long, value_enum, default_value_t = LogForm::Text)]
    log: LogForm,
}

/// Show what the mirror holds, what is waiting and what is wrong; exit code 1 if somebody must act
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  exhibit-server mirror status /srv/mirror\n  exhibit-server mirror status /srv/mirror --json"
)]
pub struct StatusArgs {
    /// Directory of the mirror
    directory: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Record that a person has seen a fraud proof; the mirror continues with the history that it holds
#[derive(Debug, Args)]
#[command(after_help = "Example, with the mirror stopped:\n  exhibit-server mirror acknowledge /srv/mirror")]
pub struct AcknowledgeArgs {
    /// Directory of the mirror
    directory: PathBuf,
}

/// Check whether the two notes of a fraud proof convict the holder of the log key
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  exhibit-server mirror check-fraud fraud/120-….json --card deployment.json\n  \
    exhibit-server mirror check-fraud fraud/120-….json --card deployment.json --authority authority --log-keys /srv/mirror/log-keys"
)]
pub struct CheckFraudArgs {
    /// The proof
    file: PathBuf,
    /// Public card of the deployment
    #[arg(long)]
    card: PathBuf,
    /// Folder with the signed changes of the log key, for notes that another key than the card's signed
    #[arg(long, requires = "authority")]
    log_keys: Option<PathBuf>,
    /// Public keys of the authority that signed those changes
    #[arg(long, requires = "log_keys")]
    authority: Option<PathBuf>,
}

/// Write out one stored object, given the proof that the ledger records the access
#[derive(Debug, Args)]
#[command(after_help = "Example, on the mirror's machine, running or not:\n  \
    exhibit-server mirror release /srv/mirror --entry access.entry --proof access.tlog-proof --out /media/out\n\n\
    The entry must be evidence.accessed for segment/N, seal/N, manifest or delegation of a collection.\n\
    `exhibit ledger prove --index N --out access` writes it, with its proof. The mirror gives out nothing else.")]
pub struct ReleaseArgs {
    /// Directory of the mirror
    directory: PathBuf,
    /// The ledger entry, byte for byte
    #[arg(long)]
    entry: PathBuf,
    /// Its .tlog-proof
    #[arg(long)]
    proof: PathBuf,
    /// An existing directory to write the object to
    #[arg(long)]
    out: PathBuf,
}

/// `exhibit-server mirror …`
pub fn run(args: MirrorArgs) -> Result<ExitCode> {
    match args.command {
        MirrorCommand::Init(args) => run_init(*args),
        MirrorCommand::Run(args) => {
            log_to_stderr(args.log)?;
            let judges = Caged(Program::own()?);
            let running =
                mirror::run::start(&args.directory, Box::new(judges)).context("start the mirror")?;
            tracing::info!(witness = ?running.witness, "Mirror runs");
            running.until_signalled()?;
            Ok(ExitCode::SUCCESS)
        }
        MirrorCommand::Status(args) => status(&args),
        MirrorCommand::Release(args) => release(&args),
        MirrorCommand::Acknowledge(args) => {
            let file = mirror::cosign::acknowledge(&args.directory)?;
            println!(
                "Acknowledged fraud/{file}. The mirror stays with the history it holds; the proof stays where it is."
            );
            Ok(ExitCode::SUCCESS)
        }
        MirrorCommand::CheckFraud(args) => {
            let card = mirror::config::Card::read(&args.card)?;
            let bytes = fs_err::read(&args.file)?;
            let keys = match (&args.log_keys, &args.authority) {
                (Some(folder), Some(authority)) => {
                    let authority = crate::config::layout::read_authority(authority)?;
                    mirror::pins::held(folder, &card.deployment, &authority, &card.log_key)
                        .map_err(anyhow::Error::msg)?
                }
                _ => LogKeys::unchanged(card.log_key),
            };
            let checked =
                mirror::cosign::fraud::FraudProof::from_bytes(&bytes).and_then(|proof| proof.check(&keys));
            match checked {
                Ok(()) => {
                    println!("FRAUD: two histories of {}, signed by its log key", keys.current().name());
                    Ok(ExitCode::SUCCESS)
                }
                Err(why) => {
                    println!("no fraud: {why}");
                    Ok(ExitCode::from(1))
                }
            }
        }
    }
}

fn run_init(args: MirrorInitArgs) -> Result<ExitCode> {
    let directory = args.directory.clone();
    let made = init(&InitOptions {
        directory: args.directory,
        mirror: args.id.clone(),
        card: args.card,
        authority: args.authority,
        stores: args
            .stores
            .iter()
            .map(|given| StoreLocation::given(given).map_err(anyhow::Error::msg))
            .collect::<Result<_>>()?,
        collector: args.collector,
        enrol: args.enrol,
        source: args.source.map(whole).transpose()?,
        listen: args.listen,
        metrics: args.metrics_listen,
        bandwidth: args.bandwidth,
    })?;
    println!("Mirror {} of deployment {} made in {}", args.id, made.deployment, directory.display());
    for (name, value) in &made.fingerprints {
        println!("  {name:<12} {value}");
    }
    println!(
        "Back up {}/keys. Give {}/{} to an endpoint-admin: exhibit mirror admit {}",
        directory.display(),
        directory.display(),
        mirror::init::ADMISSION_FILE,
        mirror::init::ADMISSION_FILE
    );
    println!("Next: exhibit-server mirror run {}", directory.display());
    Ok(ExitCode::SUCCESS)
}

/// Makes a source's path absolute, so that it means the same from any directory.
fn whole(given: PathBuf) -> Result<PathBuf> {
    match given.to_str().and_then(|given| given.strip_prefix("s3:")) {
        Some(file) => Ok(format!("s3:{}", std::path::absolute(file)?.display()).into()),
        None => Ok(std::path::absolute(given)?),
    }
}

fn release(args: &ReleaseArgs) -> Result<ExitCode> {
    let (entry, proof) = (fs_err::read(&args.entry)?, fs_err::read(&args.proof)?);
    let released = mirror::release::release(&args.directory, &entry, &proof)?;
    let path = args.out.join(released.key.as_str().replace('/', "_"));
    durable::create(&path, &released.bytes, 0o644)?;
    println!(
        "Released to {}, by entry {}: {} ({} bytes) as {}",
        released.person,
        released.index,
        released.key,
        released.bytes.len(),
        path.display()
    );
    Ok(ExitCode::SUCCESS)
}

fn status(args: &StatusArgs) -> Result<ExitCode> {
    let status = Status::read(&args.directory)?;
    if args.json {
        println!("{}", serde_json::to_string(&status)?);
    } else {
        println!("{}", status.to_text());
    }
    Ok(if status.is_alarm() { ExitCode::from(1) } else { ExitCode::SUCCESS })
}
