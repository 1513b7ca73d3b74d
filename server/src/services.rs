//! The services: what peers call, from the wire to the work.
//!
//! Guarantee: every call on the main listener passes the access table before a handler sees it; messages are within the
//! wire's limits; a peer's text and the log's are two texts.

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

/// The services of one collector that have a state of their own.
pub struct Services {
    /// What all share.
    pub collector: Arc<Collector>,
    /// Keeps the evidence whole.
    pub upkeep: Arc<Upkeep>,
    /// Takes evidence in.
    pub ingest: Arc<Ingest>,
    /// Carries orders out.
    pub orders: Arc<OrderDesk>,
    /// Shows evidence.
    pub reads: Arc<Reads>,
    /// Hands bundles out.
    pub exporter: Arc<Exporter>,
}

impl Services {
    /// All of them, at rest.
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
