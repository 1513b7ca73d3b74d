//! The one way from a ledger entry to rows: the sequencer uses it for new entries, `rebuild` for old ones.
//! Guarantee: the rows depend only on the entries and the objects that they name. So a rebuilt database
//! equals the lost one. Not here: signatures and roles (the sequencer's rule book judges them), live
//! state.

use std::collections::BTreeMap;
use std::str::FromStr;

use evidence::digest::Digest;
use evidence::document::Document;
use evidence::enrolment::{EnrolmentRequest, Login, Renewal, Token};
use evidence::entry::act::Act;
use evidence::entry::detail::Detail;
use evidence::entry::state::{AttemptState, CollectionState, EndpointState, IncidentState, OrderState};
use evidence::entry::{ActDocument, ActObject, EntryType, Envelope};
use evidence::id::{Actor, IdError, IncidentId};
use evidence::item::{ItemRecord, Stage};
use evidence::json;
use evidence::manifest::{Manifest, Origin};
use evidence::order::{Approval, Decision, Order};
use evidence::roster::Roster;
use evidence::seal::Seal;
use evidence::seal::delegation::Delegation;
use ledger::Hash;
use rusqlite::Connection;
use store::Key;

use super::DbError;
use super::collections::{self, ItemRow, NewCollection, OutcomeRow, SegmentRow, StoredCollection};
use super::disposals;
use super::endpoints::{self, EndpointRow, TokenRow};
use super::entries::{self, EntryRow};
use super::holds::{self, HoldRow};
use super::incidents::{self, IncidentRow};
use super::orders::{self, ApprovalRow, AttemptRow, OrderRow, TargetRow};
use super::rosters::{self, LoginRow, RosterRow};
use super::stamps::{self, StampRow};

/// Objects that entries name. The caller reads them beforehand, because a transaction must not touch a store.
pub(crate) type Objects = BTreeMap<Key, Vec<u8>>;

/// An entry that is about to become rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fact<'entry> {
    /// Index in the log.
    pub(crate) index: u64,
    pub(crate) leaf: Hash,
    pub(crate) envelope: &'entry Envelope,
    /// The act, either inline or from the stores.
    pub(crate) act: &'entry ActObject,
}

