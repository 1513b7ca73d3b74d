//! The messages that a proxy saw.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use evidence::digest::Digest;

/// Something that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// An order went to the agent.
    Order {
        /// Digest of its bytes.
        order: Digest,
    },
    /// The agent's answer to an order.
    Answer {
        /// Which.
        order: String,
        /// Whether it obeys.
        admitted: bool,
        /// Why not.
        reason: String,
        /// Why not, for people.
        detail: String,
    },
    /// The agent said that an attempt ended.
    Ended {
        /// The collection.
        collection: String,
        /// How.
        result: String,
        /// Why.
        detail: String,
    },
    /// An upload began.
    Upload {
        /// The collection.
        collection: String,
    },
    /// A whole segment went to the collector.
    Sent {
        /// The collection.
        collection: String,
        /// Which.
        index: u64,
        /// Digest of its seal, computed here.
        seal: Digest,
        /// Digest of its bytes, as the seal says.
        sha256: Digest,
    },
    /// The manifest went to the collector.
    Manifest {
        /// The collection.
        collection: String,
    },
    /// The collector acknowledged everything below an index.
    Position {
        /// The collection.
        collection: String,
        /// The index.
        next_index: u64,
        /// Digest of the seal before it.
        seal: String,
        /// On so many stores.
        copies: u32,
        /// Fewer than policy asks.
        degraded: bool,
    },
    /// The collector said that a collection is stored.
    Stored {
        /// The collection.
        collection: String,
    },
    /// The collector takes no more.
    Rejected {
        /// The collection.
        collection: String,
        /// Why.
        reason: String,
        /// Why, for people.
        detail: String,
    },
    /// The test cut the line.
    Cut,
}

/// Something that passed, and when: time since the proxy began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timed {
    /// When.
    pub at: Duration,
    /// What.
    pub what: Seen,
}

/// An acknowledged segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    /// Digest of its seal.
    pub seal: Digest,
    /// Digest of its bytes.
    pub sha256: Digest,
}

/// All segments that were acknowledged, by collection and index.
///
/// # Errors
/// When an acknowledgement names another seal than the one that was sent, when one index was sent with two seals, or when
/// something was acknowledged that nobody sent.
pub fn acknowledged(seen: &[Timed]) -> Result<BTreeMap<(String, u64), Acknowledged>> {
    let mut sent: BTreeMap<(String, u64), Acknowledged> = BTreeMap::new();
    let mut acknowledged = BTreeMap::new();
    for Timed { what, .. } in seen {
        match what {
            Seen::Sent { collection, index, seal, sha256 } => {
                let new = Acknowledged { seal: *seal, sha256: *sha256 };
                let before = sent.insert((collection.clone(), *index), new);
                ensure!(
                    before.is_none_or(|before| before == new),
                    "segment {index} of {collection} was sent with two seals"
                );
            }
            Seen::Position { collection, next_index, seal, .. } => {
                for index in 0..*next_index {
                    let key = (collection.clone(), index);
                    let Some(was) = sent.get(&key) else {
                        anyhow::bail!("segment {index} of {collection} was acknowledged and never sent")
                    };
                    ensure!(
                        index + 1 < *next_index || was.seal.to_string() == *seal,
                        "position {next_index} of {collection} names seal {seal}, sent was {}",
                        was.seal
                    );
                    acknowledged.insert(key, *was);
                }
            }
            _ => {}
        }
    }
    Ok(acknowledged)
}
