//! Opens what a collector stands on, in the one right order: settings, database, stores, ledger, authority.
//! Guarantee: it creates nothing. A wrong mode, a foreign store or two histories stop the start. Not here: listeners and services
//! (`run`).

use crate::config::layout::{Layout, LayoutError, read_authority};
use crate::log::log_key::Purpose;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use certs::authority::Authority;
use evidence::digest::Digest;
use evidence::id::DeploymentId;
use evidence::log_key::LogKeys;
use evidence::roster::AuthoritySet;
use evidence::time::Time;
use store::{Key, Replicas, Store, StoreError, StoreIdentity, UnavailableStore, Wanting, WantingSink};

use crate::config::{CONFIG_FILE, Config, StoreConfig, StoreLocation};
use crate::log::ledger::{
    CheckpointSigner, KeyFileError, KeyedSigner, ProcessSigner, Sequencer, SequencerParts, SignerError,
    StartError, origin,
};
use crate::log::log_key::{self, HeldKeysError};
use crate::ops::capabilities::{RecordError, record_at_start};
use crate::ops::restored::PENDING_FILE;
use crate::rows::{Db, DbError, QueueSink};

/// Number of read connections of the database: enough for the blocking threads of a handful of services.
const READERS: usize = 8;

/// An opened collector, without its listeners.
pub struct Foundation {
    /// Settings.
    pub config: Config,
    /// The paths in the collector's directory.
    pub layout: Layout,
    /// The database.
    pub db: Db,
    /// The stores.
    pub replicas: Replicas,
    /// Number of capabilities that buckets had and have no longer.
    pub capabilities_lost: usize,
    /// Ledger.
    pub sequencer: Sequencer,
    /// The authority, which signs rosters.
    pub authority: AuthoritySet,
    /// The certificate authority.
    pub certificates: Authority,
}

impl Foundation {
    /// Opens everything, starts the signer process (`program __signer`), and finishes what a crash left.
    /// Blocks on disks.
    pub fn open(directory: &Path, program: &Path) -> Result<Self, FoundationError> {
        Self::open_for(directory, program, Purpose::Service)
    }

    /// As [`Self::open`], for recording a change of the log key: opens even if the change is not recorded
    /// yet.
    pub(crate) fn open_for(
        directory: &Path,
        program: &Path,
        purpose: Purpose,
    ) -> Result<Self, FoundationError> {
        let layout = Layout::new(directory);
        let config = Config::load(directory)?;
        layout.check_modes()?;
        remove_old_left_over(directory)?;
        warn_of_staged_settings(directory);
        let authority = read_authority(&layout.authority())?;
        let certificates = Authority::load(&layout.ca(), config.deployment.clone())
            .map_err(|source| FoundationError::Certificates { source })?;
        let db = Db::open(&layout.database(), READERS)?;
        let keys = log_key::recorded(log_key::keys_held(&layout, &config)?, &db, purpose)?;
        let replicas = open_replicas(&config, &db)?;
        log_key::tell_stores(&layout, &replicas)?;
        let staying = replicas.stores().iter().map(|store| store.identity().store.clone());
        let staying: Vec<String> = staying.collect();
        db.write(move |tx| crate::rows::keep_only(tx, &staying))?;
        let capabilities_lost = record_at_start(&layout, &replicas, crate::clock::now())?;
        let signer: Arc<dyn CheckpointSigner> =
            Arc::new(ProcessSigner::start(program, &layout.log_key(), &origin(config.deployment.as_str()))?);
        let signer: Arc<dyn CheckpointSigner> = Arc::new(KeyedSigner::new(signer, keys)?);
        let sequencer = Sequencer::start(SequencerParts {
            deployment: config.deployment.clone(),
            authority: authority.clone(),
            ca_sha256: Digest(certificates.fingerprint()),
            db: db.clone(),
            replicas: replicas.clone(),
            signer,
            clock: crate::clock::now,
        })?;
        Ok(Self { config, layout, db, replicas, capabilities_lost, sequencer, authority, certificates })
    }
}

/// Removes what a crash of an older version left beside the record of a restore. No version reads it, and no person writes it.
fn remove_old_left_over(directory: &Path) -> Result<(), FoundationError> {
    let left_over = directory.join(format!("{PENDING_FILE}.next"));
    if left_over.is_file() {
        durable::remove(&left_over)
            .map_err(|source| FoundationError::LeftOver { path: left_over, source })?;
    }
    Ok(())
}

/// Tells of a file that a crash of an older version may have left beside the settings. It stays: an administrator may have
/// prepared new settings under this name.
fn warn_of_staged_settings(directory: &Path) {
    let path = directory.join(format!("{CONFIG_FILE}.next"));
    if path.is_file() {
        tracing::warn!(
            path = %path.display(),
            "This file was left by an interrupted change or by you; nothing reads it; remove it"
        );
    }
}

/// Opens every configured store. A store that is away gets a stand-in.
pub(crate) fn open_replicas(config: &Config, db: &Db) -> Result<Replicas, FoundationError> {
    replicas_of(config, Measure::Yes, Arc::new(QueueSink(db.clone())))
}

/// Stores and the public log key of a collector that is not running, for checks: nothing is queued or written.
///
/// # Errors
/// If a store belongs to somebody else or the card cannot be read.
pub fn open_for_check(config: &Config, layout: &Layout) -> Result<(Replicas, LogKeys), FoundationError> {
    Ok((replicas_of(config, Measure::No, Arc::new(Unheard))?, log_key::keys_held(layout, config)?))
}

