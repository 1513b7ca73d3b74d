//! What went wrong between us and a bucket: the class says what the caller may do, and the text names the
//! operator's next step. Guarantee: every answer and every broken connection has a class. An unforeseen one
//! is permanent, so that somebody notices it.

use std::error::Error;
use std::io;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use evidence::causes::chain;

use crate::error::StoreError;

/// Codes of a server that has no room (AWS has none; Ceph, `MinIO` and others do).
const FULL: [&str; 5] = [
    "QuotaExceeded",
    "XMinioStorageFull",
    "XMinioAdminBucketQuotaExceeded",
    "InsufficientStorage",
    "StorageQuotaExceeded",
];
/// Codes of errors that pass with time.
const WAIT: [&str; 9] = [
    "SlowDown",
    "ServiceUnavailable",
    "InternalError",
    "InternalServerError",
    "RequestTimeout",
    "OperationAborted",
    "ConditionalRequestConflict",
    "TooManyRequests",
    "Throttling",
];

/// One request that failed.
#[derive(Debug)]
pub struct Failure {
    pub(crate) kind: FailureKind,
    /// The server's code; empty if there was none.
    code: String,
    /// The server's code, HTTP status or cause, and what to do next.
    text: String,
}

/// The class of a failed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// 404 of an object or version.
    Absent,
    /// 403 without a more precise reason. The server answers this for a lock as well.
    Denied,
    /// 412: an object exists already.
    Exists,
    /// The server has no room.
    Full,
    /// Waiting will not help.
    Permanent,
    /// 416: the range begins past the end.
    Range,
    /// Try again later.
    Transient,
}

impl Failure {
    /// An error that we report ourselves, such as an answer that makes no sense.
    pub(crate) fn ours(kind: FailureKind, text: impl Into<String>) -> Self {
        Self { kind, code: String::new(), text: text.into() }
    }

    pub(crate) fn of<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let Some(answer) = error.raw_response() else {
            return Self::without_answer(error);
        };
        let status = answer.status().as_u16();
        let service = error.as_service_error();
        // An answer without a code or a message is judged by its status.
        let code = service.and_then(ProvideErrorMetadata::code).unwrap_or_default();
        let message = service.and_then(ProvideErrorMetadata::message).unwrap_or_default();
        // An answer that could not be read means a broken connection, whatever its status line said.
        if service.is_none() && (200..300).contains(&status) {
            return Self::ours(FailureKind::Transient, format!("the answer was cut: {}", chain(error)));
        }
        let (kind, next) = if message.to_ascii_lowercase().contains("kms") {
            // Ceph calls a missing KMS key InvalidAccessKeyId. The text must not send the operator to the credentials.
            (
                FailureKind::Permanent,
                ". The server does not have the key `kms_key` or may not use it: name one that it has, or let it",
            )
        } else {
            judge(status, code)
        };
        let id = answer.headers().get("x-amz-request-id").unwrap_or("none");
        let said = [code, message].iter().filter(|text| !text.is_empty()).copied().collect::<Vec<_>>();
        let text = format!("HTTP {status} {} (request {id}){next}", said.join(": "));
        Self { kind, code: code.to_owned(), text }
    }

    /// There was no answer. The cause is the connection, TLS, the credentials' file or the clock.
    fn without_answer<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: Error + 'static,
    {
        let cause = chain(error);
        let (kind, next) = if cause.contains("certificate") {
            (
                FailureKind::Permanent,
                ". The server's certificate is not vouched for. If it was replaced on purpose, put the new authority into \
                 `ca_file` and restart; if not, somebody else answers there",
            )
        } else if cause.contains("loading credentials") {
            (FailureKind::Permanent, ". Mend the credentials file; the next request reads it")
        } else if matches!(error, SdkError::ConstructionFailure(_)) {
            (FailureKind::Permanent, "")
        } else {
            (FailureKind::Transient, "")
        };
        Self::ours(kind, format!("{cause}{next}"))
    }

    /// True when the object has no retention or hold, or the bucket or server knows none.
    pub(crate) fn is_no_lock(&self) -> bool {
        const NO_LOCK: [&str; 6] = [
            "NoSuchObjectLockConfiguration",
            "ObjectLockConfigurationNotFoundError",
            "InvalidRequest",
            "NotImplemented",
            "MethodNotAllowed",
            "InvalidArgument",
        ];
        NO_LOCK.contains(&self.code.as_str())
    }

    /// Turns the failure into an error of the store.
    pub(crate) fn at(self, store: &str, operation: &'static str, key: &str) -> StoreError {
        let (store, key) = (store.to_owned(), key.to_owned());
        let source = |kind: io::ErrorKind| io::Error::new(kind, self.text);
        match self.kind {
            FailureKind::Absent => StoreError::NotFound { store, key },
            FailureKind::Full => {
                StoreError::Full { store, operation, key, source: source(io::ErrorKind::StorageFull) }
            }
            FailureKind::Transient => {
                StoreError::Transient { store, operation, key, source: source(io::ErrorKind::ResourceBusy) }
            }
            FailureKind::Denied | FailureKind::Exists | FailureKind::Permanent | FailureKind::Range => {
                StoreError::Permanent { store, operation, key, source: source(io::ErrorKind::Other) }
            }
        }
    }
}

