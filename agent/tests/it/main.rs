//! The warden with real children: this very agent as reader and sealer, and a link played by the tests, which says to the
//! warden whatever a taken-over collector could make it say.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report of a failure, in its helpers too"
)]

mod collecting;
mod confining;
mod enrolling;
mod lab;
mod refusing;
