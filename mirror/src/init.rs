//! Makes a mirror: keys, pins, stores, settings, and the file by which an endpoint admin admits it.
//! Guarantee: `init` touches nothing that exists. No other code creates the state file. Not here: trust. Before the operator gives
//! the card to this command, they compare its digests with the deployment's admin.

use std::net::SocketAddr;
use std::path::PathBuf;

use certs::identity::Credentials;
use certs::request::TlsKey;
use evidence::causes::chain;
use evidence::enrolment::Address;
use evidence::id::{DeploymentId, MirrorId};
use evidence::roster::AuthoritySet;
use ledger::KeyType;
use store::settings::{quoted, store_to_toml};
use store::{StoreIdentity, StoreLocation};

use crate::config::{AUTHORITY_FILE, CARD_FILE, CONFIG_FILE, Card, ConfigError, Layout};
use crate::cosign::state::{State, StateError, StateFile};
use crate::keys::{KeyError, Keys};

/// Name of the file to give to an endpoint-admin.
pub const ADMISSION_FILE: &str = "admission.json";

/// The options of `mirror init`.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// The mirror's directory: empty or not there yet.
    pub directory: PathBuf,
    pub mirror: MirrorId,
    /// The deployment's card.
    pub card: PathBuf,
    /// The authority's public keys.
    pub authority: PathBuf,
    /// Where to put its stores.
    pub stores: Vec<StoreLocation>,
    /// Main listener, if it differs from the card.
    pub collector: Option<Address>,
    /// Enrolment listener, if it differs from the card.
    pub enrol: Option<Address>,
    /// A store of the collector to read from in place: a directory, or `s3:` and a file of settings.
    pub source: Option<PathBuf>,
    /// Where the witness listens.
    pub listen: Option<SocketAddr>,
    /// Where the metrics listen.
    pub metrics: Option<SocketAddr>,
    /// Limit in bytes per second.
    pub bandwidth: String,
}

/// The new mirror.
#[derive(Debug, Clone)]
pub struct Made {
    pub deployment: DeploymentId,
    /// The line of `admission.json`.
    pub admission: String,
    /// Names and values that the operators compare by phone.
    pub fingerprints: Vec<(&'static str, String)>,
}

/// Makes a mirror.
///
/// # Errors
/// The files that were made before the error stay. The error names the cause.
pub fn init(options: &InitOptions) -> Result<Made, InitError> {
    let directory = &options.directory;
    if directory.read_dir().is_ok_and(|mut names| names.next().is_some()) {
        return Err(InitError::NotEmpty { path: directory.clone() });
    }
    crate::rate::parse_rate(&options.bandwidth).map_err(InitError::Settings)?;
    if let Some(source) = &options.source {
        StoreLocation::given(source).map_err(InitError::Settings)?;
    }
    let card = Card::read(&options.card)?;
    let authority = fs_err::read_to_string(&options.authority)?;
    AuthoritySet::from_trust_file(&authority).map_err(|error| {
        InitError::Settings(format!("{}: {}", options.authority.display(), chain(&error)))
    })?;
    let layout = Layout(directory.clone());
    for folder in [directory.clone(), layout.keys(), layout.run(), layout.replicated()] {
        durable::create_private_folder(&folder)?;
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
        stores.push_str(&format!("\n{}", store_to_toml(&id, &place)));
    }
    durable::create(&directory.join(CARD_FILE), &fs_err::read(&options.card)?, 0o644)?;
    durable::create(&directory.join(AUTHORITY_FILE), authority.as_bytes(), 0o644)?;
    let admission = admission(&card, options, &keys, &tls);
    durable::create(&directory.join(ADMISSION_FILE), admission.as_bytes(), 0o644)?;
    durable::create(&directory.join(CONFIG_FILE), settings(options, &card, &stores).as_bytes(), 0o644)?;
    // Write this last: a directory without it is not a mirror.
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
    #[expect(clippy::expect_used, reason = "strings cannot fail to serialise")]
    let line = serde_json::to_string(&line).expect("strings");
    line + "\n"
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

/// Why no mirror was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// The card or the settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("make the mirror's directory")]
    Io(#[from] std::io::Error),
    #[error("make the mirror's keys")]
    Key(#[from] KeyError),
    /// Something is there already.
    #[error("{} is not empty. Give a directory that is empty or not there yet", path.display())]
    NotEmpty { path: PathBuf },
    #[error("{0}")]
    Settings(String),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("make the mirror's store")]
    Store(#[from] store::StoreError),
    #[error("make the TLS key: {0}")]
    Tls(String),
}
