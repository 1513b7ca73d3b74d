//! `exhibit-server restore --from MIRROR`: a collector that lost its stores and database comes back from a mirror's copy.
//!
//! Needed from the backup of the lost collector: `server.toml`, `deployment.json`, `authority` and `keys/` (CA and log key). Without
//! the log key everything can be read and exported by others' means, but the log cannot go on under its name.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use evidence::act::{Act, ActNonce, ActType};
use evidence::entry::{ActObject, EntryType};
use evidence::id::{Actor, Chain};
use server::config::Config;
use server::foundation::{Foundation, Layout, has_store, make_store, open_for_check};
use server::ledger::PendingEntry;

/// Rebuilds a lost collector from a mirror's copy
#[derive(Debug, Args)]
#[command(
    after_help = "Example: put server.toml, deployment.json, authority and keys/ of the backup into /srv/exhibit, mount empty disks, then\n  \
    exhibit-server restore /srv/exhibit --from /mnt/mirror --newer receipt.tlog-proof\n\n\
    Give with --newer whatever notes or proofs people still hold: a responder's newest receipt, an endpoint's checkpoint, another\n\
    mirror's. If one is newer than the mirror's copy, going on would fork the log, and nothing is done."
)]
pub struct RestoreArgs {
    /// Directory of the collector, with what the backup has of it
    directory: PathBuf,
    /// Directory of a mirror (stopped), or one of its stores
    #[arg(long)]
    from: PathBuf,
    /// A note or .tlog-proof of the lost log that somebody holds; several are better
    #[arg(long)]
    newer: Vec<PathBuf>,
}

/// `exhibit-server restore`
///
/// # Errors
/// State, cause and next step; a second try goes on.
pub fn run(args: &RestoreArgs) -> Result<ExitCode> {
    let layout = Layout::new(&args.directory);
    let config = Config::load(&args.directory)?;
    layout.check_modes()?;
    if layout.database().exists() {
        bail!(
            "{} is there: a collector with a database is not lost. Move it away if it is to be replaced",
            layout.database().display()
        );
    }
    let from = mirror::restore::open(&args.from).context("open the mirror's copy")?;
    for store in &config.stores {
        if !has_store(&config, store)? {
            make_store(&config.deployment, store, server::clock::now()).context("make a fresh store")?;
        }
    }
    server::log_key::import(&layout, &config, &mirror::restore::log_keys(&from)?)
        .context("take over the changes of the log key")?;
    let (replicas, key) = open_for_check(&config, &layout)?;
    let shown = std::io::stderr().is_terminal();
    let restored = mirror::restore::restore(&from, &replicas, &key, &args.newer, &|done, total| {
        if shown && done % 100 == 0 {
            eprint!("\r{done} of {total} objects");
        }
    })?;
    if shown {
        eprintln!();
    }
    for damaged in &restored.damaged {
        println!("DAMAGED {damaged}: no copy of the mirror has it whole");
    }
    println!(
        "Restored {} entries and {} objects ({} bytes)",
        restored.entries, restored.objects, restored.bytes
    );
    // The stores are opened again by what follows.
    drop((from, replicas));
    let rebuilt = server::rebuild::rebuild(&args.directory).context("recreate the database")?;
    for remark in &rebuilt.remarks {
        println!("note: {remark}");
    }
    println!(
        "Rebuilt {} collections, {} segments, {} item records",
        rebuilt.collections, rebuilt.segments, rebuilt.items
    );
    if !server::log_key::is_in_place(&layout, &config)? {
        println!(
            "The log key {} is not in the backup: this collector cannot go on writing its ledger.\n\
             Put it in place as keys/log",
            key.current()
        );
        return Ok(ExitCode::from(1));
    }
    record(args, restored.entries).context("record recovery.performed")?;
    println!(
        "recovery.performed is recorded. Next: exhibit-server run {}",
        args.directory.display()
    );
    Ok(if restored.damaged.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

/// The first thing the restored collector writes is that it was restored, and from which size on.
fn record(args: &RestoreArgs, size: u64) -> Result<()> {
    let program = std::env::current_exe()?;
    let foundation = Foundation::open(&args.directory, &program)?;
    let refs = evidence::pairs::sorted([("size", size.to_string())]);
    let act = Act {
        type_: ActType,
        deployment: foundation.config.deployment.clone(),
        act: EntryType::RecoveryPerformed,
        incident: Chain::Deployment,
        at: server::clock::now(),
        by: Actor::Collector(foundation.config.collector.clone()),
        refs: refs.clone(),
        fields: Vec::new(),
        detail: None,
        nonce: ActNonce::ByContent,
    };
    let entry = PendingEntry {
        type_: EntryType::RecoveryPerformed,
        chain: Chain::Deployment,
        refs,
        act: ActObject {
            document: evidence::json::to_document(&act)?,
            signatures: Vec::new(),
        },
        guard: None,
    };
    foundation.sequencer.submit_blocking(entry)?;
    foundation.sequencer.stop().map_err(anyhow::Error::msg)?;
    Ok(())
}
