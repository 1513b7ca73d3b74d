//! What the warden keeps between lives: keys, pins, roster, counters. One directory, 0700, for the agent alone.
//!
//! Guarantee: state is made by enrolment and by nothing else; each part is durable before what depends on it happens.
//! Not here: evidence. Nothing collected is ever written to this disk.

pub mod clock;
pub mod counter;
pub mod files;
pub mod identity;
pub mod keeper;
pub mod receipts;
pub mod seen;
