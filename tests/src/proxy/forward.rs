//! The calls, message by message.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use certs::connection::PeerInfo;
use evidence::digest::Digest;
use proto::v1::agent_service_server::AgentService;
use proto::v1::{
    AttendRequest, AttendResponse, RenewRequest, RenewResponse, UploadRequest, UploadResponse,
    attend_request, attend_response, upload_request, upload_response,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use super::{Seen, Shared, channel};

/// Messages between the two connections of a call: few, so that the collector's back-pressure reaches the agent.
const QUEUE_LEN: usize = 2;

pub(super) struct Forward(pub(super) Arc<Shared>);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Forward {
    async fn upstream(&self) -> Result<tonic::transport::Channel, Status> {
        if self.0.control().is_down {
            return Err(Status::unavailable("the line is down"));
        }
        channel(&self.0.server, &self.0.credentials)
            .await
            .map_err(|error| Status::unavailable(format!("{error:#}")))
    }
}

fn peer<T>(request: &Request<T>) -> Result<Arc<PeerInfo>, Status> {
    certs::connection::peer(request).ok_or_else(|| Status::internal("a connection without a peer"))
}

#[tonic::async_trait]
impl AgentService for Forward {
    type AttendStream = Answers<AttendResponse>;
    type UploadStream = Answers<UploadResponse>;

    async fn attend(
        &self,
        request: Request<Streaming<AttendRequest>>,
    ) -> Result<Response<Self::AttendStream>, Status> {
        let peer = peer(&request)?;
        let channel = self.upstream().await?;
        let (up, requests) = mpsc::channel(QUEUE_LEN);
        let (down, answers) = mpsc::channel(QUEUE_LEN);
        let shared = Arc::clone(&self.0);
        let mut from_agent = request.into_inner();
        let closed = peer.closed.clone();
        drop(tokio::spawn(async move {
            let listening = {
                let shared = Arc::clone(&shared);
                async move {
                    while let Some(Ok(message)) = from_agent.next().await {
                        note_request(&shared, &message);
                        if up.send(message).await.is_err() {
                            break;
                        }
                    }
                }
            };
            let speaking = speak(channel, requests, down, Arc::clone(&shared));
            tokio::select! {
                () = closed.cancelled() => {}
                () = listening => {}
                () = speaking => {}
            }
        }));
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn upload(
        &self,
        request: Request<Streaming<UploadRequest>>,
    ) -> Result<Response<Self::UploadStream>, Status> {
        let peer = peer(&request)?;
        let channel = self.upstream().await?;
        let (up, requests) = mpsc::channel(QUEUE_LEN);
        let (down, answers) = mpsc::channel(QUEUE_LEN);
        let shared = Arc::clone(&self.0);
        let mut from_agent = request.into_inner();
        let closed = peer.closed.clone();
        drop(tokio::spawn(async move {
            let Some(Ok(first)) = from_agent.next().await else {
                return;
            };
            let collection = collection_of(&first);
            shared.note(Seen::Upload { collection: collection.clone() });
            if up.send(first).await.is_err() {
                return;
            }
            let carrying = carry(from_agent, up, Arc::clone(&shared), collection.clone());
            let answering = answer(channel, requests, down, Arc::clone(&shared), collection);
            tokio::pin!(carrying, answering);
            tokio::select! {
                () = closed.cancelled() => {}
                () = &mut answering => {}
                clean = &mut carrying => if clean {
                    // The agent has said all; the collector may still answer.
                    tokio::select! {
                        () = closed.cancelled() => {}
                        () = &mut answering => {}
                    }
                },
            }
        }));
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        let channel = self.upstream().await?;
        proto::service::agent_client(channel).renew(request.into_inner()).await
    }
}

/// From the collector to the agent on the standing call.
async fn speak(
    channel: tonic::transport::Channel,
    requests: mpsc::Receiver<AttendRequest>,
    down: mpsc::Sender<Result<AttendResponse, Status>>,
    shared: Arc<Shared>,
) {
    let mut client = proto::service::agent_client(channel);
    let mut answers = match client.attend(ReceiverStream::new(requests)).await {
        Ok(answers) => answers.into_inner(),
        Err(status) => return drop(down.send(Err(sanitized(&status))).await),
    };
    shared.control().attend = Some(down.clone());
    while let Some(answer) = answers.next().await {
        let answer = match answer {
            Ok(mut answer) => {
                if let Some(message) = answer.message.as_mut() {
                    if let attend_response::Message::Order(package) = &*message {
                        let document = package.order.as_ref().map(|order| Digest::of(&order.document));
                        shared.note(Seen::Order { order: document.unwrap_or(Digest::ZERO) });
                    }
                    // Taken out while it runs: it may take its time, and others need the lock.
                    let alter = shared.control().alter.take();
                    if let Some(mut alter) = alter {
                        alter(message);
                        shared.control().alter.get_or_insert(alter);
                    }
                }
                Ok(answer)
            }
            Err(status) => Err(sanitized(&status)),
        };
        if down.send(answer).await.is_err() {
            break;
        }
    }
}

/// From the agent to the collector. True when the agent ended its side cleanly.
async fn carry(
    mut from_agent: Streaming<UploadRequest>,
    up: mpsc::Sender<UploadRequest>,
    shared: Arc<Shared>,
    collection: String,
) -> bool {
    let mut segment = Segment::default();
    loop {
        let message = match from_agent.next().await {
            Some(Ok(message)) => message,
            Some(Err(_)) => return false,
            None => return true,
        };
        let len = match &message.message {
            Some(upload_request::Message::Data(data)) => data.len(),
            Some(upload_request::Message::SealData(data)) => data.len(),
            _ => 0,
        };
        let whole = segment.push(&message);
        let is_manifest = matches!(message.message, Some(upload_request::Message::Manifest(_)));
        if !pace(&shared, u64::try_from(len).unwrap_or(u64::MAX)).await {
            return false;
        }
        // Noted before it can be acknowledged.
        if let Some((index, seal, sha256)) = whole {
            shared.note(Seen::Sent { collection: collection.clone(), index, seal, sha256 });
        }
        if is_manifest {
            shared.note(Seen::Manifest { collection: collection.clone() });
        }
        if up.send(message).await.is_err() {
            // The collector has ended the call; its answer says why.
            std::future::pending::<()>().await;
        }
    }
}

/// Keeps the rate; false when the line was cut here.
async fn pace(shared: &Shared, len: u64) -> bool {
    let (rate, is_cut) = {
        let mut control = shared.control();
        let is_cut = match control.cut_after {
            Some(left) if left <= len => {
                control.cut_after = None;
                len > 0
            }
            Some(left) => {
                control.cut_after = Some(left - len);
                false
            }
            None => false,
        };
        (control.rate, is_cut)
    };
    if is_cut {
        shared.cut();
        return false;
    }
    if let Some(rate) = rate {
        // The line itself: bytes take their time.
        tokio::time::sleep(Duration::from_micros(len.saturating_mul(1_000_000) / rate.max(1))).await;
    }
    true
}

/// From the collector to the agent on an upload.
async fn answer(
    channel: tonic::transport::Channel,
    requests: mpsc::Receiver<UploadRequest>,
    down: mpsc::Sender<Result<UploadResponse, Status>>,
    shared: Arc<Shared>,
    collection: String,
) {
    let mut client = proto::service::agent_client(channel);
    let mut answers = match client.upload(ReceiverStream::new(requests)).await {
        Ok(answers) => answers.into_inner(),
        Err(status) => return drop(down.send(Err(sanitized(&status))).await),
    };
    while let Some(answer) = answers.next().await {
        let answer = match answer {
            Ok(answer) => {
                note_answer(&shared, &collection, &answer);
                Ok(answer)
            }
            Err(status) => Err(sanitized(&status)),
        };
        if down.send(answer).await.is_err() {
            break;
        }
    }
}

/// A status with code and text alone: what this side's transport made of a failure is not for the agent.
fn sanitized(status: &Status) -> Status {
    use std::error::Error as _;
    if status.source().is_some() {
        return Status::unavailable("the line was cut");
    }
    Status::new(status.code(), status.message())
}

fn collection_of(first: &UploadRequest) -> String {
    let Some(upload_request::Message::Begin(begin)) = &first.message else {
        return String::new();
    };
    let document = begin.delegation.as_ref().map(|signed| &signed.document);
    let parsed: Option<serde_json::Value> =
        document.and_then(|document| serde_json::from_slice(document).ok());
    parsed.and_then(|value| crate::text(&value, "collection").ok()).unwrap_or_default()
}

fn note_request(shared: &Shared, request: &AttendRequest) {
    match &request.message {
        Some(attend_request::Message::Answer(answer)) => shared.note(Seen::Answer {
            order: answer.order.clone(),
            admitted: answer.admitted,
            reason: answer.reason.clone(),
            detail: answer.detail.clone(),
        }),
        Some(attend_request::Message::AttemptEnded(ended)) => shared.note(Seen::Ended {
            collection: ended.collection.clone(),
            result: ended.result.clone(),
            detail: ended.detail.clone(),
        }),
        Some(attend_request::Message::Hello(_) | attend_request::Message::Heartbeat(_)) | None => {}
    }
}

fn note_answer(shared: &Shared, collection: &str, answer: &UploadResponse) {
    let collection = collection.to_owned();
    match &answer.message {
        Some(upload_response::Message::Position(position)) => shared.note(Seen::Position {
            collection,
            next_index: position.next_index,
            seal: position.seal.clone(),
            copies: position.copies,
            degraded: position.degraded,
        }),
        Some(upload_response::Message::Stored(_)) => shared.note(Seen::Stored { collection }),
        Some(upload_response::Message::Rejected(rejected)) => shared.note(Seen::Rejected {
            collection,
            reason: rejected.reason.clone(),
            detail: rejected.detail.clone(),
        }),
        None => {}
    }
}

/// The segment that is passing.
#[derive(Default)]
struct Segment {
    seal_left: u64,
    stored_left: u64,
    seal: Vec<u8>,
}

impl Segment {
    /// Index, digest of the seal and digest of the bytes of a segment that is whole now.
    fn push(&mut self, message: &UploadRequest) -> Option<(u64, Digest, Digest)> {
        let len = |bytes: &Bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        match message.message.as_ref()? {
            upload_request::Message::Segment(begin) => {
                *self = Self { seal_left: begin.seal_len, stored_left: begin.stored_len, seal: Vec::new() };
                None
            }
            upload_request::Message::SealData(data) => {
                self.seal_left = self.seal_left.saturating_sub(len(data));
                self.seal.extend_from_slice(data);
                None
            }
            upload_request::Message::Data(data) => {
                self.stored_left = self.stored_left.saturating_sub(len(data));
                if self.stored_left > 0 {
                    return None;
                }
                let seal = evidence::seal::Seal::parse(&self.seal).ok()?;
                Some((seal.header.index, seal.digest, seal.header.sha256))
            }
            upload_request::Message::Begin(_) | upload_request::Message::Manifest(_) => None,
        }
    }
}
