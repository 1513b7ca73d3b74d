//! A collector as a source: notes and objects arrive over mutual TLS, and statements go in the other
//! direction.
//!
//! Guarantee: a transfer that was cut resumes where it stopped. The client reads no more than the longest object. All calls share
//! one bandwidth. Not here: trust. The caller checks what arrives.

use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context as _, bail};
use certs::connect::connect_lazy;
use certs::identity::Credentials;
use certs::key::TlsKey;
use certs::tls::{self, Expected};
use evidence::signed::Signed;
use proto::service;
use proto::v1;
use rustls::pki_types::CertificateDer;
use store::scrub::Throttle;
use store::{Key, READ_BYTES_MAX};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::config::{CONFIG_FILE, Card, Config};
use crate::source::{Source, SourceError};

/// How often a cut transfer resumes before the caller must decide.
const RESUMES_MAX: u32 = 4;
/// Size of the pieces in which an object is given back.
const PIECE_BYTES: usize = 256 << 10;
/// Longest wait for one piece. A connection that delivers less than 256 KiB in this time counts as dead.
const PIECE_WAIT: std::time::Duration = std::time::Duration::from_secs(60);

/// The collector.
pub struct Remote {
    runtime: Handle,
    address: String,
    channel: RwLock<Channel>,
    throttle: Arc<Throttle>,
    /// True if the process is ending. Then no call waits for the collector.
    stop: watch::Receiver<bool>,
}

impl Remote {
    /// Connects with credentials that the collector certified. It dials at the first call.
    ///
    /// # Errors
    /// If the credentials or the address cannot be used.
    pub fn new(
        runtime: Handle,
        config: &Config,
        card: &Card,
        credentials: &Credentials,
        throttle: Arc<Throttle>,
        stop: watch::Receiver<bool>,
    ) -> anyhow::Result<Self> {
        let address = config.collector.as_str().to_owned();
        let channel = channel(&runtime, &address, card, credentials)?;
        Ok(Self { runtime, address, channel: RwLock::new(channel), throttle, stop })
    }

