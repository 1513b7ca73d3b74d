//! Makes a collector: keys, database, stores, settings, public card, first ledger entries. Guarantee: `init`
//! neither reads nor makes a private key of the authority or of a person. It never touches an existing
//! directory or store. It writes `server.toml` last, so a directory that has this file is whole. Not here:
//! the roster (`exhibit authority`).

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certs::authority::Authority;
use evidence::digest::Digest;
use evidence::enrolment::Address;
use evidence::entry::act::{Act, ActNonce, ActType};
use evidence::entry::{ActObject, EntryType};
use evidence::id::{Actor, Chain, CollectorId, DeploymentId};
use evidence::json;
use evidence::roster::{AuthoritySet, Roster};
use evidence::signed::Signed;
use evidence::time::Time;
use store::{Degraded, StoreError};

use crate::config::layout::{Layout, LayoutError, read_authority};
use crate::config::{CONFIG_FILE, Config, Listen, Reach, Replication, StoreConfig, StoreLocation, TsaConfig};
use crate::log::ledger::{
    CheckpointSigner, KeyFileError, LocalSigner, PendingEntry, Sequencer, SequencerParts, StartError,
    SubmitError, create_log_key, origin,
};
use crate::ops::capabilities::record_at_start;
use crate::ops::foundation::{FoundationError, make_store, open_replicas};
use crate::rows::{Db, DbError};

/// The options of `init`.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// The collector's directory: empty or not there yet.
    pub directory: PathBuf,
    /// File of authority keys.
    pub authority: PathBuf,
    /// The roster in force, signed.
    pub roster: PathBuf,
    /// Where to put the stores.
    pub stores: Vec<StoreLocation>,
    /// Must equal the roster's deployment, if given.
    pub deployment: Option<DeploymentId>,
    /// This collector's id.
    pub collector: CollectorId,
    /// Main listener.
    pub listen: SocketAddr,
    /// Enrolment listener.
    pub enrol_listen: SocketAddr,
    /// Metrics listener.
    pub metrics_listen: Option<SocketAddr>,
    /// Address at which others reach the main listener; the listening address if `None`.
    pub reach: Option<Address>,
    /// Address at which others reach the enrolment listener.
    pub enrol_reach: Option<Address>,
    /// How many stores must hold a segment; if `None`, all, at most 2.
    pub copies: Option<usize>,
    /// What to do if that many cannot hold it.
    pub degraded: Degraded,
    /// Time-stamping authorities.
    pub tsas: Vec<String>,
}

/// The new collector, for the user.
#[derive(Debug, Clone)]
pub struct Initialised {
    /// Deployment, as the roster names it.
    pub deployment: DeploymentId,
    /// Verifier key of the ledger.
    pub log_key: String,
    /// SHA-256 of the certificate authority.
    pub ca_sha256: Digest,
    /// Id of the authority set.
    pub authority: Digest,
    /// True if two stores can fail independently.
    pub independent: bool,
    /// Number of ledger entries.
    pub entries: u64,
}

