//! Tests of `exhibit-verify`: a complete bundle made in process, then everything that a clumsy or a skilled forger may do to it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails; helpers of tests are not seen as tests"
)]

mod disposal;
mod flips;
mod fold;
mod forged;
mod good;
mod limits;
mod old_bundles;
mod production;
mod quorum;
mod replicated;
mod reports;
mod rules;
mod several_endpoints;
mod stamps;
mod stock_tools;
mod unapproved;
mod verdicts;
