//! Decides from the entries under one checkpoint what a bundle contains.

use std::collections::BTreeMap;

use evidence::bundle::production::Selection;
use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::id::{Chain, DeploymentId, IncidentId};
use evidence::length::len;
use rusqlite::Connection;

use crate::collector::Collector;
use crate::failure::Failure;
use crate::log::ledger::Published;
use crate::rows::collections::{CollectionRow, SegmentRow};
use crate::rows::endpoints::EndpointRow;
use crate::rows::entries::EntryRow;
use crate::rows::{self, DbError};

/// The content of a bundle, before its bytes are read.
#[derive(Debug)]
pub struct Snapshot {
    pub incident: IncidentId,
    /// The checkpoint under which everything is proven.
    pub published: Published,
    /// The incident's chain, from 0 to its head.
    pub chain: Vec<EntryRow>,
    /// Entries of the deployment's chain that the incident depends on, by index.
    pub deployment: BTreeMap<u64, EntryRow>,
    /// Orders by id.
    pub orders: Vec<Digest>,
    /// Endpoints that collected, with their enrolments.
    pub endpoints: Vec<EndpointRow>,
    /// The disposal, as the entries tell it.
    pub course: evidence::disposal::Course,
    /// Every collection that was started. One without a segment has no evidence to show, but its endpoint and order count.
    pub collections: Vec<Collected>,
}

/// One collection, as the entries under the checkpoint describe it.
#[derive(Debug)]
pub struct Collected {
    pub row: CollectionRow,
    /// The segments that belong to it.
    pub segments: Vec<SegmentRow>,
    /// True if two persons disposed of it. Its segments are then rightly absent.
    pub is_disposed: bool,
    /// Its manifest, if `collection.stored` is under the checkpoint.
    pub manifest: Option<Digest>,
}

impl Snapshot {
    /// The incident's last entry.
    pub fn head(&self) -> Option<&EntryRow> {
        self.chain.last()
    }

    /// The collections that have at least one segment.
    pub fn with_evidence(&self) -> impl Iterator<Item = &Collected> {
        self.collections.iter().filter(|one| !one.segments.is_empty())
    }

    /// The collections that have a folder: those with evidence, and those of which something is left.
    pub fn with_folder(&self) -> impl Iterator<Item = &Collected> {
        self.collections.iter().filter(|one| one.is_disposed || !one.segments.is_empty())
    }

    /// A collection that an approved plan names and that no store had given up under the checkpoint.
    pub fn under_disposal(&self) -> Option<Digest> {
        let mut disposed = self.collections.iter().filter(|one| one.is_disposed);
        let stays = |one: &&Collected| {
            let object = evidence::disposal::Object::Collection(one.row.id);
            // Count as the verifier does: a mirror that destroyed its copy earlier says nothing about our stores.
            let is_store =
                |place: &evidence::disposal::Place| matches!(place, evidence::disposal::Place::Store(_));
            !self.course.gone_from(&object).any(is_store)
        };
        disposed.find(stays).map(|one| one.row.id)
    }

    /// The disposal for the certificate, as the entries tell it.
    pub fn destruction(&self) -> Option<evidence::disposal::Destruction> {
        let retired = self.deployment.values().filter(|entry| entry.kind == EntryType::MirrorRetired);
        let retired = retired
            .filter_map(|entry| evidence::entry::pairs::find(&entry.refs, "mirror")?.parse().ok())
            .collect();
        self.course.destruction(&retired)
    }

