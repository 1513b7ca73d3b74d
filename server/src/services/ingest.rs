//! Takes segments in: they are judged in a cage, made durable on the replicas and acknowledged, in this order and no other.
//!
//! Guarantee: nothing is acknowledged before it is verified and durable (I4). Of hostile bytes this process itself parses only
//! headers of a few hundred bytes. Overload slows senders down and drops nothing.
//!
//! In reading order: [`upload`] takes a call's messages; [`begin`] judges whose they are; [`budget`] bounds what it may hold;
//! [`slots`] lets one call work on a collection; [`segment`] takes one segment with what [`warm`] knows; [`verifier`] drives a
//! caged process, in which [`child`] runs, and [`pipe`] is their protocol; [`quarantine`] keeps what is not evidence; [`finish`]
//! and [`interrupt`] end a collection; [`resume`] ends one after a crash.

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

/// Uploads at the same time; each holds a caged process. Others wait on the wire.
const UPLOADS_MAX: usize = 64;

/// Bytes of segments between wire and disks: 512 MiB, or 64 typical segments.
const INGEST_BYTES_MAX: u64 = 512 << 20;

/// Warm verifiers that wait for endpoints whose connection was cut.
const WARM_MAX: usize = 32;

/// The service that takes evidence in.
pub struct Ingest {
    /// The collector whose evidence this is.
    pub(crate) collector: Arc<Collector>,
    /// Told when copies are lacking.
    upkeep: Arc<Upkeep>,
    /// Room for uploads.
    budget: Budget,
    /// Running uploads.
    pub(crate) uploads: Arc<Slots<Digest, Warm>>,
    /// Collections whose verifier is fed from the stores at the same time.
    refeed: Semaphore,
    /// Wakes people who watch an order.
    pub(crate) watches: Arc<OrderWatches>,
    /// The caged program.
    program: Program,
}

impl Ingest {
    /// Ready for uploads.
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

    /// The drain: nothing new is begun, and whoever waits for room goes.
    pub(crate) fn close(&self) {
        self.budget.close();
    }
}
