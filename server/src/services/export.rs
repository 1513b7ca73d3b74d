//! Streams the files of a bundle in the order of docs/spec/bundle.md, and records the export.
//!
//! Guarantee: a bundle shows the state at one checkpoint: it leaves out later entries and what they record. Stored bytes leave
//! unchanged. The collector records the read before the first byte leaves. Not here: SHA256SUMS and its signature, which the
//! exporting person makes; the checks (`exhibit-verify`).

mod files;
mod production;
mod record;
mod snapshot;
mod stamps;
mod texts;
pub(crate) mod wire;

use std::sync::Arc;
use std::time::Duration;

use crate::collector::Collector;
use crate::failure::Failure;
use crate::log::cosigning::CosignedHead;
use crate::log::tsa::TsaClient;
use crate::services::reads::Reads;
use record::Exports;

/// How long an export waits for cosigners: more than twice as long as one question to a witness may take.
const QUORUM_PATIENCE: Duration = Duration::from_secs(40);

/// Waits for a head that covers `size` entries and has the quorum of the collector's policy.
///
/// # Errors
/// A refusal that names the missing cosigners and what to do, or says that the policy has no quorum to meet.
pub async fn quorum_over(collector: &Collector, size: u64) -> Result<CosignedHead, Failure> {
    if !collector.cosigning.policy().needs_cosigners() {
        return Err(Failure::precondition(
            "the collector's policy asks for no cosigners (`ledger.policy`), so none can be waited for",
        ));
    }
    collector
        .cosigning
        .quorum_over(size, QUORUM_PATIENCE)
        .await
        .map_err(|shortage| Failure::precondition(shortage.to_string()))
}

/// The service that hands out bundles.
pub struct Exporter {
    /// The collector whose evidence this is.
    collector: Arc<Collector>,
    /// Reads the chosen items of a collection.
    reads: Arc<Reads>,
    /// Bundles that were streamed and are not recorded yet.
    exports: Exports,
    /// Time-stamping authorities.
    tsas: Vec<TsaClient>,
}

impl Exporter {
    /// Builds the service.
    #[must_use]
    pub fn new(collector: Arc<Collector>, reads: Arc<Reads>, tsas: Vec<TsaClient>) -> Self {
        Self { collector, reads, exports: Exports::default(), tsas }
    }
}
