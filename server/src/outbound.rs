//! HTTP to the services of others: witnesses and time-stamping authorities.
//! Guarantee: an `https` URL is asked only over TLS 1.3 and only if this machine's trust store vouches for the certificate
//! (`SSL_CERT_FILE` and `SSL_CERT_DIR` name another store). A client follows no redirect and uses no proxy, whatever the environment
//! says. An answer has a bound on its bytes and on its time. Not here: trust in the answers. They are signed.

use std::sync::OnceLock;
use std::time::Duration;

use certs::tls::{TlsError, client_of_web};
use evidence::causes::chain;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, StatusCode};
use rustls::RootCertStore;

/// A client of one service.
#[derive(Debug, Clone)]
pub(crate) struct HttpClient {
    client: reqwest::Client,
    /// The longest exchange, from connecting to the last byte.
    within: Duration,
    /// The largest answer, in bytes.
    answer_max: usize,
}

/// A request with its media types.
pub(crate) struct Question<'q> {
    pub(crate) method: Method,
    pub(crate) url: &'q str,
    pub(crate) content_type: &'static str,
    /// The media type that the service must answer with; `None` asks for none.
    pub(crate) accept: Option<&'static str>,
    pub(crate) body: Vec<u8>,
}

/// An answer, whatever its status.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The media type without parameters; empty if the service names none.
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HttpError {
    /// The exchange failed.
    Failed { reason: String },
    /// The exchange took longer than the client waits.
    Timeout { after: Duration },
}

impl HttpClient {
    /// A client under the machine's trust store.
    pub(crate) fn new(within: Duration, answer_max: usize) -> Result<Self, ClientError> {
        static MACHINE: OnceLock<RootCertStore> = OnceLock::new();
        let roots = MACHINE.get_or_init(|| {
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::warn!(%error, "A part of the machine's trust store cannot be read");
            }
            let mut roots = RootCertStore::empty();
            // With an empty store the client reaches no https:// service. The first question says so.
            roots.add_parsable_certificates(found.certs);
            roots
        });
        Self::under(roots.clone(), within, answer_max)
    }

    /// A client that trusts these roots.
    fn under(roots: RootCertStore, within: Duration, answer_max: usize) -> Result<Self, ClientError> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(client_of_web(roots)?)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .http1_only()
            .connect_timeout(within)
            .build()?;
        Ok(Self { client, within, answer_max })
    }

    /// Sends the question, and reads the whole answer.
    pub(crate) async fn ask(&self, question: Question<'_>) -> Result<Answer, HttpError> {
        tokio::time::timeout(self.within, self.exchange(question))
            .await
            .map_err(|_elapsed| HttpError::Timeout { after: self.within })?
    }

    async fn exchange(&self, question: Question<'_>) -> Result<Answer, HttpError> {
        let failed = |error: reqwest::Error| HttpError::Failed { reason: chain(&error) };
        let mut request = self
            .client
            .request(question.method, question.url)
            .header(CONTENT_TYPE, question.content_type)
            .body(question.body);
        if let Some(accept) = question.accept {
            request = request.header(ACCEPT, accept);
        }
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        // An answer without a content type is not of the type that the caller expects.
        let content_type = content_type.and_then(|kind| kind.split(';').next()).unwrap_or_default();
        let content_type = content_type.trim().to_owned();
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(failed)? {
            if body.len() + piece.len() > self.answer_max {
                let reason = format!("the answer is longer than {} bytes", self.answer_max);
                return Err(HttpError::Failed { reason });
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer { status, content_type, body })
    }
}

