//! Incidents: people open, annotate, close and reopen them by signed acts. Lists and timelines show them.
//!
//! Guarantee: every change is an entry of the incident's chain. Its condition is checked in the transaction that records it, so
//! that two responders cannot both open one number. Not here: orders and evidence of an incident.

pub(crate) mod wire;

use crate::acts::{required_ref, submit};
use crate::rows::incidents::must_exist;
use std::fmt;
use std::sync::Arc;

use evidence::entry::EntryType;
use evidence::entry::state::{EndpointState, IncidentState};
use evidence::id::{Chain, EndpointId, Generation, IncidentId};
use evidence::signed::Signed;
use proto::parts::split;
use proto::status::Class;
use proto::v1;
use rusqlite::Connection;

use crate::acts::{self, Weighed};
use crate::collector::Collector;
use crate::failure::{Failure, OrFailure as _};
use crate::log::recorder::Recorded;
use crate::rows::condition::{Condition, Denied};
use crate::rows::retention::{self, Change, Standing};
use crate::rows::{self, DbError};
use crate::services::orders::OrderDesk;
use crate::upkeep::Upkeep;

/// The service of incidents.
#[derive(Clone)]
pub struct Incidents {
    /// Keeps evidence, or disposes of it, as acts say.
    pub upkeep: Arc<Upkeep>,
    /// Cancels orders.
    pub orders: Arc<OrderDesk>,
}

/// Opens an incident.
///
/// # Errors
/// `Exists` if another act took the number.
pub async fn open(collector: &Collector, signed: Signed, detail: &[u8]) -> Result<Recorded, Failure> {
    let weighed = acts::weigh(collector, signed, detail, &[EntryType::IncidentOpened]).await?;
    let incident = incident_of(&weighed)?;
    if weighed.act.reference("incident") != Some(incident.to_string().as_str()) {
        return Err(Failure::malformed("the act's ref names another incident than its chain"));
    }
    let id = incident.clone();
    let condition: Condition = Box::new(move |tx| match rows::incidents::at(tx, &id)? {
        None => Ok(()),
        Some(_) => {
            Err(Denied::no(Class::Exists, format!("incident {id} exists already; ask for the next number")))
        }
    });
    submit(collector, weighed, Some(condition)).await
}

/// Records any other act of a person.
///
/// # Errors
/// A refusal if the act's condition does not hold.
pub async fn record(incidents: &Incidents, signed: Signed, detail: &[u8]) -> Result<Recorded, Failure> {
    const ALLOWED: [EntryType; 11] = [
        EntryType::IncidentNoted,
        EntryType::IncidentClosed,
        EntryType::IncidentReopened,
        EntryType::HoldPlaced,
        EntryType::HoldReleased,
        EntryType::RetentionChanged,
        EntryType::DispositionApproved,
        EntryType::OrderCancelled,
        EntryType::EndpointRetired,
        EntryType::MirrorAdmitted,
        EntryType::MirrorRetired,
    ];
    let collector = &*incidents.upkeep.collector;
    let weighed = acts::weigh(collector, signed, detail, &ALLOWED).await?;
    match weighed.act.act {
        EntryType::OrderCancelled => crate::services::orders::cancel(&incidents.orders, weighed).await,
        EntryType::DispositionApproved => crate::upkeep::disposal::approve(&incidents.upkeep, weighed).await,
        EntryType::EndpointRetired => retire(collector, weighed).await,
        EntryType::MirrorAdmitted => crate::services::mirrors::admit(collector, weighed).await,
        EntryType::MirrorRetired => crate::services::mirrors::retire(collector, weighed).await,
        EntryType::HoldPlaced | EntryType::HoldReleased | EntryType::RetentionChanged => {
            let (incident, change) = (incident_of(&weighed)?, Change::of(&weighed.act));
            let locks = crate::upkeep::locks::of(&collector.replicas);
            if weighed.act.act == EntryType::RetentionChanged {
                crate::upkeep::locks::check_retention(collector, &incident, &weighed, &locks).await?;
            }
            let condition: Condition = Box::new(move |tx| retention::guard(tx, &incident, &change));
            braked(&incidents.upkeep, weighed, condition).await
        }
        kind => {
            let incident = incident_of(&weighed)?;
            let condition: Condition = Box::new(move |tx| may_change(tx, &incident, kind));
            braked(&incidents.upkeep, weighed, condition).await
        }
    }
}

