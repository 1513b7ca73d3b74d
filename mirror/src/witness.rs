//! The C2SP tlog-witness server, one prefix for each role (docs/spec/mirror.md, *Witness*).
//!
//! Guarantee: the witness answers 200 only after its state is durable. It signs a re-encoding of what it parsed and verified. A request
//! has at most 128 KiB and costs two signatures. Not here: rounds; `/mirror` signs only what a round has held.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{Request, Response, StatusCode, header};
use axum::routing::{get, post};
use evidence::causes::chain;
use evidence::digest::Digest;
use evidence::log_key::Placed;
use ledger::{AuthenticatedReader, Hash, verify_consistency};
use store::Replicas;
use tokio::sync::{Notify, watch};

use crate::cosign::{CosignError, Cosigner, Role, Shown};
use crate::note::{LogNote, NoteRefused};
use crate::objects::Objects;
use crate::status::Board;

/// Longest request: a note of the largest kind and 63 hashes.
const REQUEST_BYTES_MAX: usize = 128 << 10;
/// Hashes in a request.
const PROOF_HASHES_MAX: usize = 63;
/// How long a request for `/mirror` waits for the round that it asked for.
const HELD_WAIT: Duration = Duration::from_secs(10);

/// The parts that the handlers share.
#[derive(Clone)]
pub struct Witness {
    /// The state and the keys.
    pub cosigner: Arc<Cosigner>,
    /// The own copies, for notes of sizes that the mirror holds.
    pub own: Replicas,
    pub held: watch::Receiver<u64>,
    /// Asks for a round.
    pub wake: Arc<Notify>,
    pub board: Arc<Board>,
}

/// An answer of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

fn answer(status: u16, body: impl Into<String>) -> Answer {
    Answer { status, body: body.into() }
}

/// A parsed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size that this role signed last, as the client believes.
    pub old: u64,
    pub proof: Vec<Hash>,
    pub note: Vec<u8>,
}

impl AddCheckpoint {
    /// Reads `old <size>`, proof lines, an empty line, a note.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let text = str::from_utf8(body).ok()?;
        let (head, note) = text.split_once("\n\n")?;
        let mut lines = head.split('\n');
        let old = lines.next()?.strip_prefix("old ")?;
        let plain = old.bytes().all(|byte| byte.is_ascii_digit()) && (old == "0" || !old.starts_with('0'));
        let old = old.parse().ok().filter(|_| plain)?;
        let proof: Vec<Hash> = lines.map(Hash::from_base64).collect::<Result<_, _>>().ok()?;
        (proof.len() <= PROOF_HASHES_MAX).then(|| Self { old, proof, note: note.as_bytes().to_vec() })
    }
}

impl Witness {
    /// The routes of both roles.
    pub fn router(self) -> Router {
        Router::new()
            .route("/{role}/add-checkpoint", post(add))
            .route("/{role}/{origin}/checkpoint", get(newest))
            .with_state(self)
    }

