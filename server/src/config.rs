//! `server.toml`: where the parts are and what the policy asks for. `init` writes it with comments; people edit it.
//! Guarantee: an unknown or missing setting is an error, never a default that nobody chose. Not here: secrets. Each key has a file
//! of its own below `keys/`.

pub mod layout;
pub(crate) mod pace;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use evidence::enrolment::Address;
use evidence::id::{CollectorId, DeploymentId};
use serde::Deserialize;
pub(crate) use store::StoreLocation;
use store::settings::{self, SettingsError, quoted, store_of_table, store_to_toml};
use store::{Degraded, ReplicationPolicy};

use crate::config::pace::Pace;

/// Most time-stamping authorities: a bundle has names for only so many stamps.
const TSAS_MAX: usize = 8;

/// Name of the file in the collector's directory.
pub const CONFIG_FILE: &str = "server.toml";

/// Settings of a collector.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Deployment.
    pub deployment: DeploymentId,
    /// This collector.
    pub collector: CollectorId,
    /// The addresses on which it listens.
    pub listen: Listen,
    /// The addresses at which others reach it.
    pub reach: Reach,
    /// How many copies an acknowledgement promises.
    pub replication: Replication,
    /// Stores, in order of preference for reads.
    #[serde(rename = "store")]
    pub stores: Vec<StoreConfig>,
    /// Time-stamping authorities.
    #[serde(default, rename = "tsa")]
    pub tsas: Vec<TsaConfig>,
    /// How the collector re-reads the stores. If absent: every 30 days, at most 32 MiB/s.
    pub scrub: Option<ScrubConfig>,
}

/// Listeners.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Agents and people, mutual TLS.
    pub main: SocketAddr,
    /// Enrolment and login, TLS with the collector's certificate only.
    pub enrol: SocketAddr,
    /// `/metrics` over plain HTTP; keep it on loopback.
    pub metrics: Option<SocketAddr>,
}

/// Addresses as tokens and cards tell them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reach {
    /// Main listener.
    pub main: Address,
    /// Enrolment listener.
    pub enrol: Address,
}

/// Replication policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replication {
    /// Stores that must hold a segment before it is acknowledged.
    pub copies: usize,
    /// What to do if fewer stores can hold it.
    pub degraded: Degraded,
}

impl From<Replication> for ReplicationPolicy {
    fn from(replication: Replication) -> Self {
        Self { copies: replication.copies, degraded: replication.degraded }
    }
}

/// One store.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct StoreConfig {
    /// Its id, as in its `store.json`.
    pub id: String,
    /// The place of the store.
    pub place: StoreLocation,
    /// True if the store is being drained: the collector reads it if others fail, and neither writes nor counts it.
    pub leaving: bool,
}

/// Re-reading of the stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScrubConfig {
    /// The collector reads each object of each store whole at least once in so many days.
    pub every_days: u32,
    /// Most MiB to read each second from each store.
    pub rate_mib_s: u32,
}

impl Default for ScrubConfig {
    fn default() -> Self {
        Self { every_days: 30, rate_mib_s: 32 }
    }
}

impl From<ScrubConfig> for Pace {
    fn from(scrub: ScrubConfig) -> Self {
        Self {
            every: Duration::from_secs(u64::from(scrub.every_days) * 86_400),
            rate_max: u64::from(scrub.rate_mib_s) << 20,
        }
    }
}

/// Written by hand: derived code cannot both default a missing kind and refuse unknown settings.
impl TryFrom<toml::Table> for StoreConfig {
    type Error = String;

    fn try_from(mut table: toml::Table) -> Result<Self, String> {
        let leaving = table.remove("leaving");
        let (id, place) = store_of_table(table)?;
        let leaving = match leaving {
            None => false,
            Some(toml::Value::Boolean(leaving)) => leaving,
            Some(_) => return Err(format!("store `{id}`: leaving is true or false")),
        };
        Ok(Self { id, place, leaving })
    }
}

/// Time-stamping authority.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TsaConfig {
    /// `http://…` or `https://…`; RFC 3161 answers carry their own signature.
    pub url: String,
    /// Seconds between stamps while the ledger grows.
    pub every_s: u64,
    /// Seconds to wait for an answer.
    pub timeout_s: u64,
}

impl Config {
    /// Reads `server.toml` of a collector's directory.
    ///
    /// # Errors
    /// If the file cannot be read, or a setting is unknown, missing or contradicts another.
    pub fn load(directory: &Path) -> Result<Self, SettingsError> {
        settings::read(&directory.join(CONFIG_FILE), Self::check)
    }

