//! The endpoint agent: one binary that runs as several kinds of process (ARCHITECTURE.md, *The life of an item*).
//!
//! Guarantee: a process that touches hostile bytes holds neither network nor long-lived keys, and `unsafe`
//! stays in [`platform`]. Not here: formats (`evidence`), the wire (`proto`), the ledger (`ledger`).

pub mod collect;
pub mod diary;
pub mod enrol;
pub(crate) mod footprint;
pub(crate) mod glob;
pub(crate) mod inventory;
pub mod ipc;
pub mod link;
pub mod matcher;
pub mod message;
#[expect(unsafe_code, reason = "system calls without a safe wrapper live here and nowhere else")]
pub mod platform;
pub mod policy;
pub mod process;
pub mod reader;
pub mod rows;
pub mod sealer;
pub(crate) mod service;
pub mod source;
pub mod state;
pub mod status;
pub mod warden;

/// Version of the agent.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Environment variable with the log filter, the only one that children get.
pub const LOG_VARIABLE: &str = "RUST_LOG";

/// The user that link and sealer become if the warden runs as root and this user exists.
pub(crate) const SERVICE_USER: &str = "exhibit-agent";

/// The first argument of a link process. Each kind of child has its own.
pub const LINK_ROLE: &str = "__link";
/// The first argument of a reader process.
pub const READER_ROLE: &str = "__reader";
/// The first argument of a sealer process.
pub const SEALER_ROLE: &str = "__sealer";
