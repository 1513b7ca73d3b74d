//! rustls configurations: TLS 1.3, aws-lc-rs with post-quantum key exchange, P-256 certificates, h2, and verifiers that know our names.
//!
//! Guarantee: a client talks only to a collector of its deployment, and a server only to the kinds that it names. Each connection
//! proves this anew (no resumption, no early data: a resumed session would outlive expiry and revocation).
//! Every call names the provider: no process default is needed or used. Not here: sockets.

use std::sync::Arc;

use evidence::id::{CollectorId, DeploymentId};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    PeerIncompatible, RootCertStore, ServerConfig, SignatureScheme,
};
use sha2::{Digest as _, Sha256};

use crate::certificate::Leaf;
use crate::identity::Credentials;
use crate::name::{Identity, Kind, Subject};
use crate::revocation::Registry;

/// HTTP/2, the only protocol spoken.
pub(crate) const ALPN: &[u8] = b"h2";

/// Most certificates after the leaf that are examined.
const INTERMEDIATES_MAX: usize = 4;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// Key, chain or root do not fit.
    #[error("set up TLS: key, chain or authority do not fit together")]
    Rustls(#[from] Error),
    /// The authority's certificate cannot be a root.
    #[error("set up TLS: the authority's certificate is of no use as a root")]
    Root(#[from] rustls::client::VerifierBuilderError),
}

/// Why a peer with a valid chain is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unexpected {
    #[error("the peer is {found}, not of deployment {deployment}")]
    Deployment {
        /// The peer's identity.
        found: Identity,
        /// The deployment that it should belong to.
        deployment: DeploymentId,
    },
    #[error("the peer is {found}, which may not be at this end")]
    Kind {
        /// The peer's identity.
        found: Identity,
    },
    #[error("the peer is {found}, not collector {expected}")]
    Collector {
        /// The peer's identity.
        found: Identity,
        /// The expected collector.
        expected: CollectorId,
    },
    /// No certificate behind the leaf is the pinned authority.
    #[error("no certificate shown has the pinned digest {}: another authority, or a man in the middle", hex::encode(.pinned))]
    Pin {
        /// SHA-256 that the token pins.
        pinned: [u8; 32],
    },
}

/// The peer that a client expects at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    deployment: DeploymentId,
    collector: Option<CollectorId>,
}

impl Expected {
    /// Any collector of `deployment`.
    #[must_use]
    pub const fn deployment(deployment: DeploymentId) -> Self {
        Self { deployment, collector: None }
    }

    /// This collector of `deployment`.
    #[must_use]
    pub const fn collector(deployment: DeploymentId, collector: CollectorId) -> Self {
        Self { deployment, collector: Some(collector) }
    }

    fn check(&self, found: &Identity) -> Result<(), Unexpected> {
        if found.deployment != self.deployment {
            return Err(Unexpected::Deployment { found: found.clone(), deployment: self.deployment.clone() });
        }
        let Subject::Collector(id) = &found.subject else {
            return Err(Unexpected::Kind { found: found.clone() });
        };
        match &self.collector {
            Some(expected) if expected != id => {
                Err(Unexpected::Collector { found: found.clone(), expected: expected.clone() })
            }
            _ => Ok(()),
        }
    }
}

/// The main listener's side: every client shows a certificate of `authority` for an endpoint, mirror or person of
/// `deployment` that `registry` does not deny.
pub fn server_mutual(
    credentials: &Credentials,
    authority: &CertificateDer<'_>,
    deployment: DeploymentId,
    registry: Arc<Registry>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = provider();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(authority)?, Arc::clone(&provider));
    let verifier =
        ClientVerifier { webpki: verifier.build()?, deployment, registry, provider: Arc::clone(&provider) };
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(verifier));
    Ok(finish_server(config.with_single_cert(credentials.chain.clone(), credentials.key.private_key())?))
}

/// The enrolment listener's side: it asks for no client certificate. The chain must end with the authority's
/// certificate, because clients here know only its digest.
pub fn server_enrol(credentials: &Credentials) -> Result<Arc<ServerConfig>, TlsError> {
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth();
    Ok(finish_server(config.with_single_cert(credentials.chain.clone(), credentials.key.private_key())?))
}