    /// Uses other credentials from now on: those of a renewed certificate.
    pub fn replace(&self, card: &Card, credentials: &Credentials) -> anyhow::Result<()> {
        let fresh = channel(&self.runtime, &self.address, card, credentials)?;
        *self.channel.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    fn channel(&self) -> Channel {
        self.channel.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The stream of notes.
    ///
    /// # Errors
    /// If the collector does not answer, or refuses this mirror.
    pub async fn follow(&self) -> Result<tonic::Streaming<v1::FollowResponse>, Status> {
        let mut client = service::mirror_client(self.channel());
        Ok(client.follow(v1::FollowRequest {}).await?.into_inner())
    }

    /// Asks the collector to record a statement. Blocks.
    pub fn replicated(&self, act: &Signed) -> Result<(), Status> {
        let mut client = service::mirror_client(self.channel());
        let request = v1::ReplicatedRequest { act: Some(v1::SignedDocument::from(act)) };
        self.wait(client.replicated(request)).map(drop)
    }

    /// The stream of keys that the collector wants back.
    ///
    /// # Errors
    /// If the collector does not answer, or refuses this mirror.
    pub async fn wanted(&self) -> Result<tonic::Streaming<v1::WantedResponse>, Status> {
        let mut client = service::mirror_client(self.channel());
        Ok(client.wanted(v1::WantedRequest {}).await?.into_inner())
    }

    /// Gives one object to the collector, within the bandwidth.
    ///
    /// # Errors
    /// The collector's refusal. Another mirror may have been faster.
    pub async fn offer(&self, key: &Key, bytes: Vec<u8>) -> Result<(), Status> {
        let total = bytes.len() as u64;
        let (pieces, stream) = tokio::sync::mpsc::channel(2);
        let (key, throttle) = (key.to_string(), Arc::clone(&self.throttle));
        let giving = tokio::task::spawn_blocking(move || {
            let mut first = true;
            let mut rest = bytes::Bytes::from(bytes);
            while first || !rest.is_empty() {
                let data = rest.split_to(rest.len().min(PIECE_BYTES));
                throttle.spend(data.len() as u64);
                let piece = v1::OfferRequest {
                    key: if first { key.clone() } else { String::new() },
                    total: if first { total } else { 0 },
                    data,
                };
                if pieces.blocking_send(piece).is_err() {
                    return;
                }
                first = false;
            }
        });
        let mut client = service::mirror_client(self.channel());
        let answer = client.offer(tokio_stream::wrappers::ReceiverStream::new(stream)).await;
        // If the collector refuses early, the stream closes and the thread ends with its next piece.
        drop(giving.await);
        answer.map(drop)
    }

    /// Sends a confirmation that this mirror's copy is destroyed.
    pub fn disposed(&self, act: &Signed) -> Result<(), Status> {
        let mut client = service::mirror_client(self.channel());
        let request = v1::DisposedRequest { act: Some(v1::SignedDocument::from(act)) };
        self.wait(client.disposed(request)).map(drop)
    }

    /// Waits for a call, or for the end of the process.
    fn wait<T>(&self, call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        let mut stop = self.stop.clone();
        self.runtime.block_on(async {
            tokio::select! {
                done = call => done,
                _ = stop.wait_for(|stop| *stop) => Err(Status::cancelled("the mirror ends")),
            }
        })
    }

    /// Appends to `bytes`, and continues where they end.
    async fn pieces(&self, key: &Key, bytes: &mut Vec<u8>) -> Result<(), Status> {
        let mut client = service::mirror_client(self.channel());
        let offset = bytes.len() as u64;
        let request = v1::FetchRequest { key: key.to_string(), offset };
        let mut pieces = client.fetch(request).await?.into_inner();
        let mut total = None;
        loop {
            let next = tokio::time::timeout(PIECE_WAIT, pieces.message());
            let next = next.await.or(Err(Status::deadline_exceeded("no piece in time")))??;
            let Some(piece) = next else { break };
            let total = *total.get_or_insert(piece.total);
            if total > READ_BYTES_MAX {
                return Err(Status::out_of_range(format!("an object of {total} bytes")));
            }
            bytes.extend_from_slice(&piece.data);
            let length = bytes.len() as u64;
            if length > total {
                return Err(Status::data_loss("more bytes than the object has"));
            }
            let taken = piece.data.len() as u64;
            let throttle = Arc::clone(&self.throttle);
            // A piece that waits for its turn keeps the stream's window full, and so slows the sender.
            drop(tokio::task::spawn_blocking(move || throttle.spend(taken)).await);
        }
        let length = bytes.len() as u64;
        if total == Some(length) { Ok(()) } else { Err(Status::unavailable("the object was cut")) }
    }
}

impl Source for Remote {
    fn fetch(&self, key: &Key) -> Result<Vec<u8>, SourceError> {
        let mut bytes = Vec::new();
        let mut resumes = 0;
        loop {
            match self.wait(self.pieces(key, &mut bytes)) {
                Ok(()) => return Ok(bytes),
                Err(status) if status.code() == Code::NotFound => {
                    return Err(SourceError::Missing { key: key.to_string() });
                }
                Err(status) if status.code() == Code::DataLoss => {
                    return Err(SourceError::Damaged { key: key.to_string() });
                }
                Err(status)
                    if resumes < RESUMES_MAX && !bytes.is_empty() && status.code() != Code::Cancelled =>
                {
                    resumes += 1;
                }
                Err(status) => {
                    return Err(SourceError::Away { key: key.to_string(), why: describe_status(&status) });
                }
            }
        }
    }
}

/// A status as one line.
#[must_use]
pub(crate) fn describe_status(status: &Status) -> String {
    match certs::connect::refusal(status) {
        Some(refusal) => format!("{refusal:?}"),
        None => format!("{:?}: {}", status.code(), status.message()),
    }
}

fn channel(
    runtime: &Handle,
    address: &str,
    card: &Card,
    credentials: &Credentials,
) -> anyhow::Result<Channel> {
    let ca = CertificateDer::from(card.ca.clone());
    let expected = Expected::deployment(card.deployment.clone());
    let tls = tls::client(&ca, Some(credentials), expected)
        .context("use the mirror's TLS key with its certificate. Restore keys/tls from the backup")?;
    // The channel's own task needs the runtime's context.
    let _context = runtime.enter();
    Ok(connect_lazy(address, tls)?)
}

/// Asks the enrolment listener for a certificate of the TLS key.
///
/// # Errors
/// If no endpoint admin has admitted the key yet, or if the collector does not answer. The caller asks again.
pub async fn certify(
    config: &Config,
    card: &Card,
    key: &TlsKey,
) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let ca = CertificateDer::from(card.ca.clone());
    let tls = tls::client(&ca, None, Expected::deployment(card.deployment.clone()))?;
    let channel = certs::connect::connect(config.enrol.as_str(), tls)
        .await
        .with_context(|| format!("reach the collector. If this stays so, check `enrol` in {CONFIG_FILE}"))?;
    let mut client = service::enrol_client(channel);
    // No document names this request. `mirror.admitted` names its key, and only the key's holder can use the certificate.
    let mut challenge = [0; 16];
    getrandom::fill(&mut challenge).context("no random bytes from the kernel")?;
    let csr = key.request(&challenge).context("make a certificate request")?;
    let answer = match client.certify_mirror(v1::CertifyMirrorRequest { csr: csr.into() }).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => bail!("the collector gives no certificate: {}", describe_status(&status)),
    };
    Ok(answer
        .certificates
        .into_iter()
        .map(|certificate| CertificateDer::from(certificate.to_vec()))
        .collect())
}
