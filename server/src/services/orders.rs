//! Orders: taken from responders, approved by second persons, carried to endpoints, watched until they are done.
//!
//! Guarantee: an order goes out only when its entry is in the ledger, in force, and approved where its roster asks;
//! whether it is obeyed is for the endpoint alone, which gets every proof it needs. A taken-over collector can withhold,
//! not invent (I5).
//!
//! In reading order: [`mod@issue`] and [`mod@approve`] take what people sign; [`state`] says what follows from the records;
//! [`package`] is what an endpoint gets; [`attend`] is its standing call; [`queries`] shows it to people.

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
use attend::Sent;

/// The service that carries orders to endpoints and shows what became of them.
pub struct OrderDesk {
    /// The collector whose orders these are.
    pub(crate) collector: Arc<Collector>,
    /// Where running uploads are ended.
    ingest: Arc<Ingest>,
    /// Orders that wait for an endpoint's answer.
    sent: Sent,
}

impl OrderDesk {
    /// Nothing is sent yet.
    #[must_use]
    pub fn new(collector: Arc<Collector>, ingest: Arc<Ingest>) -> Self {
        Self { collector, ingest, sent: Sent::default() }
    }
}
