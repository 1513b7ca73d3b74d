//! Tests of the command line's programs from outside.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report of a failure, in its helpers too"
)]

mod bundle;
mod plain_tools;
mod program;
