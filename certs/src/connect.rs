//! Opens channels to a collector, and explains a refused connection.
//!
//! Guarantee: whatever address is dialled, the peer must prove that it is a collector of the deployment. A
//! connection stands only once both ends have accepted each other, and each reconnect proves both again.
//! Not here: when to try again (`proto::backoff`).

use std::error::Error;
use std::io;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use rustls::pki_types::{DnsName, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use crate::COLLECTOR_NAME;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address cannot be dialled, nobody answers, or the handshake failed; [`refusal`] tells the last apart.
    #[error("connect to collector at {address}")]
    Transport {
        /// `host:port`.
        address: String,
        #[source]
        source: tonic::transport::Error,
    },
}

/// Why TLS refused the connection, for a user or a retry loop.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The collector says that our certificate has expired: renew it.
    OurCertificateEnded,
    /// The collector has revoked our certificate.
    OurCertificateRevoked,
    /// The collector refuses us for another reason of its own.
    ByCollector(String),
    /// We do not accept the collector: wrong authority, deployment or kind, or a certificate outside its validity.
    OfCollector(String),
}

/// Connects to a collector at `host:port`. The channel reconnects by itself when a call finds it broken.
pub async fn connect(address: &str, config: Arc<ClientConfig>) -> Result<Channel, ConnectError> {
    let failed = |source| ConnectError::Transport { address: address.to_owned(), source };
    let endpoint = endpoint().map_err(failed)?;
    endpoint.connect_with_connector(connector(address, config)).await.map_err(failed)
}

/// Like [`connect`], but dials at the first call.
pub fn connect_lazy(address: &str, config: Arc<ClientConfig>) -> Result<Channel, ConnectError> {
    let endpoint =
        endpoint().map_err(|source| ConnectError::Transport { address: address.to_owned(), source })?;
    Ok(endpoint.connect_with_connector_lazy(connector(address, config)))
}

fn endpoint() -> Result<Endpoint, tonic::transport::Error> {
    // The connector does TLS: tonic refuses `https` without a configuration of its own.
    Ok(proto::limits::client(Endpoint::from_shared(format!("http://{COLLECTOR_NAME}"))?))
}

fn connector(
    address: &str,
    config: Arc<ClientConfig>,
) -> impl tower::Service<
    http::Uri,
    Response = TokioIo<Stream>,
    Error = io::Error,
    Future = impl Future<Output = io::Result<TokioIo<Stream>>> + Send,
> + Send
+ 'static {
    let address: Arc<str> = address.into();
    tower::service_fn(move |_: http::Uri| {
        let (address, config) = (Arc::clone(&address), Arc::clone(&config));
        async move { Ok(TokioIo::new(dial(&address, config).await?)) }
    })
}

type Stream = BufReader<TlsStream<TcpStream>>;

async fn dial(address: &str, config: Arc<ClientConfig>) -> io::Result<Stream> {
    let name = DnsName::try_from_str(COLLECTOR_NAME).map_err(io::Error::other)?;
    let dial = async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::DnsName(name.to_owned());
        let stream = TlsConnector::from(config).connect(name, stream).await?;
        // In TLS 1.3 our side is done before the collector has seen our certificate. Its first bytes (HTTP/2
        // settings, sent unasked) say that it was accepted; an alert in their place says why not. Without this wait
        // the reason would be lost inside the first call. Reads beyond the small buffer bypass it.
        let mut stream = BufReader::with_capacity(64, stream);
        if stream.fill_buf().await?.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the collector closed the connection"));
        }
        Ok(stream)
    };
    // tonic's own limit does not cover reconnects.
    match tokio::time::timeout(proto::limits::CONNECT_TIMEOUT, dial).await {
        Ok(stream) => stream,
        Err(_elapsed) => Err(io::Error::new(io::ErrorKind::TimedOut, "no TLS connection in time")),
    }
}

/// Finds TLS's reason in a failure of [`connect`], or of a call that had to reconnect.
#[must_use]
pub fn refusal(error: &(dyn Error + 'static)) -> Option<Refusal> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return tls_refusal(error);
        }
        // An io::Error that wraps another answers `source` with the source of what it wraps.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

fn tls_refusal(error: &rustls::Error) -> Option<Refusal> {
    match error {
        rustls::Error::AlertReceived(AlertDescription::CertificateExpired) => {
            Some(Refusal::OurCertificateEnded)
        }
        rustls::Error::AlertReceived(AlertDescription::CertificateRevoked) => {
            Some(Refusal::OurCertificateRevoked)
        }
        rustls::Error::AlertReceived(alert) => Some(Refusal::ByCollector(format!("{alert:?}"))),
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) => {
            Some(Refusal::OfCollector(other.0.to_string()))
        }
        rustls::Error::InvalidCertificate(_) => Some(Refusal::OfCollector(error.to_string())),
        _ => None,
    }
}
