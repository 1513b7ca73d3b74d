//! The parts that all services of one collector share, and the few queries that several of them make.
//!
//! Guarantee: one value, built once at the start and passed by reference; no globals. Not here: the state of a single service
//! (`services`, `upkeep`); starting and stopping (`ops::run`).

use std::sync::Arc;
use std::time::Duration;

use certs::authority::Authority;
use certs::key::TlsPublicKey;
use certs::name::{Identity, Subject};
use certs::revocation::{Registry, Revocation};
use evidence::digest::Digest;
use evidence::entry::{Entry, EntryType};
use evidence::id::{CollectorId, DeploymentId, EndpointId, Generation};
use evidence::order::Order;
use evidence::signed::Signed;
use proto::v1;
use store::{Key, Replicas, Written};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::blocking::blocking;
use crate::endpoints::LiveEndpoints;
use crate::failure::{Failure, OrFailure as _};
use crate::log::cosigning::Cosigning;
use crate::log::recorder::Recorder;
use crate::people::People;
use crate::rows::collections::{CollectionRow, SegmentRow};
use crate::rows::orders::OrderRow;
use crate::rows::{self, Db, DbError};

/// A running collector.
pub struct Collector {
    pub deployment: DeploymentId,
    /// This collector's id.
    pub id: CollectorId,
    /// The ledger's public key, as C2SP writes it.
    pub log_key: String,
    /// Addresses at which endpoints and people reach it, as configured; for display and tokens.
    pub addresses: (String, String),
    /// The database.
    pub db: Db,
    /// The stores.
    pub replicas: Replicas,
    /// The way into the ledger.
    pub recorder: Recorder,
    /// The witnesses of the ledger's heads.
    pub cosigning: Arc<Cosigning>,
    /// The roster.
    pub people: People,
    /// Certificates.
    pub authority: Authority,
    /// Live connections and the deny list.
    pub registry: Arc<Registry>,
    /// Endpoints with a live call.
    pub live: LiveEndpoints,
    /// Cancelled first when the collector drains. From then on nothing new begins.
    pub intake: CancellationToken,
    /// Cancelled when the deadline of the drain has passed, or all work has ended.
    pub stop: CancellationToken,
    /// All tasks; the drain waits for them.
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

impl Collector {
    /// Waits; false when the drain began.
    pub async fn pause(&self, length: Duration) -> bool {
        tokio::select! {
            () = self.intake.cancelled() => false,
            () = tokio::time::sleep(length) => true,
        }
    }

    /// The order with an id, if it is recorded.
    pub async fn order(&self, id: &Digest) -> Result<Option<OpenOrder>, Failure> {
        let key = *id;
        let row = self.db.read_async(move |db| rows::orders::at(db, &key)).await?;
        let Some(row) = row else { return Ok(None) };
        let signed = self.document(Key::document(key.as_bytes())).await?;
        let order = signed.read().or_internal("read an order")?;
        Ok(Some(OpenOrder { row, order, signed }))
    }

    /// The row of a collection.
    pub async fn collection(&self, id: &Digest) -> Result<Option<CollectionRow>, Failure> {
        let key = *id;
        self.db.read_async(move |db| rows::collections::at(db, &key)).await.map_err(Failure::from)
    }

    /// Acknowledged segments of a collection.
    pub async fn segments_of(&self, number: u64) -> Result<Vec<SegmentRow>, Failure> {
        self.db.read_async(move |db| rows::collections::segments(db, number)).await.map_err(Failure::from)
    }

    /// A signed object from the stores.
    pub async fn document(&self, key: Key) -> Result<Signed, Failure> {
        let replicas = self.replicas.clone();
        let bytes = blocking(move || replicas.read(&key)).await?.or_unavailable("read a document")?;
        Signed::parse(&bytes).or_internal("read a document")
    }

    /// Makes a signed object durable. If the same document arrives with other signatures, the first object stays.
    pub async fn store_document(&self, signed: &Signed) -> Result<Written, Failure> {
        let (replicas, key, bytes) =
            (self.replicas.clone(), Key::document(signed.digest().as_bytes()), signed.encode());
        let written = blocking(move || replicas.create_signed(&key, &bytes))
            .await?
            .or_unavailable("store a document")?;
        Ok(written.0)
    }

