//! Orders: taken from responders, approved by second persons, carried to endpoints, watched until they are done.
//!
//! Guarantee: an order goes out only when its entry is in the ledger, in force, and approved where its roster asks;
//! whether it is obeyed is for the endpoint alone, which gets every proof it needs. A taken-over collector can withhold,
//! not invent (I5).
//!
//! In reading order: [`mod@issue`] and [`mod@approve`] take what people sign; [`state`] says what follows from the records;
//! [`package`] is what an endpoint gets; [`attend`] is its standing call; [`queries`] and [`progress`] show it to people.

pub mod approve;
pub mod attend;
pub mod issue;
pub mod package;
pub mod progress;
pub mod queries;
pub mod state;
pub mod wire;

pub use approve::{approve, cancel};
pub use issue::issue;

use evidence::order::Order;
use evidence::signed::Signed;

use crate::rows::orders::OrderRow;

/// An order as recorded.
#[derive(Debug, Clone)]
pub struct OpenOrder {
    /// Its row.
    pub row: OrderRow,
    /// The document.
    pub order: Order,
    /// As signed.
    pub signed: Signed,
}
