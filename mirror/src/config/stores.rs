//! Opens the mirror's own stores, and the collector's store that the mirror may read from.

use std::path::PathBuf;
use std::sync::Arc;

use store::{Degraded, Key, Replicas, ReplicationPolicy, Store, StoreLocation, Wanting, WantingSink};

use super::{Config, ConfigError, StoreConfig};

/// Opens the mirror's own stores. Every one must be there, because the mirror states that it holds its
/// copies.
///
/// # Errors
/// If a store is away, or belongs to somebody else.
pub fn open_stores(config: &Config) -> Result<Replicas, ConfigError> {
    let mut stores: Vec<Arc<dyn Store>> = Vec::new();
    for store in &config.stores {
        let opened = store.place.open()?;
        check_identity(config, store, opened.as_ref())?;
        stores.push(opened);
    }
    Ok(replicas(stores))
}

fn check_identity(config: &Config, named: &StoreConfig, opened: &dyn Store) -> Result<(), ConfigError> {
    let found = opened.identity();
    if found.store == named.id && found.deployment == config.deployment.as_str() {
        return Ok(());
    }
    Err(ConfigError::Content {
        path: PathBuf::from(named.place.to_string()),
        reason: format!("it is store {} of {}", found.store, found.deployment),
    })
}

/// Opens the mirror's own stores for reading. The mirror may be running meanwhile.
///
/// # Errors
/// If a store is away, or belongs to somebody else.
pub(crate) fn open_stores_to_read(config: &Config) -> Result<Replicas, ConfigError> {
    let mut stores: Vec<Arc<dyn Store>> = Vec::new();
    for store in &config.stores {
        let opened = store.place.open_to_read()?;
        check_identity(config, store, opened.as_ref())?;
        stores.push(opened);
    }
    Ok(replicas(stores))
}

/// Opens the store of the collector that the mirror reads bytes from. Locks and writes nothing there.
///
/// # Errors
/// If the store is away, or belongs to another deployment.
pub(crate) fn open_source(config: &Config) -> Result<Option<Arc<dyn Store>>, ConfigError> {
    let Some(given) = &config.source else {
        return Ok(None);
    };
    let refused = |reason: String| ConfigError::Content { path: given.clone(), reason };
    let opened = StoreLocation::given(given).map_err(refused)?.open_to_read()?;
    let found = opened.identity();
    if found.deployment != config.deployment.as_str() {
        return Err(refused(format!("it is a store of deployment {}", found.deployment)));
    }
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