    /// The route of the metrics.
    pub(crate) fn metrics_router(board: Arc<Board>) -> Router {
        Router::new().route(
            "/metrics",
            get(move || {
                let text = crate::metrics::page(&board.read());
                async move { ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text) }
            }),
        )
    }

    /// Judges a note before the request waits for anything. Blocks on disks.
    fn read(&self, request: &AddCheckpoint) -> Result<LogNote, Answer> {
        let pins = self.cosigner.pins();
        let keys = pins.log_keys.keys();
        let held = self.cosigner.last(Role::Mirror).map_or(0, |held| held.log.checkpoint.size);
        // After a start, nobody knows where a replaced key's term ended until the entries were read again.
        let unread = |placed: &Placed| placed.index.is_none() && placed.change.size < held;
        if keys.changes().iter().any(unread) {
            return Err(answer(503, "the ledger is being read: a change of the log key is in it\n"));
        }
        let note =
            LogNote::read(&request.note, &pins.origin(), &keys).map_err(|refused| match refused.clone() {
                NoteRefused::Foreign(origin) => answer(404, format!("no witness of {origin}\n")),
                NoteRefused::Malformed(why) => answer(400, format!("{why}\n")),
                NoteRefused::OutsideTerm { .. } => answer(403, format!("{refused}\n")),
                NoteRefused::Unsigned => answer(403, "no signature of the log's key holds\n"),
            })?;
        if request.old > note.checkpoint.size {
            return Err(answer(400, "old is above the checkpoint's size\n"));
        }
        if self.cosigner.fraud().is_some() {
            return Err(answer(503, "stopped by an unacknowledged fraud\n"));
        }
        self.judge_against_held(&note)?;
        Ok(note)
    }

    /// The mirror knows its own root at every size up to the held one. A different root convicts the log.
    fn judge_against_held(&self, note: &LogNote) -> Result<(), Answer> {
        let Some(held) = self.cosigner.last(Role::Mirror).map(|held| held.log) else {
            return Ok(());
        };
        let (old, new) = (&note.checkpoint, &held.checkpoint);
        if old.size > new.size || old.size == 0 {
            return Ok(());
        }
        let repaired = AtomicU64::new(0);
        let objects = Objects::new(&self.own, None, &repaired);
        let unreadable = |error: &dyn std::error::Error| {
            tracing::error!(cause = %chain(error), "The own tree cannot be read");
            answer(503, "the own tree cannot be read\n")
        };
        let reader =
            AuthenticatedReader::new(&objects, new.size, &new.root).map_err(|error| unreadable(&error))?;
        let root = ledger::root(&reader, old.size).map_err(|error| unreadable(&error))?;
        if root == old.root {
            return Ok(());
        }
        let proof = if old.size == new.size {
            Vec::new()
        } else {
            ledger::consistency_proof(&reader, old.size, new.size).map_err(|error| unreadable(&error))?
        };
        match self.cosigner.convict(
            note,
            &held,
            (old.size != new.size).then_some((&root, proof.as_slice())),
            Shown::Older,
        ) {
            Ok(_) => Err(answer(422, "this contradicts what the log signed before\n")),
            Err(error) => Err(unreadable(&error)),
        }
    }

    /// Signs if every check passes. Blocks on disks.
    fn sign(&self, role: Role, request: &AddCheckpoint, note: &LogNote) -> Answer {
        let last = self.cosigner.last(role).map(|last| last.log.checkpoint);
        let size = last.as_ref().map_or(0, |last| last.size);
        if request.old != size {
            return answer(409, format!("{size}\n"));
        }
        let new = &note.checkpoint;
        match &last {
            None if !request.proof.is_empty() => return answer(422, "a proof from nothing proves nothing\n"),
            None => {}
            Some(last) if last.size == new.size => {
                if last.root != new.root {
                    let older = self.cosigner.last(role).map(|last| last.log);
                    if let Some(older) = older
                        && let Err(error) = self.cosigner.convict(&older, note, None, Shown::Newer)
                    {
                        tracing::error!(cause = %chain(&error), "A fraud could not be kept");
                    }
                    return answer(422, "another root of one size\n");
                }
                if !request.proof.is_empty() {
                    return answer(422, "a proof between equal sizes\n");
                }
            }
            Some(last) => {
                let holds = verify_consistency(last.size, &last.root, new.size, &new.root, &request.proof);
                if let Err(error) = holds {
                    return answer(422, format!("{error}\n"));
                }
            }
        }
        match self.cosigner.sign(role, size, note) {
            Ok(signed) => answer(200, signed.line.to_string()),
            Err(CosignError::Moved { size }) => answer(409, format!("{size}\n")),
            Err(CosignError::Stopped { .. }) => answer(503, "stopped by an unacknowledged fraud\n"),
            Err(error) => {
                tracing::error!(cause = %chain(&error), "A cosignature could not be made durable");
                answer(503, "the state could not be made durable\n")
            }
        }
    }

    /// Answers `add-checkpoint`.
    pub async fn add_checkpoint(&self, role: Role, body: Vec<u8>) -> Answer {
        let Some(request) = AddCheckpoint::parse(&body) else {
            return answer(400, "not an add-checkpoint request\n");
        };
        let this = self.clone();
        let read = blocking(move || this.read(&request).map(|note| (request, note))).await;
        let (request, note) = match read {
            Ok(Ok(read)) => read,
            Ok(Err(refused)) => return refused,
            Err(failed) => return failed,
        };
        if role == Role::Mirror && *self.held.borrow() < note.checkpoint.size {
            self.wake.notify_one();
            let mut held = self.held.clone();
            let wanted = note.checkpoint.size;
            let waited = tokio::time::timeout(HELD_WAIT, held.wait_for(|size| *size >= wanted)).await;
            if !matches!(waited, Ok(Ok(_))) {
                return answer(503, "not held yet\n");
            }
        }
        let this = self.clone();
        match blocking(move || this.sign(role, &request, &note)).await {
            Ok(answer) | Err(answer) => answer,
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Answer> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| {
        tracing::error!(%error, "A request failed");
        answer(503, "internal\n")
    })
}

fn role(text: &str) -> Option<Role> {
    [Role::Mirror, Role::Witness].into_iter().find(|role| role.as_str() == text)
}

fn http(answer: Answer) -> Response<Body> {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = match answer.status {
        409 => "text/x.tlog.size",
        _ => "text/plain; charset=utf-8",
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    if answer.status == 503 {
        headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("10"));
    }
    response
}

async fn add(
    State(witness): State<Witness>,
    Path(name): Path<String>,
    request: Request<Body>,
) -> Response<Body> {
    let Some(role) = role(&name) else {
        return http(answer(404, "there is /witness and /mirror\n"));
    };
    match to_bytes(request.into_body(), REQUEST_BYTES_MAX).await {
        Ok(body) => http(witness.add_checkpoint(role, body.to_vec()).await),
        Err(_) => http(answer(400, "the request is too long or was cut\n")),
    }
}

async fn newest(
    State(witness): State<Witness>,
    Path((name, origin)): Path<(String, String)>,
) -> Response<Body> {
    let known = Digest::of(witness.cosigner.pins().origin().as_bytes()).to_string() == origin;
    let served = role(&name).filter(|_| known).and_then(|role| witness.cosigner.served(role));
    match served {
        Some(note) => http(answer(200, note)),
        None => http(answer(404, "no checkpoint of that log under this name\n")),
    }
}
