//! The rule book over whole logs, honest and forged.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a test that cannot go on has failed; helpers are tests, too"
)]

mod documents;
mod entries;
mod evidence_entries;
mod folds;
mod incidents;
mod log_keys;
mod table;
mod world;
