//! Makes a mirror: keys, pins, stores, settings, and the file by which an endpoint admin admits it.
//! Guarantee: `init` touches nothing that exists. No other code creates the state file. Not here: trust. Before the operator gives
//! the card to this command, they compare its digests with the deployment's admin.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use certs::identity::Credentials;
use certs::key::TlsKey;
use evidence::digest::Digest;
use evidence::enrolment::Address;
use evidence::id::{DeploymentId, MirrorId};
use ledger::KeyType;
use store::settings::{quoted, store_to_toml};
use store::{StoreIdentity, StoreLocation};

use crate::config::{AUTHORITY_FILE, CARD_FILE, CONFIG_FILE, Card, Layout, read_authority};
use crate::cosign::state::{State, StateFile};
use crate::keys::Keys;

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
/// The files that were made before the error stay. The error says why, and what to do.
pub fn init(options: &InitOptions) -> anyhow::Result<Made> {
    let directory = &options.directory;
    if directory.read_dir().is_ok_and(|mut names| names.next().is_some()) {
        bail!("{} is not empty. Give a directory that is empty or not there yet", directory.display());
    }
    crate::rate::parse_rate(&options.bandwidth).map_err(anyhow::Error::msg).context("--bandwidth")?;
    if let Some(source) = &options.source {
        StoreLocation::given(source).map_err(anyhow::Error::msg).context("--source")?;
    }
    let card = Card::read(&options.card)?;
    let (_, authority) = read_authority(&options.authority)?;
    make(options, &card, &authority).with_context(|| {
        format!(
            "make a mirror in {}. Empty this directory, and the stores that were made, before you try again",
            directory.display()
        )
    })
}

fn make(options: &InitOptions, card: &Card, authority: &str) -> anyhow::Result<Made> {
    let directory = &options.directory;
    let layout = Layout(directory.clone());
    for folder in [directory.clone(), layout.keys(), layout.run(), layout.replicated()] {
        durable::create_private_folder(&folder)?;
    }
    let keys = Keys::create(&layout.keys(), &options.mirror)?;
    let tls = TlsKey::generate().context("make the TLS key")?;
    Credentials::write_new(&layout.tls(), &tls, &[]).context("make the TLS key")?;
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
        place.initialise(&identity).with_context(|| format!("make the mirror's store at {place}"))?;
        stores.push_str(&format!("\n{}", store_to_toml(&id, &place)));
    }
    durable::create(&directory.join(CARD_FILE), &fs_err::read(&options.card)?, 0o644)?;
    durable::create(&directory.join(AUTHORITY_FILE), authority.as_bytes(), 0o644)?;
    let admission = admission_line(&card.deployment, &options.mirror, &keys, &tls.public().spki_sha256());
    durable::create(&directory.join(ADMISSION_FILE), admission.as_bytes(), 0o644)?;
    durable::create(&directory.join(CONFIG_FILE), settings(options, card, &stores).as_bytes(), 0o644)?;
    // Write this last: a directory without it is not a mirror.
    StateFile::create(directory, &State::new(card.deployment.as_str()))?;
    Ok(Made {
        deployment: card.deployment.clone(),
        admission,
        fingerprints: vec![
            ("key", keys.act.public().fingerprint().to_string()),
            ("tls_spki_sha256", tls.public().spki_sha256().to_string()),
            ("witness_key", keys.witness.verifier_key(KeyType::CosignatureV1).to_string()),
            ("mirror_key", keys.mirror.verifier_key(KeyType::CosignatureV1).to_string()),
        ],
    })
}

