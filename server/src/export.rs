//! A bundle's files, one after the other, exactly as docs/spec/bundle.md lists them; and the entry that logs the export.
//!
//! Guarantee: everything in a bundle is as of one checkpoint: entries behind it, and what they record, are left out.
//! Stored bytes leave unchanged. The read is recorded before the first byte. Not here: SHA256SUMS and its signature, which
//! the exporter makes; the checks (`exhibit-verify`).

mod files;
mod production;
mod record;
mod snapshot;
mod texts;

pub use files::export;
pub use record::{Exports, record};