    /// Removes everything that only collections without a chosen item need. The chain stays whole.
    pub fn narrow(&mut self, selection: &Selection) {
        self.collections.retain(|one| selection.of(&one.row.id).is_some());
        let of = &self.collections;
        self.orders.retain(|order| of.iter().any(|one| one.row.order == *order));
        self.endpoints.retain(|row| {
            let is_it =
                |one: &Collected| one.row.endpoint == row.endpoint && one.row.generation == row.generation;
            of.iter().any(is_it)
        });
        let endpoints = &self.endpoints;
        self.deployment.retain(|_, entry| {
            let reference = |name: &str| {
                let found = entry.refs.iter().find(|(found, _)| found == name);
                found.map(|(_, value)| value.as_str())
            };
            let Some(endpoint) = reference("endpoint") else {
                return true;
            };
            let generation = reference("generation");
            endpoints.iter().any(|row| {
                row.endpoint.as_str() == endpoint && generation == Some(row.generation.to_string().as_str())
            })
        });
    }

    /// Stored collections that no mirror has confirmed to hold (`evidence.replicated`).
    pub fn unreplicated(&self) -> Vec<Digest> {
        let replicated = |id: &Digest| {
            let name = id.to_string();
            self.chain.iter().any(|entry| {
                entry.kind == EntryType::EvidenceReplicated
                    && entry.refs.iter().any(|(name_, value)| name_ == "collection" && *value == name)
            })
        };
        let stored = self.collections.iter().filter(|one| one.manifest.is_some() && !one.is_disposed);
        stored.map(|one| one.row.id).filter(|id| !replicated(id)).collect()
    }

    /// Collects an incident's content under a checkpoint.
    pub async fn of_incident(
        collector: &Collector,
        incident: &IncidentId,
        published: Published,
    ) -> Result<Self, Failure> {
        let (id, size, deployment) = (incident.clone(), published.size, collector.deployment.clone());
        let taken = collector.db.read_async(move |db| read(db, &deployment, &id, size)).await?;
        let Some(taken) = taken else {
            return Err(Failure::missing(format!("there is no incident {incident}")));
        };
        let Read { chain, deployment, orders, endpoints, collections, course } = taken;
        Ok(Self {
            incident: incident.clone(),
            published,
            chain,
            deployment,
            orders,
            endpoints,
            collections,
            course,
        })
    }
}

struct Read {
    course: evidence::disposal::Course,
    chain: Vec<EntryRow>,
    deployment: BTreeMap<u64, EntryRow>,
    orders: Vec<Digest>,
    endpoints: Vec<EndpointRow>,
    collections: Vec<Collected>,
}

fn read(
    db: &Connection,
    deployment_id: &DeploymentId,
    incident: &IncidentId,
    size: u64,
) -> Result<Option<Read>, DbError> {
    let mut chain = rows::entries::of_chain(db, &Chain::from(incident.clone()), 0, u64::from(u32::MAX))?;
    chain.retain(|entry| entry.index < size);
    if chain.is_empty() {
        return Ok(None);
    }
    let orders = chain.iter().filter(|entry| entry.kind == EntryType::OrderIssued);
    let orders = orders.map(|entry| entry.event).collect();
    let collections = collections(db, &chain)?;
    let mut endpoints = Vec::new();
    for collected in &collections {
        let (endpoint, generation) = (&collected.row.endpoint, collected.row.generation);
        let is_known = |row: &EndpointRow| row.endpoint == *endpoint && row.generation == generation;
        if !endpoints.iter().any(is_known) {
            endpoints.extend(rows::endpoints::at(db, endpoint, generation)?);
        }
    }
    let deployment = deployment(db, &chain, &endpoints, size)?;
    let course = rows::disposals::course(db, deployment_id, incident, len(&chain))?;
    Ok(Some(Read { course, chain, deployment, orders, endpoints, collections }))
}