    /// Parses settings.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        settings::parse(text, Self::check)
    }

    fn check(config: &Self) -> Result<(), String> {
        let stores = config.stores.iter().filter(|store| !store.leaving).count();
        if stores == 0 || config.replication.copies == 0 {
            return Err("there must be a store and at least one copy".to_owned());
        }
        if config.replication.copies > stores {
            let copies = config.replication.copies;
            return Err(format!("`copies = {copies}` asks for more stores than the {stores} that stay"));
        }
        for (number, store) in config.stores.iter().enumerate() {
            let others = config.stores.iter().take(number);
            if others.into_iter().any(|other| other.id == store.id || other.place.is_same(&store.place)) {
                return Err(format!("store `{}` is named twice", store.id));
            }
        }
        if config.scrub.is_some_and(|scrub| scrub.every_days == 0 || scrub.rate_mib_s == 0) {
            return Err("`every_days` and `rate_mib_s` of [scrub] must be at least 1".to_owned());
        }
        if config.tsas.len() > TSAS_MAX {
            return Err(format!("there may be {TSAS_MAX} [[tsa]] at most"));
        }
        for (number, tsa) in config.tsas.iter().enumerate() {
            crate::outbound::check_url(&tsa.url)?;
            if tsa.every_s == 0 || tsa.timeout_s == 0 {
                return Err("`every_s` and `timeout_s` of [[tsa]] must be at least 1".to_owned());
            }
            if config.tsas.iter().take(number).any(|other| other.url == tsa.url) {
                return Err(format!("time-stamping authority {} is named twice", tsa.url));
            }
        }
        Ok(())
    }

    /// The file that `init` writes: every setting with its meaning. Parsing it gives the same settings.
    pub(crate) fn to_commented(&self) -> String {
        let Self { deployment, collector, listen, reach, replication, stores, tsas, scrub } = self;
        let degraded = match replication.degraded {
            Degraded::Accept => "accept",
            Degraded::Wait => "wait",
        };
        let mut text = format!(
            "# Collector of deployment {deployment}. Restart it after a change. No secret stands here.\n\
             deployment = {}\ncollector = {}\n\n\
             [listen]\n# Agents and people, mutual TLS; a port of 0 takes a free one, see run/addresses.json.\nmain = {}\n\
             # Enrolment and login.\nenrol = {}\n",
            quoted(deployment.as_str()),
            quoted(collector.as_str()),
            quoted(&listen.main.to_string()),
            quoted(&listen.enrol.to_string()),
        );
        match listen.metrics {
            Some(metrics) => text.push_str(&format!(
                "# Plain HTTP: keep it on loopback.\nmetrics = {}\n",
                quoted(&metrics.to_string())
            )),
            None => text.push_str("# Plain HTTP: keep it on loopback.\n# metrics = \"127.0.0.1:9464\"\n"),
        }
        text.push_str(&format!(
            "\n[reach]\n# As endpoints and people reach the two listeners; stands in enrolment tokens.\nmain = {}\nenrol = {}\n\n\
             [replication]\n# Stores that must hold a segment before the endpoint may forget it.\ncopies = {}\n\
             # When fewer can be written: \"wait\" holds uploads back, \"accept\" goes on and says \"degraded\" everywhere.\n\
             degraded = {}\n",
            quoted(reach.main.as_str()),
            quoted(reach.enrol.as_str()),
            replication.copies,
            quoted(degraded),
        ));
        for store in stores {
            text.push_str(&format!("\n{}", store_to_toml(&store.id, &store.place)));
            if store.leaving {
                text.push_str("leaving = true\n");
            }
        }
        let (mark, shown) = match scrub {
            Some(scrub) => ("", *scrub),
            None => ("# ", ScrubConfig::default()),
        };
        text.push_str(&format!(
            "\n# Each object of each store is read again and re-hashed within so many days, at most so fast.\n\
             {mark}[scrub]\n{mark}every_days = {}\n{mark}rate_mib_s = {}\n",
            shown.every_days, shown.rate_mib_s
        ));
        text.push_str("\n# RFC 3161 over HTTP; stamp the ledger's newest checkpoint while it grows. Two of different operators are better.\n");
        if tsas.is_empty() {
            text.push_str(
                "# [[tsa]]\n# url = \"http://tsa.example.org/\"\n# every_s = 3600\n# timeout_s = 30\n",
            );
        }
        for TsaConfig { url, every_s, timeout_s } in tsas {
            text.push_str(&format!(
                "[[tsa]]\nurl = {}\nevery_s = {every_s}\ntimeout_s = {timeout_s}\n",
                quoted(url)
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use store::S3Settings;

    use super::*;

    fn example() -> Config {
        Config {
            deployment: "acme".parse().unwrap(),
            collector: "collector-1".parse().unwrap(),
            listen: Listen {
                main: "0.0.0.0:7443".parse().unwrap(),
                enrol: "[::1]:0".parse().unwrap(),
                metrics: Some("127.0.0.1:9464".parse().unwrap()),
            },
            reach: Reach {
                main: "c.example.org:7443".parse().unwrap(),
                enrol: "c.example.org:7444".parse().unwrap(),
            },
            replication: Replication { copies: 2, degraded: Degraded::Accept },
            stores: vec![
                StoreConfig {
                    id: "store-1".into(),
                    place: PathBuf::from("/disk 1/\"ev\"\\").into(),
                    leaving: false,
                },
                StoreConfig {
                    id: "store-2".into(),
                    place: PathBuf::from("/disk2/ev").into(),
                    leaving: false,
                },
                StoreConfig { id: "store-3".into(), place: StoreLocation::Bucket(bucket()), leaving: false },
                StoreConfig { id: "store-4".into(), place: PathBuf::from("/disk4/ev").into(), leaving: true },
            ],
            scrub: Some(ScrubConfig { every_days: 7, rate_mib_s: 100 }),
            tsas: ["http://tsa.example.org/tsr", "http://tsa.example.net/"]
                .map(|url| TsaConfig { url: url.into(), every_s: 60, timeout_s: 5 })
                .into(),
        }
    }

    fn bucket() -> S3Settings {
        S3Settings {
            region: "eu-1".into(),
            credentials: Some("/etc/exhibit/bucket.credentials".into()),
            ca_file: Some("/etc/exhibit/ca.pem".into()),
            path_style: false,
            kms_key: Some("alias/evidence".into()),
            retention: Some(store::Retention { mode: store::LockMode::Compliance, days: 400 }),
            domain: Some("provider 2".into()),
            timeout_s: 5,
            ..sparse_bucket()
        }
    }

    fn sparse_bucket() -> S3Settings {
        S3Settings::parse(
            "endpoint = \"https://s3.example.org\"\nbucket = \"evidence\"\nprefix = \"acme/\"\n",
        )
        .unwrap()
    }

    #[test]
    fn a_file_of_before_there_were_buckets_stays_valid() {
        let text = example().to_commented();
        assert!(text.contains("\n[[store]]\nid = \"store-2\"\npath = \"/disk2/ev\"\n"));
        assert!(!text.contains("kind = \"directory\""));
        let spelled = text.replacen("path = \"/disk2/ev\"", "kind = \"directory\"\npath = \"/disk2/ev\"", 1);
        assert_eq!(Config::parse(&spelled), Ok(example()));
    }

    #[test]
    fn what_init_writes_reads_back_as_the_same_settings() {
        let full = example();
        assert_eq!(Config::parse(&full.to_commented()), Ok(full.clone()));
        let listen = Listen { metrics: None, ..full.listen.clone() };
        let mut sparse = Config { tsas: Vec::new(), scrub: None, listen, ..full };
        sparse.stores[2].place = StoreLocation::Bucket(sparse_bucket());
        assert_eq!(Config::parse(&sparse.to_commented()), Ok(sparse));
    }

    #[test]
    fn contradictions_and_unknown_settings_are_refused() {
        let text = example().to_commented();
        for (from, to) in [
            ("copies = 2", "copies = 4"),
            ("kind = \"s3\"", "kind = \"ftp\""),
            ("kind = \"s3\"", "path = \"/x\""),
            ("path_style = false", "path_stile = false"),
            ("bucket = \"evidence\"", "bucket = \"\""),
            ("path = \"/disk2/ev\"", "path = \"/disk2/ev\"\nbucket = \"evidence\""),
            ("mode = \"compliance\"", "mode = \"forever\""),
            ("copies = 2", "copies = 0"),
            ("copies = 2", "copies = 2\nspeed = 9"),
            ("degraded = \"accept\"", "degraded = \"maybe\""),
            ("id = \"store-2\"", "id = \"store-1\""),
            ("http://", "ftp://"),
            ("http://tsa.example.net/", "http://tsa.example.org/tsr"),
            ("every_s = 60", "every_s = 0"),
            ("every_days = 7", "every_days = 0"),
            ("deployment = \"acme\"", "deployment = \"Acme\""),
            ("[replication]", "[replicas]"),
        ] {
            assert!(text.contains(from), "{from}");
            assert!(Config::parse(&text.replacen(from, to, 1)).is_err(), "{to}");
        }
    }
}
