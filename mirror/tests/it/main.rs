//! Rounds, rules, witness and scrub over a ledger made here from fixed keys: no collector's code is used.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed; helpers are tests, too"
)]

mod ahead;
mod disposal;
mod faults;
mod log_keys;
mod release;
mod restore;
mod rounds;
mod rules;
mod scrub;
mod vectors;
mod witness;
mod world;
