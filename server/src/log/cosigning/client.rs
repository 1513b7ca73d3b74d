//! Speaks c2sp.org/tlog-witness with one witness.
//! Guarantee: every answer and every wait is bounded. This module checks the form of an answer; the caller checks its truth.

use std::time::Duration;

use evidence::causes::chain;
use evidence::digest::Digest;
use http::{Method, StatusCode};
use ledger::note::{NOTE_BYTES_MAX, NoteSignature};
use ledger::{Hash, Note};

use crate::outbound::{HttpClient, HttpError, Question, check_url};

/// Time for one question, from connecting to the last byte. A mirror may need 10 s of it to fetch what it will cosign.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Content type of a 409's body.
const SIZE_TYPE: &str = "text/x.tlog.size";

/// The answer of a witness to `add-checkpoint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 200: these lines, not verified yet.
    Cosigned(Vec<NoteSignature>),
    /// 409: the witness has cosigned this size.
    Has(u64),
    /// 422: the head that we showed does not continue what the witness cosigned.
    Contradiction,
}

/// Asks one witness.
#[derive(Debug, Clone)]
pub struct WitnessClient {
    /// The URL without its final slash.
    prefix: String,
    client: HttpClient,
}

impl WitnessClient {
    /// Makes a client of the witness at `url`.
    ///
    /// # Errors
    /// Tells the user what is wrong with the URL.
    pub fn new(url: &str) -> Result<Self, String> {
        if check_url(url)?.query().is_some() {
            return Err(format!("`{url}` must be a URL without query"));
        }
        Ok(Self {
            prefix: url.trim_end_matches('/').to_owned(),
            client: HttpClient::new(TIMEOUT, NOTE_BYTES_MAX).map_err(|error| chain(&error))?,
        })
    }

    /// Calls `add-checkpoint`: shows `note`, and `proof` that it continues a log of `old` entries.
    pub async fn add_checkpoint(&self, old: u64, proof: &[Hash], note: &[u8]) -> Result<Answer, AskError> {
        let mut body = format!("old {old}\n");
        for hash in proof {
            body.push_str(&format!("{}\n", hash.to_base64()));
        }
        body.push('\n');
        let mut body = body.into_bytes();
        body.extend(note);
        let (status, kind, answer) = self.ask(Method::POST, "add-checkpoint", body).await?;
        let text = str::from_utf8(&answer)
            .map_err(|_not_text| AskError::Malformed { what: "its answer is not UTF-8" })?;
        match status {
            StatusCode::OK => {
                let lines = text.split_inclusive('\n').map(NoteSignature::parse);
                let lines = lines.collect::<Result<Vec<_>, _>>();
                lines.map(Answer::Cosigned).map_err(|_no_line| AskError::Malformed {
                    what: "its answer holds what is no signature line",
                })
            }
            StatusCode::CONFLICT if kind == SIZE_TYPE => size(text).map(Answer::Has),
            StatusCode::UNPROCESSABLE_ENTITY => Ok(Answer::Contradiction),
            other => Err(AskError::Status { status: other.as_u16(), meaning: meaning(other) }),
        }
    }

    /// Fetches the newest checkpoint that the witness cosigned for the log called `origin`.
    pub async fn checkpoint(&self, origin: &str) -> Result<Note, AskError> {
        let path = format!("{}/checkpoint", Digest::of(origin.as_bytes()));
        let (status, _, answer) = self.ask(Method::GET, &path, Vec::new()).await?;
        if status != StatusCode::OK {
            return Err(AskError::Status {
                status: status.as_u16(),
                meaning: "it does not show what it holds",
            });
        }
        Note::parse(&answer)
            .map_err(|_no_note| AskError::Malformed { what: "what it holds is no signed note" })
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<(StatusCode, String, Vec<u8>), AskError> {
        let url = format!("{}/{path}", self.prefix);
        let content_type = "text/plain; charset=utf-8";
        let question = Question { method, url: &url, content_type, accept: None, body };
        let answer = self.client.ask(question).await.map_err(|error| match error {
            HttpError::Failed { reason } => AskError::Http { reason },
            HttpError::Timeout { after } => AskError::Timeout { after },
        })?;
        Ok((answer.status, answer.content_type, answer.body))
    }
}

/// Parses a size. Accepts one spelling only, with or without the final newline.
fn size(text: &str) -> Result<u64, AskError> {
    let digits = text.strip_suffix('\n').unwrap_or(text);
    let size = digits.parse::<u64>().ok();
    size.filter(|size| size.to_string() == digits)
        .ok_or(AskError::Malformed { what: "the size of its 409 is no number" })
}

const fn meaning(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "it does not know this log: have its operator add origin and log key",
        StatusCode::FORBIDDEN => "it pinned another log key for this origin: compare keys with its operator",
        StatusCode::BAD_REQUEST => "it did not understand the question",
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => "it is busy or its clock is wrong",
        _ => "not an answer of a witness",
    }
}

impl AskError {
    /// True if asking again soon may help: a mirror is still fetching what it will cosign.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Status { status: 503 | 429, .. })
    }
}

/// Why a question brought no useful answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// A line of the witness's key does not verify.
    #[error("its cosignature does not verify: {reason}")]
    Forged {
        /// Why.
        reason: String,
    },
    /// There was no connection, or it broke.
    #[error("not reached: {reason}")]
    Http {
        /// The failure.
        reason: String,
    },
    /// The answer does not have the form of the specification.
    #[error("{what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
    /// The witness answered 200, but without a line of the key that the policy names.
    #[error("it answered without a line of the key that the policy names")]
    NoLine,
    /// The collector could not read what to show, or could not store the answer.
    #[error("{reason}")]
    Own {
        /// The failure.
        reason: String,
    },
    /// The witness holds another history of this log.
    #[error("it holds another history of this log: {reason}")]
    Contradiction {
        /// The witness's words.
        reason: String,
    },
    /// The witness refused.
    #[error("status {status}: {meaning}")]
    Status {
        /// HTTP status.
        status: u16,
        /// The meaning of that status here.
        meaning: &'static str,
    },
    /// The witness did not answer in time.
    #[error("no answer in {after:?}")]
    Timeout {
        /// How long the collector waited.
        after: Duration,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_one_spelling() {
        assert_eq!(size("0\n"), Ok(0));
        assert_eq!(size("20852163"), Ok(20_852_163));
        for wrong in ["", "\n", "01\n", "+1\n", "1 \n", "1\n\n", "99999999999999999999\n"] {
            assert!(size(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn urls_have_no_query() {
        WitnessClient::new("https://w.example.org/prefix/").unwrap();
        for wrong in ["http://w.example.org/?a=b", "w.example.org"] {
            assert!(WitnessClient::new(wrong).is_err(), "{wrong}");
        }
    }
}
