//! The services that peers call: each folder leads from the wire to the work.
//!
//! Guarantee: every call on the main listener passes the access table before a handler sees it. Messages are within the
//! wire's limits. The text for a peer and the text for the log are kept apart.

pub(crate) mod agent;
pub(crate) mod answer;
pub(crate) mod caller;
pub(crate) mod endpoints;
pub(crate) mod enrol;
pub(crate) mod export;
pub(crate) mod gate;
pub(crate) mod incidents;
pub(crate) mod ingest;
pub(crate) mod ledger;
pub(crate) mod login;
pub(crate) mod mirrors;
pub(crate) mod monitors;
pub(crate) mod order_watches;
pub(crate) mod orders;
pub(crate) mod reads;
pub(crate) mod rosters;
pub(crate) mod stores;

use std::sync::Arc;

use crate::collector::Collector;
use crate::log::tsa::TsaClient;
use crate::upkeep::Upkeep;
use export::Exporter;
use ingest::Ingest;
use ingest::verifier::Program;
use order_watches::OrderWatches;
use orders::OrderDesk;
use reads::Reads;

/// The services of one collector that have state of their own.
pub struct Services {
    /// The parts that all services share.
    pub collector: Arc<Collector>,
    /// Keeps the evidence whole: repair, scrub, disposal.
    pub upkeep: Arc<Upkeep>,
    /// Receives evidence.
    pub ingest: Arc<Ingest>,
    /// Delivers orders.
    pub orders: Arc<OrderDesk>,
    /// Lets people read evidence.
    pub reads: Arc<Reads>,
    /// Exports bundles.
    pub exporter: Arc<Exporter>,
}

impl Services {
    /// Builds all services; none runs yet.
    #[must_use]
    pub fn new(upkeep: Upkeep, program: &Program, tsas: Vec<TsaClient>) -> Self {
        let (collector, upkeep) = (Arc::clone(&upkeep.collector), Arc::new(upkeep));
        let watches = Arc::new(OrderWatches::default());
        let ingest = Arc::new(Ingest::new(
            Arc::clone(&collector),
            Arc::clone(&upkeep),
            Arc::clone(&watches),
            program.clone(),
        ));
        let reads = Arc::new(Reads::new(Arc::clone(&collector), program.clone()));
        Self {
            orders: Arc::new(OrderDesk::new(Arc::clone(&collector), Arc::clone(&ingest), watches)),
            exporter: Arc::new(Exporter::new(Arc::clone(&collector), Arc::clone(&reads), tsas)),
            collector,
            upkeep,
            ingest,
            reads,
        }
    }
}
