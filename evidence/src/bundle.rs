//! The files of a bundle whose bytes docs/spec/bundle.md determines.
//! Guarantee: one function makes each of these files. The exporter writes what it returns; the verifier calls it with what it
//! checked and compares the bytes. So the two cannot differ in order, spelling or ending.
//! Not here: the checks of a bundle (crate `exhibit-verify`), the texts for people, reading files.

mod allowed_signers;
mod ca;
mod consistency;
mod destruction;
mod log_key;
mod names;
mod overview;
pub mod production;
pub mod stamp;
mod sums;
mod target;

pub use allowed_signers::{EnrolledKey, allowed_signers};
pub use ca::ca_pem;
pub use consistency::{consistency, parse_consistency};
pub use destruction::{destruction_json, destruction_txt};
pub use log_key::log_vkey;
pub use names::{BundleError, CHECKPOINT_STAMPS, FILES_MAX, STAMPS_MAX, SUMS_STAMPS, UNCOVERED, check_name};
pub use overview::{BundleVersion, Overview, WITHOUT_QUORUM_FIELD};
pub use sums::{SUMS_NAMESPACE, Sums};
pub use target::target_proof;
