//! Formats of evidence, as docs/spec writes them down: documents, signatures, containers, seals, items.
//! Guarantee: pure — no clock, no randomness, no file, no network; bytes in, bytes or a reason out; no panic on
//! any input. Not here: the log's own formats (crate `ledger`), the wire (crate `proto`).

// Values and their one text form; signed JSON; keys and signatures.
pub mod causes;
pub mod digest;
pub mod document;
pub mod id;
pub mod json;
pub mod keys;
pub mod length;
pub mod signed;
pub mod text;
pub mod time;

// What the endpoint seals.
pub mod container;
pub mod frames;
pub mod item;
pub mod manifest;
pub mod seal;

// What people and the authority sign.
pub mod enrolment;
pub mod log_key;
pub mod order;
pub mod roster;

// What the ledger records, and what follows from it.
pub mod admission;
pub mod disposal;
pub mod entry;

// What leaves the deployment.
pub mod bundle;
