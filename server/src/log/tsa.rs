//! Has the ledger's heads stamped by a third party (RFC 3161): the only word about time that is not our own.
//! Guarantee: a stamp is kept only when it was granted for our bytes and our nonce; a TSA that is away queues and never
//! blocks. Not here: verification of its signature and certificate, which is the verifier's job with its own pins.
//!
//! Order: note under `ledger/checkpoints/`, response under `ledger/stamps/`, then the entry `tsa.stamped`.

mod der;
mod queue;

use std::time::Duration;

use bytes::Bytes;
use evidence::digest::Digest;
use http_body_util::{BodyExt as _, Full, Limited};

pub use der::ResponseError;
pub use queue::{Parts, enqueue_newest, stamp_due};

use crate::outbound::{self, HttpClient};

/// Longest response: 64 KiB; one with a chain of four certificates has 8.
const RESPONSE_BYTES_MAX: usize = 64 << 10;

/// Asks one time-stamping authority.
#[derive(Clone)]
pub struct TsaClient {
    url: http::Uri,
    timeout: Duration,
    client: HttpClient,
}

impl std::fmt::Debug for TsaClient {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("TsaClient").field("url", &self.url).finish_non_exhaustive()
    }
}

impl TsaClient {
    /// A client of the authority at `url`.
    ///
    /// # Errors
    /// `Url` unless it is `http://…` or `https://…`.
    pub fn new(url: &str, timeout: Duration) -> Result<Self, TsaError> {
        let url = outbound::check_url(url).map_err(|reason| TsaError::Url { reason })?;
        let client = outbound::client(timeout).map_err(|error| TsaError::Http { reason: causes(&error) })?;
        Ok(Self { url, timeout, client })
    }

    /// The authority's URL: what it is known by.
    #[must_use]
    pub fn name(&self) -> String {
        self.url.to_string()
    }

    /// Has a digest stamped; returns the response, checked for status, digest and nonce.
    pub async fn stamp(&self, digest: &Digest) -> Result<Vec<u8>, TsaError> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|error| TsaError::Random { reason: error.to_string() })?;
        let request = der::request(digest, &nonce);
        let answer = tokio::time::timeout(self.timeout, self.post(request)).await;
        let response = answer.or(Err(TsaError::Timeout { after: self.timeout }))??;
        der::check_response(&response, digest, &nonce)?;
        Ok(response)
    }

    async fn post(&self, request: Vec<u8>) -> Result<Vec<u8>, TsaError> {
        let failed = |reason: String| TsaError::Http { reason };
        let request = http::Request::post(self.url.clone())
            .header(http::header::CONTENT_TYPE, "application/timestamp-query")
            .header(http::header::ACCEPT, "application/timestamp-reply")
            .body(Full::new(Bytes::from(request)))
            .map_err(|error| failed(error.to_string()))?;
        let response = self.client.request(request).await.map_err(|error| failed(causes(&error)))?;
        if response.status() != http::StatusCode::OK {
            return Err(failed(format!("status {}", response.status())));
        }
        let kind = response.headers().get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if kind.and_then(|kind| kind.split(';').next()).map(str::trim) != Some("application/timestamp-reply")
        {
            return Err(failed(format!("content type {kind:?}")));
        }
        let body = Limited::new(response.into_body(), RESPONSE_BYTES_MAX).collect().await;
        Ok(body.map_err(|error| failed(error.to_string()))?.to_bytes().to_vec())
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// No stamp was had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TsaError {
    /// The authority did not answer as HTTP should.
    #[error("ask the time-stamping authority: {reason}")]
    Http {
        /// What happened.
        reason: String,
    },
    /// No randomness for a nonce.
    #[error("draw a nonce: {reason}")]
    Random {
        /// Cause.
        reason: String,
    },
    /// The answer is not a stamp for our request.
    #[error("answer of the time-stamping authority")]
    Response(#[from] ResponseError),
    /// No answer in time.
    #[error("no answer of the time-stamping authority in {after:?}")]
    Timeout {
        /// How long was waited.
        after: Duration,
    },
    /// A URL of another kind.
    #[error("{reason}")]
    Url {
        /// What is wrong.
        reason: String,
    },
}

#[cfg(test)]
mod tests;