/// The class of an answer, and the operator's next step if there is one.
fn judge(status: u16, code: &str) -> (FailureKind, &'static str) {
    if FULL.contains(&code) || status == 507 {
        return (FailureKind::Full, ". Make room, or raise the quota; writing goes on by itself");
    }
    if WAIT.contains(&code) {
        return (FailureKind::Transient, "");
    }
    match (code, status) {
        ("NoSuchBucket", _) => (
            FailureKind::Permanent,
            ". There is no such bucket: make or restore it, or correct `bucket` in the settings",
        ),
        ("NoSuchKey" | "NoSuchVersion" | "NotFound" | "", 404) => (FailureKind::Absent, ""),
        ("RequestTimeTooSkewed", _) => (
            FailureKind::Permanent,
            ". The clocks of this machine and of the server differ by minutes: set the wrong one, and look at what was \
             recorded meanwhile",
        ),
        ("ExpiredToken" | "TokenRefreshRequired" | "ExpiredTokenException" | "InvalidToken", _) => (
            FailureKind::Permanent,
            ". The session has ended: put new credentials into the credentials file; the next request takes them",
        ),
        ("InvalidAccessKeyId" | "SignatureDoesNotMatch" | "UserSuspended" | "NotSignedUp", _) => (
            FailureKind::Permanent,
            ". The server does not know these credentials: put valid ones into the credentials file; the next \
             request takes them",
        ),
        (_, 401 | 403) => (
            FailureKind::Denied,
            ". These credentials may not do this: extend their policy, or find the lock or rule that forbids it",
        ),
        (_, 412) => (FailureKind::Exists, ""),
        (_, 416) => (FailureKind::Range, ""),
        (_, 408 | 409 | 425 | 429 | 500..=599) => (FailureKind::Transient, ""),
        _ => (FailureKind::Permanent, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_the_class_that_the_specification_gives_it() {
        for (status, code, kind) in [
            (404, "NoSuchKey", FailureKind::Absent),
            (404, "", FailureKind::Absent),
            (404, "NoSuchBucket", FailureKind::Permanent),
            (412, "PreconditionFailed", FailureKind::Exists),
            (409, "ConditionalRequestConflict", FailureKind::Transient),
            (503, "SlowDown", FailureKind::Transient),
            (500, "", FailureKind::Transient),
            (429, "", FailureKind::Transient),
            (507, "", FailureKind::Full),
            (403, "QuotaExceeded", FailureKind::Full),
            (403, "RequestTimeTooSkewed", FailureKind::Permanent),
            (400, "ExpiredToken", FailureKind::Permanent),
            (403, "InvalidAccessKeyId", FailureKind::Permanent),
            (403, "AccessDenied", FailureKind::Denied),
            (416, "InvalidRange", FailureKind::Range),
            (400, "BadDigest", FailureKind::Permanent),
            (301, "PermanentRedirect", FailureKind::Permanent),
        ] {
            assert_eq!(judge(status, code).0, kind, "{status} {code}");
        }
    }
}
