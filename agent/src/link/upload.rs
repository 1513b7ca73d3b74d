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

#[derive(Debug)]
enum Command {
    Segment(Segment, OwnedFd, OwnedFd),
    Manifest(UploadManifest),
}

/// All uploads. The warden opens one at a time, while an old one may still be closing.
#[derive(Debug)]
pub struct Uploads {
    channels: watch::Receiver<Option<Channel>>,
    connector: Connector,
    post: mpsc::Sender<FromLink>,
    open: Option<(String, mpsc::Sender<Command>, JoinHandle<()>)>,
}

impl Uploads {
    /// No upload is open.
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
        if let Some((other, _, _)) = &self.open {
            let other = other.clone();
            self.close(&other);
        }
        let (commands, queue) = mpsc::channel(COMMANDS_MAX);
        let upload = Upload {
            collection: collection.clone(),
            delegation: open.delegation,
            channels: self.channels.clone(),
            connector: self.connector.clone(),
            post: self.post.clone(),
            queue,
            manifest: None,
        };
        self.open = Some((collection, commands, tokio::spawn(upload.run())));
    }

    /// Hands a segment over.
    pub fn segment(&self, segment: Segment, mut descriptors: Vec<OwnedFd>) {
        if let (Some(stored), Some(seal)) = (descriptors.pop(), descriptors.pop()) {
            self.command(&segment.collection.clone(), Command::Segment(segment, seal, stored));
        }
    }

    /// Hands the manifest over.
    pub fn manifest(&self, manifest: UploadManifest) {
        self.command(&manifest.collection.clone(), Command::Manifest(manifest));
    }

    /// Ends an upload.
    pub fn close(&mut self, collection: &str) {
        if let Some((_, _, task)) = self.open.take_if(|(open, _, _)| open == collection) {
            task.abort();
        }
    }

    fn command(&self, collection: &str, command: Command) {
        if let Some((_, commands, _)) = self.open.as_ref().filter(|(open, _, _)| open == collection) {
            // This happens only if the queue is full of segments of an earlier call. The next position asks
            // for the segment again.
            drop(commands.try_send(command));
        }
    }
}

struct Upload {
    collection: String,
    delegation: Option<v1::SignedDocument>,
    channels: watch::Receiver<Option<Channel>>,
    connector: Connector,
    post: mpsc::Sender<FromLink>,
    queue: mpsc::Receiver<Command>,
    manifest: Option<UploadManifest>,
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
                End::Over(say) => return super::say(&self.post, *say).await,
                End::Ending => return,
                End::Cut(detail) => {
                    tracing::info!(collection = %self.collection, cause = %detail, "Upload cut");
                    let collection = self.collection.clone();
                    super::say(&self.post, from_link::Say::UploadCut(Close { collection, detail })).await;
                }
            }
            tokio::time::sleep(
                reconnects.next_wait(begun.elapsed(), getrandom::u32().unwrap_or(u32::MAX / 2)),
            )
            .await;
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
                            super::say(&self.post, say).await;
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
                    Some(Command::Segment(segment, seal, stored)) => {
                        // The segment is late, from an earlier call, or doubled: do not send it now.
                        if next == Some(segment.index) {
                            next = Some(segment.index + 1);
                            if segments.send(Command::Segment(segment, seal, stored)).await.is_err() {
                                return End::Cut("the call ended while sending".to_owned());
                            }
                        }
                    }
                    Some(Command::Manifest(manifest)) => self.manifest = Some(manifest),
                    None => return End::Ending,
                },
            }
            if let Some(manifest) = self.manifest.as_ref().filter(|manifest| next == Some(manifest.segments))
                && !manifest_sent
            {
                manifest_sent = true;
                if segments.send(Command::Manifest(manifest.clone())).await.is_err() {
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
            Command::Segment(segment, seal, stored) => send_segment(&segment, &seal, &stored, &up).await,
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
async fn send_segment(
    segment: &Segment,
    seal: &OwnedFd,
    stored: &OwnedFd,
    up: &mpsc::Sender<UploadRequest>,
) -> bool {
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
        let size = usize::try_from(len - at).unwrap_or(usize::MAX).min(DATA_BYTES_MAX);
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
