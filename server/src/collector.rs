//! What every service of one collector shares, and the few questions they all ask.
//!
//! Guarantee: one value, built once at start, passed by reference; no globals. Not here: starting and stopping (`run`).

use std::sync::Arc;

use certs::authority::Authority;
use certs::name::{Identity, Subject};
use certs::revocation::{Registry, Revocation};
use evidence::bundle::STAMPS_MAX;
use evidence::digest::Digest;
use evidence::entry::Entry;
use evidence::id::{CollectorId, DeploymentId, EndpointId, Generation};
use evidence::keys::PublicKey;
use evidence::signed::Signed;
use proto::v1;
use store::{Key, Replicas, Written};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::endpoints::LiveEndpoints;
use crate::failure::Failure;
use crate::log::cosigning::Cosigning;
use crate::log::recorder::Custody;
use crate::log::tsa::TsaClient;
use crate::people::People;
use crate::rows::collections::{CollectionRow, SegmentRow};
use crate::rows::{self, Db, DbError};
use crate::services::export::Exports;
use crate::services::ingest::budget::Budget;
use crate::services::ingest::slots::Slots;
use crate::services::ingest::verifier::Program;
use crate::services::ingest::warm::Warm;
use crate::services::login::Challenges;
use crate::services::orders::OpenOrder;
use crate::services::orders::attend::Sent;
use crate::services::orders::progress::OrderWatches;
use crate::upkeep::scrub::Scrubber;
use crate::upkeep::wants::Wants;

/// A running collector.
pub struct Collector {
    /// Deployment.
    pub deployment: DeploymentId,
    /// This collector's id.
    pub id: CollectorId,
    /// The ledger's public key, as C2SP writes it.
    pub log_key: String,
    /// Where endpoints and people reach it, as configured; for display and tokens.
    pub addresses: (String, String),
    /// Rows.
    pub db: Db,
    /// Objects.
    pub replicas: Replicas,
    /// Acts.
    pub custody: Custody,
    /// Who outside cosigns the ledger's heads.
    pub cosigning: Arc<Cosigning>,
    /// The roster.
    pub people: People,
    /// Certificates.
    pub authority: Authority,
    /// Live connections and the deny list.
    pub registry: Arc<Registry>,
    /// Live endpoints.
    pub live: LiveEndpoints,
    /// Orders that wait for an answer.
    pub sent: Sent,
    /// Who watches orders.
    pub watches: OrderWatches,
    /// Login challenges.
    pub challenges: Challenges,
    /// Bundles that were streamed and not logged yet.
    pub exports: Exports,
    /// Room for uploads.
    pub budget: Budget,
    /// Running uploads.
    pub uploads: Arc<Slots<Digest, Warm>>,
    /// Collections whose verifier is fed from the stores at the same time.
    pub refeed: Semaphore,
    /// Whole objects that are in memory for mirrors.
    pub mirror_objects: Arc<Semaphore>,
    /// Caged processes that serve reads at the same time.
    pub readers: Semaphore,
    /// The caged program.
    pub program: Program,
    /// Time-stamping authorities.
    pub tsas: Vec<TsaClient>,
    /// Re-reads the stores.
    pub scrub: Scrubber,
    /// Wakes the repairer.
    pub repair: Notify,
    /// What mirrors are asked for.
    pub wants: Wants,
    /// One at a time looks what the ledger says of an object, and adds to it.
    pub fixity: tokio::sync::Mutex<()>,
    /// Holds, and the destroyer that gives way to them.
    pub disposal: crate::upkeep::disposal::Brake,
    /// One round of repair at a time.
    pub repairing: tokio::sync::Mutex<()>,
    /// Cancelled first: nothing new is begun.
    pub intake: CancellationToken,
    /// Cancelled when the drain's deadline passed, or all work ended.
    pub stop: CancellationToken,
    /// Every task.
    pub tasks: TaskTracker,
}

impl std::fmt::Debug for Collector {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Collector")
            .field("deployment", &self.deployment)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Runs what blocks on disks on a thread for that.
///
/// # Errors
/// When it panicked.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::internal("finish a piece of work", error))
}

fn database(error: DbError) -> Failure {
    Failure::unavailable("reach its database", error)
}

impl Collector {
    /// The order of an id, if it is recorded.
    ///
    /// # Errors
    /// When database or stores do not answer.
    pub async fn order(&self, id: &Digest) -> Result<Option<OpenOrder>, Failure> {
        let key = id.0;
        let row = self.db.read_async(move |db| rows::orders::at(db, &key)).await.map_err(database)?;
        let Some(row) = row else { return Ok(None) };
        let signed = self.document(Key::document(&key)).await?;
        let order = signed.read().map_err(|error| Failure::internal("read an order", error))?;
        Ok(Some(OpenOrder { row, order, signed }))
    }

