//! The context of every command: the home that `--home` names, and the form in which results are printed.

use std::path::PathBuf;

use crate::home::Home;
use crate::output::Output;
use crate::session::Session;

/// Opens the home, and a connection to the collector, when a command needs them.
#[derive(Debug, Clone)]
pub struct Context {
    /// `--home`, if given.
    pub named: Option<PathBuf>,
    /// How results are printed.
    pub output: Output,
}

impl Context {
    /// Path of the home. The folder need not exist yet.
    pub fn path(&self) -> anyhow::Result<PathBuf> {
        Home::locate(self.named.clone())
    }

    /// The home. Fails if nobody ran `exhibit setup` in it.
    pub fn home(&self) -> anyhow::Result<Home> {
        Home::open(&self.path()?)
    }

    /// A connection to the collector. Fails if the home is not set up, the login has ended or the collector is unreachable.
    pub async fn session(&self) -> anyhow::Result<Session> {
        Session::open(self.home()?, self.output).await
    }
}
