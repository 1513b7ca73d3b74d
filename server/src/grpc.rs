//! The services: thin handlers that parse, call and map errors.
//!
//! Guarantee: every call on the main listener passes the access table before a handler sees it; messages are within the
//! wire's limits; a peer's text and the log's are two texts. Not here: what the calls mean (the rooms they call).

pub mod agent;
pub mod bundle;
pub mod caller;
pub mod endpoint;
pub mod enrol;
pub mod evidence;
pub mod failure;
pub mod gate;
pub mod incident;
pub mod ledger;
pub mod mirror;
pub mod order;
pub mod store;
