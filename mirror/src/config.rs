//! `mirror.toml` and the pins beside it: where the collector is, where copies go, how fast.
//! Guarantee: an unknown or missing setting is an error. Not here: secrets, which lie below `keys/`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evidence::digest::Digest;
use evidence::enrolment::Address;
use evidence::id::{CollectorId, DeploymentId, MirrorId};
use evidence::roster::AuthoritySet;
use ledger::VerifierKey;
use serde::Deserialize;
use store::{Degraded, Key, Replicas, ReplicationPolicy, Store, StorePlace, Wanting, WantingSink};

use crate::chain;
use crate::log_keys::KeyRing;
use crate::rules::Pins;
use crate::throttle::parse_rate;

/// Name of the settings in the mirror's directory.
pub const CONFIG_FILE: &str = "mirror.toml";
/// The deployment's public card, as pinned by `init`.
pub const CARD_FILE: &str = "deployment.json";
/// The authority's public keys, as pinned by `init`.
pub const AUTHORITY_FILE: &str = "authority";

/// Settings of a mirror.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Deployment.
    pub deployment: DeploymentId,
    /// This mirror.
    pub mirror: MirrorId,
    /// `host:port` of the collector's main listener.
    pub collector: Address,
    /// `host:port` of its enrolment listener: certificates come from there.
    pub enrol: Address,
    /// Store of the collector to read bytes from, instead of asking the collector for them: a directory, or `s3:` and the file
    /// with the settings of a bucket.
    pub source: Option<PathBuf>,
    /// Where the witness answers, plain HTTP.
    pub listen: Option<SocketAddr>,
    /// `/metrics` over plain HTTP; keep it on loopback.
    pub metrics: Option<SocketAddr>,
    /// Most bytes a second from the collector, as `20 MiB/s`.
    pub bandwidth: String,
    /// Days in which the own store is read again as a whole.
    pub scrub_days: u32,
    /// Most bytes a second that a scrub reads.
    pub scrub_bandwidth: String,
    /// Own stores.
    #[serde(rename = "store")]
    pub stores: Vec<StoreConfig>,
}

/// One own store.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct StoreConfig {
    /// Its id, as in its `store.json`.
    pub id: String,
    /// Where it lies.
    pub place: StorePlace,
}

impl TryFrom<toml::Table> for StoreConfig {
    type Error = String;

    fn try_from(mut table: toml::Table) -> Result<Self, String> {
        let Some(toml::Value::String(id)) = table.remove("id") else {
            return Err("a [[store]] needs an id".to_owned());
        };
        let place = StorePlace::of_table(table).map_err(|error| format!("store `{id}`: {error}"))?;
        Ok(Self { id, place })
    }
}

/// `deployment.json`, what a mirror takes of it.
#[derive(Debug, Clone)]
pub struct Card {
    /// Deployment.
    pub deployment: DeploymentId,
    /// The collector.
    pub collector: CollectorId,
    /// CA certificate, DER.
    pub ca: Vec<u8>,
    /// The ledger's key.
    pub log_key: VerifierKey,
    /// Main listener.
    pub address: Address,
    /// Enrolment listener.
    pub enrol: Address,
}

#[derive(Deserialize)]
struct RawCard {
    deployment: DeploymentId,
    collector: CollectorId,
    ca: String,
    ca_sha256: Digest,
    log_key: String,
    address: Address,
    enrol_address: Address,
}

impl Card {
    /// Reads a card.
    ///
    /// # Errors
    /// When it is none, or its parts do not belong together.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let refused = |reason: String| ConfigError::Content { path: path.to_owned(), reason };
        let bytes = fs_err::read(path).map_err(ConfigError::Io)?;
        let raw: RawCard = serde_json::from_slice(&bytes).map_err(|error| refused(error.to_string()))?;
        let ca = STANDARD.decode(&raw.ca).map_err(|error| refused(format!("ca: {error}")))?;
        if Digest::of(&ca) != raw.ca_sha256 {
            return Err(refused("ca_sha256 is not the digest of ca".to_owned()));
        }
        let log_key = VerifierKey::parse(&raw.log_key).map_err(|error| refused(chain(&error)))?;
        if log_key.name() != format!("exhibit/{}", raw.deployment) {
            return Err(refused(format!("the log key is of {}", log_key.name())));
        }
        Ok(Self {
            deployment: raw.deployment,
            collector: raw.collector,
            ca,
            log_key,
            address: raw.address,
            enrol: raw.enrol_address,
        })
    }
}

