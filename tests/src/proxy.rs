//! A recording gRPC proxy between one agent and the collector. A lab owns the TLS files of both ends, so the proxy can stand where an
//! operator's load balancer, a bad line or an attacker with the collector's keys would stand.
//!
//! Guarantee: it passes messages unchanged unless the test says otherwise. It remembers every acknowledgement before the agent can
//! see it, so that no promise of the collector is missed. Each call of the agent has its own connection to the collector,
//! which ends with it. Not here: judging the messages.

mod forward;
mod record;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use certs::authority::Authority;
use certs::identity::Credentials;
use certs::key::TlsKey;
use certs::listener::{Listener, Settings};
use certs::name::{Identity as Name, Subject};
use certs::revocation::Registry;
use certs::tls::{self, Expected};
use evidence::id::{CollectorId, DeploymentId};
use evidence::time::Time;
use proto::v1::{AttendResponse, attend_response};
use tokio::sync::{mpsc, watch};

pub use record::{Acknowledged, Seen, Timed, acknowledged};

use crate::Lab;

/// Changes what the collector says on the standing call, on its way to the agent.
pub type Alter = Box<dyn FnMut(&mut attend_response::Message) + Send>;

/// A running proxy for one endpoint.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    // Dropped with the proxy: everything that runs on it ends.
    runtime: Option<tokio::runtime::Runtime>,
}

struct Shared {
    begun: Instant,
    begun_wall: SystemTime,
    server: PathBuf,
    credentials: PathBuf,
    registry: Arc<Registry>,
    seen: Mutex<Vec<Timed>>,
    control: Mutex<Control>,
}

/// What the test wants of the line.
#[derive(Default)]
struct Control {
    /// Nobody gets through.
    is_down: bool,
    /// Bytes of uploads a second.
    rate: Option<u64>,
    /// Cut everything after so many more bytes of uploads.
    cut_after: Option<u64>,
    alter: Option<Alter>,
    /// The standing call, to speak in the collector's place.
    attend: Option<mpsc::Sender<Result<AttendResponse, tonic::Status>>>,
}

impl Shared {
    fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, what: Seen) {
        let at = self.begun.elapsed();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push(Timed { at, what });
    }

    fn cut(&self) {
        self.note(Seen::Cut);
        self.registry.cut_all();
    }
}

