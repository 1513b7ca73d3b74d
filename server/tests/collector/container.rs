//! Containers in the form that an agent makes, and the upload call in the form that its link makes.

use bytes::Bytes;
use evidence::container::{ContainerSummary, SealedSegment};
use evidence::keys::SigningKey;
use evidence::order::Order;
use evidence::seal::delegation::Delegation;
use evidence::signed::Signed;
use proto::v1::{self, upload_request, upload_response};
use proto::{segment, service};
use testkit::collections;
use testkit::containers::lab::{Built, Lab};
use testkit::containers::noise_from;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::lab::*;

/// One attempt: its delegation, its sealer, its container.
pub struct Attempt {
    pub delegation: Signed,
    pub document: Delegation,
    pub sealer: SigningKey,
    pub segments: Vec<SealedSegment>,
    pub summary: ContainerSummary,
    pub files: Vec<(String, Vec<u8>)>,
}

pub fn delegate(endpoint: &Endpoint, order: &Signed, attempt: u32) -> (Delegation, Signed, SigningKey) {
    let sealer = SigningKey::generate(getrandom::fill).unwrap();
    let document =
        collections::delegation(&endpoint.target(), order.digest(), attempt, sealer.public(), now(), nonce());
    let signed = sign(&document, &[&endpoint.evidence]);
    (document, signed, sealer)
}

/// The sealer's writer.
pub fn writer(delegation: &Delegation, sealer: &SigningKey) -> Lab {
    Lab::named(collections::identity(delegation), SigningKey::from_seed(&sealer.seed()))
}

/// An attempt of about three segments.
pub fn attempt(endpoint: &Endpoint, order: &Signed, number: u32) -> Attempt {
    let (document, delegation, sealer) = delegate(endpoint, order, number);
    let files = vec![
        ("/etc/hostname".to_owned(), b"web-03\n".to_vec()),
        ("/var/log/big".to_owned(), noise_from(u64::from(number), 20 << 20)),
        ("/etc/motd".to_owned(), b"hello\n".to_vec()),
    ];
    let Built { segments, summary, .. } = writer(&document, &sealer).files(&files).finish();
    assert!(segments.len() >= 3);
    Attempt { delegation, document, sealer, segments, summary, files }
}

impl Attempt {
    pub fn collection(&self) -> String {
        self.document.collection.to_string()
    }

    pub fn manifest(&self, endpoint: &Endpoint, order: &Order) -> Signed {
        let manifest = collections::manifest(
            &self.document,
            self.delegation.digest(),
            endpoint.evidence.public(),
            order,
            [now(), now()],
            &self.summary,
        );
        sign(&manifest, &[&self.sealer, &endpoint.evidence])
    }
}

/// One upload call.
pub struct Upload {
    pub requests: mpsc::Sender<v1::UploadRequest>,
    pub answers: Streaming<v1::UploadResponse>,
}

/// What the collector said.
#[derive(Debug)]
pub enum Said {
    Position(v1::Position),
    Stored(v1::ProvenEntry),
    Rejected(v1::Rejected),
    Ended,
    Failed(tonic::Status),
}

impl Upload {
    pub async fn begin(lab: &Collector, endpoint: &Endpoint, delegation: &Signed) -> Self {
        let channel = lab.connect(&endpoint.credentials).await;
        let (requests, stream) = mpsc::channel(4);
        let begin = v1::UploadBegin { delegation: Some(delegation.into()) };
        let first = v1::UploadRequest { message: Some(upload_request::Message::Begin(begin)) };
        requests.send(first).await.unwrap();
        let answers =
            service::agent_client(channel).upload(ReceiverStream::new(stream)).await.unwrap().into_inner();
        Self { requests, answers }
    }

    pub async fn hear(&mut self) -> Said {
        let heard = tokio::time::timeout(PATIENCE, self.answers.message()).await.expect("an answer in time");
        match heard {
            Ok(Some(v1::UploadResponse { message: Some(upload_response::Message::Position(said)) })) => {
                Said::Position(said)
            }
            Ok(Some(v1::UploadResponse { message: Some(upload_response::Message::Stored(said)) })) => {
                Said::Stored(said.receipt.unwrap())
            }
            Ok(Some(v1::UploadResponse { message: Some(upload_response::Message::Rejected(said)) })) => {
                Said::Rejected(said)
            }
            Ok(Some(v1::UploadResponse { message: None })) => panic!("an answer without content"),
            Ok(None) => Said::Ended,
            Err(status) => Said::Failed(status),
        }
    }

    pub async fn position(&mut self) -> v1::Position {
        match self.hear().await {
            Said::Position(position) => position,
            other => panic!("{other:?}"),
        }
    }

    pub async fn rejected(&mut self) -> v1::Rejected {
        match self.hear().await {
            Said::Rejected(rejected) => rejected,
            other => panic!("{other:?}"),
        }
    }

    pub async fn send(&self, seal: &[u8], stored: &[u8]) {
        for message in segment::messages(Bytes::copy_from_slice(seal), Bytes::copy_from_slice(stored)) {
            // The collector may have ended the call: what it said is in the answers.
            drop(self.requests.send(message).await);
        }
    }

    pub async fn segment(&self, segment: &SealedSegment) {
        self.send(&segment.seal, &segment.bytes).await;
    }

    pub async fn manifest(&self, manifest: &Signed) {
        let message =
            upload_request::Message::Manifest(v1::UploadManifest { manifest: Some(manifest.into()) });
        drop(self.requests.send(v1::UploadRequest { message: Some(message) }).await);
    }

    /// Sends the rest of an attempt and gives the receipt.
    pub async fn finish(
        mut self,
        attempt: &Attempt,
        from: usize,
        endpoint: &Endpoint,
        order: &Order,
    ) -> v1::ProvenEntry {
        for segment in &attempt.segments[from..] {
            self.segment(segment).await;
            assert_eq!(self.position().await.next_index, segment.index + 1);
        }
        self.manifest(&attempt.manifest(endpoint, order)).await;
        match self.hear().await {
            Said::Stored(receipt) => receipt,
            other => panic!("{other:?}"),
        }
    }
}
