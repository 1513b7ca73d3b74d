//! The mirror: a second machine that follows a ledger, checks it, keeps its own copy and cosigns (docs/spec/mirror.md).
//!
//! Guarantee: the mirror signs only what it checked itself and made durable. When the log signs two histories, the mirror keeps
//! both notes as proof and stops. Not here: the collector (`server`); this crate must not use its code.
//!
//! Reading order: [`init`] makes a mirror's directory; [`config`], [`pins`] and [`keys`] read it. [`source`] says where bytes come
//! from (`remote` is a collector). [`rules`] judges entries, [`pull`] makes one round, [`cosign`] keeps what was signed.
//! [`replicate`] copies a collection and has it verified. [`witness`] answers requests for cosignatures. [`run`] is the running
//! mirror. [`scrub`] reads the own copy again, [`dispose`] destroys what an approved plan names, [`restore`] gives the copy back.
#![forbid(unsafe_code)]
#![expect(missing_docs, reason = "a field or variant whose name says everything has no comment")]

pub mod config;
pub mod cosign;
pub mod dispose;
pub mod init;
pub mod keys;
mod metrics;
pub mod note;
pub mod objects;
pub mod pins;
pub mod pull;
pub(crate) mod rate;
pub mod release;
pub(crate) mod remote;
pub mod replicate;
pub mod restore;
pub mod rules;
pub mod run;
pub mod scrub;
pub mod source;
pub mod status;
pub mod witness;

/// The wall clock. Nothing else reads it. A clock before 1970 reads as 1970, one beyond 9999 as its last day.
#[must_use]
pub fn now() -> evidence::time::Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    evidence::time::Time::EPOCH.checked_add(since).unwrap_or(evidence::time::Time::MAX)
}
