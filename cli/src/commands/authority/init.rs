//! `exhibit authority init`: makes the authority keys and signs the first roster.

use std::path::PathBuf;

use evidence::id::DeploymentId;
use evidence::roster::{AuthoritySet, Roster, RosterType, Rules};

use super::folder::{after_days, publish};
use super::person::{PersonText, public_key, put_person};
use super::roster::{SensitivityText, sensitivities};
use crate::clock;
use crate::failure::{because, usage};
use crate::home::write_durably;
use crate::output::Output;
use crate::signer::create_key;

pub(super) const EXAMPLES: &str = "\
Examples:
  exhibit authority init admin --deployment acme --person alice=responder,endpoint-admin
  exhibit authority init admin --deployment acme --authority-keys 3 --threshold 2 \\
      --person alice=responder:alice.pub --person bob=approver,analyst:bob.pub --two-persons sensitive

Roles: responder, approver, analyst, auditor, endpoint-admin. Keep the folder offline. Copy only `authority` and `roster-*.signed` to other machines.";

/// `exhibit authority init`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder to create
    dir: PathBuf,
    /// Name of the deployment
    #[arg(long, value_name = "ID")]
    deployment: DeploymentId,
    /// A person, their roles and their public key file; without a file, a key is made in DIR/keys
    #[arg(long = "person", value_name = "NAME=ROLE[,ROLE][:PUBKEYFILE]", required = true)]
    persons: Vec<PersonText>,
    /// How many authority keys to make
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    authority_keys: u32,
    /// How many authority keys must sign a roster [default: more than half]
    #[arg(long, value_name = "K")]
    threshold: Option<u32>,
    /// Days until the roster expires, at most 90
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=90))]
    days: u32,
    /// Sensitivity for which orders need a second person
    #[arg(long, value_name = "SENSITIVITY")]
    two_persons: Vec<SensitivityText>,
    /// Longest life of an order, in hours
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=720))]
    order_hours: u32,
}

pub(super) fn init(args: &Args, output: Output) -> anyhow::Result<()> {
    let dir = &args.dir;
    if dir.join("authority").exists() || dir.join("keys").exists() {
        return Err(usage(
            format!("{} holds an authority already", dir.display()),
            "choose another folder; `exhibit authority roster` makes the next roster",
        ));
    }
    let threshold = args.threshold.unwrap_or(args.authority_keys / 2 + 1);
    if threshold == 0 || threshold > args.authority_keys {
        return Err(usage(
            format!("a threshold of {threshold} cannot be met by {} keys", args.authority_keys),
            "choose --threshold from 1 to --authority-keys",
        ));
    }
    // A folder that existed before keeps its mode. The keys are in `keys`, which this command makes.
    durable::create_private_folder(&dir.join("keys"))?;
    let mut authority_keys = Vec::new();
    for number in 1..=args.authority_keys {
        let path = dir.join("keys").join(format!("authority-{number}"));
        create_key(&path, &format!("authority {number} of {}", args.deployment))?;
        authority_keys.push(public_key(&path)?);
    }
    let authority =
        AuthoritySet::new(threshold, authority_keys).map_err(|cause| usage(because(&cause), ""))?;
    let mut persons = Vec::new();
    for person in &args.persons {
        put_person(&mut persons, person, dir)?;
    }
    let issued = clock::now()?;
    let roster = Roster {
        type_: RosterType,
        deployment: args.deployment.clone(),
        version: 1,
        previous: None,
        issued,
        not_after: after_days(issued, args.days)?,
        authority: authority.clone(),
        persons,
        rules: Rules { two_persons: sensitivities(&args.two_persons), order_hours_max: args.order_hours },
    };
    write_durably(&dir.join("authority"), authority.to_trust_file().as_bytes())?;
    publish(dir, &roster, &authority, None, output)
}
