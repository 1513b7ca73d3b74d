//! One table from the class of a failure to its gRPC code and to what the receiver may do about it.
//!
//! Guarantee: a cut connection never looks like a refusal, and a refusal never looks like something to repeat. Not here: texts.
//! The text of a status is for the peer and must hold nothing of this machine (paths, SQL, other peers).

use std::error::Error;

use tonic::{Code, Status};

/// The class of a failure, as far as the peer needs to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The message breaks the specification.
    Malformed,
    /// The caller has no identity that this collector knows.
    Unidentified,
    /// Known, but not entitled.
    Forbidden,
    /// The named thing does not exist.
    Missing,
    /// It exists already, and differs.
    Exists,
    /// The request is right in itself, but the present state of its object forbids it.
    Precondition,
    /// The request exceeds a limit that will be the same tomorrow.
    OverLimit,
    /// Another call took its place or won a race. Check the state, then start again.
    Superseded,
    /// Too much at the moment.
    Overloaded,
    /// Not now: the collector stops or starts, or a store does not answer.
    Unavailable,
    /// Two statements about evidence or ledger contradict each other. A person must look.
    Contradiction,
    /// A defect on this side. The effect of the call is unknown.
    Internal,
}

/// The receiver's options after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Transient: again later, with backoff.
    Retry,
    /// The request is refused: the same request will be refused again.
    Reject,
    /// Do nothing more here until a person has looked.
    Halt,
}

impl Class {
    /// The code on the wire. One class a code, so that [`Class::of`] is its inverse.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Malformed => Code::InvalidArgument,
            Self::Unidentified => Code::Unauthenticated,
            Self::Forbidden => Code::PermissionDenied,
            Self::Missing => Code::NotFound,
            Self::Exists => Code::AlreadyExists,
            Self::Precondition => Code::FailedPrecondition,
            Self::OverLimit => Code::OutOfRange,
            Self::Superseded => Code::Aborted,
            Self::Overloaded => Code::ResourceExhausted,
            Self::Unavailable => Code::Unavailable,
            Self::Contradiction => Code::DataLoss,
            Self::Internal => Code::Internal,
        }
    }

    /// The receiver's option after such a failure.
    #[must_use]
    pub const fn action(self) -> Action {
        match self {
            Self::Superseded | Self::Overloaded | Self::Unavailable => Action::Retry,
            Self::Malformed
            | Self::Unidentified
            | Self::Forbidden
            | Self::Missing
            | Self::Exists
            | Self::Precondition
            | Self::OverLimit => Action::Reject,
            Self::Contradiction | Self::Internal => Action::Halt,
        }
    }

    /// A status of this class. `text` goes to the peer: state, cause, next step.
    #[must_use]
    pub fn status(self, text: impl Into<String>) -> Status {
        Status::new(self.code(), text)
    }

    /// The class of a failure that was received.
    #[must_use]
    pub fn of(status: &Status) -> Self {
        // A status that the peer sent has no source. One with a source was made on this side by the transport
        // (a reset, a cut, a lost ping), whatever code it picked: the call may be repeated.
        if status.source().is_some() {
            return if status.code() == Code::OutOfRange { Self::OverLimit } else { Self::Unavailable };
        }
        match status.code() {
            Code::InvalidArgument => Self::Malformed,
            Code::Unauthenticated => Self::Unidentified,
            Code::PermissionDenied => Self::Forbidden,
            Code::NotFound => Self::Missing,
            Code::AlreadyExists => Self::Exists,
            Code::FailedPrecondition => Self::Precondition,
            Code::OutOfRange => Self::OverLimit,
            Code::Aborted => Self::Superseded,
            Code::ResourceExhausted => Self::Overloaded,
            Code::DataLoss => Self::Contradiction,
            Code::Internal => Self::Internal,
            // This collector does not have the method: it is older or newer. Repeating the call changes nothing.
            Code::Unimplemented => Self::Precondition,
            // These are not codes of ours. Proxies and transports use them for failures that pass.
            Code::Ok | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded | Code::Unavailable => {
                Self::Unavailable
            }
        }
    }
}

impl Action {
    /// What may be done about a failure that was received.
    #[must_use]
    pub fn of(status: &Status) -> Self {
        Class::of(status).action()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Class; 12] = [
        Class::Malformed,
        Class::Unidentified,
        Class::Forbidden,
        Class::Missing,
        Class::Exists,
        Class::Precondition,
        Class::OverLimit,
        Class::Superseded,
        Class::Overloaded,
        Class::Unavailable,
        Class::Contradiction,
        Class::Internal,
    ];

    #[test]
    fn every_class_survives_the_wire() {
        for class in ALL {
            let sent = class.status("text");
            let mut headers = http_headers(&sent);
            let received = Status::from_header_map(&headers).expect("a status");
            assert_eq!(Class::of(&received), class);
            headers.clear();
        }
    }

    #[test]
    fn a_cut_connection_is_retried_whatever_code_the_transport_chose() {
        let mut status = Status::internal("h2 protocol error");
        status.set_source(std::sync::Arc::new(std::io::Error::from(std::io::ErrorKind::ConnectionReset)));
        assert_eq!(Action::of(&status), Action::Retry);
        assert_eq!(Action::of(&Status::internal("from the peer")), Action::Halt);
        assert_eq!(Action::of(&Status::unknown("from a proxy")), Action::Retry);
    }

    fn http_headers(status: &Status) -> tonic::codegen::http::HeaderMap {
        let mut headers = tonic::codegen::http::HeaderMap::new();
        status.add_header(&mut headers).expect("representable");
        headers
    }
}