fn collections(db: &Connection, chain: &[EntryRow]) -> Result<Vec<Collected>, DbError> {
    let of = |entry: &EntryRow| {
        let found = entry.refs.iter().find(|(name, _)| name == "collection");
        found.and_then(|(_, value)| value.parse::<Digest>().ok())
    };
    let mut collections = Vec::new();
    for started in chain.iter().filter(|entry| entry.kind == EntryType::CollectionStarted) {
        // Do not skip it: a collection that the chain names would then be missing from the bundle without notice.
        let id: Digest = started.parsed("collection")?;
        let row = rows::collections::at(db, &id)?;
        let row = row.ok_or_else(|| DbError::Absent { table: "collections", key: format!("id {id}") })?;
        let about = |kind: EntryType| chain.iter().rfind(|entry| entry.kind == kind && of(entry) == Some(id));
        let manifest = about(EntryType::CollectionStored).map(|entry| entry.event);
        let mut segments = rows::collections::segments(db, row.number)?;
        if let Some(interrupted) = about(EntryType::CollectionInterrupted)
            && manifest.is_none()
        {
            segments.truncate(segment_count(interrupted)?);
        }
        let is_disposed = crate::rows::fence::disposal_of(db, &row.id, crate::clock::now())?.is_some();
        if is_disposed {
            segments.clear();
        }
        collections.push(Collected { is_disposed, row, segments, manifest });
    }
    Ok(collections)
}

/// The number of segments that a collection had when it was interrupted. Without that number nobody knows which segments belong
/// to it, so an entry that lacks it does not justify taking all of them.
fn segment_count(interrupted: &EntryRow) -> Result<usize, DbError> {
    interrupted.parsed("segments")
}

/// Finds genesis, rosters, mirrors that stated something, and for each endpoint its token, enrolment, renewals and retirement.
fn deployment(
    db: &Connection,
    chain: &[EntryRow],
    endpoints: &[EndpointRow],
    size: u64,
) -> Result<BTreeMap<u64, EntryRow>, DbError> {
    let mut wanted = BTreeMap::new();
    for entry in rows::entries::of_chain(db, &Chain::Deployment, 0, u64::from(u32::MAX))? {
        let reference =
            |name: &str| entry.refs.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        let of_endpoint = || {
            endpoints.iter().find(|row| {
                reference("endpoint") == Some(row.endpoint.as_str())
                    && reference("generation") == Some(row.generation.to_string().as_str())
            })
        };
        let is_wanted = match entry.kind {
            EntryType::LogGenesis
            | EntryType::RosterPublished
            | EntryType::KeyRotated
            | EntryType::LogSuccession => true,
            // A slot may have had several tokens. Only the one that was used belongs to the endpoint.
            EntryType::EndpointAdmitted => of_endpoint().is_some_and(|row| row.token == entry.event),
            EntryType::AgentEnrolled | EntryType::AgentRenewed | EntryType::EndpointRetired => {
                of_endpoint().is_some()
            }
            // Mirrors that state that they hold evidence of this incident.
            EntryType::MirrorAdmitted | EntryType::MirrorRetired => chain.iter().any(|own| {
                let spoke = [EntryType::EvidenceReplicated, EntryType::DispositionConfirmed];
                spoke.contains(&own.kind)
                    && evidence::entry::pairs::find(&own.refs, "mirror") == reference("mirror")
            }),
            _ => false,
        };
        if is_wanted && entry.index < size {
            wanted.insert(entry.index, entry);
        }
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_count_of_segments_is_an_error_and_never_all_of_them() {
        let refs = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        let entry = |refs: Vec<(String, String)>| EntryRow {
            index: 7,
            event: Digest::ZERO,
            kind: EntryType::CollectionInterrupted,
            incident: Chain::Deployment,
            seq: 0,
            leaf: ledger::Hash([0; 32]),
            time: evidence::time::Time::EPOCH,
            refs,
            actor: None,
            detail: None,
        };
        assert_eq!(segment_count(&entry(refs("segments", "3"))).unwrap(), 3);
        for damaged in [
            Vec::new(),
            refs("items", "3"),
            refs("segments", ""),
            refs("segments", "-1"),
            refs("segments", "three"),
            refs("segments", "18446744073709551616"),
        ] {
            let refused = segment_count(&entry(damaged.clone()));
            assert!(matches!(refused, Err(DbError::Corrupt { table: "entries", .. })), "{damaged:?}");
        }
    }
}
