//! A collector with two listeners and a service that tells who calls it, and clients of every kind.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use certs::access::AccessLayer;
use certs::authority::{Authority, COLLECTOR_LIFE, ENDPOINT_LIFE};
use certs::connect::{Refusal, connect, refusal};
use certs::identity::Credentials;
use certs::key::TlsKey;
use certs::listener::{Listener, Settings, peer};
use certs::name::Identity;
use certs::revocation::Registry;
use certs::tls::{self, Expected};
use evidence::time::Time;
use proto::v1::agent_service_server::AgentService;
use proto::v1::endpoint_service_server::EndpointService;
use proto::v1::{self, attend_response};
use rustls::ServerConfig;
pub use testkit::clock::now;
pub use testkit::wait::PATIENCE;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

pub fn authority(deployment: &str) -> Authority {
    Authority::create(deployment.parse().unwrap(), now()).unwrap()
}

pub fn credentials_for(authority: &Authority, name: &str, life: Duration, at: Time) -> Credentials {
    let key = TlsKey::generate().unwrap();
    let identity: Identity = name.parse().unwrap();
    let issued = authority.issue(&key.public(), &identity, life, at).unwrap();
    Credentials { key, chain: authority.chain(&issued) }
}

pub fn credentials(authority: &Authority, name: &str) -> Credentials {
    credentials_for(authority, name, ENDPOINT_LIFE, now())
}

pub fn expected() -> Expected {
    Expected::deployment("acme".parse().unwrap())
}

/// Answers with the caller's identity.
pub struct Mirror;

#[tonic::async_trait]
impl EndpointService for Mirror {
    type ListEndpointsStream = ReceiverStream<Result<v1::ListEndpointsResponse, Status>>;

    async fn register_token(
        &self,
        _: Request<v1::RegisterTokenRequest>,
    ) -> Result<Response<v1::ActResponse>, Status> {
        Ok(Response::new(v1::ActResponse::default()))
    }

    async fn list_endpoints(
        &self,
        _: Request<v1::ListEndpointsRequest>,
    ) -> Result<Response<Self::ListEndpointsStream>, Status> {
        Err(Status::unimplemented("not part of these tests"))
    }

    async fn deployment(
        &self,
        request: Request<v1::DeploymentRequest>,
    ) -> Result<Response<v1::DeploymentResponse>, Status> {
        let deployment = peer(&request).map_or("nobody".to_owned(), |peer| peer.identity.to_string());
        Ok(Response::new(v1::DeploymentResponse { deployment, ..Default::default() }))
    }
}

#[tonic::async_trait]
impl AgentService for Mirror {
    type AttendStream = ReceiverStream<Result<v1::AttendResponse, Status>>;
    type UploadStream = ReceiverStream<Result<v1::UploadResponse, Status>>;

    /// Welcomes by name, then answers nothing until the connection ends.
    async fn attend(
        &self,
        request: Request<Streaming<v1::AttendRequest>>,
    ) -> Result<Response<Self::AttendStream>, Status> {
        let peer = peer(&request).unwrap();
        let (sender, receiver) = mpsc::channel(1);
        let welcome = v1::Welcome { collector: peer.identity.to_string(), ..Default::default() };
        let message = Some(attend_response::Message::Welcome(welcome));
        sender.send(Ok(v1::AttendResponse { message })).await.unwrap();
        tokio::spawn(async move {
            let _keep = sender;
            peer.closed.cancelled().await;
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn upload(
        &self,
        _: Request<Streaming<v1::UploadRequest>>,
    ) -> Result<Response<Self::UploadStream>, Status> {
        Err(Status::unimplemented("not part of these tests"))
    }

    async fn renew(&self, _: Request<v1::RenewRequest>) -> Result<Response<v1::RenewResponse>, Status> {
        Err(Status::unimplemented("not part of these tests"))
    }
}

/// A collector that runs.
pub struct Collector {
    pub address: SocketAddr,
    pub registry: Arc<Registry>,
    pub tls: watch::Sender<Arc<ServerConfig>>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

impl Collector {
    pub fn start(config: Arc<ServerConfig>, registry: Arc<Registry>, settings: Settings) -> Self {
        let (tls, receiver) = watch::channel(config);
        let any_port = ([127, 0, 0, 1], 0).into();
        let listener = Listener::bind(any_port, receiver, settings, Arc::clone(&registry)).unwrap();
        let address = listener.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        // Everybody has the role that is the first part of their id.
        let roles = AccessLayer::new(Arc::new(|person| {
            person.as_str().split('.').take(1).map(str::to_owned).collect()
        }));
        let server = proto::limits::server()
            .layer(roles)
            .add_service(proto::service::endpoint_server(Mirror))
            .add_service(proto::service::agent_server(Mirror));
        let serving = tokio::spawn(async move {
            let stopped = async move { drop(stopped.await) };
            server.serve_with_incoming_shutdown(listener, stopped).await.unwrap();
        });
        Self { address, registry, tls, stop: Some(stop), serving }
    }

    /// The main listener of `acme`.
    pub fn main(authority: &Authority) -> Self {
        let registry = Registry::new(100);
        Self::start(main_config(authority, &registry), registry, Settings::main())
    }

    /// The enrolment listener of `acme`.
    pub fn enrolment(authority: &Authority) -> Self {
        let own = credentials(authority, "exhibit://acme/collector/c1");
        Self::start(tls::server_enrol(&own).unwrap(), Registry::new(100), Settings::enrolment())
    }

    pub async fn dial(&self, authority: &Authority, own: Option<&Credentials>) -> Result<Channel, Refusal> {
        dial(self.address, tls::client(authority.certificate(), own, expected()).unwrap()).await
    }

    /// Stops as a collector does: no new connections, then the live ones are cut.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        while !self.serving.is_finished() {
            self.registry.cut_all();
            tokio::task::yield_now().await;
        }
        self.serving.await.unwrap();
        assert_eq!(self.registry.count(), 0);
    }
}

pub fn main_config(authority: &Authority, registry: &Arc<Registry>) -> Arc<ServerConfig> {
    let own = credentials_for(authority, "exhibit://acme/collector/c1", COLLECTOR_LIFE, now());
    let deployment = "acme".parse().unwrap();
    tls::server_mutual(&own, authority.certificate(), deployment, Arc::clone(registry)).unwrap()
}

/// A channel on which a call has been answered, or TLS's reason against it.
pub async fn dial(address: SocketAddr, config: Arc<rustls::ClientConfig>) -> Result<Channel, Refusal> {
    match tokio::time::timeout(PATIENCE, connect(&address.to_string(), config))
        .await
        .expect("an answer in time")
    {
        Ok(channel) => Ok(channel),
        Err(error) => Err(refusal(&error).unwrap_or_else(|| panic!("no TLS reason in {error:?}"))),
    }
}

/// Whom the collector says it talks to.
pub async fn who(channel: &Channel) -> Result<String, Status> {
    let mut client = proto::service::endpoint_client(channel.clone());
    Ok(client.deployment(v1::DeploymentRequest {}).await?.into_inner().deployment)
}

/// Opens the standing call and waits for its welcome.
pub async fn attend(channel: &Channel) -> Result<(String, Streaming<v1::AttendResponse>), Status> {
    let mut client = proto::service::agent_client(channel.clone());
    let mut answers = client.attend(tokio_stream::pending()).await?.into_inner();
    match answers.message().await?.and_then(|answer| answer.message) {
        Some(attend_response::Message::Welcome(welcome)) => Ok((welcome.collector, answers)),
        other => panic!("{other:?}"),
    }
}
