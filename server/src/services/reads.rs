//! The only way to stored evidence: lists, items, objects.
//!
//! Guarantee: `evidence.accessed` is durable before the first record or byte of content leaves. The digest of a whole item is
//! checked; if it was not, the reader is told. Hostile bytes are opened in a cage. Not here: who may call (`certs::access`).

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

/// Caged processes that serve reads.
const READERS_MAX: usize = 8;

/// The service that shows evidence.
pub struct Reads {
    /// The collector whose evidence this is.
    pub(crate) collector: Arc<Collector>,
    /// Caged processes that serve reads at the same time.
    readers: Semaphore,
    /// The caged program.
    pub(crate) program: Program,
}

impl Reads {
    /// Ready for readers.
    #[must_use]
    pub fn new(collector: Arc<Collector>, program: Program) -> Self {
        Self { collector, readers: Semaphore::new(READERS_MAX), program }
    }
}
