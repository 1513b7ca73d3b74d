//! Accepts connections: TCP, a handshake with a time limit, identity, registration. Then tonic serves them.
//!
//! Guarantee: a peer that stalls costs one slot for at most the handshake time. The number of slots is bounded, and no
//! address can hold all of them. A failed handshake never ends the listener. Not here: what a peer may call (`access`).

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_stream::Stream;

use crate::certificate::{CertificateError, Leaf};
pub use crate::connection::{Connection, Peer, PeerInfo, address, peer};
pub use crate::rate::Rate;
use crate::rate::{Limiter, network};
use crate::revocation::{Refused, Registry};
use crate::tls::ALPN;

/// Connections that stand but that tonic has not taken yet. It takes them at once, so a few are enough for a busy moment.
const READY_MAX: usize = 64;

/// Pause after the system refused a connection (no file descriptors). Other connections may end meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Whether clients show certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    /// Each one does: the main listener.
    Certified,
    /// Clients show no certificate: the enrolment listener.
    Anonymous,
}

/// How a listener behaves.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Whether clients show certificates. Must agree with the TLS configuration.
    pub clients: Clients,
    /// A handshake that takes longer is dropped.
    pub handshake_timeout: Duration,
    /// Most handshakes at the same time. Further connections wait in the backlog.
    pub handshakes_max: usize,
    /// Most handshakes of one address at the same time. Further ones are dropped.
    pub handshakes_per_address: usize,
    /// How often one address may connect; `None` for no limit.
    pub rate: Option<Rate>,
    /// How long a connection may last; `None` for as long as its certificate. Strangers get little time: the registry has room
    /// for only so many connections, and one that is never used must not hold its place.
    pub life: Option<Duration>,
    /// Connections that the kernel queues for us: 10,000 agents reconnect at once after a restart.
    pub backlog: u32,
}

impl Settings {
    /// The main listener.
    #[must_use]
    pub const fn main() -> Self {
        Self {
            clients: Clients::Certified,
            handshake_timeout: Duration::from_secs(30),
            handshakes_max: 1024,
            // Many endpoints may share one address behind NAT; a dropped one tries again with jitter.
            handshakes_per_address: 256,
            rate: None,
            life: None,
            backlog: 4096,
        }
    }

    /// The enrolment listener, open to strangers.
    #[must_use]
    pub const fn enrolment() -> Self {
        Self {
            clients: Clients::Anonymous,
            handshake_timeout: Duration::from_secs(30),
            handshakes_max: 256,
            handshakes_per_address: 32,
            rate: Some(Rate { burst: 60, every: Duration::from_secs(1) }),
            // A login's challenge is valid for one minute.
            life: Some(Duration::from_secs(120)),
            backlog: 1024,
        }
    }
}

/// A bound listener. As a stream it yields connections for tonic's `serve_with_incoming_shutdown`. Dropping it closes
/// the socket and ends handshakes under way; established connections live on.
pub struct Listener {
    local: SocketAddr,
    ready: mpsc::Receiver<Connection>,
    accepting: JoinHandle<()>,
}

impl Listener {
    /// Binds `address` and starts to accept. Each handshake uses the configuration that `tls` holds at its time.
    pub fn bind(
        address: SocketAddr,
        tls: watch::Receiver<Arc<ServerConfig>>,
        settings: Settings,
        registry: Arc<Registry>,
    ) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(settings.backlog)?;
        let local = listener.local_addr()?;
        let (sender, ready) = mpsc::channel(READY_MAX);
        let shared = Arc::new(Shared { tls, settings, registry, busy: Mutex::default() });
        Ok(Self { local, ready, accepting: tokio::spawn(accept(listener, shared, sender)) })
    }

    /// The address on which it listens. For port 0, it has the port that the system chose.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Stream for Listener {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.ready.poll_recv(context).map(|connection| connection.map(Ok))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Shared {
    tls: watch::Receiver<Arc<ServerConfig>>,
    settings: Settings,
    registry: Arc<Registry>,
    busy: Mutex<BTreeMap<IpAddr, usize>>,
}

