//! Makes a mirror: keys, pins, stores, settings, the file that an endpoint-admin admits it by.
//! Guarantee: nothing that is there is touched; the state file is made here and nowhere else. Not here: trust: the operator compares the card's
//! digests with the deployment's admin before giving them to this command.

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use certs::identity::Credentials;
use certs::request::TlsKey;
use evidence::enrolment::Address;
use evidence::id::{DeploymentId, MirrorId};
use evidence::roster::AuthoritySet;
use ledger::KeyType;
use store::{StoreIdentity, StorePlace};

use crate::chain;
use crate::config::{AUTHORITY_FILE, CARD_FILE, CONFIG_FILE, Card, ConfigError, Layout};
use crate::keys::{KeyError, Keys};
use crate::state::{State, StateError, StateFile};

/// Name of the file that is given to an endpoint-admin.
pub const ADMISSION_FILE: &str = "admission.json";

/// What a new mirror is to be.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// Its directory, empty or not there.
    pub directory: PathBuf,
    /// Its id.
    pub mirror: MirrorId,
    /// The deployment's card.
    pub card: PathBuf,
    /// The authority's public keys.
    pub authority: PathBuf,
    /// Where its stores shall lie.
    pub stores: Vec<StorePlace>,
    /// Main listener, when not as the card says.
    pub collector: Option<Address>,
    /// Enrolment listener, when not as the card says.
    pub enrol: Option<Address>,
    /// A store of the collector that is read in place: a directory, or `s3:` and a file of settings.
    pub source: Option<PathBuf>,
    /// Where the witness answers.
    pub listen: Option<SocketAddr>,
    /// Where metrics are.
    pub metrics: Option<SocketAddr>,
    /// Bytes a second.
    pub bandwidth: String,
}

/// What was made.
#[derive(Debug, Clone)]
pub struct Made {
    /// Deployment.
    pub deployment: DeploymentId,
    /// The line of `admission.json`.
    pub admission: String,
    /// Names and values to be compared by voice.
    pub fingerprints: Vec<(&'static str, String)>,
}

/// Makes a mirror.
///
/// # Errors
/// `InitError`; what was made until then stays and is named.
pub fn init(options: &InitOptions) -> Result<Made, InitError> {
    let directory = &options.directory;
    if directory.read_dir().is_ok_and(|mut names| names.next().is_some()) {
        return Err(InitError::NotEmpty { path: directory.clone() });
    }
    crate::throttle::parse_rate(&options.bandwidth).map_err(InitError::Settings)?;
    if let Some(source) = &options.source {
        StorePlace::given(source).map_err(InitError::Settings)?;
    }
    let card = Card::read(&options.card)?;
    let authority = fs_err::read_to_string(&options.authority)?;
    AuthoritySet::from_trust_file(&authority).map_err(|error| {
        InitError::Settings(format!("{}: {}", options.authority.display(), chain(&error)))
    })?;
    let layout = Layout(directory.clone());
    for folder in [directory.clone(), layout.keys(), layout.run(), layout.replicated()] {
        make_folder(&folder)?;
    }
    let keys = Keys::create(&layout.keys(), &options.mirror)?;
    let tls = TlsKey::generate().map_err(|error| InitError::Tls(chain(&error)))?;
    Credentials::write_new(&layout.tls(), &tls, &[]).map_err(|error| InitError::Tls(chain(&error)))?;
    let mut stores = String::new();
    for (number, place) in (1..).zip(&options.stores) {
        let id = format!("{}-{number}", options.mirror);
        let place = place.clone().absolute()?;
        let identity = StoreIdentity {
            store: id.clone(),
            deployment: card.deployment.to_string(),
            created: crate::now().to_string(),
            domain: place.domain(),
        };
        place.initialise(&identity)?;
        let settings = match &place {
            StorePlace::Bucket(settings) => settings.to_toml(),
            StorePlace::Directory(path) => format!("path = {}\n", quoted(&path.display().to_string())),
        };
        stores.push_str(&format!("\n[[store]]\nid = {}\n{settings}", quoted(&id)));
    }
    write(&directory.join(CARD_FILE), &fs_err::read(&options.card)?)?;
    write(&directory.join(AUTHORITY_FILE), authority.as_bytes())?;
    let admission = admission(&card, options, &keys, &tls);
    write(&directory.join(ADMISSION_FILE), admission.as_bytes())?;
    write(&directory.join(CONFIG_FILE), settings(options, &card, &stores).as_bytes())?;
    // Last: a directory without it is no mirror.
    StateFile::create(directory, &State::new(card.deployment.as_str()))?;
    Ok(Made {
        deployment: card.deployment.clone(),
        admission,
        fingerprints: vec![
            ("key", keys.act.public().fingerprint().to_string()),
            ("tls_key", tls.public().fingerprint().to_string()),
            ("witness_key", keys.witness.verifier_key(KeyType::CosignatureV1).to_string()),
            ("mirror_key", keys.mirror.verifier_key(KeyType::CosignatureV1).to_string()),
        ],
    })
}

fn admission(card: &Card, options: &InitOptions, keys: &Keys, tls: &TlsKey) -> String {
    admission_line(&card.deployment, &options.mirror, keys, tls)
}

/// The line of `admission.json`.
#[must_use]
pub fn admission_line(deployment: &DeploymentId, mirror: &MirrorId, keys: &Keys, tls: &TlsKey) -> String {
    #[derive(serde::Serialize)]
    struct Admission<'a> {
        admission: &'static str,
        deployment: &'a DeploymentId,
        mirror: &'a MirrorId,
        key: String,
        tls_key: String,
        witness_key: String,
        mirror_key: String,
    }
    let line = Admission {
        admission: "exhibit-mirror-admission-v1",
        deployment,
        mirror,
        key: keys.act.public().to_string(),
        tls_key: tls.public().to_string(),
        witness_key: keys.witness.verifier_key(KeyType::CosignatureV1).to_string(),
        mirror_key: keys.mirror.verifier_key(KeyType::CosignatureV1).to_string(),
    };
    // Strings cannot fail to serialise.
    format!("{}\n", serde_json::to_string(&line).unwrap_or_default())
}

