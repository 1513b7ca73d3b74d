//! Streams the files of a snapshot.

use std::collections::BTreeSet;

use bytes::Bytes;
use evidence::bundle::production::{ItemFile, Selection};
use evidence::bundle::{self, BundleVersion, CHECKPOINT_STAMPS, EnrolledKey, Overview};
use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::id::{Actor, Chain, EndpointId, IncidentId, PersonId};
use evidence::length::len;
use evidence::roster::Roster;
use evidence::signed::Signed;
use proto::limits::DATA_BYTES_MAX;
use proto::v1::{BundleChunk, ExportRequest};
use store::{Key, StoreErrorClass};
use tokio::sync::mpsc;
use tonic::Status;

use super::production::Production;
use super::snapshot::{Collected, Snapshot};
use super::stamps::stamps;
use super::texts;
use crate::blocking::blocking;
use crate::collector::Collector;
use crate::failure::{Failure, OrFailure as _};
use crate::log::ledger::Published;
use crate::metrics;
use crate::services::export::Exporter;
use crate::services::orders::package::target_set;
use crate::services::reads::access;
use crate::services::reads::item::Content;
use crate::services::reads::lines::SealReader;

/// Entries to prove in one call.
const PROOFS_AT_ONCE: usize = 256;

/// The channel for the files.
pub type Answers = mpsc::Sender<Result<BundleChunk, Status>>;

/// Streams the bundle of an incident to `person`.
///
/// # Errors
/// If the read cannot be recorded, or if something that the bundle must contain cannot be read.
pub async fn export(
    exporter: &Exporter,
    person: &PersonId,
    request: &ExportRequest,
    answers: &Answers,
) -> Result<(), Failure> {
    let collector = &*exporter.collector;
    let incident: IncidentId =
        request.incident.parse().map_err(|error| Failure::malformed(format!("incident: {error}")))?;
    // Take stock first, so that an export that would be refused, or has nothing to show, gets no entry.
    let before = collector.recorder.sequencer().log().published();
    let mut first = Snapshot::of_incident(collector, &incident, before.clone()).await?;
    let production = match request.only.as_slice() {
        [] => None,
        only => Some(Production::prepare(&exporter.reads, &first, only).await?),
    };
    let selection = production.as_ref().map(|production| &production.selection);
    if let Some(selection) = selection {
        first.narrow(selection);
    }
    require_mirror_copy(collector, &first, request.without_quorum)?;
    if !request.without_quorum {
        head(collector, before.size, false).await?;
    }
    let size = accessed(collector, person, &incident, &request.purpose, selection).await? + 1;
    let (published, quorum) = head(collector, size, request.without_quorum).await?;
    let mut snapshot = Snapshot::of_incident(collector, &incident, published).await?;
    if let Some(selection) = selection {
        snapshot.narrow(selection);
    }
    // Check again: another collection may have been stored since.
    let lacks_mirror_copy = require_mirror_copy(collector, &snapshot, request.without_quorum)?;
    let quorum = if lacks_mirror_copy { Quorum::Waived } else { quorum };
    if let Some(collection) = snapshot.under_disposal() {
        return Err(Failure::precondition(format!(
            "collection {collection} is being disposed of; export again when it is gone: exhibit disposition show {incident}"
        )));
    }
    let Some(head) = snapshot.head() else {
        return Err(Failure::missing("the incident has no entries"));
    };
    let is_waived = quorum == Quorum::Waived;
    exporter.exports.remember(&incident, head.leaf.into(), snapshot.published.size, selection, is_waived);
    let files =
        Files { exporter, collector, snapshot: &snapshot, quorum, production: production.as_ref(), answers };
    files.overview(person, head.seq, head.leaf.into()).await?;
    files.deployment().await?;
    files.orders().await?;
    for collected in snapshot.with_folder() {
        files.collection(collected).await?;
    }
    files.custody().await?;
    if production.is_none() {
        files.details().await?;
    }
    files.ledger().await
}

/// How the checkpoint of a bundle meets the quorum of the collector's policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quorum {
    /// The policy's cosigners signed.
    Met,
    /// The policy asks for no cosigners.
    NotAsked,
    /// The policy asks for cosigners, and the exporter chose to export without them.
    Waived,
}

/// The head to export under: one with the required quorum, or the newest published one if the exporter chose to do without.
async fn head(
    collector: &Collector,
    size: u64,
    without_quorum: bool,
) -> Result<(Published, Quorum), Failure> {
    let published = || collector.recorder.sequencer().log().published();
    if !collector.cosigning.policy().needs_cosigners() {
        return Ok((published(), Quorum::NotAsked));
    }
    match super::quorum_over(collector, size).await {
        Ok(head) => Ok((head.published, Quorum::Met)),
        Err(_shortage) if without_quorum => Ok((published(), Quorum::Waived)),
        Err(shortage) => Err(Failure::precondition(format!(
            "{}. Try again when they are back, or export with --without-quorum, which is stamped on the bundle",
            shortage.text()
        ))),
    }
}

