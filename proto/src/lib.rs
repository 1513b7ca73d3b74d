//! The wire between agents, collectors and people: messages, limits, conversions, status, waits before a retry.
//!
//! Guarantee: both ends are built from one schema and one set of limits, so that neither can be made to buffer
//! more than the other may send. Not here: who may call what (`certs::access`) and what a signature means (`evidence`).
#![forbid(unsafe_code)]

pub mod backoff;
pub mod convert;
pub mod limits;
pub mod parts;
pub mod segment;
pub mod service;
pub mod status;

/// Messages and services of `schema/exhibit/v1`, as generated.
#[expect(
    missing_docs,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code: the schema's comments are its documentation, its style is the generator's"
)]
pub mod v1 {
    tonic::include_proto!("exhibit.v1");
}

include!(concat!(env!("OUT_DIR"), "/methods.rs"));

/// The compiled schema (`google.protobuf.FileDescriptorSet`): for checks that must see every method and field.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
