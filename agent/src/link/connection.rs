//! Connections to the collector under the identity in force.
//!
//! Guarantee: the peer is the pinned collector under the pinned authority, proven anew for each connection.

use std::sync::Arc;

use anyhow::Context as _;
use certs::connect;
use certs::identity::Credentials;
use certs::key::TlsKey;
use certs::tls::{self, Expected};
use rustls::pki_types::CertificateDer;
use tokio::sync::watch;
use tonic::transport::Channel;

use crate::message::Identity;

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
    pub async fn main(&mut self, identity: &Identity) -> anyhow::Result<Channel> {
        let key = TlsKey::from_pkcs8(&identity.tls_key)?;
        let chain = identity.certificates.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let credentials = Credentials { key, chain };
        let config = tls::client(&authority(identity), Some(&credentials), expected(identity)?)?;
        Ok(connect::connect(&identity.collector, config).await?)
    }

    /// Connects to the enrolment listener, without a certificate.
    pub async fn enrolment(&mut self, identity: &Identity) -> anyhow::Result<Channel> {
        let config = tls::client(&authority(identity), None, expected(identity)?)?;
        Ok(connect::connect(&identity.enrol, config).await?)
    }
}

fn authority(identity: &Identity) -> CertificateDer<'_> {
    CertificateDer::from(identity.ca.as_slice())
}

fn expected(identity: &Identity) -> anyhow::Result<Expected> {
    let deployment = identity.deployment.parse().context("identity")?;
    Ok(Expected::collector(deployment, identity.collector_id.parse().context("identity")?))
}