/// Makes a collector.
///
/// # Errors
/// Before anything is made, if the roster or a place cannot be used. After that, the error says what failed:
/// remove what was made and begin again.
pub fn init(options: &InitOptions, now: Time) -> Result<Initialised, InitError> {
    let authority = read_authority(&options.authority).map_err(FoundationError::from)?;
    let (roster, signed) = read_roster(options, &authority, now)?;
    let deployment = roster.deployment.clone();
    let config = settings(options, &deployment)?;
    let layout = Layout::new(&options.directory);
    make_directory(&layout.directory)?;
    layout_directories(&layout)?;

    let certificates =
        Authority::create(deployment.clone(), now).map_err(|source| InitError::Certificates { source })?;
    certificates.save(&layout.ca()).map_err(|source| InitError::Certificates { source })?;
    let seed = create_log_key(&layout.log_key())?;
    let signer = LocalSigner::new(&origin(deployment.as_str()), &seed).map_err(StartError::from)?;
    let log_key = signer.verifier_key().to_string();
    for store in &config.stores {
        make_store(&config.deployment, store, now)?;
    }
    Db::create(&layout.database())?;
    write_file(&layout.authority(), authority.to_trust_file().as_bytes(), 0o644)?;
    let ca_sha256 = Digest(certificates.fingerprint());
    let card = card(&config, &certificates, &log_key)?;
    write_file(&layout.card(), card.as_bytes(), 0o644)?;

    let db = Db::open(&layout.database(), 1)?;
    let replicas = open_replicas(&config, &db)?;
    record_at_start(&layout, &replicas, now).map_err(FoundationError::from)?;
    let independent = replicas.at_best().independent;
    let signer: Arc<dyn CheckpointSigner> = Arc::new(signer);
    let clock = crate::clock::now;
    let sequencer = Sequencer::start(SequencerParts {
        deployment: deployment.clone(),
        authority: authority.clone(),
        ca_sha256,
        db,
        replicas,
        signer,
        clock,
    })?;
    sequencer.submit_blocking(genesis(&config, &authority, ca_sha256, &log_key, now)?)?;
    let last = sequencer.submit_blocking(roster_entry(&roster, &signed))?;
    sequencer.stop().map_err(|reason| SubmitError::Stopped { reason })?;
    write_file(&layout.directory.join(CONFIG_FILE), config.to_commented().as_bytes(), 0o600)?;
    let entries = last.index + 1;
    Ok(Initialised { deployment, log_key, ca_sha256, authority: authority.id(), independent, entries })
}

fn read_roster(
    options: &InitOptions,
    authority: &AuthoritySet,
    now: Time,
) -> Result<(Roster, Signed), InitError> {
    let bytes = fs_err::read(&options.roster).map_err(|source| InitError::Io { source })?;
    let refused = |reason: String| InitError::Roster { path: options.roster.clone(), reason };
    let signed = Signed::parse(&bytes).map_err(|error| refused(error.to_string()))?;
    let claimed: Roster = signed.read().map_err(|error| refused(error.to_string()))?;
    if let Some(expected) = options.deployment.as_ref().filter(|expected| **expected != claimed.deployment) {
        return Err(refused(format!("it is of deployment {}, not {expected}", claimed.deployment)));
    }
    let admitted = Roster::admit(&signed, &claimed.deployment, authority, None, now)
        .map_err(|error| refused(error.to_string()))?;
    Ok((admitted.roster().clone(), signed))
}

fn settings(options: &InitOptions, deployment: &DeploymentId) -> Result<Config, InitError> {
    let stores: Vec<StoreConfig> = (1..)
        .zip(&options.stores)
        .map(|(number, place)| {
            Ok(StoreConfig {
                leaving: false,
                id: format!("store-{number}"),
                place: place.clone().absolute().map_err(|source| InitError::Io { source })?,
            })
        })
        .collect::<Result<_, InitError>>()?;
    let reach = |given: &Option<Address>, listen: SocketAddr| {
        let parsed = match given {
            Some(address) => Ok(address.clone()),
            None => listen.to_string().parse(),
        };
        parsed.or(Err(InitError::Settings { reason: format!("{listen} is no address that others can dial") }))
    };
    let config = Config {
        deployment: deployment.clone(),
        collector: options.collector.clone(),
        listen: Listen { main: options.listen, enrol: options.enrol_listen, metrics: options.metrics_listen },
        reach: Reach {
            main: reach(&options.reach, options.listen)?,
            enrol: reach(&options.enrol_reach, options.enrol_listen)?,
        },
        replication: Replication {
            copies: options.copies.unwrap_or_else(|| stores.len().min(2)),
            degraded: options.degraded,
        },
        stores,
        tsas: options
            .tsas
            .iter()
            .map(|url| TsaConfig { url: url.clone(), every_s: 3600, timeout_s: 30 })
            .collect(),
        scrub: None,
    };
    // Refuse now, before anything is made, whatever every start would refuse.
    Config::parse(&config.to_commented()).map_err(|reason| InitError::Settings { reason })
}

fn make_directory(path: &Path) -> Result<(), InitError> {
    let failed = |source| InitError::Io { source };
    if path.exists() {
        let mode = fs_err::metadata(path).map_err(failed)?.permissions().mode() & 0o7777;
        if fs_err::read_dir(path).map_err(failed)?.next().is_some() {
            return Err(InitError::NotEmpty { path: path.to_owned() });
        }
        if mode & 0o077 != 0 {
            return Err(FoundationError::from(LayoutError::Mode {
                path: path.to_owned(),
                mode,
                wanted: 0o700,
            })
            .into());
        }
        return Ok(());
    }
    private_directory(path)
}

