//! The only way to stored evidence: lists, items, objects.
//!
//! Guarantee: `evidence.accessed` is durable before the first record or byte of content leaves. The collector checks the digest of a
//! whole item; if it could not, it tells the reader. It opens hostile bytes in a cage. Not here: who may call (`certs::access`).

pub(crate) mod access;
pub(crate) mod item;
pub(crate) mod lines;
pub(crate) mod list;
pub(crate) mod object;
pub(crate) mod wire;

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::collector::Collector;
use crate::services::ingest::verifier::Program;

/// Most caged processes that serve reads at the same time.
const READERS_MAX: usize = 8;

/// The service that lets people read evidence.
pub struct Reads {
    /// The collector whose evidence this is.
    pub(crate) collector: Arc<Collector>,
    /// Limits the caged processes that serve reads.
    readers: Semaphore,
    /// The caged program.
    pub(crate) program: Program,
}

impl Reads {
    /// Builds the service.
    #[must_use]
    pub fn new(collector: Arc<Collector>, program: Program) -> Self {
        Self { collector, readers: Semaphore::new(READERS_MAX), program }
    }
}
