//! The verbs, one file a group, and what they share: where the home is and how results are printed.

pub mod authority;
pub mod bundle;
pub mod collect;
pub mod collection;
pub mod disposition;
pub mod endpoint;
pub mod evidence;
pub mod incident;
pub mod ledger;
pub mod login;
pub mod mirror;
pub mod order;
pub mod profile;
pub mod setup;
pub mod shell;
pub mod store;
pub mod trust;
pub mod verify;

use std::path::PathBuf;

use crate::args::{Cli, Command};
use crate::home::Home;
use crate::output::Output;
use crate::session::Session;

/// Where the home is and who reads the results.
#[derive(Debug, Clone)]
pub struct Context {
    /// `--home`, if given.
    pub named: Option<PathBuf>,
    /// Printing.
    pub output: Output,
}

impl Context {
    /// Path of the home, which need not exist.
    ///
    /// # Errors
    /// When there is no home directory.
    pub fn path(&self) -> anyhow::Result<PathBuf> {
        Home::locate(self.named.clone())
    }

    /// The home, set up.
    ///
    /// # Errors
    /// When it is not.
    pub fn home(&self) -> anyhow::Result<Home> {
        Home::open(&self.path()?)
    }

    /// A connection to the collector.
    ///
    /// # Errors
    /// When not set up, not logged in or not reachable.
    pub async fn session(&self) -> anyhow::Result<Session> {
        Session::open(self.home()?, self.output).await
    }
}

/// Runs the command line.
///
/// # Errors
/// State, cause and next step.
pub async fn run(cli: Cli, output: Output) -> anyhow::Result<()> {
    let context = Context { named: cli.home, output };
    match cli.command {
        Command::Authority(args) => authority::run(args, output),
        Command::Setup(args) => setup::run(args, &context),
        Command::Trust(args) => trust::run(args, &context),
        Command::Login(args) => login::run(args, &context).await,
        Command::Endpoint(args) => endpoint::run(args, &context).await,
        Command::Mirror(args) => mirror::run(args, &context).await,
        Command::Incident(args) => incident::run(args, &context).await,
        Command::Collect(args) => collect::run(args, &context).await,
        Command::Order(args) => order::run(args, &context).await,
        Command::Collection(args) => collection::run(args, &context).await,
        Command::Disposition(args) => disposition::run(args, &context).await,
        Command::Evidence(args) => evidence::run(args, &context).await,
        Command::Bundle(args) => bundle::run(args, &context).await,
        Command::Verify(args) => verify::run(args, output),
        Command::Ledger(args) => ledger::run(args, &context).await,
        Command::Store(args) => store::run(args, &context).await,
        Command::Profile(args) => profile::run(args, &context),
        Command::Completions(args) => shell::completions(args),
        Command::Man(args) => shell::man(args),
    }
}
