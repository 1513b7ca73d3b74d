//! An endpoint that lies: it has the true keys of an enrolled endpoint and speaks gRPC with the collector itself.

use bytes::Bytes;
use evidence::container::SealedSegment;
use evidence::digest::Digest;
use evidence::keys::SigningKey;
use evidence::seal::delegation::Delegation;
use evidence::seal::{self, Identity, SealHeader};
use evidence::signed::Signed;
use evidence::text::FixedBytes;
use proto::v1::agent_service_client::AgentServiceClient;
use proto::v1::upload_request::Message;
use proto::v1::{UploadBegin, UploadRequest, UploadResponse, upload_response};
use testkit::containers::lab::Lab;
use testkit::{collections, orders};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{now, wire};
use crate::field::{ENDPOINT, Field, Random};

/// One collection that it makes up.
pub struct Liar<'field> {
    pub field: &'field Field,
    pub sealer: SigningKey,
    pub delegation: Signed,
    pub collection: Digest,
    identity: Identity,
}

/// An open upload call.
pub struct Call<'field> {
    field: &'field Field,
    up: mpsc::Sender<UploadRequest>,
    down: Streaming<UploadResponse>,
}

/// The endpoint's evidence key, out of its state.
pub fn evidence_key(field: &Field) -> SigningKey {
    let text = fs_err::read_to_string(field.lab.state(ENDPOINT).join("gen-1/evidence.key")).unwrap();
    let mut seed = [0; 32];
    for (place, pair) in seed.iter_mut().zip(text.trim().as_bytes().chunks(2)) {
        *place = u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    }
    SigningKey::from_seed(&seed)
}

impl<'field> Liar<'field> {
    /// Begins a collection under an order.
    pub fn new(field: &'field Field, order: &str, attempt: u32, random: &mut Random) -> Self {
        let evidence = evidence_key(field);
        let order: Digest = order.parse().unwrap();
        let (mut seed, mut nonce) = ([0; 32], [0; 16]);
        random.fill(&mut seed);
        random.fill(&mut nonce);
        let (sealer, nonce) = (SigningKey::from_seed(&seed), FixedBytes(nonce));
        let target = orders::target(ENDPOINT, 1, &evidence.public());
        let delegation = collections::delegation(&target, order, attempt, sealer.public(), now(), nonce);
        let delegation = Delegation { deployment: "lab".parse().unwrap(), ..delegation };
        let identity = collections::identity(&delegation);
        let delegation = Signed::sign(&delegation, &[&evidence]).unwrap();
        Self { field, sealer, delegation, collection: identity.collection, identity }
    }

    /// Opens the upload and waits for the position.
    pub fn upload(&self) -> Call<'field> {
        let mut call = self.open();
        match call.answer() {
            Ok(Some(upload_response::Message::Position(_))) => call,
            other => panic!("no position: {other:?}\n{}", self.field.logs()),
        }
    }

    /// Opens the upload.
    pub fn open(&self) -> Call<'field> {
        let state = self.field.lab.state(ENDPOINT).join("gen-1/tls.pem");
        let server = self.field.lab.path("server");
        let begin = UploadBegin { delegation: wire(&self.delegation) };
        let (up, requests) = mpsc::channel(64);
        up.try_send(UploadRequest { message: Some(Message::Begin(begin)) }).unwrap();
        let down = self.field.runtime().block_on(async {
            let channel = lab::proxy::channel(&server, &state).await.unwrap();
            // Without the limits that our own clients keep.
            let mut client = AgentServiceClient::new(channel);
            client.upload(ReceiverStream::new(requests)).await.unwrap().into_inner()
        });
        Call { field: self.field, up, down }
    }

    /// A container with `files`, as an honest sealer makes it.
    pub fn container(&self, files: &[(&str, Vec<u8>)]) -> Vec<SealedSegment> {
        let sealer = SigningKey::from_seed(&self.sealer.seed());
        Lab::named(self.identity.clone(), sealer).files(files).finish().segments
    }

    /// The seal of a segment, made anew over other bytes and records, by the right key.
    pub fn reseal(&self, header: &SealHeader, bytes: &[u8], records: &[u8]) -> Vec<u8> {
        let header = SealHeader {
            sha256: Digest::of(bytes),
            stored_len: u64::try_from(bytes.len()).unwrap(),
            records_sha256: Digest::of(records),
            records_len: u64::try_from(records.len()).unwrap(),
            ..header.clone()
        };
        seal::make(&header, records, &self.sealer).unwrap()
    }
}

/// The records of a seal, as stored.
pub fn records(segment: &SealedSegment) -> Vec<u8> {
    let len = usize::try_from(segment.header.records_len).unwrap();
    segment.seal[segment.seal.len() - len..].to_vec()
}

impl Call<'_> {
    /// Sends messages; a call that the collector ended takes none, and its answer says why.
    pub fn send(&self, messages: impl IntoIterator<Item = UploadRequest>) {
        self.field.runtime().block_on(async {
            for message in messages {
                if self.up.send(message).await.is_err() {
                    return;
                }
            }
        });
    }

    pub fn segment(&self, seal: &[u8], stored: &[u8]) {
        self.send(proto::segment::messages(Bytes::copy_from_slice(seal), Bytes::copy_from_slice(stored)));
    }

    /// The next answer; `None` at a clean end.
    pub fn answer(&mut self) -> Result<Option<upload_response::Message>, Status> {
        let patience = lab::PATIENCE;
        let next = async { tokio::time::timeout(patience, self.down.message()).await };
        let answer = self.field.runtime().block_on(next).expect("an answer in time")?;
        Ok(answer.and_then(|answer| answer.message))
    }
}