/// Why a connection came to nothing.
#[derive(Debug, thiserror::Error)]
enum Dropped {
    #[error("handshake took longer than {}s", .0.as_secs())]
    Timeout(Duration),
    #[error("handshake")]
    Handshake(#[source] io::Error),
    #[error("the client does not speak HTTP/2")]
    Protocol,
    #[error("the client showed no certificate")]
    Anonymous,
    #[error("the client's certificate")]
    Certificate(#[from] CertificateError),
    #[error("not admitted")]
    Refused(#[from] Refused),
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, ready: mpsc::Sender<Connection>) {
    let slots = Arc::new(Semaphore::new(shared.settings.handshakes_max));
    let mut limiter = shared.settings.rate.map(Limiter::new);
    // Handshakes end with this task, which ends with the listener.
    let mut handshakes = JoinSet::new();
    // The semaphore is never closed.
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "Connection not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        while handshakes.try_join_next().is_some() {}
        if limiter.as_mut().is_some_and(|limiter| !limiter.admit(address.ip(), Instant::now())) {
            tracing::debug!(%address, "Connection dropped: address over its rate");
            continue;
        }
        let Some(share) = HandshakeSlot::acquire(&shared, address.ip()) else {
            tracing::debug!(%address, "Connection dropped: address over its handshakes");
            continue;
        };
        handshakes.spawn(establish(stream, address, Arc::clone(&shared), ready.clone(), (slot, share)));
    }
}

async fn establish(
    stream: TcpStream,
    address: SocketAddr,
    shared: Arc<Shared>,
    ready: mpsc::Sender<Connection>,
    slot: (OwnedSemaphorePermit, HandshakeSlot),
) {
    let limit = shared.settings.handshake_timeout;
    let outcome = match timeout(limit, handshake(stream, address, &shared)).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err(Dropped::Timeout(limit)),
    };
    drop(slot);
    match outcome {
        // An error here means that the listener is closed; the connection closes with it.
        Ok(connection) => drop(ready.send(connection).await),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::info!(%address, %error, cause, "Connection dropped");
        }
    }
}

async fn handshake(
    stream: TcpStream,
    address: SocketAddr,
    shared: &Arc<Shared>,
) -> Result<Connection, Dropped> {
    stream.set_nodelay(true).map_err(Dropped::Handshake)?;
    let config = Arc::clone(&shared.tls.borrow());
    let stream = TlsAcceptor::from(config).accept(stream).await.map_err(Dropped::Handshake)?;
    let (_, session) = stream.get_ref();
    // A client that offers no protocol at all passes the handshake.
    if session.alpn_protocol() != Some(ALPN) {
        return Err(Dropped::Protocol);
    }
    let leaf = match shared.settings.clients {
        Clients::Certified => {
            let leaf = session.peer_certificates().and_then(<[_]>::first).ok_or(Dropped::Anonymous)?;
            Some(Leaf::parse(leaf)?)
        }
        Clients::Anonymous => None,
    };
    let registered = shared.registry.admit(leaf, address)?;
    Ok(Connection::new(stream, address, registered, shared.settings.life))
}

/// One of the handshakes that an address may have at a time; it ends when this is dropped.
struct HandshakeSlot {
    shared: Arc<Shared>,
    address: IpAddr,
}

impl HandshakeSlot {
    fn acquire(shared: &Arc<Shared>, address: IpAddr) -> Option<Self> {
        let address = network(address);
        let mut busy = shared.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let held = busy.entry(address).or_default();
        if *held >= shared.settings.handshakes_per_address {
            return None;
        }
        *held += 1;
        Some(Self { shared: Arc::clone(shared), address })
    }
}

impl Drop for HandshakeSlot {
    fn drop(&mut self) {
        let mut busy = self.shared.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = busy.get_mut(&self.address) {
            *held -= 1;
            if *held == 0 {
                busy.remove(&self.address);
            }
        }
    }
}
