//! The endpoint agent: one binary, several kinds of process (docs: ARCHITECTURE.md, *The agent*).
//!
//! Guarantee: what touches hostile bytes holds neither network nor long-lived keys, and `unsafe` stays in
//! [`platform`]. Not here: formats (`evidence`), the wire (`proto`), the ledger (`ledger`).

pub mod ipc;
#[expect(unsafe_code, reason = "system calls without a safe wrapper live here and nowhere else")]
pub mod platform;
pub mod channel;
pub mod diary;
pub mod message;
pub mod policy;
pub mod sealer;
pub mod state;
pub mod matcher;
pub mod reader;
pub mod collect;
pub mod footprint;
pub mod inventory;
pub mod rows;
