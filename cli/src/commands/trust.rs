//! `exhibit trust export`: the pins of this home as a folder that a verifier takes (docs/spec/bundle.md, Trust directory).
//! Guarantee: what is exported is what this home pinned at setup, never what a collector said since.

use std::path::PathBuf;

use clap::Subcommand;

use crate::commands::Context;
use crate::failure::could_not;
use crate::home::write_durably;
use crate::pins::Pins;

const EXAMPLES: &str = "\
Examples:
  exhibit trust export trust
  exhibit-verify INC-2026-0001.bundle --trust trust

Hand the folder over by another way than the bundle: who gives both can forge both.";

/// `exhibit trust …`.
#[derive(Debug, Subcommand)]
pub enum Args {
    /// Write the pins that a verifier needs into a new folder
    #[command(after_help = EXAMPLES)]
    Export {
        /// Folder to make
        dir: PathBuf,
    },
}

/// Runs the command.
///
/// # Errors
/// State, cause and next step.
pub fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let Args::Export { dir } = args;
    let home = context.home()?;
    let pins = Pins::load(&home)?;
    if dir.exists() {
        return Err(could_not(
            format!("{} exists", dir.display()),
            "choose a folder that does not",
        ));
    }
    fs_err::create_dir_all(&dir)?;
    let mut written = Vec::new();
    for name in ["authority", "policy", "tsa.pem", "roster_version_min"] {
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
