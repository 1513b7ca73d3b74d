//! Adds, drains and retires stores. An operator does this on the collector's machine, with the collector stopped or before its
//! next start.
//!
//! Guarantee: `server.toml` is replaced whole or not at all and keeps its comments. A store leaves only after every object that
//! it holds was read and re-hashed on `copies` other stores. Nothing is deleted from a store that left: its owner decides what
//! happens to it. Not here: the copying itself, which the running collector does (`upkeep::repairs`).

use std::path::Path;

use anyhow::{Context as _, Result};
use evidence::length::len;
use evidence::log_key::LogKeys;
use store::{
    ContentCheck, DOMAIN_OF_DEVICE, DirectoryStore, Key, KeyKind, Replicas, Store, StoreError, StoreIdentity,
};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

use crate::config::layout::Layout;
use crate::config::{CONFIG_FILE, Config, StoreLocation};
use crate::log::ledger::{FsckReport, check_store};
use crate::ops::foundation::{FoundationError, open_for_check};

const SETTINGS: &str = "write the settings";

fn refused(reason: impl Into<String>) -> anyhow::Error {
    anyhow::Error::msg(reason.into())
}

/// Makes an empty store and names it in the settings.
///
/// # Errors
/// If the id or place is taken, the place is not empty, or the settings cannot be written.
pub fn add(
    directory: &Path,
    id: &str,
    path: &Path,
    domain: Option<&str>,
    now: evidence::time::Time,
) -> Result<()> {
    let config = Config::load(directory)?;
    let path = std::path::absolute(path).context(SETTINGS)?;
    if config
        .stores
        .iter()
        .any(|store| store.id == id || store.place == StoreLocation::Directory(path.clone()))
    {
        return Err(refused(format!(
            "there is a store {id} or one at {} already; see `server.toml`",
            path.display()
        )));
    }
    let text = edited(directory, |stores| {
        let mut table = Table::new();
        table.insert("id", value(id));
        table.insert("path", value(path.display().to_string()));
        stores.push(table);
        Ok(())
    })?;
    DirectoryStore::initialise(
        &path,
        &StoreIdentity {
            store: id.to_owned(),
            deployment: config.deployment.to_string(),
            created: now.to_string(),
            domain: domain.unwrap_or(DOMAIN_OF_DEVICE).to_owned(),
        },
    )
    .context("make the store")?;
    replace(directory, &text)
}

/// Marks a store as leaving. From the next start on, it is read only if others fail, and is neither written
/// nor counted.
///
/// # Errors
/// If there is no such store, or too few would stay.
pub fn drain(directory: &Path, id: &str) -> Result<()> {
    let text = edited(directory, |stores| {
        let table = stores.iter_mut().find(|table| names(table, id));
        let table = table.ok_or_else(|| refused(format!("there is no store {id}; see `server.toml`")))?;
        table.insert("leaving", value(true));
        Ok(())
    })?;
    replace(directory, &text)
}

/// What still prevents a store from leaving, and how much was examined.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Retiring {
    /// Number of objects on the leaving store.
    pub objects: u64,
    /// Objects of which too few other stores have a whole copy, at most [`LACKING_MAX`] of them.
    pub lacking: Vec<Key>,
    /// Number of all such objects.
    pub lacking_count: u64,
}

/// Most keys that are named of the objects that lack copies: enough to see their kind.
pub const LACKING_MAX: usize = 100;

