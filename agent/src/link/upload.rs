//! Uploads: one call for each collection. After a cut, the link opens the call again and continues where the
//! collector stands.
//!
//! Guarantee: on one call, segments go out in order without gap or repetition. A segment that was sent for an
//! earlier call and arrives late is dropped, and the sealer sends it again. Only pieces of 1 MiB are copied
//! out of the shared memory files. Not here: which segments the sealer still holds (`sealer::window`).

use std::os::fd::OwnedFd;

use bytes::Bytes;
use proto::limits::DATA_BYTES_MAX;
use proto::status::{Action, Class};
use proto::v1::{self, SegmentBegin, UploadRequest, upload_request, upload_response};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::backoff::Reconnects;
use super::connection::Connector;
use crate::message::{
    Close, FromLink, OpenUpload, Position, Rejected, Segment, Stored, UploadManifest, from_link,
};

/// Commands waiting for one upload. The window allows three segments, and each may be sent twice around a cut.
const COMMANDS_MAX: usize = 16;

/// A segment with the memory files of its seal and of its bytes.
#[derive(Debug)]
struct Sealed {
    segment: Segment,
    seal: OwnedFd,
    stored: OwnedFd,
}

/// What goes to the collector on one call, in order.
#[derive(Debug)]
enum Command {
    Segment(Sealed),
    Manifest(UploadManifest),
}

/// All uploads. The warden opens one at a time, while an old one may still be closing.
#[derive(Debug)]
pub struct Uploads {
    channels: watch::Receiver<Option<Channel>>,
    connector: Connector,
    post: mpsc::Sender<FromLink>,
    open: Option<Open>,
}

/// The task of one upload, and what reaches it.
#[derive(Debug)]
struct Open {
    collection: String,
    segments: mpsc::Sender<Sealed>,
    /// Beside the queue: a manifest must not get lost because the queue is full.
    manifest: watch::Sender<Option<UploadManifest>>,
    task: JoinHandle<()>,
}

impl Uploads {
    /// Starts without an open upload.
    pub fn new(
        channels: watch::Receiver<Option<Channel>>,
        connector: Connector,
        post: mpsc::Sender<FromLink>,
    ) -> Self {
        Self { channels, connector, post, open: None }
    }

    /// Opens an upload and closes any other.
    pub fn open(&mut self, open: OpenUpload) {
        let collection = open.collection.clone();
        if let Some(other) = self.open.take() {
            other.task.abort();
        }
        let (segments, queue) = mpsc::channel(COMMANDS_MAX);
        let (manifest, manifests) = watch::channel(None);
        let upload = Upload {
            collection: collection.clone(),
            delegation: open.delegation,
            channels: self.channels.clone(),
            connector: self.connector.clone(),
            post: self.post.clone(),
            queue,
            manifests,
        };
        self.open = Some(Open { collection, segments, manifest, task: tokio::spawn(upload.run()) });
    }

    /// Hands a segment over.
    pub fn segment(&self, segment: Segment, mut descriptors: Vec<OwnedFd>) {
        if let (Some(stored), Some(seal)) = (descriptors.pop(), descriptors.pop())
            && let Some(open) = self.of(&segment.collection)
            && open.segments.try_send(Sealed { segment, seal, stored }).is_err()
        {
            // This happens only if the queue is full of segments of an earlier call. The next position asks
            // for the segment again.
            tracing::warn!(collection = %open.collection, "A segment did not fit the queue");
        }
    }

    /// Hands the manifest over.
    pub fn manifest(&self, manifest: UploadManifest) {
        if let Some(open) = self.of(&manifest.collection) {
            open.manifest.send_replace(Some(manifest));
        }
    }

    /// Ends an upload.
    pub(crate) fn close(&mut self, collection: &str) {
        if let Some(open) = self.open.take_if(|open| open.collection == collection) {
            open.task.abort();
        }
    }

    fn of(&self, collection: &str) -> Option<&Open> {
        self.open.as_ref().filter(|open| open.collection == collection)
    }
}

struct Upload {
    collection: String,
    delegation: Option<v1::SignedDocument>,
    channels: watch::Receiver<Option<Channel>>,
    connector: Connector,
    post: mpsc::Sender<FromLink>,
    queue: mpsc::Receiver<Sealed>,
    manifests: watch::Receiver<Option<UploadManifest>>,
}

enum End {
    /// Tell the warden and stop.
    Over(Box<from_link::Say>),
    /// Open the call again.
    Cut(String),
    /// The process is ending.
    Ending,
}

impl Upload {
    async fn run(mut self) {
        let Some(identity) = self.connector.identity().await else {
            return;
        };
        let mut reconnects = Reconnects::of(&identity);
        loop {
            let begun = Instant::now();
            match self.call().await {
                End::Over(say) => return super::post_to_warden(&self.post, *say).await,
                End::Ending => return,
                End::Cut(detail) => {
                    tracing::info!(collection = %self.collection, cause = %detail, "Upload cut");
                    let collection = self.collection.clone();
                    super::post_to_warden(
                        &self.post,
                        from_link::Say::UploadCut(Close { collection, detail }),
                    )
                    .await;
                }
            }
            tokio::time::sleep(reconnects.next_wait(begun.elapsed(), super::backoff::random())).await;
        }
    }

