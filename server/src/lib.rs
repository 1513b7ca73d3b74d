//! The collector: it receives evidence, stores it in several places and records every act in one ledger.
//!
//! Guarantee: the collector acknowledges nothing before it is durable on as many stores as the policy asks for. It records nothing twice
//! and changes no record. Not here: formats (`evidence`); Merkle mathematics (`ledger`); TLS identity (`certs`); the wire (`proto`).
//!
//! The folders follow an act on its way: [`services`] takes it from the wire, [`log`] gives it its place in the ledger, [`rows`]
//! projects the ledger into SQLite, [`upkeep`] keeps the evidence whole, [`ops`] holds the operator's commands.
#![forbid(unsafe_code)]

mod acts;
mod blocking;
pub mod clock;
mod collector;
pub mod config;
mod endpoints;
mod failure;
pub mod log;
mod metrics;
pub mod ops;
mod outbound;
mod people;
pub mod rows;
mod services;
mod upkeep;