impl Proxy {
    /// Starts a proxy of `lab`'s collector for `endpoint`, which need not be enrolled yet.
    ///
    /// # Errors
    /// When the collector's authority cannot be read or no port be had.
    pub fn start(lab: &Lab, endpoint: &str) -> Result<Self> {
        let server = lab.path("server");
        let (authority, name) = identity(&server)?;
        let credentials = issue(&authority, &name)?;
        let registry = Registry::new(64);
        let config = tls::server_mutual(
            &credentials,
            authority.certificate(),
            name.deployment,
            Arc::clone(&registry),
        )?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("proxy")
            .enable_all()
            .build()?;
        let shared = Arc::new(Shared {
            begun: Instant::now(),
            begun_wall: SystemTime::now(),
            server,
            credentials: lab.state(endpoint).join("gen-1/tls.pem"),
            registry: Arc::clone(&registry),
            seen: Mutex::default(),
            control: Mutex::default(),
        });
        let (sender, receiver) = watch::channel(config);
        let _inside = runtime.enter();
        let listener =
            Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), receiver, Settings::main(), registry)?;
        let address = listener.local_addr();
        let service = proto::service::agent_server(forward::Forward(Arc::clone(&shared)));
        drop(runtime.spawn(async move {
            // Held for as long as the listener: it asks for the configuration at each handshake.
            let _sender = sender;
            proto::limits::server().add_service(service).serve_with_incoming(listener).await
        }));
        drop(_inside);
        Ok(Self { address, shared, runtime: Some(runtime) })
    }

    /// The moment that [`Timed::at`] counts from.
    pub fn begun(&self) -> SystemTime {
        self.shared.begun_wall
    }

    /// `host:port` for the endpoint's token.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Everything seen so far.
    pub fn seen(&self) -> Vec<Timed> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How much was seen so far: a place to look from later.
    pub fn mark(&self) -> usize {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// What was seen since a mark.
    pub fn since(&self, mark: usize) -> Vec<Timed> {
        self.seen().split_off(mark)
    }

    /// Cuts every connection of the agent now; it may come back at once.
    pub fn cut(&self) {
        self.shared.cut();
    }

    /// Lets nobody through until [`Proxy::up`].
    pub fn down(&self) {
        self.shared.control().is_down = true;
        self.shared.cut();
    }

    /// Lets everybody through again.
    pub fn up(&self) {
        self.shared.control().is_down = false;
    }

    /// Limits uploads to so many bytes a second; `None`: as fast as they come.
    pub fn limit(&self, bytes_per_second: Option<u64>) {
        self.shared.control().rate = bytes_per_second;
    }

    /// Cuts every connection once `bytes` more of uploads have passed: in the midst of a segment.
    pub fn cut_after(&self, bytes: u64) {
        self.shared.control().cut_after = Some(bytes);
    }

    /// Lets `alter` change what the collector says to the agent.
    pub fn alter(&self, alter: impl FnMut(&mut attend_response::Message) + Send + 'static) {
        self.shared.control().alter = Some(Box::new(alter));
    }

    /// What the collector says passes unchanged again.
    pub fn honest(&self) {
        self.shared.control().alter = None;
    }

    /// Says something to the agent in the collector's place.
    ///
    /// # Errors
    /// When the agent has no standing call.
    pub fn say(&self, message: attend_response::Message) -> Result<()> {
        let attend = self.shared.control().attend.clone();
        let attend = attend.context("the agent is not connected to the proxy")?;
        let message = AttendResponse { message: Some(message) };
        attend.blocking_send(Ok(message)).context("the agent's standing call has ended")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.registry.cut_all();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Who the collector of a folder is, and who issues its certificates.
///
/// # Errors
/// When the folder is no collector's.
pub fn identity(server: &Path) -> Result<(Authority, Name)> {
    let card: serde_json::Value = serde_json::from_slice(&fs_err::read(server.join("deployment.json"))?)?;
    let deployment: DeploymentId = crate::text(&card, "deployment")?.parse()?;
    let collector: CollectorId = crate::text(&card, "collector")?.parse()?;
    let authority = Authority::load(&server.join("keys/ca"), deployment.clone())?;
    Ok((authority, Name::new(deployment, Subject::Collector(collector))))
}

/// A fresh TLS identity that `authority` issues to `name`.
pub fn issue(authority: &Authority, name: &Name) -> Result<Credentials> {
    let key = TlsKey::generate()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let now = Time::EPOCH.checked_add(now).context("the clock")?;
    let issued = authority.issue(&key.public(), name, Duration::from_secs(86_400), now)?;
    Ok(Credentials { key, chain: authority.chain(&issued) })
}

/// The address a collector listens on now: its main listener.
pub fn main_address(server: &Path) -> Result<String> {
    let text = fs_err::read(server.join("run/addresses.json"))?;
    let addresses: serde_json::Value = serde_json::from_slice(&text)?;
    crate::text(&addresses, "collector")
}

/// A channel to the collector of `server` with the TLS identity in a file.
///
/// # Errors
/// When the identities cannot be read or the collector does not take the connection.
pub async fn channel(server: &Path, credentials: &Path) -> Result<tonic::transport::Channel> {
    let (authority, name) = identity(server)?;
    let credentials = Credentials::load(credentials)?;
    let config =
        tls::client(authority.certificate(), Some(&credentials), Expected::deployment(name.deployment))?;
    Ok(certs::connect::connect(&main_address(server)?, config).await?)
}
