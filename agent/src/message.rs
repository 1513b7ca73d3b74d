//! The messages between warden, link and sealer; `cage::channel` carries them.
//!
//! Guarantee: the link gets no key but the TLS key, and the sealer none but its own. Everything that the link
//! says is only a claim. Field numbers may change freely: both ends are always the same program. Not here:
//! the network's messages (`proto`).

use proto::v1;

/// From the warden to the link.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ToLink {
    /// The message.
    #[prost(oneof = "to_link::Say", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9")]
    pub say: Option<to_link::Say>,
}

/// Kinds of [`ToLink`].
pub mod to_link {
    use super::{Close, Identity, OpenUpload, Renew, Segment, Standing, UploadManifest, v1};

    /// The kind.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Say {
        /// The first message. Sent again after a renewal.
        #[prost(message, tag = "1")]
        Identity(Identity),
        /// The content of the next `Hello`.
        #[prost(message, tag = "2")]
        Standing(Standing),
        /// Send this on the standing call.
        #[prost(message, tag = "3")]
        Attend(v1::AttendRequest),
        /// Greet the collector again, at once, on the connection in place.
        #[prost(message, tag = "4")]
        Reconnect(super::Empty),
        /// Keep an upload open for a collection until it is closed.
        #[prost(message, tag = "5")]
        OpenUpload(OpenUpload),
        /// Comes with two descriptors: seal, stored bytes.
        #[prost(message, tag = "6")]
        Segment(Segment),
        /// After the last segment.
        #[prost(message, tag = "7")]
        Manifest(UploadManifest),
        /// The upload is over, or given up.
        #[prost(message, tag = "8")]
        CloseUpload(Close),
        /// Ask for a new certificate.
        #[prost(message, tag = "9")]
        Renew(Renew),
    }
}

/// From the link to the warden.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FromLink {
    /// The message.
    #[prost(oneof = "from_link::Say", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14")]
    pub say: Option<from_link::Say>,
}

/// Kinds of [`FromLink`].
pub mod from_link {
    use super::{Close, Detail, Position, Rejected, Stored, v1};

    /// The kind.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Say {
        /// The sandbox is in place and the identity was understood; the link is not connected yet.
        #[prost(message, tag = "1")]
        Ready(super::Empty),
        /// The link is alive. Sent at least every ten seconds.
        #[prost(message, tag = "2")]
        Alive(super::Empty),
        /// The standing call is open.
        #[prost(message, tag = "3")]
        Connected(v1::Welcome),
        /// The call ended. The link tries again by itself.
        #[prost(message, tag = "4")]
        Disconnected(Detail),
        /// An order to decide on.
        #[prost(message, tag = "5")]
        Order(v1::OrderPackage),
        /// A cancellation to decide on.
        #[prost(message, tag = "6")]
        Cancel(v1::CancelOrder),
        /// A newer checkpoint.
        #[prost(message, tag = "7")]
        Checkpoint(v1::CheckpointUpdate),
        /// A receipt.
        #[prost(message, tag = "8")]
        Receipt(v1::ReceiptDelivery),
        /// The collector's position in an upload.
        #[prost(message, tag = "9")]
        Position(Position),
        /// The upload's call was cut. The link opens it again by itself.
        #[prost(message, tag = "10")]
        UploadCut(Close),
        /// The collector says that the collection is stored.
        #[prost(message, tag = "11")]
        Stored(Stored),
        /// The collector refuses the rest of it.
        #[prost(message, tag = "12")]
        Rejected(Rejected),
        /// Answer to `Renew`. Empty if it failed.
        #[prost(message, tag = "13")]
        Renewed(v1::RenewResponse),
        /// The keys that sign the ledger.
        #[prost(message, tag = "14")]
        LogKeys(v1::LogKeyChanges),
    }
}

/// From the warden to a sealer.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ToSealer {
    /// The message.
    #[prost(oneof = "to_sealer::Say", tags = "1, 2, 3, 4")]
    pub say: Option<to_sealer::Say>,
}

/// Kinds of [`ToSealer`].
pub mod to_sealer {
    use super::{Position, StartSealer};