/// True if the policy requires a mirror copy, none exists yet, and the exporter chose to export anyway.
fn require_mirror_copy(
    collector: &Collector,
    snapshot: &Snapshot,
    without_quorum: bool,
) -> Result<bool, Failure> {
    let policy = collector.cosigning.policy();
    let mut witnesses = policy.witnesses().iter();
    let has_mirror = witnesses.any(|witness| witness.key.name().ends_with("/mirror"));
    if !policy.needs_cosigners() || !has_mirror {
        return Ok(false);
    }
    let unreplicated = snapshot.unreplicated();
    match unreplicated.first() {
        None => Ok(false),
        Some(_) if without_quorum => Ok(true),
        Some(first) => Err(Failure::precondition(format!(
            "no mirror holds {} of the collections yet, {first} for one. Try again after some seconds: when a mirror has them, \
             `exhibit incident show {}` lists `evidence.replicated`. Or export with --without-quorum, which is stamped on the bundle",
            unreplicated.len(),
            snapshot.incident
        ))),
    }
}

/// Records the export as a read, before the first byte leaves. Returns the index of the entry.
async fn accessed(
    collector: &Collector,
    person: &PersonId,
    incident: &IncidentId,
    purpose: &str,
    selection: Option<&Selection>,
) -> Result<u64, Failure> {
    let fields = selection.map(Selection::fields);
    let detail = access::purpose(collector, purpose).await?;
    let refs = [("object", format!("{incident}/bundle")), ("person", person.to_string())];
    let chain = Chain::from(incident.clone());
    let recorded = collector
        .recorder
        .record_own_with(
            EntryType::EvidenceAccessed,
            chain,
            &refs,
            fields.as_ref().map_or(&[], |fields| fields.as_slice()),
            Some(detail),
        )
        .await?;
    metrics::read_begun();
    Ok(recorded.index)
}

struct Files<'e> {
    exporter: &'e Exporter,
    collector: &'e Collector,
    snapshot: &'e Snapshot,
    quorum: Quorum,
    production: Option<&'e Production>,
    answers: &'e Answers,
}

