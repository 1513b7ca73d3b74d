//! What was recorded, in which order: the ledger, the cosignatures and time stamps over its heads, the key that signs it.
//!
//! [`recorder`] is the way in: every act that is recorded goes through it.

pub mod cosigning;
pub mod ledger;
pub mod log_key;
pub(crate) mod recorder;
pub(crate) mod tsa;
