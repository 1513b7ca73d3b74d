//! What the tests of several rooms build again and again: persons with fixed keys, signed documents, logs with proofs, chains of
//! entries, containers, packages for endpoints, bundles, and the waiters.
//!
//! Guarantee: everything is real. Keys sign, leaves are hashed into a tree, checkpoints are signed notes. Not here: anything of
//! one room alone, and nothing that a program may link: this crate is a development dependency only.

#![expect(clippy::unwrap_used, reason = "a test that cannot build its world has failed")]

pub mod bundles;
pub mod chains;
pub mod clock;
#[cfg(feature = "collector")]
pub mod collector;
pub mod containers;
pub mod log;
pub mod packages;
pub mod people;
pub mod vectors;
pub mod wait;