    /// The signed act of an entry, from the leaf or the stores.
    pub async fn act_document(&self, index: u64) -> Result<Signed, Failure> {
        self.recorder.wait_until_published(index).await?;
        let log = self.recorder.sequencer().log().clone();
        let bytes = blocking(move || log.entry(index)).await?.or_unavailable("read the ledger")?;
        let entry = Entry::parse(&bytes).or_internal("read an entry")?;
        match entry.act {
            Some(act) => act.signed().or_internal("read an act"),
            None => self.document(Key::document(entry.envelope.event.as_bytes())).await,
        }
    }

    /// Every change of the log key with its entry, proven under the newest head. A reader who pinned any of the keys needs them.
    pub async fn log_key_changes(&self) -> Result<v1::LogKeyChanges, Failure> {
        if self.recorder.sequencer().log().keys().changes().is_empty() {
            return Ok(v1::LogKeyChanges::default());
        }
        let kinds = [EntryType::KeyRotated, EntryType::LogSuccession];
        let indices = self.db.read_async(move |db| crate::rows::entries::indices_of(db, kinds)).await?;
        let (_, proven) = self.recorder.prove_all(&self.replicas, indices).await?;
        Ok(v1::LogKeyChanges { changes: proven.into_iter().map(Into::into).collect() })
    }

    /// Published rosters from a version on, oldest first.
    pub async fn rosters(&self, from: u64) -> Result<Vec<v1::SignedDocument>, Failure> {
        let newest = self.people.newest().roster().version;
        let rows = self
            .db
            .read_async(move |db| {
                let versions = (from.max(1)..=newest).map(|version| rows::rosters::of_version(db, version));
                versions.collect::<Result<Vec<_>, DbError>>()
            })
            .await?;
        rows.into_iter()
            .flatten()
            .map(|row| {
                let signed = row.signed.signed();
                signed.map(Into::into).or_internal("read a roster")
            })
            .collect()
    }

    /// Wakes the endpoints that an order addresses, because it came into force.
    pub async fn wake_targets(&self, order: &Digest) -> Result<(), Failure> {
        let key = *order;
        let targets = self.db.read_async(move |db| rows::orders::targets(db, &key)).await?;
        for target in targets {
            self.live.wake(target.endpoint.as_str());
        }
        Ok(())
    }

    /// Revokes a retired identity and cuts its open connections.
    pub fn revoke_endpoint(&self, id: &EndpointId, generation: Generation) {
        self.live.cut(id.as_str());
        let subject = Subject::Endpoint { id: id.clone(), generation };
        let cut = self.registry.revoke(Revocation::Subject(subject));
        tracing::info!(endpoint = %id, generation = %generation, connections_cut = cut, "Endpoint retired");
    }

    /// Revokes the generations before this one and cuts their connections.
    pub fn supersede_endpoint(&self, id: &EndpointId, generation: Generation) {
        let cut = self.registry.revoke(Revocation::EndpointBefore(id.clone(), generation));
        if cut > 0 {
            self.live.cut(id.as_str());
            tracing::info!(endpoint = %id, generation = %generation, connections_cut = cut, "Earlier generations cut off");
        }
    }

    /// Issues a certificate. Returns the chain: DER, leaf first.
    pub fn issue(
        &self,
        key: &TlsPublicKey,
        identity: &Identity,
        life: Duration,
    ) -> Result<Vec<Vec<u8>>, Failure> {
        let issued = self
            .authority
            .issue(key, identity, life, crate::clock::now())
            .or_internal("issue a certificate")?;
        Ok(self.authority.chain(&issued).into_iter().map(|certificate| certificate.to_vec()).collect())
    }
}

/// An order as recorded.
#[derive(Debug, Clone)]
pub struct OpenOrder {
    pub row: OrderRow,
    /// The document.
    pub order: Order,
    /// As signed.
    pub signed: Signed,
}