    /// The row of a collection.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn collection(&self, id: &Digest) -> Result<Option<CollectionRow>, Failure> {
        let key = id.0;
        self.db.read_async(move |db| rows::collections::at(db, &key)).await.map_err(database)
    }

    /// Acknowledged segments of a collection.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn segments_of(&self, number: u64) -> Result<Vec<SegmentRow>, Failure> {
        self.db.read_async(move |db| rows::collections::segments(db, number)).await.map_err(database)
    }

    /// A signed object from the stores.
    ///
    /// # Errors
    /// When no store has it whole.
    pub async fn document(&self, key: Key) -> Result<Signed, Failure> {
        let replicas = self.replicas.clone();
        let bytes = blocking(move || replicas.read(&key))
            .await?
            .map_err(|error| Failure::unavailable("read a document", error))?;
        Signed::parse(&bytes).map_err(|error| Failure::internal("read a document", error))
    }

    /// Makes a signed object durable. Of several with the same document the first wins.
    ///
    /// # Errors
    /// When the stores do not take it.
    pub async fn store_document(&self, signed: &Signed) -> Result<Written, Failure> {
        let (replicas, key, bytes) =
            (self.replicas.clone(), Key::document(signed.digest().as_bytes()), signed.encode());
        let written = blocking(move || replicas.create_signed(&key, &bytes))
            .await?
            .map_err(|error| Failure::unavailable("store a document", error))?;
        Ok(written.0)
    }

    /// The signed act of an entry, from the leaf or the stores.
    ///
    /// # Errors
    /// When neither ledger nor stores give it.
    pub async fn act_document(&self, index: u64) -> Result<Signed, Failure> {
        self.custody.settle(index).await?;
        let log = self.custody.sequencer().log().clone();
        let bytes = blocking(move || log.entry(index))
            .await?
            .map_err(|error| Failure::unavailable("read the ledger", error))?;
        let entry = Entry::parse(&bytes).map_err(|error| Failure::internal("read an entry", error))?;
        match entry.act {
            Some(act) => act.signed().map_err(|error| Failure::internal("read an act", error)),
            None => self.document(Key::document(entry.envelope.event.as_bytes())).await,
        }
    }

    /// Published rosters from a version on, oldest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn rosters(&self, from: u64) -> Result<Vec<v1::SignedDocument>, Failure> {
        let newest = self.people.newest().roster().version;
        let rows = self
            .db
            .read_async(move |db| {
                let versions = (from.max(1)..=newest).map(|version| rows::rosters::of_version(db, version));
                versions.collect::<Result<Vec<_>, DbError>>()
            })
            .await
            .map_err(database)?;
        rows.into_iter()
            .flatten()
            .map(|row| {
                let signed = Signed::parse(&row.signed);
                signed.map(Into::into).map_err(|error| Failure::internal("read a roster", error))
            })
            .collect()
    }

    /// Something about an order changed: watchers look again.
    pub fn order_changed(&self, order: &Digest) {
        self.watches.changed(&order.to_string());
    }

    /// An order came into force: the endpoints it addresses look again.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn wake_targets(&self, order: &Digest) -> Result<(), Failure> {
        let key = order.0;
        let targets =
            self.db.read_async(move |db| rows::orders::targets(db, &key)).await.map_err(database)?;
        for target in targets {
            self.live.wake(&target.endpoint);
        }
        Ok(())
    }

    /// Takes a retired identity's access away, also where it is in use.
    pub fn revoke_endpoint(&self, id: &EndpointId, generation: Generation) {
        self.live.cut(id.as_str());
        let subject = Subject::Endpoint { id: id.clone(), generation };
        let cut = self.registry.revoke(Revocation::Subject(subject));
        tracing::info!(endpoint = %id, generation = %generation, connections_cut = cut, "Endpoint retired");
    }

    /// Takes access away from the generations before this one.
    pub fn supersede_endpoint(&self, id: &EndpointId, generation: Generation) {
        let cut = self.registry.revoke(Revocation::EndpointBefore(id.clone(), generation));
        if cut > 0 {
            self.live.cut(id.as_str());
            tracing::info!(endpoint = %id, generation = %generation, connections_cut = cut, "Earlier generations cut off");
        }
    }

    /// Issues a certificate; the chain, DER, leaf first.
    ///
    /// # Errors
    /// When the authority cannot.
    pub fn issue(
        &self,
        key: &PublicKey,
        identity: &Identity,
        life: std::time::Duration,
    ) -> Result<Vec<Vec<u8>>, Failure> {
        let issued = self
            .authority
            .issue(key, identity, life, crate::clock::now())
            .map_err(|error| Failure::internal("issue a certificate", error))?;
        Ok(self.authority.chain(&issued).into_iter().map(|certificate| certificate.to_vec()).collect())
    }

    /// Time stamps over `bytes`: one of each authority that answers, in their order, at most as many as a bundle has.
    pub async fn stamps(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let digest = Digest::of(bytes);
        // All at once: one that is away costs its patience, not everybody's.
        let asked: Vec<_> = self.tsas.iter().cloned().map(|client| {
            tokio::spawn(async move {
                let answer = client.stamp(&digest).await;
                answer.inspect_err(|error| {
                    tracing::warn!(tsa = client.name(), cause = %crate::failure::chain(error), "No time stamp of this authority");
                })
            })
        }).collect();
        let mut stamps = Vec::new();
        for answer in asked {
            stamps.extend(answer.await.ok().and_then(Result::ok));
        }
        stamps.truncate(STAMPS_MAX);
        stamps
    }
}