/// A client that knows the authority's certificate. Without `credentials` it reaches the enrolment listener only.
pub fn client(
    authority: &CertificateDer<'_>,
    credentials: Option<&Credentials>,
    expected: Expected,
) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = provider();
    let webpki =
        WebPkiServerVerifier::builder_with_provider(roots(authority)?, Arc::clone(&provider)).build()?;
    client_config(ServerVerifier { trust: Trust::Authority(webpki), expected, provider }, credentials)
}

/// A client that knows only the SHA-256 of the authority's certificate, from its token: for enrolment and login.
pub fn client_pinned(authority_sha256: [u8; 32], expected: Expected) -> Result<Arc<ClientConfig>, TlsError> {
    client_config(
        ServerVerifier { trust: Trust::Pin(authority_sha256), expected, provider: provider() },
        None,
    )
}

/// A client of somebody else's service on the web, under `roots`: a witness, a time-stamping authority. Their answers are signed.
pub fn client_of_web(roots: RootCertStore) -> Result<ClientConfig, TlsError> {
    Ok(ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

fn client_config(
    verifier: ServerVerifier,
    credentials: Option<&Credentials>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let config = ClientConfig::builder_with_provider(Arc::clone(&verifier.provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match credentials {
        Some(credentials) => {
            config.with_client_auth_cert(credentials.chain.clone(), credentials.key.private_key())?
        }
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

fn finish_server(mut config: ServerConfig) -> Arc<ServerConfig> {
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Arc::new(config)
}

/// The only algorithm by which our authorities and our peers sign.
const SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[webpki::aws_lc_rs::ECDSA_P256_SHA256],
    mapping: &[(SignatureScheme::ECDSA_NISTP256_SHA256, &[webpki::aws_lc_rs::ECDSA_P256_SHA256])],
};

fn provider() -> Arc<CryptoProvider> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    Arc::new(CryptoProvider { signature_verification_algorithms: SIGNATURES, ..provider })
}

fn roots(authority: &CertificateDer<'_>) -> Result<Arc<RootCertStore>, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone().into_owned())?;
    Ok(Arc::new(roots))
}

fn refuse(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}

#[derive(Debug)]
enum Trust {
    Authority(Arc<WebPkiServerVerifier>),
    Pin([u8; 32]),
}

#[derive(Debug)]
struct ServerVerifier {
    trust: Trust,
    expected: Expected,
    provider: Arc<CryptoProvider>,
}

impl ServerVerifier {
    fn webpki(&self, intermediates: &[CertificateDer<'_>]) -> Result<Arc<WebPkiServerVerifier>, Error> {
        let pinned = match &self.trust {
            Trust::Authority(webpki) => return Ok(Arc::clone(webpki)),
            Trust::Pin(pinned) => *pinned,
        };
        let mut shown = intermediates.iter().take(INTERMEDIATES_MAX);
        let authority = shown.find(|certificate| Sha256::digest(certificate).as_slice() == pinned);
        let authority = authority.ok_or_else(|| refuse(Unexpected::Pin { pinned }))?;
        WebPkiServerVerifier::builder_with_provider(roots(authority)?, Arc::clone(&self.provider))
            .build()
            .map_err(refuse)
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let webpki = self.webpki(intermediates)?;
        let verified =
            webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        let leaf = Leaf::parse(end_entity).map_err(refuse)?;
        self.expected.check(&leaf.identity).map_err(refuse)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SIGNATURES.supported_schemes()
    }
}

#[derive(Debug)]
struct ClientVerifier {
    webpki: Arc<dyn ClientCertVerifier>,
    deployment: DeploymentId,
    registry: Arc<Registry>,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Every client has one certificate, so hints would only tell strangers the deployment's name.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.webpki.verify_client_cert(end_entity, intermediates, now)?;
        let leaf = Leaf::parse(end_entity).map_err(refuse)?;
        if leaf.identity.deployment != self.deployment {
            let deployment = self.deployment.clone();
            return Err(refuse(Unexpected::Deployment { found: leaf.identity, deployment }));
        }
        if leaf.identity.subject.kind() == Kind::Collector {
            return Err(refuse(Unexpected::Kind { found: leaf.identity }));
        }
        // The registration asks this again. It is asked here only to tell the peer why.
        if self.registry.denies(&leaf) {
            return Err(Error::InvalidCertificate(CertificateError::Revoked));
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SIGNATURES.supported_schemes()
    }
}
