//! The services: what peers call, from the wire to the work.
//!
//! Guarantee: every call on the main listener passes the access table before a handler sees it; messages are within the
//! wire's limits; a peer's text and the log's are two texts.

pub mod agent;
pub mod answer;
pub mod caller;
pub mod endpoints;
pub mod enrol;
pub mod export;
pub mod gate;
pub mod incidents;
pub mod ingest;
pub mod ledger;
pub mod login;
pub mod mirrors;
pub mod monitors;
pub mod orders;
pub mod reads;
pub mod rosters;
pub mod stores;

use std::sync::Arc;

use crate::collector::Collector;
use crate::log::tsa::TsaClient;
use crate::upkeep::Upkeep;
use export::Exporter;
use ingest::Ingest;
use ingest::verifier::Program;
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
        let ingest = Ingest::new(Arc::clone(&collector), Arc::clone(&upkeep), program.clone());
        let ingest = Arc::new(ingest);
        let reads = Arc::new(Reads::new(Arc::clone(&collector), program.clone()));
        Self {
            orders: Arc::new(OrderDesk::new(Arc::clone(&collector), Arc::clone(&ingest))),
            exporter: Arc::new(Exporter::new(Arc::clone(&collector), Arc::clone(&reads), tsas)),
            collector,
            upkeep,
            ingest,
            reads,
        }
    }
}
