//! The formats of evidence, byte for byte: documents, signatures, items, containers, seals, orders, bundles.
//!
//! Guarantee: every function is pure. It reads no clock and no random numbers, and opens no file and no connection. It
//! takes bytes and returns bytes, or the reason why it cannot. No input makes it panic.
//! Not here: the log's own formats (crate `ledger`), the messages between programs (crate `proto`).
//!
//! | to understand | read | specification |
//! |---|---|---|
//! | how a document is written and signed | [`document`], [`json`], [`signed`], [`keys`] | docs/spec/README.md |
//! | what an endpoint seals | [`item`], [`frames`], [`container`], [`seal`], [`manifest`] | container.md, seal.md, manifest.md |
//! | what people sign | [`roster`], [`order`], [`enrolment`], [`log_key`] | roster.md, order.md, enrolment.md |
//! | whether an endpoint obeys | [`admission`] | order.md |
//! | what the ledger records, and when evidence may go | [`entry`], [`disposal`] | ledger.md |
//! | what a consultant receives | [`bundle`] | bundle.md |
#![expect(missing_docs, reason = "a field or variant whose name says everything has no comment")]

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