    /// The kind.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Say {
        /// The first message, with two descriptors: the reader's socket, the check socket.
        #[prost(message, tag = "1")]
        Start(StartSealer),
        /// The collector's position.
        #[prost(message, tag = "2")]
        Position(Position),
        /// The upload was cut: send nothing until the next position.
        #[prost(message, tag = "3")]
        Cut(super::Empty),
        /// Everything is finished: the sealer must end.
        #[prost(message, tag = "4")]
        Leave(super::Empty),
    }
}

/// From a sealer to the warden.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FromSealer {
    /// The message.
    #[prost(oneof = "from_sealer::Say", tags = "1, 2, 3, 4, 5, 6")]
    pub say: Option<from_sealer::Say>,
}

/// Kinds of [`FromSealer`].
pub mod from_sealer {
    use super::{ContradictionFound, Detail, Segment, v1};

    /// The kind.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Say {
        /// The sandbox is in place.
        #[prost(message, tag = "1")]
        Ready(super::Empty),
        /// Comes with two descriptors: seal, stored bytes. The warden passes them on to the link.
        #[prost(message, tag = "2")]
        Segment(Segment),
        /// The manifest with the sealer's signature.
        #[prost(message, tag = "3")]
        Manifest(v1::SignedDocument),
        /// The collector contradicted itself.
        #[prost(message, tag = "4")]
        Contradiction(ContradictionFound),
        /// The collection cannot go on.
        #[prost(message, tag = "5")]
        Failed(Detail),
        /// Bytes or items were processed since the last message. Sent at least every ten seconds while the
        /// sealer works.
        #[prost(message, tag = "6")]
        Alive(super::Progress),
    }
}

/// From the warden to a reader: the only message, with its descriptors in this order: root directory, process file
/// system, sealer's socket, check socket, state directory.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StartReader {
    /// JSON of `collect::plan::Params`.
    #[prost(bytes = "vec", tag = "1")]
    pub params: Vec<u8>,
}

/// From a reader to the warden, after each step of the plan. The reader never waits: if the socket is full,
/// the message is lost.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FromReader {
    /// Position of the step in the plan.
    #[prost(uint32, tag = "1")]
    pub step: u32,
    /// Objects handed over so far.
    #[prost(uint64, tag = "2")]
    pub items: u64,
    /// Process ids of helpers that hang. In the next collection they count among the agent's own processes.
    #[prost(int32, repeated, tag = "3")]
    pub stuck_helpers: Vec<i32>,
}

/// A message without content.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Empty {}

/// Words for people.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Detail {
    /// Text.
    #[prost(string, tag = "1")]
    pub text: String,
}

/// How far a sealer has come.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Progress {
    /// Items ended.
    #[prost(uint64, tag = "1")]
    pub items: u64,
    /// Plain bytes.
    #[prost(uint64, tag = "2")]
    pub plain_bytes: u64,
}

/// The identity that the agent tells the collector, and the collector's address.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Identity {
    /// Deployment id.
    #[prost(string, tag = "1")]
    pub deployment: String,
    /// Endpoint id.
    #[prost(string, tag = "2")]
    pub endpoint: String,
    /// Generation.
    #[prost(uint64, tag = "3")]
    pub generation: u64,
    /// The collector's id.
    #[prost(string, tag = "4")]
    pub collector_id: String,
    /// `host:port` of the main listener.
    #[prost(string, tag = "5")]
    pub collector: String,
    /// `host:port` of the enrolment listener, for a certificate that has expired.
    #[prost(string, tag = "6")]
    pub enrol: String,
    /// Pinned CA certificate, DER.
    #[prost(bytes = "vec", tag = "7")]
    pub ca: Vec<u8>,
    /// Certificates, DER, leaf first.
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub certificates: Vec<Vec<u8>>,
    /// The TLS key: PKCS#8, DER.
    #[prost(bytes = "vec", tag = "9")]
    pub tls_key: Vec<u8>,
    /// Lower bound of the wait between connections, milliseconds.
    #[prost(uint64, tag = "10")]
    pub backoff_min_ms: u64,
    /// Upper bound of it.
    #[prost(uint64, tag = "11")]
    pub backoff_max_ms: u64,
}

