//! The warden with real children: this very agent as reader and sealer. The tests play the link, and tell the
//! warden everything that a hijacked collector could make a link say.

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
