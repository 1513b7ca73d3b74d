//! Has a third party stamp the ledger's heads (RFC 3161). All other times in the ledger come from the collector's own clock.
//! Guarantee: the collector stores a stamp only if the authority granted it for these bytes and this request, and if a certificate in it
//! signed it; what no verifier would take (stamp-4 to stamp-7) raises an alarm. An authority that is away costs a wait and blocks nothing.
//! Not here: trust in the authority. Each verifier pins the authorities that it trusts.
//!
//! Order of writing: the note under `ledger/checkpoints/`, the response under `ledger/stamps/`, then the entry `tsa.stamped`.

mod queue;

use std::time::Duration;

use evidence::bundle::stamp::{RESPONSE_BYTES_MAX, Stamp, StampError as Refusal, StampRequest};
use evidence::causes::chain;
use http::{Method, StatusCode};

pub use queue::{Parts, enqueue_newest, stamp_due};

use crate::metrics;
use crate::outbound::{HttpClient, HttpError, Question, check_url};

/// The media type of an answer.
const REPLY: &str = "application/timestamp-reply";

/// Asks one time-stamping authority.
#[derive(Clone)]
pub struct TsaClient {
    url: http::Uri,
    client: HttpClient,
}

impl std::fmt::Debug for TsaClient {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("TsaClient").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A verified response, as the authority sent it.
#[derive(Debug)]
pub struct Response {
    /// The response.
    pub bytes: Vec<u8>,
    /// The stamp in it.
    pub stamp: Stamp,
}

impl TsaClient {
    /// Makes a client of the authority at `url`, which waits `timeout` for an answer.
    pub fn new(url: &str, timeout: Duration) -> Result<Self, TsaError> {
        let url = check_url(url).map_err(|reason| TsaError::Url { reason })?;
        // More than is kept: an answer that is too long is an alarm, not a broken line.
        let client = HttpClient::new(timeout, 4 * RESPONSE_BYTES_MAX);
        let client = client.map_err(|error| TsaError::Http { reason: chain(&error) })?;
        Ok(Self { url, client })
    }

    /// The authority's URL, which also names the authority everywhere.
    #[must_use]
    pub fn name(&self) -> String {
        self.url.to_string()
    }

    /// Has the authority stamp `data`, and verifies the response.
    pub async fn stamp(&self, data: &[u8]) -> Result<Response, TsaError> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|error| TsaError::Random { reason: error.to_string() })?;
        let request = StampRequest::new(data, nonce);
        let bytes = self.post(request.encode()).await?;
        // The collector pins no authority here: a certificate in the response must have signed it.
        match request.verify(&bytes, &[]) {
            Ok(stamp) => Ok(Response { bytes, stamp }),
            Err(source) => {
                let error = TsaError::Response { source };
                if error.is_refused_here() {
                    metrics::stamp_refused();
                    tracing::error!(tsa = self.name(), %error, "A stamp is not kept: no verifier would take it");
                }
                Err(error)
            }
        }
    }

    async fn post(&self, body: Vec<u8>) -> Result<Vec<u8>, TsaError> {
        let (url, content_type) = (self.name(), "application/timestamp-query");
        let question = Question { method: Method::POST, url: &url, content_type, accept: Some(REPLY), body };
        let answer = self.client.ask(question).await.map_err(|error| match error {
            HttpError::Failed { reason } => TsaError::Http { reason },
            HttpError::Timeout { after } => TsaError::Timeout { after },
        })?;
        if answer.status != StatusCode::OK {
            return Err(TsaError::Http { reason: format!("status {}", answer.status) });
        }
        if answer.content_type != REPLY {
            return Err(TsaError::Http { reason: format!("content type {:?}", answer.content_type) });
        }
        Ok(answer.body)
    }
}

/// Why there is no stamp.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TsaError {
    /// The authority did not answer in correct HTTP.
    #[error("ask the time-stamping authority: {reason}")]
    Http {
        /// The failure.
        reason: String,
    },
    /// There was no randomness for a nonce.
    #[error("draw a nonce: {reason}")]
    Random {
        /// Cause.
        reason: String,
    },
    /// The answer is not a stamp for our request.
    #[error(
        "the time-stamping authority's answer was not kept; compare the authority's URL with its operator: {}",
        refusal(source)
    )]
    Response {
        /// Why.
        source: Refusal,
    },
    /// The authority did not answer in time.
    #[error("no answer of the time-stamping authority in {after:?}")]
    Timeout {
        /// How long the collector waited.
        after: Duration,
    },
    /// The URL is of a kind that the collector does not use.
    #[error("{reason}")]
    Url {
        /// What is wrong.
        reason: String,
    },
}

impl TsaError {
    /// True if there was a stamp, and no verifier would take it. Asking again does not help.
    #[must_use]
    pub const fn is_refused_here(&self) -> bool {
        matches!(self, Self::Response { source } if !matches!(source, Refusal::Refused { .. }))
    }
}

/// What is wrong with an answer, in the collector's words.
fn refusal(why: &Refusal) -> String {
    match why {
        Refusal::OtherData => "stamp-7: the stamp is for another digest".to_owned(),
        Refusal::OtherNonce => "the stamp has another nonce or none".to_owned(),
        Refusal::Refused { status, words } => {
            let status: Vec<String> = status.iter().map(u8::to_string).collect();
            format!("refused with status {}: {words}", status.join(" "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
