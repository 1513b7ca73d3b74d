//! The mirror: a second machine that follows a ledger, checks it, keeps its own copy and cosigns (docs/spec/mirror.md).
//! Guarantee: nothing is signed that was not checked with this program's own eyes and made durable before; two histories
//! are kept as proof and stop everything. Not here: the collector (`server`), whose code this crate must not use.
//!
//! In reading order: [`init`] makes a mirror's directory, [`config`] and [`keys`] read it; [`source`] is where bytes come from
//! ([`remote`]: a collector); [`rules`] judges entries; [`cosign`] keeps what was signed; [`pull`] makes one round, [`copy`]
//! a collection, which a [`judge`] verifies; [`witness`] answers those who ask for cosignatures; [`run`] does all of it; [`scrub`] reads the own copy again;
//! [`dispose`] destroys what two persons disposed of;
//! [`restore`] gives it back.
#![forbid(unsafe_code)]

pub mod config;
pub mod copy;
pub mod cosign;
pub mod dispose;
pub mod fraud;
pub mod init;
pub mod judge;
pub mod keys;
pub mod log_keys;
pub mod named;
pub mod objects;
pub mod pull;
pub mod release;
pub mod remote;
pub mod restore;
pub mod rules;
pub mod run;
pub mod scrub;
pub mod source;
pub mod state;
pub mod statement;
pub mod status;
pub mod throttle;
pub mod witness;

/// The wall clock, read in one place. A clock before 1970 reads as 1970.
#[must_use]
pub fn now() -> evidence::time::Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    evidence::time::Time::EPOCH.checked_add(since).unwrap_or(evidence::time::Time::MAX)
}

/// An error with its causes, as one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
