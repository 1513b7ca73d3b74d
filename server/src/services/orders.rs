//! Orders: responders issue them, second persons approve them, endpoints receive them, people watch them.
//!
//! Guarantee: the collector delivers an order only if its entry is in the ledger, it is in force, and it is approved where its roster
//! requires approval. The endpoint alone decides whether to obey, and it gets every proof that it needs. A hijacked collector can
//! withhold orders, not invent them (I5).
//!
//! In reading order: [`mod@issue`] and [`mod@approve`] take what people sign; [`state`] derives states from the records;
//! [`package`] builds the delivery for an endpoint; [`attend`] is the endpoint's standing call; [`queries`] shows orders to people.

pub(crate) mod approve;
pub(crate) mod attend;
pub(crate) mod issue;
pub(crate) mod package;
pub(crate) mod queries;
pub(crate) mod state;
pub(crate) mod wire;

pub use approve::{approve, cancel};
pub use issue::issue;

use std::sync::Arc;

use crate::collector::Collector;
use crate::services::ingest::Ingest;
use crate::services::order_watches::OrderWatches;
use attend::Sent;

/// The service that delivers orders to endpoints and shows their progress.
pub struct OrderDesk {
    /// The collector whose orders these are.
    pub(crate) collector: Arc<Collector>,
    /// Ends running uploads.
    ingest: Arc<Ingest>,
    /// Orders that were sent and wait for an endpoint's answer.
    sent: Sent,
    /// Wakes people who watch an order.
    watches: Arc<OrderWatches>,
}

impl OrderDesk {
    /// Builds the service. Nothing is sent yet.
    #[must_use]
    pub fn new(collector: Arc<Collector>, ingest: Arc<Ingest>, watches: Arc<OrderWatches>) -> Self {
        Self { collector, ingest, sent: Sent::default(), watches }
    }
}
