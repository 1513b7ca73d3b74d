//! Containers in the form that an agent makes, and the upload call in the form that its link makes.

use bytes::Bytes;
use evidence::container::{Clocks, ContainerSummary, MemberEnd, Params, SealedSegment, Writer};
use evidence::digest::Digest;
use evidence::item::{Device, ItemRecord, Kind, Stat};
use evidence::keys::SigningKey;
use evidence::manifest::*;
use evidence::order::Order;
use evidence::seal::delegation::{Delegation, DelegationType, collection_id};
use evidence::signed::Signed;
use evidence::time::FileTime;
use proto::v1::{self, upload_request, upload_response};
use proto::{segment, service};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::lab::*;

pub fn file_time(seconds: i64) -> FileTime {
    FileTime::new(seconds, 0).unwrap()
}

pub fn clocks(boot: i64) -> Clocks {
    Clocks { wall: file_time(1_800_000_000 + boot), boot: file_time(boot) }
}

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
    let fresh = nonce();
    let document = Delegation {
        type_: DelegationType,
        deployment: DEPLOYMENT.parse().unwrap(),
        endpoint: endpoint.name.parse().unwrap(),
        generation: endpoint.generation,
        order: order.digest(),
        attempt,
        collection: collection_id(
            &order.digest(),
            &endpoint.evidence.public().fingerprint(),
            attempt,
            &fresh,
        ),
        sealer: sealer.public(),
        at: now(),
        nonce: fresh,
    };
    let signed = sign(&document, &[&endpoint.evidence]);
    (document, signed, sealer)
}

pub fn writer(delegation: &Delegation, sealer: &SigningKey) -> Writer {
    let params = Params {
        deployment: DEPLOYMENT.parse().unwrap(),
        collection: delegation.collection,
        order: delegation.order,
        attempt: u64::from(delegation.attempt),
        level: 1,
        lanes: 1,
        salt_seed: [9; 32],
    };
    Writer::new(params, SigningKey::from_seed(&sealer.seed())).unwrap()
}

fn stat(size: u64) -> Stat {
    Stat {
        dev: Device { major: 8, minor: 1 },
        ino: 7,
        mode: 0o100_644,
        nlink: 1,
        uid: 0,
        gid: 0,
        size,
        blocks: size.div_ceil(512),
        atime: file_time(1_700_000_000),
        mtime: file_time(1_700_000_000),
        ctime: file_time(1_700_000_000),
        btime: None,
        attrs: 0,
    }
}

/// Bytes that do not compress, different for each seed.
pub fn noise(len: usize, mut seed: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(seed ^ (seed >> 29)).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// A container of these files.
pub fn container(
    delegation: &Delegation,
    sealer: &SigningKey,
    files: &[(String, Vec<u8>)],
) -> (Vec<SealedSegment>, ContainerSummary) {
    let mut writer = writer(delegation, sealer);
    let mut segments = Vec::new();
    for (path, content) in files {
        let mut record =
            ItemRecord::new("files", Kind::File, path.as_bytes().to_vec(), file_time(1_800_000_000));
        record.size = Some(content.len() as u64);
        record.before = Some(stat(content.len() as u64));
        writer.begin_member(record).unwrap();
        for chunk in content.chunks(1 << 20) {
            writer.write(chunk).unwrap();
            segments.extend(writer.poll_segment(clocks(100)).unwrap());
        }
        writer.end_member(MemberEnd::ok(Some(stat(content.len() as u64)), file_time(1_800_000_001))).unwrap();
    }
    let (rest, summary) = writer.finish(clocks(101)).unwrap();
    segments.extend(rest);
    (segments, summary)
}

/// An attempt of about three segments.
pub fn attempt(endpoint: &Endpoint, order: &Signed, number: u32) -> Attempt {
    let (document, delegation, sealer) = delegate(endpoint, order, number);
    let files = vec![
        ("/etc/hostname".to_owned(), b"web-03\n".to_vec()),
        ("/var/log/big".to_owned(), noise(20 << 20, u64::from(number))),
        ("/etc/motd".to_owned(), b"hello\n".to_vec()),
    ];
    let (segments, summary) = container(&document, &sealer, &files);
    assert!(segments.len() >= 3);
    Attempt { delegation, document, sealer, segments, summary, files }
}

impl Attempt {
    pub fn collection(&self) -> String {
        self.document.collection.to_string()
    }

    pub fn manifest(&self, endpoint: &Endpoint, order: &Order) -> Signed {
        let summary = &self.summary;
        let manifest = Manifest {
            type_: ManifestType,
            deployment: DEPLOYMENT.parse().unwrap(),
            collection: self.document.collection,
            origin: Origin::Endpoint(EndpointOrigin {
                id: endpoint.name.parse().unwrap(),
                generation: endpoint.generation,
                evidence_key: endpoint.evidence.public(),
                order: self.document.order,
                attempt: self.document.attempt,
            }),
            delegation: self.delegation.digest(),
            encoding: Encoding::TarZstd,
            incident: order.incident.clone(),
            begun: now(),
            ended: now(),
            clock: Clock {
                wall: file_time(1_800_000_101),
                boot: file_time(101),
                offset_ms: None,
                synchronised: None,
            },
            boot_id: None,
            machine_id: None,
            agent: Agent {
                version: "0".into(),
                build_sha256: Digest::ZERO,
                uid: 0,
                capabilities: "0".into(),
            },
            policy_sha256: Digest::ZERO,
            limits: order.limits,
            steps: order
                .plan
                .steps()
                .iter()
                .map(|step| StepResult {
                    collector: step.collector().into(),
                    begun: now(),
                    ended: now(),
                    items: 0,
                    result: StepEnd::Done,
                })
                .collect(),
            segments: summary.segments,
            stored_len: summary.stored_len,
            plain_len: summary.plain_len,
            container_sha256: summary.container_sha256,
            items: summary.items,
            items_root: summary.items_root,
            outcomes: Manifest::outcomes_of(summary),
            content_bytes: summary.content_bytes,
            seal_head: summary.seal_head,
            footprint: vec![],
            limitations: vec![],
            log_head: LogHead { seq: 0, sha256: Digest::ZERO },
            result: CollectionResult::Complete,
        };
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
