//! What a verifier knows beforehand: whose container it is, and what the container may hold.

use crate::keys::PublicKey;
use crate::seal::Identity;

/// Plain and stored bytes by which a container may exceed the order's limits. The agent counts content, and closes its
/// container (outcomes, end blocks, the open segment) after it reached the limit.
const SLACK_BYTES: u64 = 128 << 20;

/// Records by which it may exceed the limit: those that say what the limit kept out.
const SLACK_ITEMS: u64 = 4096;

/// Smallest limit on one item's size that the verifier enforces: the collectors' own streams come in parts of 4 MiB.
const ITEM_BYTES_MIN: u64 = 8 << 20;

/// Logical bytes beyond the plain ones: holes are hashed, though not stored. 64 GiB take a core half a minute.
const HOLES_BYTES_MAX: u64 = 64 << 30;

/// The limits of the order and of the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Stored bytes of the container.
    pub stored_bytes: u64,
    /// Plain bytes of the container.
    pub plain_bytes: u64,
    /// Logical size of one item.
    pub item_bytes: u64,
    /// Logical size of all members with content: bounds the hashing of holes.
    pub logical_bytes: u64,
    pub items: u64,
}

impl Limits {
    /// What a container may hold under an order: the order's limits, plus the slack that every honest endpoint needs. Collector and later
    /// verifiers use the same limits, so that no sealed bomb keeps either busy.
    pub fn of_order(order: &crate::order::Limits) -> Self {
        // Saturating is the meaning: there is nothing above the largest limit.
        let plain_bytes = order.plain_bytes.saturating_add(SLACK_BYTES);
        Self {
            stored_bytes: order.stored_bytes.saturating_add(SLACK_BYTES),
            plain_bytes,
            item_bytes: order.item_bytes.max(ITEM_BYTES_MIN),
            logical_bytes: plain_bytes.saturating_add(HOLES_BYTES_MAX),
            items: order.items.saturating_add(SLACK_ITEMS),
        }
    }

    /// Only the limits of the format: for containers that one trusts to be finite, such as files on one's own disk.
    pub const NONE: Self = Self {
        stored_bytes: u64::MAX,
        plain_bytes: u64::MAX,
        item_bytes: u64::MAX,
        logical_bytes: u64::MAX,
        items: u64::MAX,
    };
}

/// The container to expect.
#[derive(Debug, Clone)]
pub struct Expect {
    /// Deployment, collection, order and attempt.
    pub identity: Identity,
    /// The sealer key of the delegation.
    pub sealer: PublicKey,
    pub limits: Limits,
}
