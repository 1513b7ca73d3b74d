//! RFC 3161 stamps: a third party's word that bytes existed at a time.
//!
//! Guarantee: a stamp counts only when its one signer chains to a pinned certificate, at the time it names, with the time-stamping key
//! usage,
//! and its imprint is that of the data. Not here: revocation (offline there is none), asking an authority over the network (crate
//! `server`).
//!
//! Why not a library: the one that fits refuses RSA signers and fractions of a second, which most public authorities use.

mod algorithm;
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
