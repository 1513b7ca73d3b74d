//! The one way from a ledger entry to rows: the sequencer calls it for new entries, `rebuild` for old ones.
//! Guarantee: the rows depend only on the entries and the objects that they name. So a rebuilt database
//! equals the lost one. Not here: signatures and roles (services check them before, verifiers after), live
//! state.

use std::collections::BTreeMap;

use evidence::digest::Digest;
use evidence::document::Document;
use evidence::enrolment::{EnrolmentRequest, Login, Renewal, Token};
use evidence::entry::act::Act;
use evidence::entry::detail::Detail;
use evidence::entry::state::{AttemptState, CollectionState, EndpointState, IncidentState, OrderState};
use evidence::entry::{ActDocument, ActObject, EntryType, Envelope};
use evidence::item::{ItemRecord, Stage};
use evidence::json;
use evidence::manifest::{Manifest, Origin};
use evidence::order::{Approval, Order};
use evidence::roster::Roster;
use evidence::seal::Seal;
use evidence::seal::delegation::Delegation;
use rusqlite::Connection;
use store::Key;

use super::collections::{self, ItemRow, NewCollection, SegmentRow, StoredCollection};
use super::disposals;
use super::endpoints::{self, EndpointRow, TokenRow};
use super::entries::{self, EntryRow};
use super::holds::{self, HoldRow};
use super::incidents::{self, IncidentRow};
use super::orders::{self, ApprovalRow, AttemptRow, OrderRow, TargetRow};
use super::rosters::{self, RosterRow};
use super::{DbError, stamps};

/// Objects that entries name. They are read beforehand, because a transaction must not touch a store.
pub type Objects = BTreeMap<Key, Vec<u8>>;

/// An entry that is about to become rows.
#[derive(Debug, Clone, Copy)]
pub struct Fact<'entry> {
    /// Index in the log.
    pub index: u64,
    /// Leaf hash.
    pub leaf: &'entry [u8; 32],
    pub envelope: &'entry Envelope,
    /// The act, either inline or from the stores.
    pub act: &'entry ActObject,
}

/// Objects that [`apply`] needs for an act. A detail object may be missing, because it may lawfully have been
/// erased.
///
/// # Errors
/// If the act is not a document of its type.
pub fn objects_of(type_: EntryType, act: &ActObject) -> Result<Vec<Key>, ProjectionError> {
    match type_.rule().document {
        ActDocument::Act => {
            let act: Act = read(act)?;
            Ok(act.detail.iter().map(|digest| Key::detail(digest.as_bytes())).collect())
        }
        ActDocument::Order => {
            let order: Order = read(act)?;
            Ok(vec![Key::targets(order.targets_root.as_bytes())])
        }
        _ => Ok(Vec::new()),
    }
}

/// Turns an entry into rows: its own row and those of its subject.
///
/// # Errors
/// If the act is not a document of its type, if an object that it needs is missing, or if rows contradict it.
pub fn apply(tx: &Connection, fact: Fact<'_>, objects: &Objects) -> Result<(), ProjectionError> {
    let (actor, detail) = actor_of(fact)?;
    let envelope = fact.envelope;
    entries::insert(
        tx,
        &EntryRow {
            index: fact.index,
            event: envelope.event.0,
            kind: envelope.type_.to_string(),
            incident: envelope.incident.to_string(),
            seq: envelope.seq,
            leaf: *fact.leaf,
            time: envelope.time.to_string(),
            refs: envelope.refs.clone(),
            actor,
            detail: detail.map(|digest| digest.0),
        },
    )?;
    if let Some(digest) = detail {
        let object = objects.get(&Key::detail(digest.as_bytes()));
        let text = object.and_then(|bytes| Detail::open(bytes, &digest).ok()).map(|detail| detail.text);
        incidents::insert_detail(tx, digest.as_bytes(), fact.index, text.as_deref())?;
    }
    apply_kind(tx, fact, objects)
}