    async fn call(&mut self) -> End {
        let Ok(channel) = self.channels.wait_for(Option::is_some).await.map(|channel| channel.clone()) else {
            return End::Ending;
        };
        let Some(channel) = channel else {
            return End::Ending;
        };
        let (up, requests) = mpsc::channel(2);
        let begin = v1::UploadBegin { delegation: self.delegation.clone() };
        // The queue is new and has room for two.
        drop(up.try_send(request(upload_request::Message::Begin(begin))));
        let mut client = proto::service::agent_client(channel);
        let mut down = match client.upload(ReceiverStream::new(requests)).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => return self.failed(&status),
        };
        // The sender is a task of its own, so that acknowledgements arrive while a segment waits for the
        // network.
        let (segments, to_send) = mpsc::channel(COMMANDS_MAX);
        let sender = tokio::spawn(send(to_send, up));
        let end = self.exchange(&mut down, &segments).await;
        sender.abort();
        end
    }

    async fn exchange(
        &mut self,
        down: &mut tonic::Streaming<v1::UploadResponse>,
        segments: &mpsc::Sender<Command>,
    ) -> End {
        let mut next: Option<u64> = None;
        let mut manifest_sent = false;
        loop {
            tokio::select! {
                answer = down.message() => {
                    let message = match answer {
                        Ok(Some(answer)) => answer.message,
                        Ok(None) => return End::Cut("the collector closed the call".to_owned()),
                        Err(status) => return self.failed(&status),
                    };
                    match message {
                        Some(upload_response::Message::Position(position)) => {
                            let is_first = next.is_none();
                            next.get_or_insert(position.next_index);
                            let say = from_link::Say::Position(Position {
                                collection: self.collection.clone(),
                                next_index: position.next_index,
                                seal: position.seal,
                                copies: position.copies,
                                is_first,
                            });
                            super::post_to_warden(&self.post, say).await;
                        }
                        Some(upload_response::Message::Stored(stored)) => {
                            let collection = self.collection.clone();
                            let say = from_link::Say::Stored(Stored { collection, receipt: stored.receipt });
                            return End::Over(Box::new(say));
                        }
                        Some(upload_response::Message::Rejected(rejected)) => {
                            let collection = self.collection.clone();
                            let (reason, detail) = (rejected.reason, rejected.detail);
                            let say = from_link::Say::Rejected(Rejected { collection, reason, detail });
                            return End::Over(Box::new(say));
                        }
                        None => {}
                    }
                }
                command = self.queue.recv() => match command {
                    Some(sealed) => {
                        // The segment is late, from an earlier call, or doubled: do not send it now.
                        if next == Some(sealed.segment.index) {
                            next = Some(sealed.segment.index + 1);
                            if segments.send(Command::Segment(sealed)).await.is_err() {
                                return End::Cut("the call ended while sending".to_owned());
                            }
                        }
                    }
                    None => return End::Ending,
                },
                changed = self.manifests.changed() => if changed.is_err() { return End::Ending },
            }
            let manifest = self.manifests.borrow().clone();
            if let Some(manifest) = manifest.filter(|manifest| next == Some(manifest.segments))
                && !manifest_sent
            {
                manifest_sent = true;
                if segments.send(Command::Manifest(manifest)).await.is_err() {
                    return End::Cut("the call ended while sending".to_owned());
                }
            }
        }
    }

    fn failed(&self, status: &tonic::Status) -> End {
        let detail = evidence::causes::chain(status);
        let reason = match (Action::of(status), Class::of(status)) {
            (_, Class::Contradiction) => "contradiction",
            (Action::Reject, Class::Malformed) => "malformed",
            (Action::Reject, Class::OverLimit) => "over-limit",
            // The collector restarted, lost a race or does not know the answer to the order yet: try again.
            _ => return End::Cut(detail),
        };
        let collection = self.collection.clone();
        End::Over(Box::new(from_link::Say::Rejected(Rejected {
            collection,
            reason: reason.to_owned(),
            detail,
        })))
    }
}

fn request(message: upload_request::Message) -> UploadRequest {
    UploadRequest { message: Some(message) }
}

async fn send(mut queue: mpsc::Receiver<Command>, up: mpsc::Sender<UploadRequest>) {
    while let Some(command) = queue.recv().await {
        let sent = match command {
            Command::Segment(sealed) => send_segment(&sealed, &up).await,
            Command::Manifest(manifest) => {
                let manifest = v1::UploadManifest { manifest: manifest.manifest };
                up.send(request(upload_request::Message::Manifest(manifest))).await.is_ok()
            }
        };
        if !sent {
            return;
        }
    }
}

/// `false` if the call is gone or the files are not what they should be.
async fn send_segment(Sealed { segment, seal, stored }: &Sealed, up: &mpsc::Sender<UploadRequest>) -> bool {
    use std::os::fd::AsFd as _;
    let lens = (cage::sealed_len(seal.as_fd()), cage::sealed_len(stored.as_fd()));
    let (Ok(seal_len), Ok(stored_len)) = lens else {
        return false;
    };
    if stored_len != segment.stored_len {
        return false;
    }
    let begin = SegmentBegin { seal_len, stored_len };
    if up.send(request(upload_request::Message::Segment(begin))).await.is_err() {
        return false;
    }
    send_file(seal, seal_len, upload_request::Message::SealData, up).await
        && send_file(stored, stored_len, upload_request::Message::Data, up).await
}

async fn send_file(
    file: &OwnedFd,
    len: u64,
    wrap: impl Fn(Bytes) -> upload_request::Message,
    up: &mpsc::Sender<UploadRequest>,
) -> bool {
    let mut at = 0;
    while at < len {
        // A length that this machine cannot count is more than one piece.
        let size = usize::try_from(len - at).map_or(DATA_BYTES_MAX, |rest| rest.min(DATA_BYTES_MAX));
        let mut piece = vec![0; size];
        // The file is in memory, so this does not wait for a disk.
        match rustix::io::pread(file, &mut piece, at) {
            Ok(read) if read > 0 => {
                piece.truncate(read);
                at += read as u64;
            }
            _ => return false,
        }
        if up.send(request(wrap(Bytes::from(piece)))).await.is_err() {
            return false;
        }
    }
    true
}
