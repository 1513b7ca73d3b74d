//! Sizes, windows and times that both ends of the wire enforce (I9), in one place so that they cannot drift apart.
//!
//! Guarantee: a receiver accepts every message that a sender within these limits sends. It refuses a larger one before
//! buffering it. Not here: how many uploads a collector takes at once (`services::ingest`), limits of an order (`evidence`).

use std::time::Duration;

use tonic::transport::{Endpoint, Server};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Encoded bytes of one message towards a collector: 2 MiB. Thousands of peers may send one each at the same time,
/// so this is the smaller of the two limits; an order for 10,000 endpoints fits.
pub const REQUEST_BYTES_MAX: usize = 2 * MIB;

/// The same for the bundle service, whose requests carry a bundle's `SHA256SUMS`: 32 MiB, about 220,000 files. Only a
/// person with a session gets that far.
pub const SUMS_BYTES_MAX: usize = 32 * MIB;

/// Encoded bytes of one message from a collector: 16 MiB. The receiver has one collector, and an order package or an
/// enrolment carries every roster between the one it knows and today's.
pub const RESPONSE_BYTES_MAX: usize = 16 * MIB;

/// Bytes of rows in one message of a list: 1 MiB. One row more fits below [`RESPONSE_BYTES_MAX`], whatever it holds.
pub const PART_BYTES: usize = MIB;

/// Bytes of a whole list, over all its messages: 256 MiB, about a million rows. The reader holds them all.
pub const LIST_BYTES_MAX: usize = 256 * MIB;

/// Bytes of a signed document on the wire: 1 MiB, so that with signatures and neighbours it stays below
/// [`REQUEST_BYTES_MAX`]. Documents on disk may be larger (docs/spec/README.md); none that travels needs to be.
pub const DOCUMENT_BYTES_MAX: usize = MIB;

/// Bytes of a seal or a segment in one upload message: 1 MiB. Larger ones were slower (2 MiB stream window).
pub const DATA_BYTES_MAX: usize = MIB;

/// Bytes of a seal (docs/spec/seal.md).
pub const SEAL_BYTES_MAX: u64 = 64 << 20;

/// Stored bytes of a segment (docs/spec/container.md).
pub const SEGMENT_BYTES_MAX: u64 = 16 << 20;

/// Bytes of a PKCS#10 request: 1 KiB. Ours have at most 252 (docs/spec/enrolment.md).
pub const CSR_BYTES_MAX: usize = KIB;

/// Bytes of a ledger entry (docs/spec/ledger.md).
pub const ENTRY_BYTES_MAX: usize = 16 * KIB;

/// Bytes of a `.tlog-proof`.
pub(crate) const PROOF_BYTES_MAX: usize = ledger::proof_file::PROOF_FILE_BYTES_MAX;

/// Hashes in one Merkle proof: a tree has at most 2^63 leaves, a consistency proof at most one hash more.
pub const PROOF_HASHES_MAX: usize = 64;

/// Endpoints in one order's target list.
pub const TARGETS_MAX: usize = 10_000;

/// HTTP/2 flow-control window of one stream: 2 MiB. At 50 ms round trip one upload reaches 42 MB/s. It is a promise
/// of memory: a collector may have to hold this for every open upload.
pub const STREAM_WINDOW_BYTES: u32 = 2 << 20;

/// HTTP/2 flow-control window of one connection: 4 MiB. A second upload does not starve orders and heartbeats.
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// Largest HTTP/2 frame: 256 KiB. Measured 10 to 30 % faster than the default of 16 KiB.
pub const FRAME_BYTES: u32 = 256 << 10;

/// HTTP/2 header list: 16 KiB. Our calls carry no metadata of their own.
pub(crate) const HEADER_LIST_BYTES: u32 = 16 << 10;

/// Calls one peer may have open at once. An agent needs its standing call and one for each running collection.
pub(crate) const STREAMS_PER_CONNECTION: u32 = 32;

/// Silence after which a ping is sent. It keeps NAT entries alive and finds dead peers without other traffic.
pub(crate) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);

/// How long a peer may leave a ping unanswered before it counts as gone.
pub(crate) const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// TCP and TLS must stand within this time.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// A server with these limits, to which layers and services are added.
#[must_use]
pub fn server() -> Server {
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .http2_max_header_list_size(HEADER_LIST_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
}

/// The same limits on a client's side.
#[must_use]
pub fn client(endpoint: Endpoint) -> Endpoint {
    endpoint
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .http2_max_header_list_size(HEADER_LIST_BYTES)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .connect_timeout(CONNECT_TIMEOUT)
}