fn may_change(tx: &Connection, incident: &IncidentId, kind: EntryType) -> Result<(), Denied> {
    let state = must_exist(tx, incident)?;
    match (kind, state) {
        (EntryType::IncidentClosed, IncidentState::Closed) => {
            Err(Denied::no(Class::Precondition, format!("incident {incident} is closed already")))
        }
        (EntryType::IncidentReopened, IncidentState::Open) => {
            Err(Denied::no(Class::Precondition, format!("incident {incident} is open")))
        }
        _ => Ok(()),
    }
}

async fn retire(collector: &Collector, weighed: Weighed) -> Result<Recorded, Failure> {
    let reference = |name| required_ref(&weighed.act, name);
    let endpoint: EndpointId = reference("endpoint")?
        .parse()
        .map_err(|error| Failure::malformed(format!("ref endpoint: {error}")))?;
    let generation: Generation = reference("generation")?
        .parse()
        .map_err(|error| Failure::malformed(format!("ref generation: {error}")))?;
    let id = endpoint.clone();
    let condition: Condition = Box::new(move |tx| match rows::endpoints::at(tx, &id, generation)? {
        None => Err(Denied::no(Class::Missing, format!("there is no endpoint {id}#{generation}"))),
        Some(row) if row.state == EndpointState::Retired => {
            Err(Denied::no(Class::Precondition, format!("endpoint {id}#{generation} is retired already")))
        }
        Some(_) => Ok(()),
    });
    let recorded = submit(collector, weighed, Some(condition)).await?;
    // The entry is recorded. From here on the collector refuses the identity, also on open connections.
    collector.revoke_endpoint(&endpoint, generation);
    Ok(recorded)
}

/// Records an act that may keep evidence. Pulls the brake first, so that no object is destroyed between the check of what keeps the
/// evidence and this entry. If the caller leaves meanwhile, the act is recorded all the same, and the brake is held until then.
async fn braked(upkeep: &Upkeep, weighed: Weighed, condition: Condition) -> Result<Recorded, Failure> {
    let (brake, recorder) = (upkeep.brake.pull().await, upkeep.collector.recorder.clone());
    let Weighed { act, object, .. } = weighed;
    let recording = tokio::spawn(async move {
        let recorded = recorder.submit(act.act, act.incident, act.refs, object, Some(condition)).await;
        drop(brake);
        recorded
    });
    recording.await.or_internal("record an act")?
}

fn incident_of(weighed: &Weighed) -> Result<IncidentId, Failure> {
    match &weighed.act.incident {
        Chain::Incident(incident) => Ok(incident.clone()),
        Chain::Deployment => Err(Failure::malformed("the act names no incident")),
    }
}

/// Proposes a number that is free now.
pub async fn next_id(collector: &Collector) -> Result<String, Failure> {
    let now = crate::clock::now().to_string();
    let year: Option<u16> = now.get(..4).and_then(|year| year.parse().ok());
    let year = year.ok_or_else(|| Failure::internal("number an incident", format!("{now} has no year")))?;
    let ids = collector
        .db
        .read_async(move |db| rows::incidents::ids_with_prefix(db, &format!("INC-{year}-")))
        .await?;
    let newest = ids.iter().map(IncidentId::number).max().unwrap_or(0);
    newest
        .checked_add(1)
        .and_then(|number| IncidentId::new(year, number))
        .map(|id| id.to_string())
        .ok_or_else(|| Failure::precondition(format!("the incident numbers of {year} are used up")))
}

