//! The failure of a handler: a class, a text for the peer, and the cause, which only the log sees.
//!
//! Guarantee: nothing of a source error (paths, SQL, other people's names) reaches the peer. Whatever is our fault is
//! logged with its whole chain. Not here: the code of each class (`proto::status`).

use std::error::Error;
use std::fmt;

pub(crate) use evidence::causes::chain;
use proto::status::Class;
use tonic::Status;

/// A call that was refused or failed.
#[derive(Debug)]
pub struct Failure {
    class: Class,
    text: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// Logs that a chore failed. The chore runs again by itself.
    pub(crate) fn log_for_chore(&self, chore: &str) {
        tracing::warn!(chore, cause = %chain(self), "Chore failed; it comes again");
    }

    /// A mistake of the peer, or a refusal by the present state. `text` gives state, cause and next step.
    pub fn new(class: Class, text: impl Into<String>) -> Self {
        Self { class, text: text.into(), source: None }
    }

    /// The request breaks the specification.
    pub fn malformed(text: impl Into<String>) -> Self {
        Self::new(Class::Malformed, text)
    }

    /// The caller is known, but not entitled.
    pub fn forbidden(text: impl Into<String>) -> Self {
        Self::new(Class::Forbidden, text)
    }

    /// The named thing does not exist.
    pub fn missing(text: impl Into<String>) -> Self {
        Self::new(Class::Missing, text)
    }

    /// The present state of the thing forbids the call.
    pub fn precondition(text: impl Into<String>) -> Self {
        Self::new(Class::Precondition, text)
    }

    /// A store, the database or the ledger did not do its part; the same call may succeed later.
    pub fn unavailable(what: &str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            class: Class::Unavailable,
            text: format!("the collector could not {what}; try again, and tell its operator if it stays so"),
            source: Some(source.into()),
        }
    }

    /// A defect: stored data contradict themselves, or code met a state that it excludes.
    pub fn internal(what: &str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            class: Class::Internal,
            text: format!("the collector failed to {what}; its log says why"),
            source: Some(source.into()),
        }
    }

    /// Adds the cause for the log. The peer does not see it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The class, for callers that act on it.
    pub const fn class(&self) -> Class {
        self.class
    }

    /// The text for the peer.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

/// Turns an error into a failure that names what the collector could not do. The cause goes to the log only.
pub(crate) trait OrFailure<T> {
    /// The call may succeed if the caller tries again.
    fn or_unavailable(self, what: &str) -> Result<T, Failure>;

    /// It is a fault of the collector. Trying again does not help.
    fn or_internal(self, what: &str) -> Result<T, Failure>;
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> OrFailure<T> for Result<T, E> {
    fn or_unavailable(self, what: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::unavailable(what, error))
    }

    fn or_internal(self, what: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::internal(what, error))
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let code = failure.class.code();
        crate::metrics::request_refused(code_name(failure.class));
        match failure.class {
            Class::Internal | Class::Contradiction => {
                tracing::error!(grpc.code = ?code, cause = %chain(&failure), "Call failed");
            }
            Class::Unavailable | Class::Overloaded => {
                tracing::warn!(grpc.code = ?code, cause = %chain(&failure), "Call failed for now");
            }
            _ => tracing::debug!(grpc.code = ?code, cause = %chain(&failure), "Call refused"),
        }
        failure.class.status(failure.text)
    }
}

const fn code_name(class: Class) -> &'static str {
    match class {
        Class::Malformed => "invalid-argument",
        Class::Unidentified => "unauthenticated",
        Class::Forbidden => "permission-denied",
        Class::Missing => "not-found",
        Class::Exists => "already-exists",
        Class::Precondition => "failed-precondition",
        Class::OverLimit => "out-of-range",
        Class::Superseded => "aborted",
        Class::Overloaded => "resource-exhausted",
        Class::Unavailable => "unavailable",
        Class::Contradiction => "data-loss",
        Class::Internal => "internal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peer_never_sees_the_cause() {
        let cause = std::io::Error::other("/srv/evidence/segments is on fire");
        let failure = Failure::unavailable("store the order", cause);
        assert!(chain(&failure).ends_with("/srv/evidence/segments is on fire"));
        let status = Status::from(failure);
        assert_eq!(status.code(), tonic::Code::Unavailable);
        assert!(!status.message().contains("/srv"));
        assert!(status.message().starts_with("the collector could not store the order"));
    }
}
