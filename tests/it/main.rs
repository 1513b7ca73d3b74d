//! Whole-system tests; suites `journey`, `hostile`, `faults`, `stores`, `strangers`, `mirror`, `packages` and `pages` of
//! packaging/run-tests.py.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed; helpers are tests, too"
)]

mod bad_input;
mod buckets;
mod dependencies;
mod durability;
mod edges;
mod faults;
mod field;
mod journey;
mod keys;
mod lifecycle;
mod limits;
mod mirror;
mod net;
mod packages;
mod pages;
mod production;
mod strangers;