/// The line of `admission.json`.
#[must_use]
pub fn admission_line(
    deployment: &DeploymentId,
    mirror: &MirrorId,
    keys: &Keys,
    tls_spki_sha256: &Digest,
) -> String {
    #[derive(serde::Serialize)]
    struct Admission<'a> {
        admission: &'static str,
        deployment: &'a DeploymentId,
        mirror: &'a MirrorId,
        key: String,
        tls_spki_sha256: &'a Digest,
        witness_key: String,
        mirror_key: String,
    }
    let line = Admission {
        admission: "exhibit-mirror-admission-v1",
        deployment,
        mirror,
        key: keys.act.public().to_string(),
        tls_spki_sha256,
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use evidence::digest::Digest;
    use testkit::bundles::{authority, log_key};

    use super::*;

    /// Options that are right, with the files that they name.
    fn options(place: &Path) -> InitOptions {
        let card = serde_json::json!({
            "deployment": "acme", "collector": "c1",
            "ca": STANDARD.encode(b"ca"), "ca_sha256": Digest::of(b"ca").to_string(),
            "log_key": log_key(40, "exhibit/acme"),
            "address": "collector.example:7420", "enrol_address": "collector.example:7421",
        });
        fs_err::write(place.join("card"), card.to_string()).unwrap();
        fs_err::write(place.join("authority"), authority().to_trust_file()).unwrap();
        InitOptions {
            directory: place.join("mirror"),
            mirror: "backup-1".parse().unwrap(),
            card: place.join("card"),
            authority: place.join("authority"),
            stores: vec![StoreLocation::Directory(place.join("store"))],
            collector: None,
            enrol: None,
            source: None,
            listen: None,
            metrics: None,
            bandwidth: "unlimited".to_owned(),
        }
    }

    #[test]
    fn a_mirror_that_is_made_can_be_read_and_an_error_says_why_and_what_to_do() {
        type Spoil = fn(&mut InitOptions, &Path);
        let rows: [(Spoil, &str, &str); 8] = [
            (
                |options, place| options.directory = place.to_owned(),
                "is not empty",
                "Give a directory that is empty",
            ),
            (|options, _| options.bandwidth = "fast".to_owned(), "--bandwidth: `fast`", "\"20 MiB/s\""),
            (
                |options, place| options.card = place.join("none"),
                "No such file",
                "The deployment's admin hands out deployment.json",
            ),
            (
                |options, _| fs_err::write(&options.card, "{}").unwrap(),
                "missing field",
                "Get deployment.json again from the deployment's admin",
            ),
            (
                |options, _| {
                    let card = fs_err::read_to_string(&options.card).unwrap();
                    fs_err::write(&options.card, card.replace("\"acme\"", "\"acne\"")).unwrap();
                },
                "the log key is of exhibit/acme",
                "Get deployment.json again from the deployment's admin",
            ),
            (
                |options, place| options.authority = place.join("none"),
                "No such file",
                "The deployment's admin hands them out",
            ),
            (
                |options, _| fs_err::write(&options.authority, "nobody").unwrap(),
                "does not hold the authority's public keys",
                "Get the file again from the deployment's admin",
            ),
            (
                |options, place| options.stores = vec![StoreLocation::Directory(place.to_owned())],
                "the directory is not empty",
                "Empty this directory, and the stores that were made, before you try again",
            ),
        ];
        for (spoil, why, next) in rows {
            let place = tempfile::tempdir().unwrap();
            let mut options = options(place.path());
            spoil(&mut options, place.path());
            let error = format!("{:#}", init(&options).unwrap_err());
            assert!(error.contains(why) && error.contains(next), "{error}");
        }

        let place = tempfile::tempdir().unwrap();
        init(&options(place.path())).unwrap();
        let layout = Layout(place.path().join("mirror"));
        let config = layout.config().unwrap();
        layout.pins(&config.deployment).unwrap();
        Keys::load(&layout.keys(), &config.mirror).unwrap();
        drop(crate::config::open_stores(&config).unwrap());
        // What an operator meets later.
        let card = layout.0.join(CARD_FILE);
        let other = fs_err::read_to_string(&card).unwrap().replace(&log_key(40, "exhibit/acme"), "");
        fs_err::write(&card, other).unwrap();
        fs_err::write(layout.keys().join("act"), "no key").unwrap();
        fs_err::remove_dir_all(place.path().join("store")).unwrap();
        let told = [
            (layout.pins(&config.deployment).map(drop), "deployment.json", "from the deployment's admin"),
            (
                Keys::load(&layout.keys(), &config.mirror).map(drop),
                "keys/act is no key of a mirror",
                "restore it from the backup",
            ),
            (
                crate::config::open_stores(&config).map(drop),
                "open the mirror's own store backup-1-1 at",
                "Bring it back, or correct its [[store]] in mirror.toml",
            ),
        ];
        for (result, why, next) in told {
            let error = format!("{:#}", result.unwrap_err());
            assert!(error.contains(why) && error.contains(next), "{error}");
        }
    }
}
