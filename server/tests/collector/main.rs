//! The collector as a process. A client speaks to it over real sockets and misbehaves in every way in which an endpoint can.

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
mod lists;
mod people;
mod requests;
mod stores;
