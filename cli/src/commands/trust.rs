//! `exhibit trust export`: writes the pins of this home to a folder for a verifier (docs/spec/bundle.md, Trust directory).
//! `exhibit trust policy`: pins who must have cosigned, for this home and for everything that it exports.
//! Guarantee: the export holds what the person pinned, and nothing that a collector said later.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use ledger::Policy;

use crate::context::Context;
use crate::failure::{because, could_not};
use crate::home::{Home, write_durably};
use crate::pins::Pins;

const EXAMPLES: &str = "\
Examples:
  exhibit trust export trust
  exhibit-verify INC-2026-0001.bundle --trust trust

Hand over the folder and the bundle through different channels: a person who delivers both can forge both.";

/// `exhibit trust …`.
#[derive(Debug, Subcommand)]
pub enum Args {
    /// Write the pins that a verifier needs to a new folder
    #[command(after_help = EXAMPLES)]
    Export {
        /// Folder to create
        dir: PathBuf,
    },
    /// Pin the cosigners whose signatures you require on the ledger, from a C2SP tlog-policy file
    #[command(after_help = POLICY_EXAMPLES)]
    Policy {
        /// The policy: one `log` line with the key that is already pinned, `witness` and `group` lines, one `quorum` line
        file: PathBuf,
    },
}

const POLICY_EXAMPLES: &str = "\
Example:
  exhibit trust policy ledger.policy
  exhibit trust export trust       # now contains this policy

A file that requires two of three cosigners (docs/spec/ledger.md, Cosigners and quorum):
  log exhibit/acme+c2a0b7fe+AYqI49SB…
  witness m1 m1.example/mirror+3d0f1a22+BIE5dw6o…
  witness m2 m2.example/mirror+97c1e0d4+BKk3qV0t…
  witness w1 consultant.example/w1+51b8aa03+BNn1x9Cq…
  group two 2 m1 m2 w1
  quorum two

Ask each cosigner for its key. If the collector's operator gives you the keys, you trust the operator alone.";

/// Runs the command.
pub fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let home = context.home()?;
    let dir = match args {
        Args::Export { dir } => dir,
        Args::Policy { file } => return pin_policy(&file, &home, context),
    };
    let pins = Pins::load(&home)?;
    if dir.exists() {
        return Err(could_not(format!("{} exists", dir.display()), "choose a folder that does not"));
    }
    fs_err::create_dir_all(&dir)?;
    let mut written = Vec::new();
    for name in ["authority", "policy", "log-keys.json", "tsa.pem", "roster_version_min"] {
        if let Some(bytes) = home.read(&format!("trust/{name}"))? {
            write_durably(&dir.join(name), &bytes)?;
            written.push(name);
        }
    }
    let value = serde_json::json!({
        "dir": dir, "files": written, "authority": pins.authority.id(), "log_key": pins.log_key()?,
    });
    let log_key = pins.log_key()?;
    context.output.result(&value, || {
        format!(
            "{}: {}\n  authority set {}\n  log key {log_key}",
            dir.display(),
            written.join(", "),
            pins.authority.id()
        )
    })
}

fn pin_policy(file: &Path, home: &Home, context: &Context) -> anyhow::Result<()> {
    let pins = Pins::load(home)?;
    let bytes = fs_err::read(file).map_err(|cause| could_not(cause.to_string(), "give the policy file"))?;
    let policy = Policy::parse(&bytes).map_err(|cause| {
        could_not(
            format!("{}: {}", file.display(), because(&cause)),
            "correct the file; docs/spec/ledger.md says its form",
        )
    })?;
    if !same_log(&policy, &pins) {
        return Err(could_not(
            format!("{} is about another log than the one pinned here", file.display()),
            format!("its one log line must be: log {}", pins.log_key()?),
        ));
    }
    home.write("trust/policy", &bytes)?;
    let names: Vec<&str> = policy.witnesses().iter().map(|one| one.name.as_str()).collect();
    let value = serde_json::json!({"witnesses": names, "quorum": policy.needs_cosigners()});
    context.output.result(&value, || {
        if policy.needs_cosigners() {
            format!("pinned: {} cosigners, with a quorum", names.len())
        } else {
            format!("pinned: {} cosigners, and no quorum: nobody outside needs to vouch", names.len())
        }
    })
}

/// True if both name the same log. The URL of the log may differ.
fn same_log(policy: &Policy, pins: &Pins) -> bool {
    let keys = |policy: &Policy| policy.logs().iter().map(|log| log.key.clone()).collect::<Vec<_>>();
    keys(policy) == [pins.log_keys.current().clone()]
}