/// Objects that [`apply`] needs for an act. A detail object may be missing, because it may lawfully have been
/// erased.
///
/// # Errors
/// If the act is not a document of its type.
pub(crate) fn objects_of(type_: EntryType, act: &ActObject) -> Result<Vec<Key>, ProjectionError> {
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
pub(crate) fn apply(tx: &Connection, fact: Fact<'_>, objects: &Objects) -> Result<(), ProjectionError> {
    let (actor, detail) = actor_of(fact)?;
    let envelope = fact.envelope;
    entries::insert(
        tx,
        &EntryRow {
            index: fact.index,
            event: envelope.event,
            kind: envelope.type_,
            incident: envelope.incident.clone(),
            seq: envelope.seq,
            leaf: fact.leaf,
            time: envelope.time,
            refs: envelope.refs.clone(),
            actor,
            detail,
        },
    )?;
    if let Some(digest) = detail {
        let object = objects.get(&Key::detail(digest.as_bytes()));
        let text = object.and_then(|bytes| Detail::open(bytes, &digest).ok()).map(|detail| detail.text);
        incidents::insert_detail(tx, &digest, fact.index, text)?;
    }
    apply_kind(tx, fact, objects)
}

fn apply_kind(tx: &Connection, fact: Fact<'_>, objects: &Objects) -> Result<(), ProjectionError> {
    use EntryType as T;
    let envelope = fact.envelope;
    let (index, time) = (fact.index, envelope.time);
    match envelope.type_ {
        T::RosterPublished => {
            let roster: Roster = read(fact.act)?;
            let row = RosterRow {
                version: roster.version,
                digest: envelope.event,
                not_after: roster.not_after,
                signed: fact.act.clone(),
                index,
            };
            rosters::insert(tx, &row)?;
        }
        T::EndpointAdmitted => {
            let token: Token = read(fact.act)?;
            let row = TokenRow {
                token: envelope.event,
                endpoint: token.endpoint,
                generation: token.generation,
                key: token.key,
                not_after: token.not_after,
                index,
                used_by: None,
            };
            endpoints::admit(tx, &row)?;
        }
        T::AgentEnrolled => {
            let request: EnrolmentRequest = read(fact.act)?;
            let row = EndpointRow {
                endpoint: request.endpoint,
                generation: request.generation,
                state: EndpointState::Enrolled,
                token: request.token,
                fingerprint: Some(request.evidence_key.fingerprint()),
                evidence_key: Some(request.evidence_key),
                tls_spki_sha256: Some(request.tls_spki_sha256),
                enrolled: Some(time),
                index,
            };
            endpoints::enrol(tx, &row, &envelope.event)?;
        }
        T::AgentRenewed => {
            let renewal: Renewal = read(fact.act)?;
            endpoints::renew(tx, &renewal.endpoint, renewal.generation, &renewal.tls_spki_sha256, index)?;
        }
        T::EndpointRetired => {
            let generation = parsed(envelope, "generation")?;
            endpoints::retire(tx, &parsed(envelope, "endpoint")?, generation, index)?;
        }
        T::LoginIssued => {
            let login: Login = read(fact.act)?;
            let key = reference(envelope, "key")?.to_owned();
            let row =
                LoginRow { index, person: login.person, key, tls_spki_sha256: login.tls_spki_sha256, time };
            rosters::insert_login(tx, &row)?;
        }
        T::IncidentOpened => {
            let act: Act = read(fact.act)?;
            let row = IncidentRow {
                incident: incident_of(envelope)?.clone(),
                state: IncidentState::Open,
                // Services require the three fields. Ledgers in tests may lack them.
                severity: field(&act, "severity")?,
                tlp: field(&act, "tlp")?,
                class: field(&act, "class")?,
                detail: act.detail,
                title: None,
                opened: time,
                opened_by: act.by,
                closed: None,
                entries: 0,
                collections: 0,
            };
            incidents::insert(tx, &row)?;
        }
        T::IncidentClosed => {
            incidents::set_state(tx, incident_of(envelope)?, IncidentState::Closed, Some(time))?;
        }
        T::IncidentReopened => {
            incidents::set_state(tx, incident_of(envelope)?, IncidentState::Open, None)?;
        }
        T::HoldPlaced => {
            let act: Act = read(fact.act)?;
            let row = HoldRow { hold: envelope.event, placed: time, by: act.by, reason: None };
            holds::place(tx, incident_of(envelope)?, &row, act.detail)?;
        }
        T::HoldReleased => {
            holds::release(tx, incident_of(envelope)?, &parsed(envelope, "hold")?, time)?;
        }
        T::RetentionChanged => {
            holds::set_retention(tx, incident_of(envelope)?, parsed(envelope, "until")?)?;
        }
        T::DispositionApproved | T::DispositionExecuted | T::DispositionConfirmed => {
            disposals::apply(tx, &envelope.deployment, incident_of(envelope)?, envelope.seq)??;
        }
        T::OrderIssued => apply_order(tx, fact, objects)?,
        T::OrderApproved | T::OrderRejected => {
            let approval: Approval = read(fact.act)?;
            let is_approved = envelope.type_ == T::OrderApproved;
            let row = ApprovalRow {
                event: envelope.event,
                order: approval.order,
                approver: approval.approver,
                decision: if is_approved { Decision::Approve } else { Decision::Reject },
                time,
                index,
            };
            orders::insert_approval(tx, &row)?;
            let to = if is_approved { OrderState::Issued } else { OrderState::Rejected };
            orders::advance(tx, &row.order, &[OrderState::AwaitingApproval], to)?;
        }
        T::OrderCancelled => {
            orders::advance(
                tx,
                &parsed(envelope, "order")?,
                &[OrderState::AwaitingApproval, OrderState::Issued],
                OrderState::Cancelled,
            )?;
        }
        T::OrderRefused => {
            let row = AttemptRow {
                order: parsed(envelope, "order")?,
                endpoint: parsed(envelope, "endpoint")?,
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
            collections::set_state(tx, &parsed(envelope, "collection")?, CollectionState::Interrupted, time)?;
        }
        T::CollectionMalformed => {
            collections::set_state(tx, &parsed(envelope, "collection")?, CollectionState::Malformed, time)?
        }
        T::CollectionContradicted => {
            collections::set_state(
                tx,
                &parsed(envelope, "collection")?,
                CollectionState::Contradicted,
                time,
            )?;
        }
        T::CollectionStored => {
            let manifest: Manifest = read(fact.act)?;
            let outcomes = manifest.outcomes.into_iter();
            let outcomes = outcomes.map(|(outcome, count)| OutcomeRow { outcome, count }).collect();
            let stored = StoredCollection {
                id: manifest.collection,
                manifest: envelope.event,
                content_bytes: manifest.content_bytes,
                outcomes,
                copies: parsed(envelope, "copies")?,
                degraded: reference(envelope, "degraded")? == "yes",
                independent: reference(envelope, "independent")? == "yes",
                time,
                index,
            };
            collections::set_stored(tx, &stored)?;
        }
        T::TsaStamped => {
            let (size, stamp) = (parsed(envelope, "size")?, parsed(envelope, "stamp")?);
            stamps::insert(tx, &StampRow { size, stamp, index })?;
        }
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
    let waits = roster.roster()?.needs_approval(order.sensitivity);
    let row = OrderRow {
        id: fact.envelope.event,
        incident: incident_of(fact.envelope)?.clone(),
        issuer: order.issuer,
        issued: order.issued,
        expires: order.expires,
        attempts_max: order.attempts,
        roster_version: order.roster_version,
        targets_root: order.targets_root,
        targets_count: order.targets_count,
        profile: order.profile.name,
        sensitivity: order.sensitivity,
        state: if waits { OrderState::AwaitingApproval } else { OrderState::Issued },
        event: fact.envelope.event,
        index: fact.index,
    };
    orders::insert(tx, &row)?;
    let leaves = objects.get(&Key::targets(order.targets_root.as_bytes()));
    let leaves = leaves.ok_or(ProjectionError::Missing { what: "target leaves" })?;
    let text = str::from_utf8(leaves).or(Err(ProjectionError::Missing { what: "target leaves" }))?;
    let lines: Vec<&str> = text.lines().collect();
    let malformed = |_not_an_id: IdError| ProjectionError::Missing { what: "target leaves" };
    for (position, leaf) in (0..).zip(lines.chunks(4)) {
        let [_, endpoint, generation, fingerprint] = leaf else {
            return Err(ProjectionError::Missing { what: "target leaves" });
        };
        let target = TargetRow {
            position,
            endpoint: endpoint.parse().map_err(malformed)?,
            generation: generation.parse().map_err(malformed)?,
            fingerprint: fingerprint.parse().or(Err(ProjectionError::Missing { what: "target leaves" }))?,
        };
        orders::insert_target(tx, &row.id, &target)?;
    }
    Ok(())
}

fn apply_started(tx: &Connection, fact: Fact<'_>) -> Result<(), ProjectionError> {
    let delegation: Delegation = read(fact.act)?;
    let attempt = delegation.attempt;
    collections::insert(
        tx,
        &NewCollection {
            id: delegation.collection,
            incident: incident_of(fact.envelope)?.clone(),
            order: delegation.order,
            endpoint: delegation.endpoint.clone(),
            generation: delegation.generation,
            attempt,
            delegation: fact.envelope.event,
            sealer: delegation.sealer,
            begun: fact.envelope.time,
            index: fact.index,
        },
    )?;
    let row = AttemptRow {
        order: delegation.order,
        endpoint: delegation.endpoint,
        attempt,
        collection: Some(delegation.collection),
        state: AttemptState::Running,
        reason: String::new(),
        time: fact.envelope.time,
    };
    Ok(orders::set_attempt(tx, &row)?)
}

/// Rows of an acknowledged segment, made from its seal. Ingest and `rebuild` both use this.
///
/// # Errors
/// If a record line is malformed.
pub(crate) fn segment_rows(
    seal: &Seal<'_>,
    seal_len: u64,
    copies: u32,
) -> Result<(SegmentRow, Vec<ItemRow>), ProjectionError> {
    let header = &seal.header;
    let segment = SegmentRow {
        index: header.index,
        sha256: header.sha256,
        seal_sha256: seal.digest,
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
    let counted = usize::try_from(header.items)
        .or(Err(ProjectionError::Missing { what: "number of items that fits this machine" }))?;
    // After the counted records, the seal may hold the open record of a member that continues. A later seal repeats
    // the record when it is final.
    for line in seal.records().map_err(|source| ProjectionError::Seal { source })?.take(counted) {
        let line = line.map_err(|source| ProjectionError::Seal { source })?;
        let record = ItemRecord::parse_line(&line, Stage::Final)
            .or(Err(ProjectionError::Missing { what: "item record" }))?;
        items.push(item_row(header.index, record));
    }
    Ok((segment, items))
}

/// The index row of one record.
pub(crate) fn item_row(segment: u64, record: ItemRecord) -> ItemRow {
    ItemRow {
        n: record.n,
        segment,
        path: record.path.0,
        outcome: record.outcome,
        kind: record.kind,
        at: record.at,
        data: record.data,
        size: record.size,
        stored: record.stored,
    }
}

/// The actor and the detail object that the document names.
fn actor_of(fact: Fact<'_>) -> Result<(Option<Actor>, Option<Digest>), ProjectionError> {
    let object = fact.act;
    let (actor, detail) = match fact.envelope.type_.rule().document {
        ActDocument::Act => {
            let act: Act = read(object)?;
            (act.by, act.detail)
        }
        ActDocument::Approval => (Actor::Person(read::<Approval>(object)?.approver), None),
        ActDocument::Delegation => {
            let delegation: Delegation = read(object)?;
            (Actor::Endpoint(delegation.endpoint, delegation.generation), None)
        }
        ActDocument::Enrolment => {
            let request: EnrolmentRequest = read(object)?;
            (Actor::Endpoint(request.endpoint, request.generation), None)
        }
        ActDocument::Login => (Actor::Person(read::<Login>(object)?.person), None),
        ActDocument::Manifest => match read::<Manifest>(object)?.origin {
            Origin::Endpoint(origin) => (Actor::Endpoint(origin.id, origin.generation), None),
            Origin::Intake(intake) => (Actor::Person(intake.person), None),
        },
        ActDocument::Order => (Actor::Person(read::<Order>(object)?.issuer), None),
        ActDocument::Renewal => {
            let renewal: Renewal = read(object)?;
            (Actor::Endpoint(renewal.endpoint, renewal.generation), None)
        }
        ActDocument::LogKey | ActDocument::Roster => (Actor::Authority, None),
        ActDocument::Token => (Actor::Person(read::<Token>(object)?.issuer), None),
    };
    Ok((Some(actor), detail))
}

/// The incident of an entry about one.
fn incident_of(envelope: &Envelope) -> Result<&IncidentId, ProjectionError> {
    envelope.incident.incident().ok_or(ProjectionError::Missing { what: "incident" })
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

fn parsed<T: FromStr>(envelope: &Envelope, name: &'static str) -> Result<T, ProjectionError> {
    reference(envelope, name)?.parse().or(Err(ProjectionError::Reference { name }))
}

/// A field of an act, if the act has it.
fn field<T: FromStr>(act: &Act, name: &'static str) -> Result<Option<T>, ProjectionError> {
    act.field(name).map(str::parse).transpose().or(Err(ProjectionError::Missing { what: name }))
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
    /// Two persons did not approve the disposal, or something keeps the evidence.
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
