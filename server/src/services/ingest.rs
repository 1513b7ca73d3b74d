//! Receives segments: judges them in a cage, makes them durable on the replicas and acknowledges them, in this order and no other.
//!
//! Guarantee: nothing is acknowledged before it is verified and durable (I4). This process itself parses only headers of a few
//! hundred hostile bytes. Overload slows senders down and drops nothing.
//!
//! In reading order: [`upload`] receives a call's messages; [`begin`] decides whose collection it is; [`budget`] bounds what ingest
//! holds; [`slots`] lets one call work on a collection; [`segment`] takes one segment, with the state that [`warm`] keeps;
//! [`verifier`] drives a caged process, in which [`child`] runs, and [`pipe`] is their protocol; [`quarantine`] keeps bytes that are
//! not evidence; [`finish`] and [`interrupt`] end a collection; [`resume`] finishes one after a crash.

pub(crate) mod begin;
pub(crate) mod budget;
pub(crate) mod child;
pub(crate) mod ended;
pub(crate) mod finish;
pub(crate) mod interrupt;
pub(crate) mod pipe;
pub(crate) mod quarantine;
pub(crate) mod resume;
pub(crate) mod segment;
pub(crate) mod slots;
pub(crate) mod upload;
pub(crate) mod verifier;
pub(crate) mod warm;

use std::sync::Arc;

use evidence::digest::Digest;
use tokio::sync::Semaphore;

use crate::collector::Collector;
use crate::services::order_watches::OrderWatches;
use crate::upkeep::Upkeep;
use budget::Budget;
use slots::Slots;
use verifier::Program;
use warm::Warm;

/// Most uploads at the same time; each has a caged process. Others wait on the wire.
const UPLOADS_MAX: usize = 64;

/// Most bytes of segments between wire and disks: 512 MiB, or 64 typical segments.
const INGEST_BYTES_MAX: u64 = 512 << 20;

/// Most warm verifiers that wait for endpoints whose connection was cut.
const WARM_MAX: usize = 32;

/// The service that receives evidence.
pub struct Ingest {
    /// The collector whose evidence this is.
    pub(crate) collector: Arc<Collector>,
    /// Told when a copy is missing.
    upkeep: Arc<Upkeep>,
    /// Limits what uploads may hold.
    budget: Budget,
    /// Running uploads.
    pub(crate) uploads: Arc<Slots<Digest, Warm>>,
    /// Limits how many verifiers read their collections from the stores at the same time.
    refeed: Semaphore,
    /// Wakes people who watch an order.
    pub(crate) watches: Arc<OrderWatches>,
    /// The caged program.
    program: Program,
}

impl Ingest {
    /// Builds the service.
    #[must_use]
    pub fn new(
        collector: Arc<Collector>,
        upkeep: Arc<Upkeep>,
        watches: Arc<OrderWatches>,
        program: Program,
    ) -> Self {
        Self {
            collector,
            upkeep,
            budget: Budget::new(UPLOADS_MAX, INGEST_BYTES_MAX),
            uploads: Slots::new(WARM_MAX),
            refeed: Semaphore::new(1),
            watches,
            program,
        }
    }

    /// Begins the drain: no new upload begins, and calls that wait for room end.
    pub(crate) fn close(&self) {
        self.budget.close();
    }
}
