//! `exhibit-server restore --from MIRROR`: a collector that lost its stores and database comes back from a mirror's copy.
//!
//! Needed from the backup of the lost collector: `server.toml`, `deployment.json`, `authority` and `keys/`
//! (CA and log key). Without the log key, everything can still be read and exported with other tools, but the
//! log cannot continue under its name.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use crate::config::Config;
use crate::config::layout::Layout;
use crate::log::cosigning::{Cosigning, held_by_witnesses};
use crate::log::ledger::PendingEntry;
use crate::ops::foundation::{Foundation, has_store, make_store, open_for_check};
use anyhow::{Context as _, Result, bail};
use clap::Args;
use evidence::entry::act::{Act, ActNonce, ActType};
use evidence::entry::{ActObject, EntryType};
use evidence::id::{Actor, Chain};
use mirror::restore::Target;

/// Rebuild a lost collector from a mirror's copy
#[derive(Debug, Args)]
#[command(
    after_help = "Example: copy server.toml, deployment.json, authority and keys/ from the backup to /srv/exhibit, mount empty disks, then run\n  \
    exhibit-server restore /srv/exhibit --from /mnt/mirror --newer receipt.tlog-proof\n\n\
    With --newer, give every note or proof that people still hold: a responder's newest receipt, an endpoint's checkpoint, another\n\
    mirror's. If one is newer than the mirror's copy, continuing would fork the ledger, so the command stops. If the backup holds\n\
    ledger.policy, the command also asks the witnesses in it."
)]
pub struct RestoreArgs {
    /// Directory of the collector, with the files from its backup
    directory: PathBuf,
    /// Directory of a stopped mirror, or one of its stores
    #[arg(long)]
    from: PathBuf,
    /// A note or .tlog-proof of the lost log that somebody holds; more are better
    #[arg(long)]
    newer: Vec<PathBuf>,
    /// Continue without the objects that the mirror holds no intact copy of; an earlier run lists them
    #[arg(long)]
    accept_damaged: bool,
}

/// `exhibit-server restore`
///
/// # Errors
/// State, cause and next step. A second try continues.
pub fn run(args: &RestoreArgs) -> Result<ExitCode> {
    let layout = Layout::new(&args.directory);
    let config = Config::load(&args.directory)?;
    layout.check_modes()?;
    let size = match crate::ops::restored::read_mark(&args.directory)? {
        // The database exists already. What is left is to record the restoration.
        Some(pending) if layout.database().exists() => pending.size,
        _ if layout.database().exists() => bail!(
            "{} is there: a collector with a database is not lost. Move it away if it is to be replaced",
            layout.database().display()
        ),
        _ => match copy(args, &config, &layout)? {
            Some(size) => size,
            None => return Ok(ExitCode::from(1)),
        },
    };
    if !crate::log::log_key::is_in_place(&layout, &config)? {
        let keys = crate::log::log_key::keys_held(&layout, &config)?;
        println!(
            "The log key {} is not in the backup: this collector cannot go on writing its ledger.\n\
             Put it in place as keys/log and run this again; or have the authority let a new key follow, and run this again then:\n  \
             exhibit-server log-key propose {} --reason lost",
            keys.current(),
            args.directory.display()
        );
        return Ok(ExitCode::from(1));
    }
    record(args, size).context("record recovery.performed")?;
    crate::ops::restored::remove_mark(&args.directory)?;
    println!("recovery.performed is recorded. Next: exhibit-server run {}", args.directory.display());
    Ok(ExitCode::SUCCESS)
}

/// Gives back stores and database; `None` if damaged objects prevent it.
fn copy(args: &RestoreArgs, config: &Config, layout: &Layout) -> Result<Option<u64>> {
    let from = mirror::restore::open(&args.from).context("open the mirror's copy")?;
    for store in &config.stores {
        if !has_store(config, store)? {
            make_store(&config.deployment, store, crate::clock::now()).context("make a fresh store")?;
        }
    }
    let changes = mirror::restore::log_keys(&from)?;
    let key = crate::log::log_key::keys_after(layout, config, &changes).context("follow the log key")?;
    let (replicas, _) = open_for_check(config, layout)?;
    let shown = std::io::stderr().is_terminal();
    let held = questions()?.block_on(held_by_witnesses(&args.directory, &key))?;
    for (witness, why) in &held.silent {
        println!("note: nothing is known of what witness {witness} holds: {why}");
    }
    let newer = [args.newer.as_slice(), &held.notes].concat();
    let target = Target { into: &replicas, key: &key, newer: &newer, accept_damaged: args.accept_damaged };
    let restored = mirror::restore::restore(&from, &target, &|done, total| {
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
    if !restored.is_whole {
        println!(
            "NOT RESTORED: {} objects are damaged or missing, and the ledger has no head yet. Mend the mirror's copy (a scrub names \
             what it cannot), take another mirror for what is listed, and run this again; or accept the loss: --accept-damaged",
            restored.damaged.len()
        );
        return Ok(None);
    }
    crate::log::log_key::import(layout, config, &changes).context("take over the changes of the log key")?;
    // The steps that follow open the stores again.
    drop((from, replicas));
    // Write the mark before there is a database: no start may come between the database and the entry.
    crate::ops::restored::write_mark(&args.directory, restored.entries)?;
    let rebuilt = crate::ops::rebuild::rebuild(&args.directory).context("recreate the database")?;
    for remark in &rebuilt.remarks {
        println!("note: {remark}");
    }
    println!(
        "Rebuilt {} collections, {} segments, {} item records",
        rebuilt.collections, rebuilt.segments, rebuilt.items
    );
    Ok(Some(restored.entries))
}

/// The runtime for questions to witnesses. Everything else here waits for disks.
fn questions() -> Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("start a runtime")
}

/// Records that the collector was restored, and from which size on. This is the first thing that it writes.
fn record(args: &RestoreArgs, size: u64) -> Result<()> {
    let program = std::env::current_exe()?;
    let foundation = Foundation::open(&args.directory, &program)?;
    // An earlier try may have come this far, either directly or after the succession of a lost log key.
    for index in [Some(size), size.checked_add(1)].into_iter().flatten() {
        let row = foundation.db.read(|reader| crate::rows::entries::at(reader, index))?;
        if row.is_some_and(|row| row.kind == EntryType::RecoveryPerformed) {
            return foundation.sequencer.stop().map_err(anyhow::Error::msg);
        }
    }
    // Ask at the last moment: a witness may have been away when the copy was taken, or an earlier try may be
    // days old.
    let cosigning =
        Cosigning::open(&args.directory, foundation.sequencer.log().clone(), foundation.replicas.clone())?;
    questions()?.block_on(Arc::new(cosigning).check_at_start())?;
    let refs = evidence::entry::pairs::sorted([("size", size.to_string())]);
    let act = Act {
        type_: ActType,
        deployment: foundation.config.deployment.clone(),
        act: EntryType::RecoveryPerformed,
        incident: Chain::Deployment,
        at: crate::clock::now(),
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
        act: ActObject { document: evidence::json::to_document(&act)?, signatures: Vec::new() },
        guard: None,
    };
    foundation.sequencer.submit_blocking(entry)?;
    foundation.sequencer.stop().map_err(anyhow::Error::msg)?;
    Ok(())
}
