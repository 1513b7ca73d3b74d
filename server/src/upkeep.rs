//! Keeps stored evidence whole, and removes it when two persons approve that.
//!
//! Guarantee: damage is in the ledger before it is mended. Nothing is destroyed without a warrant. Not here: who may ask for it
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

/// The parts that the upkeep chores share with each other and with the services that ask them for something.
pub struct Upkeep {
    /// The collector whose evidence this is.
    pub collector: Arc<Collector>,
    /// Lets a waiting hold run before the next object is destroyed.
    pub(crate) brake: disposal::Brake,
    /// Serialises "has this object been reported?" with "report it", so that no object is reported twice.
    fixity: Mutex<()>,
    /// Wakes the repairer, one round at a time.
    pub(crate) repairs: repairs::Repairs,
    /// Requests for scrubs, and their watchers.
    pub(crate) scrubber: scrub::Scrubber,
    /// The objects that the collector asks mirrors for.
    pub(crate) wants: wants::Wants,
}

impl Upkeep {
    /// Builds the state. `run` starts the chores.
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
