//! The collector: it takes evidence in, keeps it in several places and records every act in one ledger.
//! Guarantee: nothing is acknowledged before it is durable where policy asks; nothing is recorded twice or changed.
//! Not here: formats (`evidence`), Merkle mathematics (`ledger`), TLS identity (`certs`), the wire (`proto`).
//!
//! In reading order: [`config`] says where things are; [`db`] is the projection of everything
//! else; [`ledger`] gives each act its place; [`cosigning`] has its heads cosigned, [`tsa`] stamped; [`init`] makes a collector,
//! [`foundation`] opens one, [`rebuild`] recreates its database from ledger and stores.
#![forbid(unsafe_code)]

pub mod acts;
pub mod capabilities;
pub mod clock;
pub mod collector;
pub mod config;
pub mod cosigning;
pub mod custody;
pub mod db;
pub mod disposal;
pub mod endpoints;
pub mod enrol;
pub mod export;
pub mod foundation;
pub mod grpc;
pub mod incidents;
pub mod ingest;
pub mod init;
pub mod ledger;
pub mod locks;
pub mod log_key;
pub mod login;
pub mod metrics;
pub mod mirrors;
pub mod monitors;
pub mod orders;
mod outbound;
pub mod people;
pub mod places;
pub mod reads;
pub mod rebuild;
pub mod repair;
pub mod restored;
pub mod retention;
pub mod run;
pub mod sandbox;
pub mod scrub;
pub mod tsa;
pub mod wants;