fn apply_kind(tx: &Connection, fact: Fact<'_>, objects: &Objects) -> Result<(), ProjectionError> {
    use EntryType as T;
    let envelope = fact.envelope;
    let (index, time) = (fact.index, envelope.time.to_string());
    let incident = envelope.incident.to_string();
    match envelope.type_ {
        T::RosterPublished => {
            let roster: Roster = read(fact.act)?;
            let row = RosterRow {
                version: roster.version,
                digest: envelope.event.0,
                not_after: roster.not_after.to_string(),
                signed: fact.act.encode(),
                index,
            };
            rosters::insert(tx, &row)?;
        }
        T::EndpointAdmitted => {
            let token: Token = read(fact.act)?;
            let row = TokenRow {
                token: envelope.event.0,
                endpoint: token.endpoint.to_string(),
                generation: token.generation.number(),
                key: token.key.to_string(),
                not_after: token.not_after.to_string(),
                index,
                used_by: None,
            };
            endpoints::admit(tx, &row)?;
        }
        T::AgentEnrolled => {
            let request: EnrolmentRequest = read(fact.act)?;
            let row = EndpointRow {
                endpoint: request.endpoint.to_string(),
                generation: request.generation.number(),
                state: EndpointState::Enrolled,
                token: request.token.0,
                evidence_key: request.evidence_key.to_string(),
                fingerprint: request.evidence_key.fingerprint().to_string(),
                tls_key: request.tls_key.to_string(),
                enrolled: time,
                index,
            };
            endpoints::enrol(tx, &row, envelope.event.as_bytes())?;
        }
        T::AgentRenewed => {
            let renewal: Renewal = read(fact.act)?;
            let generation = renewal.generation.number();
            endpoints::renew(tx, renewal.endpoint.as_str(), generation, &renewal.tls_key.to_string(), index)?;
        }
        T::EndpointRetired => {
            let generation = number(envelope, "generation")?;
            endpoints::retire(tx, reference(envelope, "endpoint")?, generation, index)?;
        }
        T::LoginIssued => {
            let login: Login = read(fact.act)?;
            let key = reference(envelope, "key")?;
            rosters::insert_login(tx, index, login.person.as_str(), key, &login.tls_key.to_string(), &time)?;
        }
        T::IncidentOpened => {
            let act: Act = read(fact.act)?;
            let field = |name| act.field(name).unwrap_or_default().to_owned();
            let row = IncidentRow {
                incident,
                state: IncidentState::Open,
                severity: field("severity"),
                tlp: field("tlp"),
                class: field("class"),
                detail: act.detail.map(|digest| digest.0),
                title: None,
                opened: time,
                opened_by: act.by.to_string(),
                closed: String::new(),
                entries: 0,
                collections: 0,
            };
            incidents::insert(tx, &row)?;
        }
        T::IncidentClosed => incidents::set_state(tx, &incident, IncidentState::Closed, &time)?,
        T::IncidentReopened => incidents::set_state(tx, &incident, IncidentState::Open, "")?,
        T::HoldPlaced => {
            let act: Act = read(fact.act)?;
            let row = HoldRow { hold: envelope.event.0, placed: time, by: act.by.to_string(), reason: None };
            holds::place(tx, &incident, &row, act.detail.map(|digest| digest.0).as_ref())?;
        }
        T::HoldReleased => holds::release(tx, &incident, &digest(envelope, "hold")?, &time)?,
        T::RetentionChanged => holds::set_retention(tx, &incident, reference(envelope, "until")?)?,
        T::DispositionApproved | T::DispositionExecuted | T::DispositionConfirmed => {
            let incident = envelope.incident.incident();
            let incident = incident.ok_or(ProjectionError::Missing { what: "incident" })?;
            disposals::apply(tx, &envelope.deployment, incident, envelope.seq)??;
        }
        T::OrderIssued => apply_order(tx, fact, objects)?,
        T::OrderApproved | T::OrderRejected => {
            let approval: Approval = read(fact.act)?;
            let is_approved = envelope.type_ == T::OrderApproved;
            let row = ApprovalRow {
                event: envelope.event.0,
                order: approval.order.0,
                approver: approval.approver.to_string(),
                decision: if is_approved { "approve" } else { "reject" }.to_owned(),
                time,
                index,
            };
            orders::insert_approval(tx, &row)?;
            let to = if is_approved { OrderState::Issued } else { OrderState::Rejected };
            orders::advance(tx, approval.order.as_bytes(), &[OrderState::AwaitingApproval], to)?;
        }
        T::OrderCancelled => {
            orders::advance(
                tx,
                &digest(envelope, "order")?,
                &[OrderState::AwaitingApproval, OrderState::Issued],
                OrderState::Cancelled,
            )?;
        }
        T::OrderRefused => {
            let row = AttemptRow {
                order: digest(envelope, "order")?,
                endpoint: reference(envelope, "endpoint")?.to_owned(),
                attempt: 0,
                collection: None,
                state: AttemptState::Refused,
                reason: reference(envelope, "reason")?.to_owned(),
                time,
            };
            orders::set_attempt(tx, &row)?;
        }
        T::CollectionStarted => apply_started(tx, fact)?,
        T::CollectionInterrupted => {
            collections::set_state(
                tx,
                &digest(envelope, "collection")?,
                CollectionState::Interrupted,
                &time,
            )?;
        }
        T::CollectionMalformed => {
            collections::set_state(tx, &digest(envelope, "collection")?, CollectionState::Malformed, &time)?
        }
        T::CollectionContradicted => {
            collections::set_state(
                tx,
                &digest(envelope, "collection")?,
                CollectionState::Contradicted,
                &time,
            )?;
        }
        T::CollectionStored => {
            let manifest: Manifest = read(fact.act)?;
            let outcomes =
                manifest.outcomes.iter().map(|(outcome, count)| (outcome.to_string(), *count)).collect();
            let stored = StoredCollection {
                id: manifest.collection.0,
                manifest: envelope.event.0,
                content_bytes: manifest.content_bytes,
                outcomes,
                copies: number(envelope, "copies")?,
                degraded: reference(envelope, "degraded")? == "yes",
                independent: reference(envelope, "independent")? == "yes",
                time: &time,
                index,
            };
            collections::set_stored(tx, &stored)?;
        }
        T::TsaStamped => stamps::insert(tx, number(envelope, "size")?, &digest(envelope, "stamp")?, index)?,
        // These entries are about something that already has rows. Their own rows in `entries` hold all that
        // must be known.
        _ => {}
    }
    Ok(())
}

