//! The ways in which an upload call ends, and what the collector tells the endpoint.

use evidence::digest::Digest;
use proto::status::Class;
use proto::v1;

use crate::failure::Failure;
use crate::rows::DbError;

/// Why a call accepts nothing more.
#[derive(Debug)]
pub enum Ended {
    /// The peer left, another call took its place, or the collector stops. What is durable stays, and the upload continues
    /// in another call.
    Gone,
    /// The collector will never take more of the collection. It tells the endpoint, which forgets the collection.
    Rejected(Rejection),
    /// Something failed here, or the peer broke the call's rules. The class says whether to come again.
    Failed(Failure),
}

/// The reasons of `Rejected` on the wire (schema: agent.proto).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The bytes do not have the required form.
    Malformed,
    /// The endpoint sent other bytes for a segment that is durable already.
    Contradiction,
    /// The container passed a limit of the order.
    OverLimit,
    /// The order was cancelled.
    Cancelled,
    /// There is no such order for this endpoint, or no longer.
    UnknownOrder,
}

/// A final refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The reason, as a word for machines.
    pub reason: Reason,
    /// The reason, for people.
    pub detail: String,
}

impl Reason {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Contradiction => "contradiction",
            Self::OverLimit => "over-limit",
            Self::Cancelled => "cancelled",
            Self::UnknownOrder => "unknown-order",
        }
    }
}

impl Ended {
    /// Refuses for good.
    pub fn rejected(reason: Reason, detail: impl Into<String>) -> Self {
        Self::Rejected(Rejection { reason, detail: detail.into() })
    }

    /// Refuses for now. The class tells the endpoint to come again.
    pub fn unavailable(what: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Failed(Failure::unavailable(what, source))
    }
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<DbError> for Ended {
    fn from(error: DbError) -> Self {
        Self::unavailable("reach its database", error)
    }
}

impl From<proto::segment::SegmentError> for Ended {
    fn from(error: proto::segment::SegmentError) -> Self {
        Self::Failed(Failure::new(Class::Malformed, error.to_string()))
    }
}

impl From<super::budget::Stopping> for Ended {
    fn from(_: super::budget::Stopping) -> Self {
        Self::Gone
    }
}

impl From<Rejection> for v1::UploadResponse {
    fn from(rejection: Rejection) -> Self {
        let rejected =
            v1::Rejected { reason: rejection.reason.as_str().to_owned(), detail: rejection.detail };
        Self { message: Some(v1::upload_response::Message::Rejected(rejected)) }
    }
}

/// What the endpoint may forget: everything below `next_index` is verified and durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durable {
    /// Number of segments so far.
    pub next_index: u64,
    /// Digest of the newest seal; `None` before the first.
    pub seal: Option<Digest>,
    /// Copies of the segment with the fewest.
    pub copies: u32,
    /// True if there are fewer copies than the policy asks for.
    pub degraded: bool,
}

impl From<Durable> for v1::UploadResponse {
    fn from(durable: Durable) -> Self {
        let position = v1::Position {
            next_index: durable.next_index,
            // Empty before the first segment.
            seal: durable.seal.map(|seal| seal.to_string()).unwrap_or_default(),
            copies: durable.copies,
            degraded: durable.degraded,
        };
        Self { message: Some(v1::upload_response::Message::Position(position)) }
    }
}
