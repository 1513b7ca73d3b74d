//! The one door to evidence: lists, items, objects.
//!
//! Guarantee: `evidence.accessed` is durable before the first record or byte of content leaves; a whole item's digest is checked,
//! or the reader is told that it was not. Hostile bytes are opened in a cage. Not here: who may call (`certs::access`).

pub mod access;
pub mod item;
pub mod lines;
pub mod list;
pub mod object;
pub mod wire;
