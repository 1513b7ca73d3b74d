//! HTTP to services of others, witnesses and time-stamping authorities, over TLS where their URL says so.
//! Guarantee: of a URL that says `https` nothing is asked without TLS 1.3 and a certificate that this machine's trust store
//! vouches for (`SSL_CERT_FILE` and `SSL_CERT_DIR` name another). Not here: trust in what they say, which is signed.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use certs::tls::{TlsError, client_of_web};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::RootCertStore;

/// Client of one service.
pub(crate) type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A client under the machine's trust store.
pub(crate) fn client(connect_within: Duration) -> Result<HttpClient, TlsError> {
    static MACHINE: OnceLock<RootCertStore> = OnceLock::new();
    let roots = MACHINE.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "A part of the machine's trust store cannot be read");
        }
        let mut roots = RootCertStore::empty();
        // Without one no https:// service is reached, and that is said then.
        roots.add_parsable_certificates(found.certs);
        roots
    });
    under(roots.clone(), connect_within)
}

/// A client under these roots.
fn under(roots: RootCertStore, connect_within: Duration) -> Result<HttpClient, TlsError> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(connect_within));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(client_of_web(roots)?)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

/// Checks that a URL is one that can be asked.
///
/// # Errors
/// What is wrong with it, for the user.
pub(crate) fn check_url(text: &str) -> Result<http::Uri, String> {
    let url: http::Uri = text.parse().map_err(|error| format!("`{text}` is no URL: {error}"))?;
    match (url.scheme_str(), url.host()) {
        (Some("http" | "https"), Some(_)) => Ok(url),
        _ => Err(format!("`{text}` must be an http:// or https:// URL")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::Router;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::server::TlsStream;

    use super::*;

    /// A service on loopback with a certificate for `localhost`.
    struct Service {
        listener: TcpListener,
        acceptor: TlsAcceptor,
    }

    impl Service {
        /// It, its port, and the root that vouches for it.
        async fn new() -> (Self, u16, RootCertStore) {
            let root_key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let root = params.self_signed(&root_key).unwrap();
            let issuer = Issuer::new(params, root_key);
            let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
            let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            let leaf = leaf.signed_by(&key, &issuer).unwrap();
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let config = rustls::ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![leaf.der().clone()], key)
                .unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let mut roots = RootCertStore::empty();
            roots.add(root.der().clone()).unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(config));
            (Self { listener, acceptor }, port, roots)
        }
    }

    impl axum::serve::Listener for Service {
        type Io = TlsStream<TcpStream>;
        type Addr = std::net::SocketAddr;

        async fn accept(&mut self) -> (Self::Io, Self::Addr) {
            loop {
                let (stream, address) = self.listener.accept().await.unwrap();
                if let Ok(stream) = self.acceptor.accept(stream).await {
                    return (stream, address);
                }
            }
        }

        fn local_addr(&self) -> std::io::Result<Self::Addr> {
            self.listener.local_addr()
        }
    }

    #[test]
    fn urls_are_of_the_web() {
        for right in ["http://w.example.org/prefix/", "https://w.example.org/"] {
            check_url(right).unwrap();
        }
        for wrong in ["w.example.org", "http://", "ftp://w.example.org/", "file:///etc/passwd"] {
            assert!(check_url(wrong).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn https_is_asked_under_its_root_and_under_no_other() {
        let (service, port, roots) = Service::new().await;
        let router = Router::new().route("/", axum::routing::get(|| async { "hello" }));
        tokio::spawn(async move { axum::serve(service, router).await.unwrap() });
        let within = Duration::from_secs(5);
        let ask = async |client: HttpClient, host: &str| {
            let url = format!("https://{host}:{port}/");
            client.get(url.parse().unwrap()).await
        };
        let answer = ask(under(roots.clone(), within).unwrap(), "localhost").await.unwrap();
        assert_eq!(answer.status(), 200);
        for (roots, host, expected) in [
            (roots, "127.0.0.1", "not valid for name"),
            (RootCertStore::empty(), "localhost", "UnknownIssuer"),
        ] {
            let refused = ask(under(roots, within).unwrap(), host).await.unwrap_err();
            let said = crate::failure::chain(&refused);
            assert!(said.contains(expected), "{said}");
        }
        let refused = ask(client(within).unwrap(), "localhost").await;
        assert!(refused.is_err(), "this machine does not know it");
    }
}