fn apply_order(tx: &Connection, fact: Fact<'_>, objects: &Objects) -> Result<(), ProjectionError> {
    let order: Order = read(fact.act)?;
    // The roster that the order names decided whether the order waits. A later roster does not change that.
    let roster =
        rosters::of_version(tx, order.roster_version)?.ok_or(ProjectionError::Missing { what: "roster" })?;
    let roster: Roster =
        read(&ActObject::parse(&roster.signed).or(Err(ProjectionError::Missing { what: "roster" }))?)?;
    let waits = roster.needs_approval(order.sensitivity);
    let row = OrderRow {
        id: fact.envelope.event.0,
        incident: fact.envelope.incident.to_string(),
        issuer: order.issuer.to_string(),
        issued: order.issued.to_string(),
        expires: order.expires.to_string(),
        attempts_max: order.attempts,
        roster_version: order.roster_version,
        targets_root: order.targets_root.0,
        targets_count: order.targets_count,
        profile: order.profile.name.clone(),
        sensitivity: word(&order.sensitivity)?,
        state: if waits { OrderState::AwaitingApproval } else { OrderState::Issued },
        event: fact.envelope.event.0,
        index: fact.index,
    };
    orders::insert(tx, &row)?;
    let leaves = objects.get(&Key::targets(order.targets_root.as_bytes()));
    let leaves = leaves.ok_or(ProjectionError::Missing { what: "target leaves" })?;
    let text = str::from_utf8(leaves).or(Err(ProjectionError::Missing { what: "target leaves" }))?;
    let lines: Vec<&str> = text.lines().collect();
    for (position, leaf) in (0..).zip(lines.chunks(4)) {
        let [_, endpoint, generation, fingerprint] = leaf else {
            return Err(ProjectionError::Missing { what: "target leaves" });
        };
        let target = TargetRow {
            position,
            endpoint: (*endpoint).to_owned(),
            generation: generation.parse().or(Err(ProjectionError::Missing { what: "target leaves" }))?,
            fingerprint: (*fingerprint).to_owned(),
        };
        orders::insert_target(tx, &row.id, &target)?;
    }
    Ok(())
}