fn settings(options: &InitOptions, card: &Card, stores: &str) -> String {
    let collector = options.collector.as_ref().unwrap_or(&card.address);
    let enrol = options.enrol.as_ref().unwrap_or(&card.enrol);
    let mut text = format!(
        "# Mirror of deployment {}. Restart it after a change. No secret stands here.\n\
         deployment = {}\nmirror = {}\n\n# The collector's two listeners.\ncollector = {}\nenrol = {}\n",
        card.deployment,
        quoted(card.deployment.as_str()),
        quoted(options.mirror.as_str()),
        quoted(collector.as_str()),
        quoted(enrol.as_str()),
    );
    text.push_str(
        "# A store of the collector to read bytes from in place, instead of asking the collector for them.\n",
    );
    match &options.source {
        Some(source) => text.push_str(&format!("source = {}\n", quoted(&source.display().to_string()))),
        None => text.push_str(
            "# source = \"/mnt/collector-store\"\n# source = \"s3:/etc/exhibit/collector-bucket.toml\"\n",
        ),
    }
    text.push_str("# Where the C2SP witness answers (plain HTTP, public data): the collector asks here for cosignatures.\n");
    match options.listen {
        Some(listen) => text.push_str(&format!("listen = {}\n", quoted(&listen.to_string()))),
        None => text.push_str("# listen = \"0.0.0.0:7453\"\n"),
    }
    text.push_str("# Plain HTTP: keep it on loopback.\n");
    match options.metrics {
        Some(metrics) => text.push_str(&format!("metrics = {}\n", quoted(&metrics.to_string()))),
        None => text.push_str("# metrics = \"127.0.0.1:9465\"\n"),
    }
    text.push_str(&format!(
        "# Most bytes from the collector.\nbandwidth = {}\n\
         # The own copies are read again as a whole within so many days, at most so fast.\nscrub_days = 30\nscrub_bandwidth = \"50 MiB/s\"\n",
        quoted(&options.bandwidth)
    ));
    text.push_str(stores);
    text
}

/// A TOML basic string: JSON's are some of them.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn make_folder(path: &Path) -> Result<(), InitError> {
    if !path.is_dir() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), InitError> {
    let mut file = fs_err::OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(())
}

/// No mirror was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// Card or settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file.
    #[error("make the mirror's directory")]
    Io(#[from] std::io::Error),
    /// A key.
    #[error("make the mirror's keys")]
    Key(#[from] KeyError),
    /// There is something.
    #[error("{} is not empty. Give a directory that is empty or not there yet", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// Options.
    #[error("{0}")]
    Settings(String),
    /// The state.
    #[error(transparent)]
    State(#[from] StateError),
    /// A store.
    #[error("make the mirror's store")]
    Store(#[from] store::StoreError),
    /// TLS key.
    #[error("make the TLS key: {0}")]
    Tls(String),
}
