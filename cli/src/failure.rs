//! How a command fails: an exit code for scripts, and a text for people that gives state, cause and next step.

use std::fmt;

/// Exit codes of all our programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Evidence failed a check, or a collection ended without being stored.
    Failed = 1,
    /// The command could not answer: no connection, no permission, a file that cannot be read.
    CouldNot = 2,
    /// The command line is wrong.
    Usage = 64,
}

/// Why a command did not succeed. `anyhow` carries it up, and `main` finds it again.
#[derive(Debug)]
pub struct Failure {
    /// The process exit code.
    pub exit: Exit,
    /// What happened.
    pub state: String,
    /// What to do now.
    pub next: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.state)?;
        if !self.next.is_empty() {
            write!(out, "\n  next: {}", self.next)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// The command line asks for something that cannot be done.
pub fn usage(state: impl Into<String>, next: impl Into<String>) -> anyhow::Error {
    Failure { exit: Exit::Usage, state: state.into(), next: next.into() }.into()
}

/// Something other than the evidence prevents the command.
pub fn could_not(state: impl Into<String>, next: impl Into<String>) -> anyhow::Error {
    Failure { exit: Exit::CouldNot, state: state.into(), next: next.into() }.into()
}

/// The evidence, or the work on it, failed a check.
pub fn failed(state: impl Into<String>, next: impl Into<String>) -> anyhow::Error {
    Failure { exit: Exit::Failed, state: state.into(), next: next.into() }.into()
}

/// An error with all its causes on one line.
pub fn because(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        // Some libraries repeat the cause in their own text.
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}
