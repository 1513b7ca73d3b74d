//! Connections to the collector under the identity in force.
//!
//! Guarantee: the peer is the pinned collector under the pinned authority, proven anew for each connection.

use std::sync::Arc;

use certs::connect::{self, ConnectError};
use certs::identity::Credentials;
use certs::request::TlsKey;
use certs::tls::{self, Expected, TlsError};
use evidence::id::IdError;
use rustls::pki_types::CertificateDer;
use tokio::sync::watch;
use tonic::transport::Channel;

use crate::message::Identity;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The warden's message is not a valid identity.
    #[error("identity")]
    Identity(#[from] IdError),
    /// The TLS key has the wrong length.
    #[error("the TLS key has not 32 bytes")]
    KeyLength,
    /// The TLS configuration is wrong.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The network or the handshake failed.
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

/// Makes connections.
#[derive(Debug, Clone)]
pub struct Connector {
    identities: watch::Receiver<Option<Arc<Identity>>>,
}

impl Connector {
    /// Makes connections with the identities that the warden sends.
    pub fn new(identities: watch::Receiver<Option<Arc<Identity>>>) -> Self {
        Self { identities }
    }

    /// The identity in force. Waits for the first one.
    pub async fn identity(&mut self) -> Option<Arc<Identity>> {
        self.identities.wait_for(Option::is_some).await.ok().and_then(|identity| identity.clone())
    }

    /// Connects to the main listener.
    pub async fn main(&mut self, identity: &Identity) -> Result<Channel, ConnectionError> {
        let mut seed: [u8; 32] =
            identity.tls_key.as_slice().try_into().or(Err(ConnectionError::KeyLength))?;
        let key = TlsKey::from_seed(&seed);
        zeroize::Zeroize::zeroize(&mut seed);
        let chain = identity.certificates.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let credentials = Credentials { key, chain };
        let config = tls::client(&authority(identity), Some(&credentials), expected(identity)?)?;
        Ok(connect::connect(&identity.collector, config).await?)
    }

    /// Connects to the enrolment listener, without a certificate.
    pub async fn enrolment(&mut self, identity: &Identity) -> Result<Channel, ConnectionError> {
        let config = tls::client(&authority(identity), None, expected(identity)?)?;
        Ok(connect::connect(&identity.enrol, config).await?)
    }
}

fn authority(identity: &Identity) -> CertificateDer<'_> {
    CertificateDer::from(identity.ca.as_slice())
}

fn expected(identity: &Identity) -> Result<Expected, IdError> {
    Ok(Expected::collector(identity.deployment.parse()?, identity.collector_id.parse()?))
}
