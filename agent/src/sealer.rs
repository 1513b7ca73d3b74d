//! The sealer: one process a collection, with the sealer key and nothing else. Hashes, packs, seals, decodes.
//!
//! Guarantee: hostile bytes are handled without network, capabilities and long-lived keys. Not here: opening files
//! (`reader`), signing with the evidence key (`warden`).

mod content;
pub mod intake;
mod outbox;
pub mod process;
mod throttle;
pub(crate) mod window;
