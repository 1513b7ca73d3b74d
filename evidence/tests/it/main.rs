//! Tests of crate `evidence` through its public interface.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "in a test a panic is the report of a failure, in its helpers too"
)]

mod admission;
mod admission_lists;
mod bundle;
mod container;
mod documents;
mod enrolment;
mod log_key;
mod random;
mod roster;
mod ssh;
