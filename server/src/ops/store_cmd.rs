//! `exhibit-server store`: which stores a collector has. Changes its settings; the next start applies them.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::ops::places;
use anyhow::Result;
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};

use crate::ops::store_probe::{self, ProbeArgs};

/// Probe, add, drain and retire stores
#[derive(Debug, Subcommand)]
pub enum StoreArgs {
    Probe(ProbeArgs),
    /// Create an empty store and add it to `server.toml`
    #[command(
        after_help = "Example:\n  exhibit-server store add /srv/exhibit store-3 /disk3/ev\n\nThen restart the collector. It copies everything to the new store; watch the progress with `exhibit store list`."
    )]
    Add {
        /// Directory of the collector
        directory: PathBuf,
        /// Id of the new store
        id: String,
        /// Directory of the new store; empty or new
        path: PathBuf,
        /// Failure domain, if the device does not tell it: a room, a machine, a provider
        #[arg(long)]
        domain: Option<String>,
    },
    /// Stop writing to a store, and copy its only copies to other stores
    #[command(
        after_help = "Example:\n  exhibit-server store drain /srv/exhibit store-1\n\nThen restart the collector. When `exhibit store list` shows nothing wanting, run exhibit-server store retire."
    )]
    Drain {
        /// Directory of the collector
        directory: PathBuf,
        /// Id of the store
        id: String,
    },
    /// Remove a drained store from `server.toml` once the other stores hold all its objects; deletes nothing
    #[command(
        after_help = "Example:\n  exhibit-server store retire /srv/exhibit store-1\n\nThe command first re-reads and re-hashes every object on the other stores. Exit code 1: some objects lack copies, and the store stays."
    )]
    Retire {
        /// Directory of the collector
        directory: PathBuf,
        /// Id of the store
        id: String,
    },
}

/// `exhibit-server store …`
pub fn run(args: StoreArgs) -> Result<ExitCode> {
    match args {
        StoreArgs::Probe(args) => return store_probe::run(&args),
        StoreArgs::Add { directory, id, path, domain } => {
            places::add(&directory, &id, &path, domain.as_deref(), crate::clock::now())?;
            println!("Store {id} is made in {}. Restart the collector to use it.", path.display());
        }
        StoreArgs::Drain { directory, id } => {
            places::drain(&directory, &id)?;
            println!("Store {id} is leaving. Restart the collector; when nothing is wanting, retire it.");
        }
        StoreArgs::Retire { directory, id } => {
            let bar = ProgressBar::no_length()
                .with_style(ProgressStyle::with_template("{bar:30} {pos} of {len} objects, {eta} left")?);
            let found = places::retire(&directory, &id, &mut |done, total| {
                bar.set_length(total);
                bar.set_position(done);
            })?;
            bar.finish_and_clear();
            if found.lacking_count > 0 {
                for key in &found.lacking {
                    println!("{key}");
                }
                println!(
                    "{} of {} objects are not whole on enough other stores; {id} stays. Run the collector until nothing is wanting.",
                    found.lacking_count, found.objects
                );
                return Ok(ExitCode::from(1));
            }
            println!(
                "Store {id} is retired: the others have its {} objects whole. Restart the collector; what lies there is yours to keep or destroy.",
                found.objects
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}
