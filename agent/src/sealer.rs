//! The sealer: one process for each collection, with the sealer key and nothing else. It hashes, packs, seals
//! and decodes.
//!
//! Guarantee: the process that handles hostile bytes has no network, no capabilities and no long-lived keys.
//! Not here: opening files (`reader`), signing with the evidence key (`warden`).

mod content;
pub mod intake;
mod outbox;
pub mod process;
mod throttle;
pub(crate) mod window;