/// Incidents, newest first.
pub async fn list(collector: &Collector, open_only: bool) -> Result<Vec<v1::IncidentRow>, Failure> {
    let rows = collector.db.read_async(move |db| rows::incidents::all(db, open_only)).await?;
    Ok(rows.into_iter().map(wire).collect())
}

/// Reads one incident with its timeline, as the messages of one answer.
pub async fn show(collector: &Collector, incident: &str) -> Result<Vec<v1::ShowIncidentResponse>, Failure> {
    let missing = || Failure::missing(format!("there is no incident {incident}"));
    let id: IncidentId = incident.parse().map_err(|_no_id| missing())?;
    let found = collector
        .db
        .read_async(move |db| {
            let Some(row) = rows::incidents::at(db, &id)? else {
                return Ok::<_, DbError>(None);
            };
            let mut timeline = Vec::new();
            for entry in rows::entries::of_chain(db, &Chain::from(id.clone()), 0, u64::from(u32::MAX))? {
                let text = match &entry.detail {
                    Some(detail) => rows::incidents::detail(db, detail)?,
                    None => None,
                };
                timeline.push(timeline_row(entry, text));
            }
            let standing = Standing::of(db, &id)?;
            Ok(Some((row, timeline, standing)))
        })
        .await?;
    let Some((row, timeline, Some(standing))) = found else {
        return Err(missing());
    };
    let head = v1::ShowIncidentResponse {
        incident: Some(wire(row)),
        // On the wire, an empty text means that there is no end.
        retention_until: standing.until.map(|until| until.to_string()).unwrap_or_default(),
        kept: match standing.may_dispose(crate::clock::now()) {
            Ok(()) => String::new(),
            Err(kept) => kept.to_string(),
        },
        ..Default::default()
    };
    let mut answer = split(head, standing.holds.into_iter().map(hold), |part| &mut part.holds);
    answer.extend(split(v1::ShowIncidentResponse::default(), timeline, |part| &mut part.timeline));
    Ok(answer)
}

fn timeline_row(entry: rows::entries::EntryRow, text: Option<String>) -> v1::TimelineRow {
    let refs: Vec<String> =
        entry.refs.iter().map(|(name, value)| format!("{name} {}", shortened(value))).collect();
    let summary = match text {
        Some(text) if refs.is_empty() => text,
        Some(text) => format!("{} · {text}", refs.join(", ")),
        None => refs.join(", "),
    };
    v1::TimelineRow {
        index: entry.index,
        seq: entry.seq,
        time: entry.time.to_string(),
        r#type: entry.kind.to_string(),
        // On the wire an empty text says that there is none.
        by: entry.actor.map(|actor| actor.to_string()).unwrap_or_default(),
        summary,
        event: entry.event.to_string(),
    }
}

fn hold(row: rows::holds::HoldRow) -> v1::HoldRow {
    v1::HoldRow {
        hold: row.hold.to_string(),
        placed: row.placed.to_string(),
        by: row.by.to_string(),
        // Empty if the text of the reason was disposed of.
        reason: row.reason.unwrap_or_default(),
    }
}

/// Shortens a digest to its first 12 digits, and leaves anything else as it is.
fn shortened(value: &str) -> &str {
    let digest = value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digest { value.get(..12).unwrap_or(value) } else { value }
}

/// A field that a ledger may lack; then it is empty on the wire.
fn word(field: Option<impl fmt::Display>) -> String {
    field.map_or_else(String::new, |word| word.to_string())
}

fn wire(row: rows::incidents::IncidentRow) -> v1::IncidentRow {
    v1::IncidentRow {
        incident: row.incident.to_string(),
        // Empty if the text of the title was disposed of.
        title: row.title.unwrap_or_default(),
        severity: word(row.severity),
        tlp: word(row.tlp),
        rsit_class: word(row.class),
        state: row.state.to_string(),
        opened: row.opened.to_string(),
        opened_by: row.opened_by.to_string(),
        entries: row.entries,
        collections: row.collections,
    }
}