fn apply_started(tx: &Connection, fact: Fact<'_>) -> Result<(), ProjectionError> {
    let delegation: Delegation = read(fact.act)?;
    let attempt = delegation.attempt;
    let (incident, begun) = (fact.envelope.incident.to_string(), fact.envelope.time.to_string());
    collections::insert(
        tx,
        &NewCollection {
            id: delegation.collection.0,
            incident: &incident,
            order: delegation.order.0,
            endpoint: delegation.endpoint.as_str(),
            generation: delegation.generation.number(),
            attempt,
            delegation: fact.envelope.event.0,
            sealer: &delegation.sealer.to_string(),
            begun: &begun,
            index: fact.index,
        },
    )?;
    let row = AttemptRow {
        order: delegation.order.0,
        endpoint: delegation.endpoint.to_string(),
        attempt,
        collection: Some(delegation.collection.0),
        state: AttemptState::Running,
        reason: String::new(),
        time: begun,
    };
    Ok(orders::set_attempt(tx, &row)?)
}

/// Rows of an acknowledged segment, made from its seal. Ingest and `rebuild` both use this.
///
/// # Errors
/// If a record line is malformed.
pub fn segment_rows(
    seal: &Seal<'_>,
    seal_len: u64,
    copies: u32,
) -> Result<(SegmentRow, Vec<ItemRow>), ProjectionError> {
    let header = &seal.header;
    let segment = SegmentRow {
        index: header.index,
        sha256: header.sha256.0,
        seal_sha256: seal.digest.0,
        stored_len: header.stored_len,
        seal_len,
        plain_start: header.plain_start,
        plain_end: header.plain_end,
        items: header.items,
        items_total: header.items_total,
        is_final: header.is_final,
        copies,
    };
    let mut items = Vec::new();
    let counted = usize::try_from(header.items).unwrap_or(usize::MAX);
    // After the counted records there may be the open record of a member that continues. It comes again when
    // it is final.
    for line in seal.records().map_err(|source| ProjectionError::Seal { source })?.take(counted) {
        let line = line.map_err(|source| ProjectionError::Seal { source })?;
        let record = ItemRecord::parse_line(&line, Stage::Final)
            .or(Err(ProjectionError::Missing { what: "item record" }))?;
        items.push(item_row(header.index, &record)?);
    }
    Ok((segment, items))
}

/// The index row of one record.
///
/// # Errors
/// If its kind has no name.
pub fn item_row(segment: u64, record: &ItemRecord) -> Result<ItemRow, ProjectionError> {
    Ok(ItemRow {
        n: record.n,
        segment,
        path: record.path.0.to_vec(),
        outcome: record.outcome.as_str().to_owned(),
        kind: word(&record.kind)?,
        at: record.at,
        data: record.data,
        size: record.size,
        stored: record.stored,
    })
}

