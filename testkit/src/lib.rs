//! The worlds that tests of several rooms share: persons with fixed keys, signed documents, logs with proofs, chains of
//! entries, containers, packages for endpoints, bundles, a collector in a folder, and the waiters.
//!
//! Guarantee: everything is real. Keys sign, leaves are hashed into a tree, checkpoints are signed notes. Not here: anything that
//! only one room needs, and anything that a program may link: this crate is a development dependency only.

#![expect(clippy::unwrap_used, reason = "a test that cannot build its world has failed")]

pub mod bundles;
pub mod chains;
pub mod clock;
pub mod collections;
#[cfg(feature = "collector")]
pub mod collector;
pub mod containers;
pub mod log;
pub mod orders;
pub mod packages;
pub mod people;
pub mod strace;
pub mod vectors;
pub mod wait;
pub mod walk;
