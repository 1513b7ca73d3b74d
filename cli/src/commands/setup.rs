//! `exhibit setup`: pins a deployment on this machine, from the collector's public card and the authority file.
//! Guarantee: the command prints each pin as a fingerprint to compare, and never overwrites an existing home.
//! Not here: the network. A person brings the card and the authority file.

use std::path::{Path, PathBuf};

use evidence::digest::Digest;
use evidence::id::{CollectorId, DeploymentId, PersonId};
use evidence::roster::AuthoritySet;
use evidence::text::Bytes;
use ledger::{KeyType, Policy, VerifierKey};
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::failure::{because, could_not, failed, usage};
use crate::home::{Config, Home};
use crate::signer::Signer;

const EXAMPLES: &str = "\
Examples:
  exhibit setup --card deployment.json --authority authority --person alice --key ~/.ssh/id_ed25519
  exhibit --home ~/acme setup --card deployment.json --authority authority --person alice --key alice.pub --tsa-ca tsa.pem

Compare the printed fingerprints with the operator (CA, log key) and with an admin (authority). Do not use the channel that the files came through.";

/// `exhibit setup`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The collector's public card, deployment.json
    #[arg(long, value_name = "FILE")]
    card: PathBuf,
    /// The authority file of `exhibit authority init`
    #[arg(long, value_name = "FILE")]
    authority: PathBuf,
    /// Your name in the roster
    #[arg(long, value_name = "NAME")]
    person: PersonId,
    /// Your SSH key: a private key, or a public key whose private half is in an SSH agent
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// CA certificate of the time-stamping authority (PEM)
    #[arg(long, value_name = "PEM")]
    tsa_ca: Option<PathBuf>,
    /// Address of the main listener, if the card's address is not reachable from here
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// Address of the enrolment listener, if the card's address is not reachable from here
    #[arg(long, value_name = "HOST:PORT")]
    enrol_address: Option<String>,
    /// Refuse every roster below this version
    #[arg(long, value_name = "N", default_value_t = 1)]
    roster_version_min: u64,
}

/// The collector's public card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Deployment.
    pub deployment: DeploymentId,
    /// Its collector.
    pub collector: CollectorId,
    /// The certificate authority, DER in base64.
    pub ca: Bytes,
    /// Its SHA-256.
    pub ca_sha256: Digest,
    /// C2SP verifier key of the ledger.
    pub log_key: String,
    /// Main listener; port 0 means: see `run/addresses.json` beside the card.
    pub address: String,
    /// Enrolment listener; the same.
    pub enrol_address: String,
}

/// The addresses that a running collector writes beside its card. Other fields are ignored.
#[derive(Debug, Deserialize)]
struct Running {
    collector: String,
    enrol: String,
}

impl Card {
    /// Reads a card and checks that it does not contradict itself.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = fs_err::read(path)
            .map_err(|cause| could_not(because(&cause), "ask the operator for deployment.json"))?;
        let broken =
            |why: String| failed(format!("{}: {why}", path.display()), "ask the operator for the card again");
        let mut card: Self = serde_json::from_slice(&bytes).map_err(|cause| broken(cause.to_string()))?;
        if Digest::of(&card.ca.0) != card.ca_sha256 {
            return Err(broken("ca_sha256 is not the digest of ca".to_owned()));
        }
        let key = VerifierKey::parse(&card.log_key).map_err(|cause| broken(because(&cause)))?;
        if key.kind() != KeyType::Ed25519 || key.name() != format!("exhibit/{}", card.deployment) {
            return Err(broken(format!("log_key is {}'s, not of exhibit/{}", key.name(), card.deployment)));
        }
        if card.address.ends_with(":0") || card.enrol_address.ends_with(":0") {
            let running = path.parent().unwrap_or(Path::new(".")).join("run/addresses.json");
            let text = fs_err::read(&running).map_err(|cause| {
                could_not(
                    format!("the card leaves the ports open: {}", because(&cause)),
                    "start the collector first, or give --address and --enrol-address",
                )
            })?;
            let running: Running =
                serde_json::from_slice(&text).map_err(|cause| broken(cause.to_string()))?;
            (card.address, card.enrol_address) = (running.collector, running.enrol);
        }
        Ok(card)
    }
}

/// Runs the command.
pub fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let card = Card::read(&args.card)?;
    let text = fs_err::read_to_string(&args.authority)
        .map_err(|cause| could_not(because(&cause), "ask an admin for the authority file"))?;
    let authority = AuthoritySet::from_trust_file(&text).map_err(|cause| {
        usage(because(&cause), "give the file `authority` that `exhibit authority init` wrote")
    })?;
    let signer = Signer::new(&args.key);
    let key: evidence::keys::PublicKey = signer.public_text()?.parse().map_err(|cause| {
        usage(format!("{}: {}", args.key.display(), because(&cause)), "use an Ed25519 key or security key")
    })?;
    let tsa = args.tsa_ca.as_ref().map(fs_err::read).transpose()?;
    if tsa.as_ref().is_some_and(|pem| !pem.starts_with(b"-----BEGIN CERTIFICATE-----")) {
        return Err(usage(
            "--tsa-ca is not a PEM certificate",
            "ask the time-stamping authority for its CA certificate",
        ));
    }
    let policy = format!("log {}\nquorum none\n", card.log_key);
    Policy::parse(policy.as_bytes())?;

    let home = Home::create(&context.path()?)?;
    home.write("trust/authority", text.as_bytes())?;
    home.write("trust/policy", policy.as_bytes())?;
    home.write("trust/ca.der", &card.ca.0)?;
    home.write("trust/roster_version_min", format!("{}\n", args.roster_version_min).as_bytes())?;
    if let Some(pem) = tsa {
        home.write("trust/tsa.pem", &pem)?;
    }
    // Write the settings last. A home without them counts as not set up, so a crash before this line leaves nothing that anybody would use.
    home.write_config(&Config {
        deployment: card.deployment.clone(),
        collector: card.collector.clone(),
        person: args.person.clone(),
        key: std::path::absolute(&args.key)?,
        address: args.address.unwrap_or(card.address),
        enrol_address: args.enrol_address.unwrap_or(card.enrol_address),
    })?;
    let config = home.config()?;
    let value = serde_json::json!({
        "home": home.path(""), "deployment": config.deployment, "collector": config.collector, "address": config.address,
        "enrol_address": config.enrol_address, "ca_sha256": card.ca_sha256, "log_key": card.log_key,
        "authority": authority.id(), "authority_keys": authority.keys.iter().map(|key| key.fingerprint().to_string()).collect::<Vec<_>>(),
        "threshold": authority.threshold, "person": config.person, "key": key.fingerprint().to_string(),
    });
    context.output.result(&value, || {
        let mut lines = vec![
            format!("{} is set up for deployment {}", home.path("").display(), config.deployment),
            format!(
                "  collector      {} at {}, logins at {}",
                config.collector, config.address, config.enrol_address
            ),
            format!("  you            {} with {}", config.person, key.fingerprint()),
            "compare, by another way than the files came:".to_owned(),
            format!("  CA             {}", card.ca_sha256),
            format!("  log key        {}", card.log_key),
            format!(
                "  authority set  {} ({} of {})",
                authority.id(),
                authority.threshold,
                authority.keys.len()
            ),
        ];
        lines.extend(authority.keys.iter().map(|key| format!("                 {}", key.fingerprint())));
        lines.join("\n")
    })
}