fn layout_directories(layout: &Layout) -> Result<(), InitError> {
    private_directory(&layout.directory.join("keys"))?;
    private_directory(&layout.run())
}

fn private_directory(path: &Path) -> Result<(), InitError> {
    durable::create_private_folder(path).map_err(|source| InitError::Io { source })
}

/// Writes a file that does not exist yet, durably.
fn write_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), InitError> {
    durable::create(path, bytes, mode).map_err(|source| InitError::Io { source })
}

/// The card that responders pin. Nothing in it is secret.
fn card(config: &Config, certificates: &Authority, log_key: &str) -> Result<String, InitError> {
    let ca = certificates.certificate();
    let card = serde_json::json!({
        "deployment": config.deployment,
        "collector": config.collector,
        "ca": STANDARD.encode(ca),
        "ca_sha256": Digest(certificates.fingerprint()),
        "log_key": log_key,
        "address": config.reach.main.as_str(),
        "enrol_address": config.reach.enrol.as_str(),
    });
    let text = serde_json::to_string_pretty(&card)
        .map_err(|error| InitError::Settings { reason: error.to_string() })?;
    Ok(format!("{text}\n"))
}

fn genesis(
    config: &Config,
    authority: &AuthoritySet,
    ca_sha256: Digest,
    log_key: &str,
    now: Time,
) -> Result<PendingEntry, InitError> {
    let refs = evidence::entry::pairs::sorted([
        ("authority", authority.id().to_string()),
        ("ca", ca_sha256.to_string()),
        ("log", log_key.to_owned()),
    ]);
    let act = Act {
        type_: ActType,
        deployment: config.deployment.clone(),
        act: EntryType::LogGenesis,
        incident: Chain::Deployment,
        at: now,
        by: Actor::Collector(config.collector.clone()),
        refs: refs.clone(),
        fields: Vec::new(),
        detail: None,
        nonce: ActNonce::ByContent,
    };
    let document =
        json::to_document(&act).map_err(|error| InitError::Settings { reason: error.to_string() })?;
    let act = ActObject { document, signatures: Vec::new() };
    Ok(PendingEntry { type_: EntryType::LogGenesis, chain: Chain::Deployment, refs, act, guard: None })
}

fn roster_entry(roster: &Roster, signed: &Signed) -> PendingEntry {
    let refs = evidence::entry::pairs::sorted([
        ("roster", signed.digest().to_string()),
        ("version", roster.version.to_string()),
    ]);
    let act = ActObject::from(signed.clone());
    PendingEntry { type_: EntryType::RosterPublished, chain: Chain::Deployment, refs, act, guard: None }
}

/// Why no collector was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// The certificate authority.
    #[error("make the certificate authority")]
    Certificates {
        /// Why.
        #[source]
        source: certs::authority::AuthorityError,
    },
    /// The database.
    #[error("make the database")]
    Db(#[from] DbError),
    /// A place or the authority file cannot be used.
    #[error("prepare the collector's directory")]
    Foundation(#[from] FoundationError),
    /// A file.
    #[error("read or write a file")]
    Io {
        /// Cause, naming the file.
        #[source]
        source: std::io::Error,
    },
    /// The log key.
    #[error("make the log key")]
    Key(#[from] KeyFileError),
    /// The directory has content.
    #[error("{} is not empty. Give a directory that is empty or not there yet", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// The roster is not in force.
    #[error("{} is no roster to start with: {reason}", path.display())]
    Roster {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Settings contradict each other.
    #[error("settings: {reason}")]
    Settings {
        /// What is wrong.
        reason: String,
    },
    /// The ledger did not start.
    #[error("start the ledger")]
    Start(#[from] StartError),
    /// A store.
    #[error("make a store")]
    Store(#[from] StoreError),
    /// The first entries.
    #[error("write the first entries")]
    Submit(#[from] SubmitError),
}

#[cfg(test)]
pub(crate) mod tests;
