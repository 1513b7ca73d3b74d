//! Formats of evidence, as docs/spec writes them down: documents, signatures, containers, seals, items.
//! Guarantee: pure — no clock, no randomness, no file, no network; bytes in, bytes or a reason out; no panic on
//! any input. Not here: the log's own formats (crate `ledger`), the wire (crate `proto`).

// Foundation: values, sets, JSON, keys, signatures.
pub mod causes;
pub mod dense_set;
pub mod digest;
pub mod document;
pub mod id;
pub mod json;
pub mod keys;
pub mod signed;
pub mod sshsig;
pub mod text;
pub mod time;
mod wire;

// Container: what the endpoint seals.
pub mod container;
pub mod item;
pub mod outcome;
pub mod seal;
pub mod stat;
pub mod tar;

// The ledger's entries.
pub mod act;
pub mod bundle;
pub mod detail;
pub mod disposal;
pub mod entry;
pub mod pairs;
pub mod production;

// Documents that people, endpoints and the authority sign.
pub mod delegation;
pub mod enrolment;
pub mod log_key;
pub mod manifest;
pub mod order;
pub mod roster;

// What is believed on the strength of them.
pub mod admission;
