//! The record: the ledger, the cosignatures and time stamps over its heads, and the key that signs it.
//!
//! Every act enters through [`recorder`].

pub mod cosigning;
pub mod ledger;
pub mod log_key;
pub(crate) mod recorder;
pub(crate) mod tsa;