/// The client cannot be made: this program or this machine is at fault, not a service.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The HTTP client.
    #[error("make an HTTP client")]
    Http(#[from] reqwest::Error),
    /// TLS.
    #[error("set up TLS")]
    Tls(#[from] TlsError),
}

/// Checks that the client can ask a URL. The error is for the user. It never shows a password.
pub(crate) fn check_url(text: &str) -> Result<http::Uri, String> {
    // Examine the text itself, because a password may be the very reason why it is not a URL.
    let authority = text.split_once("://").map_or(text, |(_, rest)| rest).split(['/', '?', '#']).next();
    if let Some((_, host)) = authority.and_then(|authority| authority.rsplit_once('@')) {
        return Err(format!(
            "the URL of {host} holds a user name or password. Nobody is asked with one, and the file with the URL is no place for \
             secrets: remove everything before `@`, and the `@`"
        ));
    }
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

    async fn get(client: &HttpClient, url: &str) -> Result<Answer, HttpError> {
        let content_type = "text/plain";
        client.ask(Question { method: Method::GET, url, content_type, accept: None, body: Vec::new() }).await
    }

    #[tokio::test]
    async fn no_redirect_is_followed_and_no_answer_over_the_bound_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/long", axum::routing::get(|| async { "x".repeat(1025) }))
            .route("/fits", axum::routing::get(|| async { "x".repeat(1024) }))
            .route("/moved", axum::routing::get(|| async { axum::response::Redirect::temporary("/fits") }))
            .route("/silent", axum::routing::get(std::future::pending::<&str>));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let client = HttpClient::new(Duration::from_secs(5), 1024).unwrap();
        let ask = async |path: &str| get(&client, &format!("http://{address}/{path}")).await;
        assert_eq!(ask("fits").await.unwrap().body.len(), 1024);
        let moved = ask("moved").await.unwrap();
        assert_eq!((moved.status, moved.body.len()), (StatusCode::TEMPORARY_REDIRECT, 0));
        let long = ask("long").await.map(drop).unwrap_err();
        assert!(
            matches!(&long, HttpError::Failed { reason } if reason.contains("longer than 1024")),
            "{long:?}"
        );
        let hasty = HttpClient::new(Duration::from_millis(200), 1024).unwrap();
        let silent = get(&hasty, &format!("http://{address}/silent")).await.map(drop).unwrap_err();
        assert_eq!(silent, HttpError::Timeout { after: Duration::from_millis(200) });
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

    #[test]
    fn a_url_with_a_user_name_or_password_is_refused_and_not_shown() {
        for wrong in [
            "https://user:hunter2@w.example.org/",
            "http://hunter2@w.example.org:80/prefix",
            "https://a:hunter2@b@w.example.org",
            "http://user:hunter2 @w.example.org/?q",
            "user:hunter2@w.example.org",
        ] {
            let why = check_url(wrong).unwrap_err();
            assert!(why.contains("of w.example.org"), "{why}");
            assert!(why.contains("user name or password") && !why.contains("hunter2"), "{why}");
        }
        // An `@` behind the host is part of a path.
        check_url("https://w.example.org/~user@site/").unwrap();
    }

    #[tokio::test]
    async fn https_is_asked_under_its_root_and_under_no_other() {
        let (service, port, roots) = Service::new().await;
        let router = Router::new().route("/", axum::routing::get(|| async { "hello" }));
        tokio::spawn(async move { axum::serve(service, router).await.unwrap() });
        let within = Duration::from_secs(5);
        let ask =
            async |client: HttpClient, host: &str| get(&client, &format!("https://{host}:{port}/")).await;
        let under = |roots| HttpClient::under(roots, within, 1024).unwrap();
        let answer = ask(under(roots.clone()), "localhost").await.unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (StatusCode::OK, b"hello".as_slice()));
        for (roots, host, expected) in [
            (roots, "127.0.0.1", "not valid for name"),
            (RootCertStore::empty(), "localhost", "UnknownIssuer"),
        ] {
            let refused = ask(under(roots), host).await.map(drop).unwrap_err();
            assert!(
                matches!(&refused, HttpError::Failed { reason } if reason.contains(expected)),
                "{refused:?}"
            );
        }
        let refused = ask(HttpClient::new(within, 1024).unwrap(), "localhost").await;
        assert!(refused.is_err(), "this machine does not know it");
    }
}
