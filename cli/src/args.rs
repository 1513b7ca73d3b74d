//! The command line: global options, the groups of commands, and which code runs each group.
//! Not here: the arguments of a group. They stand beside the code that uses them, in `commands`.

use std::path::PathBuf;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::commands::{
    authority, bundle, collect, collection, disposition, endpoint, evidence, incident, ledger, login, mirror,
    order, profile, setup, shell, store, trust, verify,
};
use crate::context::Context;

const AFTER: &str = "\
Exit codes: 0 ok; 1 evidence failed a check, or a collection ended without being stored; 2 could not check or connect; 64 usage.

Examples:
  exhibit setup --card deployment.json --authority authority --person alice --key ~/.ssh/id_ed25519
  exhibit login
  exhibit collect --incident INC-2026-0001 --on web-03 --profile linux-triage --purpose \"Odd logins\"";

/// Collects forensic evidence on signed orders, and proves what was read and who handled it.
#[derive(Debug, Parser)]
#[command(name = "exhibit", version, after_help = AFTER, disable_help_subcommand = true, propagate_version = true)]
pub struct Cli {
    /// Folder with your pins, session and receipts [default: ~/.config/exhibit]
    #[arg(long, global = true, env = "EXHIBIT_HOME", value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Print results as JSON: one value, or one per line for streams
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Verb groups.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make and sign rosters, offline: for the admins who hold authority keys
    #[command(subcommand)]
    Authority(authority::Args),
    /// Pin a deployment's keys on this machine
    Setup(setup::Args),
    /// Export the pins for a verifier, and pin required cosigners
    #[command(subcommand)]
    Trust(trust::Args),
    /// Log in with your SSH key; the certificate lasts 12 hours
    Login(login::Args),
    /// Make enrolment tokens; list, show and retire endpoints
    #[command(subcommand)]
    Endpoint(endpoint::Args),
    /// Admit and retire backup servers
    #[command(subcommand)]
    Mirror(mirror::Args),
    /// Open, annotate, hold and close incidents; show the custody timeline
    #[command(subcommand)]
    Incident(incident::Args),
    /// Order a collection and follow its progress
    Collect(collect::Args),
    /// List, show, approve, reject and cancel orders
    #[command(subcommand)]
    Order(order::Args),
    /// List collections; show what was collected, with its receipt
    #[command(subcommand)]
    Collection(collection::Args),
    /// Destroy an incident's evidence when two persons approve, and certify it
    #[command(subcommand)]
    Disposition(disposition::Args),
    /// List and read single items; the ledger records every reading
    #[command(subcommand)]
    Evidence(evidence::Args),
    /// Export an incident for people who do not trust the collector
    #[command(subcommand)]
    Bundle(bundle::Args),
    /// Verify a bundle offline
    Verify(verify::Args),
    /// Show the ledger and check it
    #[command(subcommand)]
    Ledger(ledger::Args),
    /// Show, re-read and repair the stores that hold evidence and ledger
    #[command(subcommand)]
    Store(store::Args),
    /// List, show and check profiles: what a collection takes
    #[command(subcommand)]
    Profile(profile::Args),
    /// Print a completion script for a shell
    Completions(shell::CompletionsArgs),
    /// Write manual pages
    Man(shell::ManArgs),
}

impl Command {
    /// Runs the command that was typed.
    pub async fn run(self, context: Context) -> anyhow::Result<()> {
        let context = &context;
        match self {
            Self::Authority(args) => authority::run(args, context.output),
            Self::Setup(args) => setup::run(args, context),
            Self::Trust(args) => trust::run(args, context),
            Self::Login(args) => login::run(args, context).await,
            Self::Endpoint(args) => endpoint::run(args, context).await,
            Self::Mirror(args) => mirror::run(args, context).await,
            Self::Incident(args) => incident::run(args, context).await,
            Self::Collect(args) => collect::run(args, context).await,
            Self::Order(args) => order::run(args, context).await,
            Self::Collection(args) => collection::run(args, context).await,
            Self::Disposition(args) => disposition::run(args, context).await,
            Self::Evidence(args) => evidence::run(args, context).await,
            Self::Bundle(args) => bundle::run(args, context).await,
            Self::Verify(args) => verify::run(args, context.output),
            Self::Ledger(args) => ledger::run(args, context).await,
            Self::Store(args) => store::run(args, context).await,
            Self::Profile(args) => profile::run(args, context),
            Self::Completions(args) => shell::completions(args, Cli::command()),
            Self::Man(args) => shell::man(args, Cli::command()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_has_help_with_an_example_of_itself() {
        fn walk(command: &mut clap::Command, path: &str, seen: &mut usize) {
            let name = format!("{path}{}", command.get_name());
            if command.has_subcommands() {
                for sub in command.get_subcommands_mut() {
                    walk(sub, &format!("{name} "), seen);
                }
                return;
            }
            let help = command.render_long_help().to_string();
            let (_, examples) = help.split_once("Example").unwrap_or_else(|| panic!("{name}: no example"));
            assert!(
                examples.contains(&format!("  {name}")),
                "{name}: the example is of another verb:\n{examples}"
            );
            assert!(command.get_about().is_some(), "{name} says nothing about itself");
            *seen += 1;
        }
        let mut seen = 0;
        walk(&mut Cli::command(), "", &mut seen);
        assert!(seen > 40, "the walk saw {seen} verbs only");
    }

    #[test]
    fn the_calls_of_the_demonstration_parse() {
        for line in [
            "authority init admin --deployment demo --person alice=responder,endpoint-admin,auditor",
            "--home r setup --card d.json --authority admin/authority --person alice --key k --tsa-ca ca.pem",
            "--home r login",
            "--home r endpoint token web-03 --quiet",
            "--home r --json endpoint list",
            "--home r incident open --title T --severity high --tlp amber --class intrusions",
            "--home r --json incident list",
            "--home r collect --incident INC-2026-0001 --on web-03 --profile linux-triage --purpose P --wait",
            "--home r --json collection list --incident INC-2026-0001",
            "--home r evidence cat 0011223344 /etc/hostname --purpose P",
            "--home r incident show INC-2026-0001",
            "--home r bundle export INC-2026-0001 --out b --purpose P",
            "--home r trust export t",
        ] {
            Cli::try_parse_from(std::iter::once("exhibit").chain(line.split(' ')))
                .unwrap_or_else(|e| panic!("{line}: {e}"));
        }
    }
}
