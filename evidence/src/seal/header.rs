//! The signed header.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::document::{Document, document_type};
use crate::id::DeploymentId;
use crate::item::INTEGER_MAX;
use crate::time::FileTime;

document_type! {
    /// `exhibit-seal-v1`.
    SealType, "exhibit-seal-v1"
}

/// Header of a seal. Field order is the order of the specification and of the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealHeader {
    /// Type and version.
    #[serde(rename = "type")]
    pub kind: SealType,
    pub deployment: DeploymentId,
    pub collection: Digest,
    /// Order document, or intake document.
    pub order: Digest,
    /// Attempt, from 1.
    pub attempt: u64,
    /// Segment, from 0.
    pub index: u64,
    /// Digest of the segment's stored bytes.
    pub sha256: Digest,
    pub stored_len: u64,
    /// First plain byte of the segment.
    pub plain_start: u64,
    /// Plain byte behind it.
    pub plain_end: u64,
    /// Records in this seal.
    pub items: u64,
    /// Records so far, this seal included.
    pub items_total: u64,
    /// True when one more line, an open record, follows the records.
    pub open: bool,
    /// Digest of the records as stored.
    pub records_sha256: Digest,
    /// Their stored length.
    pub records_len: u64,
    /// Previous seal; 64 zeros for index 0.
    pub prev: Digest,
    /// Endpoint's clock at sealing.
    pub wall: FileTime,
    /// `CLOCK_BOOTTIME` at sealing.
    pub boot: FileTime,
    /// True only on the last segment of a finished container.
    #[serde(rename = "final")]
    pub is_final: bool,
}

impl Document for SealHeader {
    const TYPE: &'static str = SealType::TEXT;

    fn validate(&self) -> Result<(), &'static str> {
        let integers = [
            self.attempt,
            self.index,
            self.stored_len,
            self.plain_start,
            self.plain_end,
            self.items,
            self.items_total,
            self.records_len,
        ];
        if integers.iter().any(|value| *value > INTEGER_MAX) {
            return Err("integer over 2^53 - 1");
        }
        if self.attempt == 0 {
            return Err("attempt starts at 1");
        }
        if self.plain_end <= self.plain_start {
            return Err("segment without plain bytes");
        }
        if self.items_total < self.items {
            return Err("items_total below items");
        }
        if self.open && self.is_final {
            return Err("a finished container has no open member");
        }
        Ok(())
    }
}
