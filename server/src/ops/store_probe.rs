//! `exhibit-server store probe`: what each store of a collector really guarantees. May run while the
//! collector does. Exit codes: 0 as good as recorded, 1 a bucket can do less than before, 2 a bucket could
//! not be measured.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::layout::Layout;
use crate::config::{Config, StoreLocation};
use crate::ops::capabilities::{Record, compare};
use anyhow::{Result, bail};
use clap::Args;
use serde::Serialize;
use store::{Capabilities, Guarantees};

/// Test what each bucket can do, and show what each store guarantees
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    exhibit-server store probe /srv/exhibit\n  \
    exhibit-server store probe /srv/exhibit --store store-2 --json\n  \
    exhibit-server store probe /srv/exhibit --accept    after you changed a bucket on purpose\n\n\
    The probe writes a few objects below PREFIXprobe/ and deletes them again. It touches nothing else.")]
pub struct ProbeArgs {
    /// Directory of the collector
    directory: PathBuf,
    /// Test only the store with this id
    #[arg(long)]
    store: Option<String>,
    /// Accept the result as the new baseline for later starts, even if the store can do less than before
    #[arg(long)]
    accept: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `exhibit-server store probe`
///
/// # Errors
/// If the settings cannot be read or there is no such store. What is wrong with one store is printed.
pub fn run(args: &ProbeArgs) -> Result<ExitCode> {
    let config = Config::load(&args.directory)?;
    let layout = Layout::new(&args.directory);
    let chosen = |id: &str| args.store.as_deref().is_none_or(|wanted| wanted == id);
    if !config.stores.iter().any(|store| chosen(&store.id)) {
        let ids: Vec<_> = config.stores.iter().map(|store| store.id.as_str()).collect();
        bail!("there is no such store; there are: {}", ids.join(", "));
    }
    let mut code = 0;
    let mut rows = Vec::new();
    for store in config.stores.iter().filter(|store| chosen(&store.id)) {
        let (row, exit) = look_at(args, &layout, &store.id, &store.place);
        code = code.max(exit);
        if !args.json {
            row.print();
        }
        rows.push(row);
    }
    if args.json {
        println!("{}", serde_json::json!({"stores": rows}));
    }
    Ok(ExitCode::from(code))
}

/// The result for one store.
#[derive(Serialize)]
struct Row {
    store: String,
    place: String,
    guarantees: Option<Guarantees>,
    capabilities: Option<Capabilities>,
    /// Capabilities that the bucket had and has no longer.
    lost: Vec<&'static str>,
    error: Option<String>,
}

fn look_at(args: &ProbeArgs, layout: &Layout, id: &str, place: &StoreLocation) -> (Row, u8) {
    let mut row = Row {
        store: id.to_owned(),
        place: place.to_string(),
        guarantees: None,
        capabilities: None,
        lost: Vec::new(),
        error: None,
    };
    if matches!(place, StoreLocation::Directory(_)) {
        row.guarantees = Some(Guarantees::DIRECTORY);
        return (row, 0);
    }
    let tried = try_bucket(args, layout, id, place, &mut row);
    let code = match tried {
        Ok(()) => u8::from(!row.lost.is_empty() && !args.accept),
        Err(error) => {
            row.error = Some(format!("{error:#}"));
            2
        }
    };
    (row, code)
}

fn try_bucket(
    args: &ProbeArgs,
    layout: &Layout,
    id: &str,
    place: &StoreLocation,
    row: &mut Row,
) -> Result<()> {
    let store = place.open()?;
    let found = &store.identity().store;
    if found != id {
        bail!("it is store {found}, not {id}. Correct its place in `server.toml`");
    }
    let Some(measured) = store.capabilities() else { bail!("it was not measured") };
    row.capabilities = Some(*measured);
    row.guarantees = Some(store.guarantees());
    row.lost = compare(layout, id, measured, crate::clock::now())?;
    if !row.lost.is_empty() && args.accept {
        Record::new(id, crate::clock::now(), *measured).write(layout)?;
    }
    Ok(())
}

impl Row {
    fn print(&self) {
        println!("{}  {}", self.store, self.place);
        for (name, value) in self.capabilities.iter().flat_map(Capabilities::rows) {
            let lost = if self.lost.contains(&name) { "   LOST since it was recorded" } else { "" };
            println!("  {name:18} {value}{lost}");
        }
        if let Some(guarantees) = &self.guarantees {
            println!("  {guarantees}");
        }
        if let Some(error) = &self.error {
            println!("  NOT MEASURED: {error}");
        }
    }
}
