//! Orders: responders issue them, second persons approve them, endpoints receive them, people watch them.
//!
//! Guarantee: an order goes out only when its entry is in the ledger, it is in force, and it is approved where its roster asks.
//! The endpoint alone decides whether to obey, and it gets every proof that it needs. A collector in the wrong hands can
//! withhold orders, not invent them (I5).
//!
//! In reading order: [`mod@issue`] and [`mod@approve`] take what people sign; [`state`] says what follows from the records;
//! [`package`] is what an endpoint gets; [`attend`] is its standing call; [`queries`] shows orders to people.

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

/// The service that carries orders to endpoints and shows what became of them.
pub struct OrderDesk {
    /// The collector whose orders these are.
    pub(crate) collector: Arc<Collector>,
    /// Where running uploads are ended.
    ingest: Arc<Ingest>,
    /// Orders that wait for an endpoint's answer.
    sent: Sent,
    /// Wakes people who watch an order.
    watches: Arc<OrderWatches>,
}

impl OrderDesk {
    /// Nothing is sent yet.
    #[must_use]
    pub fn new(collector: Arc<Collector>, ingest: Arc<Ingest>, watches: Arc<OrderWatches>) -> Self {
        Self { collector, ingest, sent: Sent::default(), watches }
    }
}
