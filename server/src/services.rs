//! The services: what peers call, from the wire to the work.
//!
//! Guarantee: every call on the main listener passes the access table before a handler sees it; messages are within the
//! wire's limits; a peer's text and the log's are two texts.

pub mod agent;
pub mod caller;
pub mod endpoints;
pub mod enrol;
pub mod export;
pub mod gate;
pub mod incidents;
pub mod ingest;
pub mod ledger;
pub mod login;
pub mod mirrors;
pub mod monitors;
pub mod orders;
pub mod reads;
pub mod rosters;
pub mod stores;
