//! `exhibit-server store`: which stores a collector has. Works on its settings; the next start takes them up.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::ops::places;
use anyhow::Result;
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};

use crate::ops::store_probe::{self, ProbeArgs};

/// The stores of a collector: what they are worth, add, drain, retire
#[derive(Debug, Subcommand)]
pub enum StoreArgs {
    #[expect(missing_docs, reason = "its help is that of `ProbeArgs`")]
    Probe(ProbeArgs),
    /// Make an empty store and name it in `server.toml`
    #[command(
        after_help = "Example:\n  exhibit-server store add /srv/exhibit store-3 /disk3/ev\n\nRestart the collector then: it copies everything there; watch with `exhibit store list`."
    )]
    Add {
        /// Directory of the collector
        directory: PathBuf,
        /// Id of the new store
        id: String,
        /// Directory of the new store; empty or not there yet
        path: PathBuf,
        /// Failure domain, where the device does not tell: a room, a machine, a provider
        #[arg(long)]
        domain: Option<String>,
    },
    /// Write nothing to a store any more, and copy elsewhere what only it has
    #[command(
        after_help = "Example:\n  exhibit-server store drain /srv/exhibit store-1\n\nRestart the collector then. When `exhibit store list` shows nothing wanting: exhibit-server store retire"
    )]
    Drain {
        /// Directory of the collector
        directory: PathBuf,
        /// Id of the store
        id: String,
    },
    /// Take a drained store out of `server.toml`, once the others have everything of it; deletes nothing
    #[command(
        after_help = "Example:\n  exhibit-server store retire /srv/exhibit store-1\n\nEvery object is read and re-hashed on the others first. Exit code 1: some lack copies, the store stays."
    )]
    Retire {
        /// Directory of the collector
        directory: PathBuf,
        /// Id of the store
        id: String,
    },
}

/// `exhibit-server store …`
///
/// # Errors
/// As [`places`].
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
