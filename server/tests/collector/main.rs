//! The collector as a process, spoken to over real sockets by a client that misbehaves in every way an endpoint can.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    reason = "a test that meets what it does not expect has failed; helpers outside #[test] count as code to the lint"
)]

mod container;
mod lab;

mod evidence_in;
mod evidence_out;
mod hostile;
mod people;
mod stores;
