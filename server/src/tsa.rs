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
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

pub use der::ResponseError;
pub use queue::{Parts, StampError, Stamped, enqueue_newest, stamp_due};

/// Longest response: 64 KiB; one with a chain of four certificates has 8.
const RESPONSE_BYTES_MAX: usize = 64 << 10;

/// Asks one time-stamping authority.
#[derive(Clone)]
pub struct TsaClient {
    url: http::Uri,
    timeout: Duration,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl std::fmt::Debug for TsaClient {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("TsaClient")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// Checks that a URL is one a [`TsaClient`] can ask.
///
/// # Errors
/// What is wrong with it, for the user.
pub fn check_url(text: &str) -> Result<http::Uri, String> {
    let url: http::Uri = text
        .parse()
        .map_err(|error| format!("`{text}` is no URL: {error}"))?;
    match (url.scheme_str(), url.host()) {
        (Some("http"), Some(_)) => Ok(url),
        _ => Err(format!(
            "`{text}` must be an http:// URL: a stamp carries its own signature and needs no TLS"
        )),
    }
}

impl TsaClient {
    /// A client of the authority at `url`.
    ///
    /// # Errors
    /// `Url` unless it is `http://…`.
    pub fn new(url: &str, timeout: Duration) -> Result<Self, TsaError> {
        let url = check_url(url).map_err(|reason| TsaError::Url { reason })?;
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(timeout));
        Ok(Self {
            url,
            timeout,
            client: Client::builder(TokioExecutor::new()).build(connector),
        })
    }

    /// The authority's URL: what it is known by.
    #[must_use]
    pub fn name(&self) -> String {
        self.url.to_string()
    }

    /// Has a digest stamped; returns the response, checked for status, digest and nonce.
    ///
    /// # Errors
    /// `TsaError`.
    pub async fn stamp(&self, digest: &Digest) -> Result<Vec<u8>, TsaError> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|error| TsaError::Random {
            reason: error.to_string(),
        })?;
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
        let response = self
            .client
            .request(request)
            .await
            .map_err(|error| failed(causes(&error)))?;
        if response.status() != http::StatusCode::OK {
            return Err(failed(format!("status {}", response.status())));
        }
        let kind = response
            .headers()
            .get(http::header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        if kind.and_then(|kind| kind.split(';').next()).map(str::trim) != Some("application/timestamp-reply")
        {
            return Err(failed(format!("content type {kind:?}")));
        }
        let body = Limited::new(response.into_body(), RESPONSE_BYTES_MAX)
            .collect()
            .await;
        Ok(body
            .map_err(|error| failed(error.to_string()))?
            .to_bytes()
            .to_vec())
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
