//! `mirror.toml`: where the collector is, where the copies go, and how fast to work. The pins lie beside it.
//! Guarantee: an unknown or missing setting is an error. Not here: secrets, which lie below `keys/`.

mod card;
mod layout;
mod stores;

use std::net::SocketAddr;
use std::path::PathBuf;

use evidence::enrolment::Address;
use evidence::id::{DeploymentId, MirrorId};
use serde::Deserialize;
use store::StoreLocation;
use store::settings::store_of_table;

pub use card::Card;
pub use layout::Layout;
pub(crate) use layout::read_authority;
pub(crate) use stores::{open_source, open_stores_to_read};
pub use stores::{open_stores, replicas};

/// File name of the settings in the mirror's directory.
pub const CONFIG_FILE: &str = "mirror.toml";
/// The deployment's public card, as pinned by `init`.
pub(crate) const CARD_FILE: &str = "deployment.json";
/// The authority's public keys, as pinned by `init`.
pub(crate) const AUTHORITY_FILE: &str = "authority";

/// Settings of a mirror.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub deployment: DeploymentId,
    pub mirror: MirrorId,
    /// `host:port` of the collector's main listener.
    pub collector: Address,
    /// `host:port` of its enrolment listener, which issues certificates.
    pub enrol: Address,
    /// Store of the collector to read bytes from, instead of asking the collector for them: a directory, or `s3:` and the file
    /// with the settings of a bucket.
    pub source: Option<PathBuf>,
    /// Where the witness listens, over plain HTTP.
    pub listen: Option<SocketAddr>,
    /// Where `/metrics` listens, over plain HTTP. Keep it on loopback.
    pub metrics: Option<SocketAddr>,
    /// Most bytes a second from the collector, as `20 MiB/s`.
    pub bandwidth: String,
    /// Number of days in which a scrub reads the mirror's whole own store again.
    pub scrub_days: u32,
    /// Most bytes a second that a scrub reads.
    pub scrub_bandwidth: String,
    #[serde(rename = "store")]
    pub stores: Vec<StoreConfig>,
}

/// One of the mirror's own stores.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct StoreConfig {
    /// Its id, as in its `store.json`.
    pub id: String,
    /// Its place.
    pub place: StoreLocation,
}

impl TryFrom<toml::Table> for StoreConfig {
    type Error = String;

    fn try_from(table: toml::Table) -> Result<Self, String> {
        let (id, place) = store_of_table(table)?;
        Ok(Self { id, place })
    }
}
