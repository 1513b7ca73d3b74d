//! RFC 3161 stamps: a third party states that bytes existed at a time.
//!
//! Guarantee: a stamp counts only if its one signer chains to a pinned certificate at the stamp's time, with the time-stamping key
//! usage, and if its imprint is that of the data. Not here: revocation (there is none offline), asking an authority over the network
//! (crate `server`).
//!
//! Why not a library: the one that fits refuses RSA signers and fractions of a second, which most public authorities use.

mod algorithm;
mod certificate;
mod chain;
mod der;
mod error;
mod info;
mod request;
mod signed_data;
mod verify;

pub use error::StampError;
pub use request::StampRequest;
pub use verify::{RESPONSE_BYTES_MAX, Stamp, verify};