/// Removes a drained store from the settings, once `copies` other stores have every object of it whole. Calls
/// `show` for every object that was examined.
///
/// # Errors
/// If it is not leaving, or cannot be read.
pub fn retire(directory: &Path, id: &str, show: &mut dyn FnMut(u64, u64)) -> Result<Retiring> {
    let config = Config::load(directory)?;
    let not_leaving = || {
        refused(format!(
            "store {id} is not leaving. Run `exhibit-server store drain` first, start the collector, and wait until \
             `exhibit store list` shows nothing wanting"
        ))
    };
    if !config.stores.iter().any(|store| store.id == id && store.leaving) {
        return Err(not_leaving());
    }
    let opened = open_for_check(&config, &Layout::new(directory));
    let (replicas, log_key) = opened.map_err(|error| match error {
        FoundationError::Store(StoreError::Transient { .. }) => {
            refused("a store is in use. Stop the collector first: what is compared must not change")
        }
        error => error.into(),
    })?;
    let leaving =
        replicas.leaving().iter().find(|store| store.identity().store == id).ok_or_else(not_leaving)?;
    let here = ledger_size(leaving.as_ref(), &log_key);
    let whole_ledgers = replicas
        .stores()
        .iter()
        .filter(|store| {
            let there = ledger_size(store.as_ref(), &log_key);
            there > 0 && there >= here
        })
        .count();
    if whole_ledgers < config.replication.copies {
        return Err(refused(format!(
            "only {whole_ledgers} other stores have the ledger whole. Start the collector, wait, and look with `exhibit-server fsck`"
        )));
    }
    let found = compare(&replicas, leaving.as_ref(), config.replication.copies, show)?;
    if found.lacking_count == 0 {
        let text = edited(directory, |stores| {
            stores.retain(|table| !names(table, id));
            Ok(())
        })?;
        replace(directory, &text)?;
    }
    Ok(found)
}

/// Number of entries in a store's copy of the ledger, with every tile derived again; 0 if anything is wrong
/// with it.
fn ledger_size(store: &dyn Store, key: &LogKeys) -> u64 {
    let leaves = check_store(store, key, &mut FsckReport::default());
    leaves.map_or(0, |leaves| len(&leaves))
}

/// Re-hashes, on the other stores, every object that `leaving` holds.
fn compare(
    replicas: &Replicas,
    leaving: &dyn Store,
    copies: usize,
    show: &mut dyn FnMut(u64, u64),
) -> Result<Retiring> {
    let keys: Vec<Key> = leaving
        .list("")
        .context("list the store")?
        .into_iter()
        .filter(|key| !matches!(key.kind(), KeyKind::Marker | KeyKind::Checkpoint | KeyKind::Tile))
        .collect();
    let total = len(&keys);
    let mut found = Retiring::default();
    for key in keys {
        found.objects += 1;
        show(found.objects, total);
        let is_whole =
            |store: &dyn Store| store.read(&key).is_ok_and(|bytes| key.check(&bytes) != ContentCheck::Wrong);
        let stores = replicas.stores().iter();
        let holders = stores.filter(|store| is_whole(store.as_ref())).count();
        // An object that was read here and has wrong bytes is no reason to keep the store. fsck reports such
        // objects.
        let is_damaged_here =
            || matches!(leaving.read(&key), Ok(bytes) if key.check(&bytes) == ContentCheck::Wrong);
        if holders < copies && !is_damaged_here() {
            found.lacking_count += 1;
            if found.lacking.len() < LACKING_MAX {
                found.lacking.push(key);
            }
        }
    }
    Ok(found)
}

fn names(table: &Table, id: &str) -> bool {
    table.get("id").and_then(Item::as_str) == Some(id)
}

/// The settings with their `[[store]]` tables changed, checked like at a start.
fn edited(directory: &Path, change: impl FnOnce(&mut ArrayOfTables) -> Result<()>) -> Result<String> {
    let path = directory.join(CONFIG_FILE);
    let text = fs_err::read_to_string(&path).context(SETTINGS)?;
    let mut document: DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| refused(format!("{}: {error}", path.display())))?;
    let stores = document.get_mut("store").and_then(Item::as_array_of_tables_mut);
    let stores =
        stores.ok_or_else(|| refused(format!("{}: there is no [[store]] to change", path.display())))?;
    change(stores)?;
    let text = document.to_string();
    match Config::parse(&text) {
        Ok(_) => Ok(text),
        Err(reason) => Err(refused(format!("the settings would not hold then: {reason}"))),
    }
}

/// Replaces the settings. They keep their mode.
fn replace(directory: &Path, text: &str) -> Result<()> {
    let path = directory.join(CONFIG_FILE);
    let permissions = fs_err::metadata(&path).context(SETTINGS)?.permissions();
    let mode = std::os::unix::fs::PermissionsExt::mode(&permissions) & 0o7777;
    durable::replace(&path, text.as_bytes(), mode).context(SETTINGS)
}
