//! `exhibit trust export`: writes the pins of this home to a folder for a verifier (docs/spec/bundle.md, Trust directory).
//! `exhibit trust policy`: pins who must have cosigned, for this home and for everything that it exports.
//! Guarantee: the export holds what the person pinned, and nothing that a collector said later.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use ledger::Policy;

use crate::context::Context;
use crate::failure::{because, could_not};
use crate::home::Home;
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
    let written = write_pins(&home, &dir)?;
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

/// Writes the pins to `dir`, which must not exist, and returns the names of the files. The folder gets its name when it is complete.
fn write_pins(home: &Home, dir: &Path) -> anyhow::Result<Vec<&'static str>> {
    if dir.exists() {
        return Err(could_not(format!("{} exists", dir.display()), "choose a folder that does not"));
    }
    let partial = super::evidence::beside(dir);
    durable::create_private_folder(&partial).map_err(|cause| {
        could_not(format!("cannot make {}: {cause}", partial.display()), "check the folder above")
    })?;
    let written = fill(home, &partial).and_then(|written| {
        durable::sync_folders(&partial)?;
        durable::rename(&partial, dir)?;
        Ok(written)
    });
    if written.is_err() {
        // A part of the pins would make a verifier check less. Best effort: the person has to hear the first error.
        drop(fs_err::remove_dir_all(&partial));
    }
    written
}

fn fill(home: &Home, folder: &Path) -> anyhow::Result<Vec<&'static str>> {
    let mut written = Vec::new();
    for name in ["authority", "policy", "log-keys.json", "tsa.pem", "roster_version_min"] {
        if let Some(bytes) = home.read(&format!("trust/{name}"))? {
            durable::write_in_new_folder(&folder.join(name), &bytes, 0o600)?;
            written.push(name);
        }
    }
    Ok(written)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_of_the_pins_is_there_as_a_whole_or_not_at_all() {
        let place = tempfile::tempdir().unwrap();
        let home = Home::create(&place.path().join("home")).unwrap();
        for name in ["trust/authority", "trust/policy", "trust/ca.der"] {
            home.write(name, name.as_bytes()).unwrap();
        }
        let names = || {
            let names = fs_err::read_dir(place.path()).unwrap();
            let mut names: Vec<_> = names.map(|name| name.unwrap().file_name()).collect();
            names.sort();
            names
        };
        // The collector's certificate authority is no pin of a verifier.
        let dir = place.path().join("out/trust");
        assert_eq!(write_pins(&home, &dir).unwrap(), ["authority", "policy"]);
        assert_eq!(fs_err::read(dir.join("policy")).unwrap(), b"trust/policy");
        assert_eq!(fs_err::read_dir(&dir).unwrap().count(), 2);
        assert_eq!(fs_err::read_dir(place.path().join("out")).unwrap().count(), 1);
        let refused = write_pins(&home, &dir).unwrap_err();
        assert!(refused.to_string().contains("exists"), "{refused}");

        // One pin cannot be read: nothing is left that somebody could take for all pins.
        fs_err::create_dir(home.path("trust/tsa.pem")).unwrap();
        let before = names();
        assert!(write_pins(&home, &place.path().join("other")).is_err());
        assert_eq!(names(), before);
    }
}
