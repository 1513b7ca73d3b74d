//! Opens the mirror's own stores, and the collector's store that the mirror may read from.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use store::{Degraded, Key, Replicas, ReplicationPolicy, Store, StoreLocation, Wanting, WantingSink};

use super::{CONFIG_FILE, Config, StoreConfig};

/// Opens the mirror's own stores. Every one must be there, because the mirror states that it holds its
/// copies.
///
/// # Errors
/// If a store is away, or belongs to somebody else.
pub fn open_stores(config: &Config) -> anyhow::Result<Replicas> {
    let mut stores: Vec<Arc<dyn Store>> = Vec::new();
    for store in &config.stores {
        let opened = store.place.open().with_context(|| cannot_open(store))?;
        check_identity(config, store, opened.as_ref())?;
        stores.push(opened);
    }
    Ok(replicas(stores))
}

fn cannot_open(store: &StoreConfig) -> String {
    format!(
        "open the mirror's own store {} at {}. Bring it back, or correct its [[store]] in {CONFIG_FILE}",
        store.id, store.place
    )
}

fn check_identity(config: &Config, named: &StoreConfig, opened: &dyn Store) -> anyhow::Result<()> {
    let found = opened.identity();
    ensure!(
        found.store == named.id && found.deployment == config.deployment.as_str(),
        "{}: it is store {} of {}, not {} of {}. Mount the right one there, or correct its [[store]] in {CONFIG_FILE}",
        named.place,
        found.store,
        found.deployment,
        named.id,
        config.deployment
    );
    Ok(())
}

/// Opens the mirror's own stores for reading. The mirror may be running meanwhile.
///
/// # Errors
/// If a store is away, or belongs to somebody else.
pub(crate) fn open_stores_to_read(config: &Config) -> anyhow::Result<Replicas> {
    let mut stores: Vec<Arc<dyn Store>> = Vec::new();
    for store in &config.stores {
        let opened = store.place.open_to_read().with_context(|| cannot_open(store))?;
        check_identity(config, store, opened.as_ref())?;
        stores.push(opened);
    }
    Ok(replicas(stores))
}

/// Opens the store of the collector that the mirror reads bytes from. Locks and writes nothing there.
///
/// # Errors
/// If the store is away, or belongs to another deployment.
pub(crate) fn open_source(config: &Config) -> anyhow::Result<Option<Arc<dyn Store>>> {
    let Some(given) = &config.source else {
        return Ok(None);
    };
    let opened = StoreLocation::given(given)
        .map_err(anyhow::Error::msg)
        .and_then(|place| Ok(place.open_to_read()?))
        .with_context(|| {
            format!(
                "open the collector's store {}. Bring it back, or take `source` out of {CONFIG_FILE}: then the mirror asks the \
                 collector",
                given.display()
            )
        })?;
    let found = opened.identity();
    ensure!(
        found.deployment == config.deployment.as_str(),
        "{}: it is a store of deployment {}, not of {}. Correct `source` in {CONFIG_FILE}",
        given.display(),
        found.deployment,
        config.deployment
    );
    Ok(Some(opened))
}

/// The mirror's stores. Each of them must take every new object.
#[must_use]
pub fn replicas(stores: Vec<Arc<dyn Store>>) -> Replicas {
    let policy = ReplicationPolicy { copies: stores.len(), degraded: Degraded::Wait };
    Replicas::new(stores, policy, Arc::new(Said))
}

/// Logs a missing copy. That is enough: the scrub reads everything anyway and finds it again.
struct Said;

impl WantingSink for Said {
    fn wanting(&self, store: &str, key: &Key, wanting: Wanting) {
        tracing::warn!(store, %key, ?wanting, "A copy is wanting");
    }
}