impl Files<'_> {
    async fn overview(&self, person: &PersonId, head_seq: u64, head: Digest) -> Result<(), Failure> {
        let collections = Overview::listed(self.snapshot.with_evidence().map(|collected| collected.row.id));
        let overview = Overview {
            format: BundleVersion,
            deployment: self.collector.deployment.clone(),
            incident: self.snapshot.incident.clone(),
            origin: crate::log::ledger::origin(self.collector.deployment.as_str()),
            exported: crate::clock::now(),
            by: Actor::Person(person.clone()),
            head_seq,
            head,
            entries: self.snapshot.published.size,
            collections,
            partial: self.production.is_some(),
            quorum: self.quorum == Quorum::Met,
            without_quorum: self.quorum == Quorum::Waived,
        };
        let json = overview.encode().or_internal("write bundle.json")?;
        self.file("bundle.json", json).await?;
        let readme = match self.production {
            None => texts::readme(&overview),
            Some(production) => texts::readme_of_part(&overview, production.selection.len()),
        };
        self.file("README.txt", readme).await?;
        if self.production.is_none()
            && let Some(destruction) = self.snapshot.destruction()
        {
            let json = bundle::destruction_json(&destruction).or_internal("write destruction.json")?;
            self.file("destruction.json", json).await?;
            self.file("destruction.txt", bundle::destruction_txt(&destruction)).await?;
        }
        self.file("certification.txt", texts::certification(&overview)).await
    }

    async fn deployment(&self) -> Result<(), Failure> {
        let mut newest: Option<Roster> = None;
        let rosters = self.snapshot.deployment.values();
        for entry in rosters.filter(|entry| entry.kind == EntryType::RosterPublished) {
            let signed = self.collector.document(Key::document(entry.event.as_bytes())).await?;
            let roster: Roster = signed.read().or_internal("read a roster")?;
            self.signed(&format!("deployment/roster-{}", roster.version), &signed).await?;
            if newest.as_ref().is_none_or(|newest| newest.version < roster.version) {
                newest = Some(roster);
            }
        }
        let newest =
            newest.ok_or_else(|| Failure::internal("write allowed_signers", "the ledger has no roster"))?;
        let mut keys = Vec::new();
        for row in &self.snapshot.endpoints {
            let name = format!("{}-{}", row.endpoint, row.generation);
            let token = self.collector.document(Key::document(row.token.as_bytes())).await?;
            self.signed(&format!("deployment/token-{name}"), &token).await?;
            let enrolled = self.snapshot.deployment.values().find(|entry| {
                let has = |name: &str, value: &str| entry.refs.iter().any(|(n, v)| n == name && v == value);
                entry.kind == EntryType::AgentEnrolled
                    && has("endpoint", row.endpoint.as_str())
                    && has("generation", &row.generation.to_string())
            });
            if let Some(enrolled) = enrolled {
                let enrolment = self.collector.act_document(enrolled.index).await?;
                self.signed(&format!("deployment/enrolment-{name}"), &enrolment).await?;
            }
            keys.push(enrolled_key(row)?);
        }
        // Use the newest roster under the checkpoint: one that was published later is not in this bundle.
        self.file("deployment/allowed_signers", bundle::allowed_signers(&newest, keys)).await?;
        let log_key = self.collector.log_key.parse();
        let log_key = log_key.or_internal("write log.vkey")?;
        self.file("deployment/log.vkey", bundle::log_vkey(&log_key)).await?;
        self.file("deployment/ca.pem", bundle::ca_pem(self.collector.authority.certificate())).await
    }

    async fn orders(&self) -> Result<(), Failure> {
        for id in &self.snapshot.orders {
            let Some(order) = self.collector.order(id).await? else {
                return Err(Failure::internal("export an order", format!("{id} has no row")));
            };
            self.signed(&format!("orders/{id}"), &order.signed).await?;
            let set = target_set(self.collector, &order).await?;
            let collected = self.snapshot.collections.iter().filter(|one| one.row.order == *id);
            let endpoints: BTreeSet<&EndpointId> = collected.map(|one| &one.row.endpoint).collect();
            for endpoint in endpoints {
                let json = bundle::target_proof(&set, endpoint)
                    .or_internal("write a target proof")?
                    .ok_or_else(|| Failure::internal("export an order", "no target proof"))?;
                self.file(&format!("orders/{id}.targets/{endpoint}.json"), json).await?;
            }
        }
        let is_approval =
            |kind: EntryType| matches!(kind, EntryType::OrderApproved | EntryType::OrderRejected);
        for entry in self.snapshot.chain.iter().filter(|entry| is_approval(entry.kind)) {
            let is_about = |order: &Digest| {
                let order = order.to_string();
                entry.refs.iter().any(|(name, value)| name == "order" && *value == order)
            };
            if !self.snapshot.orders.iter().any(is_about) {
                continue;
            }
            let approval = self.collector.act_document(entry.index).await?;
            self.signed(&format!("approvals/{}", entry.event), &approval).await?;
        }
        Ok(())
    }

    async fn collection(&self, collected: &Collected) -> Result<(), Failure> {
        let id = collected.row.id;
        let folder = format!("evidence/{id}");
        let delegation = self.collector.document(Key::document(collected.row.delegation.as_bytes())).await?;
        self.signed(&format!("{folder}/delegation"), &delegation).await?;
        if let Some(manifest) = &collected.manifest {
            let manifest = self.collector.document(Key::document(manifest.as_bytes())).await?;
            self.signed(&format!("{folder}/manifest"), &manifest).await?;
        }
        if collected.is_disposed {
            return Ok(());
        }
        if let Some(production) = self.production {
            return self.items(collected, production).await;
        }
        for segment in &collected.segments {
            let seal =
                self.object(Key::seal(id.as_bytes(), segment.index, segment.seal_sha256.as_bytes())).await?;
            self.file(&format!("{folder}/seals/{:06}.seal", segment.index), seal).await?;
        }
        self.container(&format!("{folder}/container.tar.zst"), collected).await
    }

    /// Sends the chosen items instead of seals and container.
    async fn items(&self, collected: &Collected, production: &Production) -> Result<(), Failure> {
        let id = collected.row.id;
        let mut reader = SealReader::start(&self.exporter.reads.program)?;
        for (n, chosen) in production.of(&id) {
            self.file(&ItemFile::Record.name(&id, *n), chosen.line.clone()).await?;
            self.file(&ItemFile::Proof.name(&id, *n), chosen.proof.encode()).await?;
            if !chosen.record.has_content() {
                continue;
            }
            let (row, segments) = (&collected.row, &collected.segments);
            let mut content =
                Content::of(self.collector, row, segments, &chosen.record, &chosen.line, reader.cage())
                    .await?;
            let size = chosen.record.size.unwrap_or(0);
            let mut path = ItemFile::Content.name(&id, *n);
            // Send the last piece only after the cage has confirmed the digest.
            let mut waiting = Bytes::new();
            while let Some(piece) = content.next().await? {
                let data = std::mem::replace(&mut waiting, piece);
                if !data.is_empty() {
                    let path = std::mem::take(&mut path);
                    self.send(BundleChunk { path, size, data, last: false }).await?;
                }
            }
            let last = BundleChunk { path, size, data: waiting, last: true };
            self.send(last).await?;
        }
        Ok(())
    }

    /// Sends the segments one after another as one file, which may be larger than memory.
    async fn container(&self, path: &str, collected: &Collected) -> Result<(), Failure> {
        let size = collected.segments.iter().map(|segment| segment.stored_len).sum();
        let last_index = collected.segments.last().map(|segment| segment.index);
        let mut path = path.to_owned();
        for segment in &collected.segments {
            let key = Key::segment(collected.row.id.as_bytes(), segment.index, segment.sha256.as_bytes());
            let mut rest = Bytes::from(self.object(key).await?);
            metrics::read_bytes(segment.stored_len);
            while !rest.is_empty() {
                let data = rest.split_to(rest.len().min(DATA_BYTES_MAX));
                let last = rest.is_empty() && Some(segment.index) == last_index;
                self.send(BundleChunk { path: std::mem::take(&mut path), size, data, last }).await?;
            }
        }
        Ok(())
    }

    async fn custody(&self) -> Result<(), Failure> {
        let incident =
            self.snapshot.chain.iter().map(|entry| (format!("custody/{:06}", entry.seq), entry.index));
        let deployment =
            self.snapshot.deployment.keys().map(|index| (format!("custody/deployment/{index}"), *index));
        let all: Vec<(String, u64)> = incident.chain(deployment).collect();
        for batch in all.chunks(PROOFS_AT_ONCE) {
            let indices = batch.iter().map(|(_, index)| *index).collect();
            let proven = self
                .collector
                .recorder
                .prove_under(&self.collector.replicas, self.snapshot.published.clone(), indices)
                .await?;
            for ((name, _), proven) in batch.iter().zip(proven) {
                self.file(&format!("{name}.entry"), proven.entry.to_vec()).await?;
                self.file(&format!("{name}.tlog-proof"), proven.proof.to_vec()).await?;
            }
        }
        Ok(())
    }

    async fn details(&self) -> Result<(), Failure> {
        let digests: BTreeSet<Digest> = self.snapshot.chain.iter().filter_map(|entry| entry.detail).collect();
        for digest in digests {
            let (replicas, key) = (self.collector.replicas.clone(), Key::detail(digest.as_bytes()));
            match blocking(move || replicas.read(&key)).await? {
                Ok(bytes) => self.file(&format!("details/{digest}.json"), bytes).await?,
                // Texts may lawfully be erased. The acts that named them stay.
                Err(error) if error.class() == StoreErrorClass::NotFound => {}
                Err(error) => return Err(Failure::unavailable("read a text", error)),
            }
        }
        Ok(())
    }

    async fn ledger(&self) -> Result<(), Failure> {
        let note = self.snapshot.published.note.to_vec();
        let stamps = stamps(&self.exporter.tsas, &note).await;
        self.file("ledger/checkpoint", note).await?;
        for (name, stamp) in CHECKPOINT_STAMPS.iter().zip(stamps) {
            self.file(name, stamp).await?;
        }
        Ok(())
    }

    async fn object(&self, key: Key) -> Result<Vec<u8>, Failure> {
        let replicas = self.collector.replicas.clone();
        blocking(move || replicas.read(&key)).await?.or_unavailable("read stored evidence")
    }

    async fn signed(&self, name: &str, signed: &Signed) -> Result<(), Failure> {
        for (path, bytes) in signed.split(name) {
            self.file(&path, bytes).await?;
        }
        Ok(())
    }

    async fn file(&self, path: &str, bytes: Vec<u8>) -> Result<(), Failure> {
        let size = len(&bytes);
        let mut rest = Bytes::from(bytes);
        let mut path = path.to_owned();
        loop {
            let data = rest.split_to(rest.len().min(DATA_BYTES_MAX));
            let last = rest.is_empty();
            self.send(BundleChunk { path: std::mem::take(&mut path), size, data, last }).await?;
            if last {
                return Ok(());
            }
        }
    }

    async fn send(&self, chunk: BundleChunk) -> Result<(), Failure> {
        self.answers
            .send(Ok(chunk))
            .await
            .map_err(|_closed| Failure::new(proto::status::Class::Unavailable, "the exporter is gone"))
    }
}

fn enrolled_key(row: &crate::rows::endpoints::EndpointRow) -> Result<EnrolledKey, Failure> {
    let why = "an endpoint that collected has no evidence key";
    Ok(EnrolledKey {
        endpoint: row.endpoint.clone(),
        generation: row.generation,
        evidence_key: row
            .evidence_key
            .clone()
            .ok_or_else(|| Failure::internal("write allowed_signers", why))?,
    })
}