fn replicas_of(
    config: &Config,
    measure: Measure,
    sink: Arc<dyn WantingSink>,
) -> Result<Replicas, FoundationError> {
    let (stores, leaving) = open_stores(config, measure)?;
    Ok(Replicas::new(stores, config.replication.into(), sink).with_leaving(leaving))
}

/// While nothing runs there is no queue. The next start scans the stores.
pub(crate) struct Unheard;

impl WantingSink for Unheard {
    fn wanting(&self, store: &str, key: &Key, wanting: Wanting) {
        tracing::warn!(store, %key, ?wanting, "A replica is wanting");
    }
}

/// The stores that stay, and the stores that are being drained.
type Opened = (Vec<Arc<dyn Store>>, Vec<Arc<dyn Store>>);

/// Whether opening a bucket also measures it. Measuring writes to the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Do not measure, for a check. The bucket then counts as able to do only the minimum.
    No,
    /// Measure, for service.
    Yes,
}

/// Makes an empty store at the place that the settings name.
///
/// # Errors
/// If something is there already, or the place accepts nothing.
pub(crate) fn make_store(
    deployment: &DeploymentId,
    store: &StoreConfig,
    now: Time,
) -> Result<(), StoreError> {
    let identity = StoreIdentity {
        store: store.id.clone(),
        deployment: deployment.to_string(),
        created: now.to_string(),
        domain: store.place.domain(),
    };
    store.place.initialise(&identity)
}

/// Whether the place holds a store with the settings' id and deployment.
///
/// # Errors
/// If another store is there, or nobody can tell.
pub(crate) fn has_store(config: &Config, store: &StoreConfig) -> Result<bool, FoundationError> {
    match open_store(store, Measure::No) {
        Ok(found) => check_identity(config, store, found.identity()).map(|()| true),
        Err(StoreError::Marker { .. } | StoreError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn open_store(store: &StoreConfig, measure: Measure) -> Result<Arc<dyn Store>, StoreError> {
    match (&store.place, measure) {
        (place @ StoreLocation::Bucket(_), Measure::No) => place.open_to_read(),
        (place, _) => place.open(),
    }
}

/// A store that is away leaves the collector degraded. A store that belongs to somebody else is a mistake,
/// and no collector should start with it.
pub(crate) fn open_stores(config: &Config, measure: Measure) -> Result<Opened, FoundationError> {
    let mut opened = Opened::default();
    for store in &config.stores {
        let stores = if store.leaving { &mut opened.1 } else { &mut opened.0 };
        match (open_store(store, measure), &store.place) {
            (Ok(found), _) => {
                check_identity(config, store, found.identity())?;
                stores.push(found);
            }
            // Another process holds it.
            (Err(error @ StoreError::Transient { .. }), StoreLocation::Directory(_)) => {
                return Err(error.into());
            }
            (Err(error), _) => {
                tracing::error!(
                    store = store.id,
                    error = &error as &dyn std::error::Error,
                    "A store is away; nothing is written to it until the collector is restarted with it"
                );
                let identity = StoreIdentity {
                    store: store.id.clone(),
                    deployment: config.deployment.to_string(),
                    created: String::new(),
                    domain: "(away)".to_owned(),
                };
                let why = crate::failure::chain(&error);
                stores.push(Arc::new(UnavailableStore::new(identity, why)));
            }
        }
    }
    Ok(opened)
}

fn check_identity(
    config: &Config,
    store: &StoreConfig,
    found: &StoreIdentity,
) -> Result<(), FoundationError> {
    if found.store == store.id && found.deployment == config.deployment.as_str() {
        return Ok(());
    }
    Err(FoundationError::ForeignStore {
        place: store.place.to_string(),
        found: format!("{} of {}", found.store, found.deployment),
        expected: format!("{} of {}", store.id, config.deployment),
    })
}

/// Why a collector does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FoundationError {
    /// The certificate authority.
    #[error("open the certificate authority")]
    Certificates {
        /// Why.
        #[source]
        source: certs::authority::AuthorityError,
    },
    /// Settings.
    #[error("read settings")]
    Config(#[from] store::settings::SettingsError),
    /// Database.
    #[error("open the database")]
    Db(#[from] DbError),
    /// A store of another deployment or under another id.
    #[error("{place} is store {found}, not {expected}. Correct its place in `server.toml`")]
    ForeignStore {
        /// Its place.
        place: String,
        /// Which store it is.
        found: String,
        /// Which store it should be.
        expected: String,
    },
    /// A part of the directory.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// What a crash of an older version left could not be removed.
    #[error("remove `{}`, which a crash of an older version left", path.display())]
    LeftOver {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The log key.
    #[error("open the log key")]
    Key(#[from] KeyFileError),
    /// The log's keys.
    #[error("read who signs the ledger")]
    LogKeys(#[from] HeldKeysError),
    /// The ledger.
    #[error("start the ledger")]
    Ledger(#[from] StartError),
    /// The signer process.
    #[error("start the signer")]
    Signer(#[from] SignerError),
    /// The records of what buckets could do.
    #[error("compare what the stores can do with what they could")]
    Record(#[from] RecordError),
    /// A store.
    #[error("open the stores")]
    Store(#[from] StoreError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_older_versions_left_is_removed_and_nothing_that_a_person_may_have_made() {
        let directory = tempfile::tempdir().unwrap();
        let names =
            ["server.toml", "server.toml.next", "restore.pending.next", ".server.toml.next", "other.next"];
        for name in names {
            fs_err::write(directory.path().join(name), name).unwrap();
        }
        for _ in 0..2 {
            remove_old_left_over(directory.path()).unwrap();
            warn_of_staged_settings(directory.path());
        }
        let stays = names.map(|name| directory.path().join(name).exists());
        assert_eq!(stays, [true, true, false, true, true]);
    }
}