/// Where things lie in a mirror's directory.
#[derive(Debug, Clone)]
pub struct Layout(pub PathBuf);

impl Layout {
    /// Private keys.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// TLS key with its chain.
    #[must_use]
    pub fn tls(&self) -> PathBuf {
        self.0.join("keys/tls")
    }

    /// Statements that were signed, and notes of interrupted collections.
    #[must_use]
    pub fn replicated(&self) -> PathBuf {
        self.0.join("replicated")
    }

    /// What lives only while the mirror runs.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    /// The settings.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let path = self.0.join(CONFIG_FILE);
        let text = fs_err::read_to_string(&path).map_err(ConfigError::Io)?;
        let refused = |reason: String| ConfigError::Content { path: path.clone(), reason };
        let config: Config = toml::from_str(&text).map_err(|error| refused(error.to_string()))?;
        if config.stores.is_empty() || config.scrub_days == 0 {
            return Err(refused("there must be a store, and scrub_days of at least 1".to_owned()));
        }
        parse_rate(&config.bandwidth).map_err(&refused)?;
        parse_rate(&config.scrub_bandwidth).map_err(&refused)?;
        Ok(config)
    }

    /// What was pinned.
    ///
    /// # Errors
    /// When card or authority cannot be read, or are of another deployment than the settings.
    pub fn pins(&self, deployment: &DeploymentId) -> Result<(Pins, Card), ConfigError> {
        let card = Card::read(&self.0.join(CARD_FILE))?;
        let path = self.0.join(AUTHORITY_FILE);
        let refused = |reason: String| ConfigError::Content { path: path.clone(), reason };
        let text = fs_err::read_to_string(&path).map_err(ConfigError::Io)?;
        let authority = AuthoritySet::from_trust_file(&text).map_err(|error| refused(chain(&error)))?;
        if card.deployment != *deployment {
            return Err(refused(format!("the card is of deployment {}", card.deployment)));
        }
        let log_keys = KeyRing::load(&self.0, deployment, &authority, &card.log_key).map_err(|why| {
            ConfigError::Content { path: self.0.join(crate::log_keys::LOG_KEYS), reason: why }
        })?;
        let pins = Pins {
            deployment: card.deployment.clone(),
            log_keys,
            ca_sha256: Digest::of(&card.ca),
            authority,
        };
        Ok((pins, card))
    }
}

/// Opens the own stores: every one of them must be there, for a mirror says that it holds.
///
/// # Errors
/// When one is away or another's.
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

/// Opens the own stores to read them, whether the mirror runs or not.
///
/// # Errors
/// When one is away or another's.
pub fn open_stores_to_read(config: &Config) -> Result<Replicas, ConfigError> {
    let mut stores: Vec<Arc<dyn Store>> = Vec::new();
    for store in &config.stores {
        let opened = store.place.open_to_read()?;
        check_identity(config, store, opened.as_ref())?;
        stores.push(opened);
    }
    Ok(replicas(stores))
}

/// Opens the store of the collector that bytes are read from: nothing in it is locked or written.
///
/// # Errors
/// When it is away, or of another deployment.
pub fn open_source(config: &Config) -> Result<Option<Arc<dyn Store>>, ConfigError> {
    let Some(given) = &config.source else {
        return Ok(None);
    };
    let refused = |reason: String| ConfigError::Content { path: given.clone(), reason };
    let opened = StorePlace::given(given).map_err(refused)?.open_to_read()?;
    let found = opened.identity();
    if found.deployment != config.deployment.as_str() {
        return Err(refused(format!("it is a store of deployment {}", found.deployment)));
    }
    Ok(Some(opened))
}

/// Stores that all must take what is created.
#[must_use]
pub fn replicas(stores: Vec<Arc<dyn Store>>) -> Replicas {
    let policy = ReplicationPolicy { copies: stores.len(), degraded: Degraded::Wait };
    Replicas::new(stores, policy, Arc::new(Said))
}

/// The scrub walks everything anyway; what is wanting in between is said.
struct Said;

impl WantingSink for Said {
    fn wanting(&self, store: &str, key: &Key, wanting: Wanting) {
        tracing::warn!(store, %key, ?wanting, "A copy is wanting");
    }
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file's content.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file.
    #[error("the mirror's directory")]
    Io(#[source] std::io::Error),
    /// A store.
    #[error("open the mirror's own store")]
    Store(#[from] store::StoreError),
}
