//! One accepted connection: a TLS stream that knows its peer and can be cut from outside.
//!
//! Guarantee: once a connection is cut, or its certificate has expired, neither end reads or writes another byte through it, even
//! in the middle of a call. Not here: the reasons (`revocation`), the handshake (`listener`).

use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use evidence::time::Time;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use crate::certificate::{Leaf, Serial};
use crate::key::TlsPublicKey;
use crate::name::Identity;
use crate::revocation::Registered;

/// The peer at the other end, as the handshake proved it.
#[derive(Debug, Clone)]
pub struct PeerInfo {
    pub identity: Identity,
    /// Serial number of the certificate shown.
    pub serial: Serial,
    /// SHA-256 of the certificate shown (DER).
    pub fingerprint: [u8; 32],
    /// The TLS key.
    pub key: TlsPublicKey,
    /// When the certificate expires, and the connection with it.
    pub not_after: Time,
    pub address: SocketAddr,
    /// Cancelled when the connection has ended. Work that is done only for this peer then stops.
    pub closed: CancellationToken,
}

impl PeerInfo {
    pub(crate) fn new(leaf: Leaf, address: SocketAddr, closed: CancellationToken) -> Self {
        Self {
            identity: leaf.identity,
            serial: leaf.serial,
            fingerprint: leaf.fingerprint,
            key: leaf.key,
            not_after: leaf.not_after,
            address,
            closed,
        }
    }
}

/// The values that a connection puts into each of its requests.
#[derive(Debug, Clone)]
pub struct Peer {
    pub address: SocketAddr,
    /// The peer; `None` on the enrolment listener.
    pub info: Option<Arc<PeerInfo>>,
}

/// The sender of a request. `None` on the enrolment listener, and on connections that are not ours.
pub fn peer<T>(request: &tonic::Request<T>) -> Option<Arc<PeerInfo>> {
    request.extensions().get::<Peer>().and_then(|peer| peer.info.clone())
}

/// The address from which a request came, on either listener.
pub fn address<T>(request: &tonic::Request<T>) -> Option<SocketAddr> {
    request.extensions().get::<Peer>().map(|peer| peer.address)
}

/// A connection as tonic serves it.
pub struct Connection<S = TlsStream<TcpStream>> {
    stream: S,
    peer: Peer,
    ending: Option<Ending>,
    // Last: fields drop in order, and the registry must show the connection until the stream is closed.
    _registered: Registered,
}

struct Ending {
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    expiry: Option<Pin<Box<Sleep>>>,
}

impl<S> Connection<S> {
    pub(crate) fn new(
        stream: S,
        address: SocketAddr,
        registered: Registered,
        life: Option<Duration>,
    ) -> Self {
        // The certificate is valid through its last second (RFC 5280 section 4.1.2.5).
        let certified = |peer: &Arc<PeerInfo>| peer.not_after.since(now()) + Duration::from_secs(1);
        let certified = registered.peer.as_ref().map(certified);
        let expiry = certified.into_iter().chain(life).min();
        let expiry = expiry.map(|left| Box::pin(tokio::time::sleep(left)));
        Self {
            stream,
            peer: Peer { address, info: registered.peer.clone() },
            ending: Some(Ending { cut: Box::pin(registered.closed.clone().cancelled_owned()), expiry }),
            _registered: registered,
        }
    }

    /// Returns an error once the connection must no longer be used; otherwise wakes the task when that time comes.
    fn poll_ended(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        if let Some(ending) = &mut self.ending {
            let expired =
                ending.expiry.as_mut().is_some_and(|expiry| expiry.as_mut().poll(context).is_ready());
            if !expired && ending.cut.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.ending = None;
        }
        Poll::Ready(io::Error::new(
            io::ErrorKind::ConnectionAborted,
            "connection cut: certificate revoked, ended, or shutdown",
        ))
    }
}

/// The wall clock. Before 1970 it reads as 1970, when no certificate was valid yet. Beyond 9999 it reads as the last day, when
/// every certificate has expired. In both cases nobody is let in.
pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::EPOCH.checked_add(since).unwrap_or(Time::MAX)
}

impl<S> Connected for Connection<S> {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.poll_ended(context) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(error) = self.poll_ended(context) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(error) = self.poll_ended(context) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.poll_ended(context) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A peer that was cut gets no goodbye: it may not be reading, and this must not wait for it.
        if let Poll::Ready(error) = self.poll_ended(context) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
