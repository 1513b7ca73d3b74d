//! What keeps stored evidence whole, and what removes it when two persons say so.
//!
//! Guarantee: damage is in the ledger before it is mended; nothing is destroyed without a warrant. Not here: who may ask for it
//! (`services`).

pub(crate) mod disposal;
pub(crate) mod fixity;
pub(crate) mod legal_holds;
pub(crate) mod locks;
pub(crate) mod repair;
pub(crate) mod repairs;
pub(crate) mod scrub;
pub(crate) mod sweep;
pub(crate) mod wants;

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::collector::Collector;
use crate::config::pace::Pace;

/// What the chores of upkeep share, with each other and with the services that ask them for something.
pub struct Upkeep {
    /// The collector whose evidence this is.
    pub collector: Arc<Collector>,
    /// Lets holds go before the destroyer's next object.
    pub(crate) brake: disposal::Brake,
    /// Serialises "has this object been reported?" with "report it", so that no object is reported twice.
    fixity: Mutex<()>,
    /// The repairer's turn.
    pub(crate) repairs: repairs::Repairs,
    /// Who asks for scrubs and who watches them.
    pub(crate) scrubber: scrub::Scrubber,
    /// What mirrors are asked for.
    pub(crate) wants: wants::Wants,
}

impl Upkeep {
    /// At rest; the chores are started by `run`.
    #[must_use]
    pub fn new(collector: Arc<Collector>, pace: Pace) -> Self {
        Self {
            collector,
            brake: disposal::Brake::default(),
            fixity: Mutex::default(),
            repairs: repairs::Repairs::default(),
            scrubber: scrub::Scrubber::new(pace),
            wants: wants::Wants::default(),
        }
    }
}