/// Who acted, and the detail object, as the document says.
fn actor_of(fact: Fact<'_>) -> Result<(String, Option<Digest>), ProjectionError> {
    let object = fact.act;
    let person = |id: &dyn std::fmt::Display| format!("person:{id}");
    let endpoint = |id: &dyn std::fmt::Display, generation: u32| format!("endpoint:{id}#{generation}");
    Ok(match fact.envelope.type_.rule().document {
        ActDocument::Act => {
            let act: Act = read(object)?;
            (act.by.to_string(), act.detail)
        }
        ActDocument::Approval => (person(&read::<Approval>(object)?.approver), None),
        ActDocument::Delegation => {
            let delegation: Delegation = read(object)?;
            (endpoint(&delegation.endpoint, delegation.generation.number()), None)
        }
        ActDocument::Enrolment => {
            let request: EnrolmentRequest = read(object)?;
            (endpoint(&request.endpoint, request.generation.number()), None)
        }
        ActDocument::Login => (person(&read::<Login>(object)?.person), None),
        ActDocument::Manifest => match read::<Manifest>(object)?.origin {
            Origin::Endpoint(origin) => (endpoint(&origin.id, origin.generation.number()), None),
            Origin::Intake(intake) => (person(&intake.person), None),
        },
        ActDocument::Order => (person(&read::<Order>(object)?.issuer), None),
        ActDocument::Renewal => {
            let renewal: Renewal = read(object)?;
            (endpoint(&renewal.endpoint, renewal.generation.number()), None)
        }
        ActDocument::LogKey | ActDocument::Roster => ("authority".to_owned(), None),
        ActDocument::Token => (person(&read::<Token>(object)?.issuer), None),
    })
}

fn read<T: Document>(act: &ActObject) -> Result<T, ProjectionError> {
    let document: T = json::parse_document(&act.document)
        .map_err(|source| ProjectionError::Document { type_: T::TYPE, source })?;
    document.validate().map_err(|rule| ProjectionError::Invalid { type_: T::TYPE, rule })?;
    Ok(document)
}

fn reference<'envelope>(
    envelope: &'envelope Envelope,
    name: &'static str,
) -> Result<&'envelope str, ProjectionError> {
    envelope.reference(name).ok_or(ProjectionError::Reference { name })
}

fn digest(envelope: &Envelope, name: &'static str) -> Result<[u8; 32], ProjectionError> {
    let digest = Digest::from_hex(reference(envelope, name)?);
    digest.map(|digest| digest.0).or(Err(ProjectionError::Reference { name }))
}

fn number<N: std::str::FromStr>(envelope: &Envelope, name: &'static str) -> Result<N, ProjectionError> {
    reference(envelope, name)?.parse().or(Err(ProjectionError::Reference { name }))
}

/// The word for an enumeration's value in JSON.
fn word<T: serde::Serialize>(value: &T) -> Result<String, ProjectionError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        _ => Err(ProjectionError::Missing { what: "name of an enumeration" }),
    }
}

/// Why an entry cannot become rows.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectionError {
    /// The database failed, or rows contradict the entry (an id taken twice).
    #[error("write rows of the entry")]
    Db(#[from] DbError),
    /// The act is not a document of its type.
    #[error("read the act as {type_}")]
    Document {
        /// Type it should have.
        type_: &'static str,
        /// Why it is not.
        #[source]
        source: json::JsonError,
    },
    /// Two persons did not approve it, or something keeps the evidence that it is about.
    #[error("what the entry says of disposal does not hold")]
    Disposal(#[from] evidence::disposal::Refusal),
    /// The act breaks a rule of its type.
    #[error("the act is no {type_}: {rule}")]
    Invalid {
        /// Type it should have.
        type_: &'static str,
        /// Which rule.
        rule: &'static str,
    },
    /// Something that the entry needs is missing or malformed.
    #[error("{what} of the entry is missing or malformed")]
    Missing {
        /// What is missing or malformed.
        what: &'static str,
    },
    /// A ref is missing or malformed.
    #[error("ref {name} of the entry is missing or malformed")]
    Reference {
        /// Which ref.
        name: &'static str,
    },
    /// The records of a seal cannot be decoded.
    #[error("decode the records of a seal")]
    Seal {
        /// Why.
        #[source]
        source: evidence::seal::SealError,
    },
}
