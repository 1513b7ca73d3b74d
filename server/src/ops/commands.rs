//! Commands for a collector that is not running: make, check and recreate it.
//! Exit codes: 0 ok, 1 something stored failed a check, 2 the command could not run, 64 usage.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::layout::Layout;
use crate::config::{Config, StoreLocation};
use crate::log::ledger::{FsckOptions, fsck};
use crate::ops::foundation::open_for_check;
use crate::ops::init::{InitOptions, init};
use crate::ops::rebuild::rebuild;
use crate::rows::Db;
use anyhow::{Context as _, Result, anyhow};
use clap::{Args, ValueEnum};
use evidence::enrolment::Address;
use evidence::id::{CollectorId, DeploymentId};
use store::Degraded;

/// Create a collector: keys, database, stores, settings, first ledger entries
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    exhibit-server init /srv/exhibit --authority admin/authority --roster admin/roster-1.signed \\\n      \
    --store /disk1/ev --store /disk2/ev --address collector.example.org:7443 --enrol-address collector.example.org:7444\n\n\
    The authority's private keys stay on the admin's machine. The collector gets only the public keys and the signed roster.")]
pub struct InitArgs {
    /// Directory of the collector; empty or new
    directory: PathBuf,
    /// Public keys of the authority, as `exhibit authority init` wrote them
    #[arg(long)]
    authority: PathBuf,
    /// The signed roster in force
    #[arg(long)]
    roster: PathBuf,
    /// Directory of a store, or s3:FILE with the settings of a bucket; give two stores that cannot fail together
    #[arg(long = "store", required = true, value_name = "DIRECTORY|s3:FILE")]
    stores: Vec<PathBuf>,
    /// Name of the deployment; the roster must carry it
    #[arg(long)]
    deployment: Option<DeploymentId>,
    /// Id of this collector
    #[arg(long, default_value = "collector-1")]
    collector: CollectorId,
    /// Listener for agents and people
    #[arg(long, default_value = "0.0.0.0:7443")]
    listen: SocketAddr,
    /// Listener for enrolment and login
    #[arg(long, default_value = "0.0.0.0:7444")]
    enrol_listen: SocketAddr,
    /// Listener for /metrics; keep it on loopback
    #[arg(long)]
    metrics_listen: Option<SocketAddr>,
    /// Address at which endpoints and people reach the main listener
    #[arg(long)]
    address: Option<Address>,
    /// Address at which endpoints and people reach the enrolment listener
    #[arg(long)]
    enrol_address: Option<Address>,
    /// How many stores must hold a segment before the collector acknowledges it; default: all, at most 2
    #[arg(long)]
    copies: Option<usize>,
    /// What to do when fewer stores can be written
    #[arg(long, value_enum, default_value_t = DegradedArg::Accept)]
    degraded: DegradedArg,
    /// RFC 3161 time-stamping authority, http://… or https://…; give two, from different operators
    #[arg(long = "tsa")]
    tsas: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DegradedArg {
    /// Continue with one copy and report it
    Accept,
    /// Make uploads wait
    Wait,
}

/// Recreate the database from ledger and stores, and verify them completely
#[derive(Debug, Args)]
#[command(after_help = "Move the old database away first:\n  \
    mv /srv/exhibit/exhibit.db /srv/exhibit/exhibit.db.old && rm -f /srv/exhibit/exhibit.db-wal /srv/exhibit/exhibit.db-shm\n  \
    exhibit-server rebuild /srv/exhibit")]
pub struct RebuildArgs {
    /// Directory of the collector
    directory: PathBuf,
}

/// Check the ledger, the database and, with --evidence, every object; changes nothing
#[derive(Debug, Args)]
#[command(after_help = "Example, with the collector stopped:\n  exhibit-server fsck /srv/exhibit --evidence")]
pub struct FsckArgs {
    /// Directory of the collector
    directory: PathBuf,
    /// Also re-hash every object in every store
    #[arg(long)]
    evidence: bool,
}

/// `exhibit-server init`
pub fn run_init(args: InitArgs) -> Result<ExitCode> {
    let directory = args.directory.clone();
    let stores = args
        .stores
        .iter()
        .map(|given| StoreLocation::given(given).map_err(|reason| anyhow!(reason)))
        .collect::<Result<_>>()?;
    let options = InitOptions {
        directory: args.directory,
        authority: args.authority,
        roster: args.roster,
        stores,
        deployment: args.deployment,
        collector: args.collector,
        listen: args.listen,
        enrol_listen: args.enrol_listen,
        metrics_listen: args.metrics_listen,
        reach: args.address,
        enrol_reach: args.enrol_address,
        copies: args.copies,
        degraded: match args.degraded {
            DegradedArg::Accept => Degraded::Accept,
            DegradedArg::Wait => Degraded::Wait,
        },
        tsas: args.tsas,
    };
    let made = init(&options, crate::clock::now())?;
    println!("Collector of deployment {} made in {}", made.deployment, directory.display());
    println!("  ledger key        {}", made.log_key);
    println!("  certificate authority SHA-256  {}", made.ca_sha256);
    println!("  authority set     {}", made.authority);
    println!("  ledger entries    {}", made.entries);
    if !made.independent {
        println!("  NOT INDEPENDENT   the stores share a failure domain: one failure takes all copies");
    }
    println!(
        "Back up {}/keys. Give deployment.json to responders; they pin it with `exhibit setup`.",
        directory.display()
    );
    println!("Next: exhibit-server run {}", directory.display());
    Ok(ExitCode::SUCCESS)
}

/// `exhibit-server rebuild`
pub fn run_rebuild(args: &RebuildArgs) -> Result<ExitCode> {
    let rebuilt = rebuild(&args.directory)?;
    for remark in &rebuilt.remarks {
        println!("note: {remark}");
    }
    println!(
        "Rebuilt {} entries, {} collections, {} segments, {} item records",
        rebuilt.entries, rebuilt.collections, rebuilt.segments, rebuilt.items
    );
    Ok(ExitCode::SUCCESS)
}

/// `exhibit-server fsck`
///
/// # Errors
/// If the collector cannot be opened. What the check finds wrong is printed and gives exit code 1.
pub fn run_fsck(args: &FsckArgs) -> Result<ExitCode> {
    let layout = Layout::new(&args.directory);
    let config = Config::load(&args.directory)?;
    let db = Db::open(&layout.database(), 1).context("open the database")?;
    let (replicas, key) = open_for_check(&config, &layout).map_err(|error| anyhow!(error))?;
    let report = fsck(&replicas, &key, Some(&db), FsckOptions { evidence: args.evidence });
    for problem in &report.problems {
        println!("{}: {}: {}", problem.place, problem.what, problem.why);
    }
    println!(
        "{} entries, {} objects re-hashed, {} problems",
        report.entries,
        report.objects,
        report.problems.len()
    );
    Ok(if report.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
