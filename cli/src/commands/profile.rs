//! `exhibit profile`: lists profiles, prints a profile, and checks one for faults.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::home::Home;
use crate::output::{bytes, shown, table};
use crate::profile::{self, BUILT_IN, Profile};

/// `exhibit profile …`.
#[derive(Debug, Subcommand)]
pub enum Args {
    /// List the built-in profiles and your own
    #[command(after_help = "Examples:\n  exhibit profile list")]
    List,
    /// Print the file of a profile, as a start for your own
    #[command(
        after_help = "Examples:\n  exhibit profile show linux-triage > mine.toml\n  exhibit profile show mine.toml --json"
    )]
    Show {
        /// Name of a profile, or path of a profile file
        profile: String,
    },
    /// Check a profile file: report that it is valid, or its first fault with line and cause
    #[command(after_help = "Examples:\n  exhibit profile lint mine.toml")]
    Lint {
        /// Path of the profile file
        file: PathBuf,
    },
}

/// Runs the command.
pub fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    // A person can look at profiles before setting up a home.
    let home = context.home().ok();
    match args {
        Args::List => list(home.as_ref(), context),
        Args::Show { profile } => {
            let found = Profile::find(&profile, home.as_ref(), &[])?;
            let value = json!({
                "name": found.reference.name, "version": found.reference.version, "sha256": found.reference.sha256,
                "description": found.description, "sensitivity": found.sensitivity(), "limits": found.limits, "plan": found.plan,
            });
            context.output.result(&value, || found.text.trim_end().to_owned())
        }
        Args::Lint { file } => lint(&file, context),
    }
}

fn list(home: Option<&Home>, context: &Context) -> anyhow::Result<()> {
    let mut names: Vec<String> = BUILT_IN.iter().map(|(name, _)| (*name).to_owned()).collect();
    if let Some(home) = home {
        let mut own = Vec::new();
        for file in fs_err::read_dir(home.path("profiles")).into_iter().flatten() {
            let name = file?.file_name();
            own.extend(name.to_str().and_then(|name| name.strip_suffix(".toml")).map(str::to_owned));
        }
        own.retain(|name| !names.contains(name));
        own.sort_unstable();
        names.extend(own);
    }
    let mut values = Vec::new();
    let mut rows = Vec::new();
    for name in names {
        let text = profile::find_text(&name, home)?;
        match Profile::compile(&text, &[]) {
            Ok(found) => {
                let sensitivity = found.sensitivity().as_str();
                rows.push(vec![
                    shown(&name),
                    shown(&found.reference.version),
                    sensitivity.to_owned(),
                    bytes(found.limits.stored_bytes),
                    shown(&found.description),
                ]);
                values.push(json!({"name": name, "version": found.reference.version, "sensitivity": sensitivity, "description": found.description}));
            }
            Err(faults) => {
                rows.push(vec![
                    shown(&name),
                    "-".into(),
                    "-".into(),
                    "-".into(),
                    format!("{} faults: exhibit profile lint", faults.len()),
                ]);
                values.push(json!({"name": name, "faults": faults}));
            }
        }
    }
    context.output.result(&values, || table(&["profile", "version", "sensitivity", "at most", "what"], &rows))
}

fn lint(file: &std::path::Path, context: &Context) -> anyhow::Result<()> {
    let text = profile::read_file(file)?;
    let name = file.display().to_string();
    match Profile::compile(&text, &[]) {
        Ok(found) => {
            let sensitivity = found.sensitivity().as_str();
            let value = json!({"file": name, "faults": [], "sensitivity": sensitivity, "steps": found.plan.steps().len()});
            context
                .output
                .result(&value, || format!("{name}: good; {} steps, {sensitivity}", found.plan.steps().len()))
        }
        Err(faults) => {
            context.output.result(&json!({"file": name, "faults": faults}), || {
                faults.iter().map(|fault| fault.to_text(&name)).collect::<Vec<_>>().join("\n")
            })?;
            let state = format!("{name} has {} faults", faults.len());
            Err(Failure { exit: Exit::Failed, state, next: "correct the lines named".to_owned() }.into())
        }
    }
}