/// The part of `Hello` that changes from connection to connection.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Standing {
    /// Complete except for `wall`, which the link fills in.
    #[prost(message, optional, tag = "1")]
    pub hello: Option<v1::Hello>,
}

/// The start of an upload.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OpenUpload {
    /// Collection id.
    #[prost(string, tag = "1")]
    pub collection: String,
    /// Its delegation.
    #[prost(message, optional, tag = "2")]
    pub delegation: Option<v1::SignedDocument>,
}

/// One sealed segment. Its bytes are in the descriptors.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Segment {
    /// Collection id. Empty between sealer and warden, which have only one.
    #[prost(string, tag = "1")]
    pub collection: String,
    /// Index, from 0.
    #[prost(uint64, tag = "2")]
    pub index: u64,
    /// Digest of the seal.
    #[prost(string, tag = "3")]
    pub seal: String,
    /// Stored bytes.
    #[prost(uint64, tag = "4")]
    pub stored_len: u64,
    /// True for the last segment of the container.
    #[prost(bool, tag = "5")]
    pub is_final: bool,
}

/// The manifest with both signatures.
#[derive(Clone, PartialEq, prost::Message)]
pub struct UploadManifest {
    /// Collection id.
    #[prost(string, tag = "1")]
    pub collection: String,
    /// The signed document.
    #[prost(message, optional, tag = "2")]
    pub manifest: Option<v1::SignedDocument>,
    /// How many segments precede it.
    #[prost(uint64, tag = "3")]
    pub segments: u64,
}

/// An upload, with words for people.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Close {
    /// Collection id.
    #[prost(string, tag = "1")]
    pub collection: String,
    /// Why.
    #[prost(string, tag = "2")]
    pub detail: String,
}

/// Ask for a certificate.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Renew {
    /// The request, signed.
    #[prost(message, optional, tag = "1")]
    pub request: Option<v1::RenewRequest>,
    /// True if the present certificate has expired: use the enrolment listener.
    #[prost(bool, tag = "2")]
    pub is_expired: bool,
}

/// The collector's position in an upload.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Position {
    /// Collection id.
    #[prost(string, tag = "1")]
    pub collection: String,
    /// Everything below this index is durable there.
    #[prost(uint64, tag = "2")]
    pub next_index: u64,
    /// Digest of seal `next_index` - 1; empty at 0.
    #[prost(string, tag = "3")]
    pub seal: String,
    /// Number of copies that the collector claims.
    #[prost(uint32, tag = "4")]
    pub copies: u32,
    /// True for the first position on its call.
    #[prost(bool, tag = "5")]
    pub is_first: bool,
}

/// A receipt that arrived on the upload's call.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Stored {
    /// Collection id.
    #[prost(string, tag = "1")]
    pub collection: String,
    /// Entry and proof.
    #[prost(message, optional, tag = "2")]
    pub receipt: Option<v1::ProvenEntry>,
}

/// The collector's refusal.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Rejected {
    /// Collection id.
    #[prost(string, tag = "1")]
    pub collection: String,
    /// `malformed`, `contradiction`, `over-limit`, `cancelled`, `unknown-order`.
    #[prost(string, tag = "2")]
    pub reason: String,
    /// Words.
    #[prost(string, tag = "3")]
    pub detail: String,
}

/// Everything a sealer needs to work on its own. The receiver wipes the seed after use.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StartSealer {
    /// Seed of the sealer key.
    #[prost(bytes = "vec", tag = "1")]
    pub sealer_key: Vec<u8>,
    /// Signed delegation, whole.
    #[prost(bytes = "vec", tag = "2")]
    pub delegation: Vec<u8>,
    /// Order document, admitted by the warden.
    #[prost(bytes = "vec", tag = "3")]
    pub order: Vec<u8>,
    /// JSON of `sealer::process::Facts`.
    #[prost(bytes = "vec", tag = "4")]
    pub facts: Vec<u8>,
}

/// A contradiction between collector and sealer.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContradictionFound {
    /// Segment.
    #[prost(uint64, tag = "1")]
    pub index: u64,
    /// The seal that the collector names; empty if it names none.
    #[prost(string, tag = "2")]
    pub seal: String,
    /// Words.
    #[prost(string, tag = "3")]
    pub detail: String,
}
