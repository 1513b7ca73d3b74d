//! Disposal: the course of each incident's chain, what approved plans name, what is gone from which store,
//! and which stores must wait.

use evidence::digest::Digest;
use evidence::disposal::{Course, Fact, Plan, Refusal};
use evidence::entry::EntryType;
use evidence::entry::state::CollectionState;
use evidence::id::{Actor, DeploymentId, IncidentId};
use evidence::roster::{Role, Roster};
use evidence::signed::Signed;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::column::Sql;
use super::entries::{self, EntryRow};
use super::{DbError, incidents, rosters};

/// Folds the first `count` entries of an incident's chain.
///
/// # Errors
/// An error of the database, or a row that is malformed.
pub fn course(
    reader: &Connection,
    deployment: &DeploymentId,
    incident: &IncidentId,
    count: u64,
) -> Result<Course, DbError> {
    let mut course = Course::new(deployment.clone(), incident.clone());
    for row in entries::of_chain(reader, &incident.to_string(), 0, count)? {
        with_fact(reader, &row, |fact| course.apply(fact))?;
    }
    Ok(course)
}

/// An entry in the form that disposal needs.
pub(super) fn with_fact<T>(
    reader: &Connection,
    row: &EntryRow,
    see: impl FnOnce(&Fact<'_>) -> T,
) -> Result<T, DbError> {
    let corrupt = |column| DbError::Corrupt { column };
    let type_: EntryType = row.kind.parse().or(Err(corrupt("entries.type")))?;
    let by: Option<Actor> = match row.actor.as_str() {
        "" => None,
        actor => Some(actor.parse().or(Err(corrupt("entries.actor")))?),
    };
    let is_approver = match (&by, type_) {
        (Some(Actor::Person(person)), EntryType::DispositionApproved) => {
            let roster = rosters::in_force_at(reader, row.index)?.ok_or(corrupt("rosters.idx"))?;
            let signed = Signed::parse(&roster.signed).or(Err(corrupt("rosters.signed")))?;
            let roster: Roster = signed.read().or(Err(corrupt("rosters.signed")))?;
            roster.person(person).is_some_and(|person| person.has(Role::Approver))
        }
        _ => false,
    };
    Ok(see(&Fact {
        index: row.index,
        time: row.time.parse().or(Err(corrupt("entries.time")))?,
        type_,
        event: Digest(row.event),
        refs: &row.refs,
        by: by.as_ref(),
        detail: row.detail.map(Digest),
        is_approver,
    }))
}

/// Takes an entry about disposal. The entry's own row must already exist.
///
/// # Errors
/// The refusal if the entry's condition does not hold; otherwise an error of the database.
pub fn apply(
    tx: &Connection,
    deployment: &DeploymentId,
    incident: &IncidentId,
    seq: u64,
) -> Result<Result<(), Refusal>, DbError> {
    let mut course = course(tx, deployment, incident, seq)?;
    let Some(row) = entries::of_chain(tx, &incident.to_string(), seq, 1)?.pop() else {
        return Err(DbError::Corrupt { column: "entries.seq" });
    };
    let judged = with_fact(tx, &row, |fact| {
        course.judge(fact)?;
        course.apply(fact);
        Ok(())
    })?;
    if let Err(refusal) = judged {
        return Ok(Err(refusal));
    }
    let value = |name| evidence::entry::pairs::find(&row.refs, name).unwrap_or_default();
    let plan = Digest::from_hex(value("plan")).or(Err(DbError::Corrupt { column: "entries.refs" }))?;
    let named = course.approved().find(|named| named.digest() == plan);
    match (row.kind.parse(), named) {
        (Ok(EntryType::DispositionApproved), Some(named)) => condemn(tx, named, &plan, row.index)?,
        (Ok(EntryType::DispositionExecuted), Some(named)) => {
            let object = value("object");
            tx.prepare_cached("INSERT INTO disposed (object, store, plan) VALUES (?1, ?2, ?3)")?
                .execute(params![object, value("store"), plan.0])?;
            if object.ends_with("/details") {
                let then = row.time.parse().or(Err(DbError::Corrupt { column: "entries.time" }))?;
                for digest in &named.details {
                    if !crate::rows::texts::text_stays(tx, digest.as_bytes(), then)? {
                        incidents::erase_detail(tx, digest.as_bytes())?;
                    }
                }
            }
        }
        _ => {}
    }
    Ok(Ok(()))
}

fn condemn(tx: &Connection, plan: &Plan, digest: &Digest, index: u64) -> Result<(), DbError> {
    let mut statement = tx.prepare_cached(
        "INSERT INTO condemned (object, incident, plan, count, idx) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for id in plan.collections.iter().chain(&plan.details) {
        statement.execute(params![id.0, plan.incident.to_string(), digest.0, plan.count, index])?;
    }
    Ok(())
}

/// What an approved plan says about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condemned {
    pub incident: String,
    pub plan: [u8; 32],
    /// The entry of its second approval.
    pub index: u64,
}

/// The first approved plan that names a collection or text, if any does.
pub fn condemned(reader: &Connection, object: &[u8; 32]) -> Result<Option<Condemned>, DbError> {
    let mut statement =
        reader.prepare_cached("SELECT incident, plan, idx FROM condemned WHERE object = ?1 ORDER BY idx")?;
    let row = statement.query_row([object], |row| {
        Ok(Condemned { incident: row.get(0)?, plan: row.get(1)?, index: row.get(2)? })
    });
    Ok(row.optional()?)
}

/// The approved plans, oldest first, with their incidents.
pub fn plans(reader: &Connection) -> Result<Vec<(String, [u8; 32])>, DbError> {
    let mut statement = reader
        .prepare_cached("SELECT incident, plan FROM condemned GROUP BY incident, plan ORDER BY min(idx)")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether an object is recorded as gone from a store. `object` in the form that entries use.
pub fn is_gone(reader: &Connection, plan: &[u8; 32], object: &str, store: &str) -> Result<bool, DbError> {
    let mut statement = reader.prepare_cached(
        "SELECT 1 FROM disposed WHERE object = ?1 AND store = ?2 AND (plan = ?3 OR object LIKE '%/evidence')",
    )?;
    Ok(statement.exists(params![object, store, plan])?)
}

/// How one chain names a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamingRow {
    /// Incident, or empty for the deployment's own chain.
    pub incident: String,
    /// Behind the last entry that names it, reasons of approvals aside.
    pub named: u64,
    /// Just past the last entry that an approved plan of the chain considered.
    pub planned: u64,
    /// True if the text is the reason of an approval.
    pub is_reason: bool,
}

/// Every chain that names a text.
pub fn namings(reader: &Connection, text: &[u8; 32]) -> Result<Vec<NamingRow>, DbError> {
    let mut statement = reader.prepare_cached(
        "SELECT incident, coalesce(max(seq + 1) FILTER (WHERE type <> 'disposition.approved'), 0),
                (SELECT coalesce(max(count), 0) FROM condemned WHERE condemned.incident = entries.incident),
                max(type = 'disposition.approved')
         FROM entries WHERE detail = ?1 GROUP BY incident",
    )?;
    let rows = statement.query_map([text], |row| {
        Ok(NamingRow {
            incident: row.get(0)?,
            named: row.get(1)?,
            planned: row.get(2)?,
            is_reason: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether every chain that names a text has given up its texts on a store.
pub fn text_is_gone(reader: &Connection, text: &[u8; 32], store: &str) -> Result<bool, DbError> {
    let mut statement = reader.prepare_cached(
        "SELECT 1 FROM entries WHERE detail = ?1 AND (type = 'disposition.approved' OR NOT EXISTS (
             SELECT 1 FROM condemned JOIN disposed USING (plan)
             WHERE condemned.object = ?1 AND condemned.incident = entries.incident
               AND disposed.object = entries.incident || '/details' AND disposed.store = ?2))",
    )?;
    Ok(!statement.exists(params![text, store])?)
}

/// Deletes the rows of a collection's segments and items once no store has them, because paths are evidence
/// as well. The manifest and its counts stay.
pub fn purge(tx: &Connection, collection: &[u8; 32]) -> Result<(), DbError> {
    let number = "(SELECT number FROM collections WHERE id = ?1)";
    for table in ["items", "segments"] {
        tx.execute(&format!("DELETE FROM {table} WHERE collection = {number}"), [collection])?;
    }
    let id = hex::encode(collection);
    for room in ["segments", "seals", "quarantine"] {
        tx.execute("DELETE FROM repair_queue WHERE key LIKE ?1", [format!("{room}/{id}/%")])?;
    }
    tx.execute(
        "UPDATE collections SET state = ?2, items = 0, not_ok = 0, plain_bytes = 0, stored_bytes = 0, segments = 0,
             copies = 0, degraded = 0, seal_head = NULL WHERE id = ?1",
        rusqlite::params![collection, Sql(&CollectionState::Disposed)],
    )?;
    Ok(())
}

/// A store that keeps an object for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitRow {
    pub store: String,
    /// The object, in the form that entries use.
    pub object: String,
    pub plan: [u8; 32],
    /// When to ask the store again.
    pub due_ms: u64,
    /// Why the object is still there.
    pub why: String,
}

/// Notes that a store keeps an object for now.
pub fn wait(tx: &Connection, row: &WaitRow) -> Result<(), DbError> {
    tx.prepare_cached(
        "INSERT INTO disposal_waits (store, object, plan, due_ms, why) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (store, object, plan) DO UPDATE SET due_ms = ?4, why = ?5",
    )?
    .execute(params![row.store, row.object, row.plan, row.due_ms, row.why])?;
    Ok(())
}

/// An object no longer waits on that store.
pub fn wait_over(tx: &Connection, store: &str, object: &str, plan: &[u8; 32]) -> Result<(), DbError> {
    tx.prepare_cached("DELETE FROM disposal_waits WHERE store = ?1 AND object = ?2 AND plan = ?3")?
        .execute(params![store, object, plan])?;
    Ok(())
}

/// The objects that stores still keep for now.
pub fn waits(reader: &Connection) -> Result<Vec<WaitRow>, DbError> {
    let mut statement = reader.prepare_cached(
        "SELECT store, object, plan, due_ms, why FROM disposal_waits ORDER BY object, store",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(WaitRow {
            store: row.get(0)?,
            object: row.get(1)?,
            plan: row.get(2)?,
            due_ms: row.get(3)?,
            why: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The course of an incident's whole chain.
pub fn course_now(
    reader: &Connection,
    deployment: &DeploymentId,
    incident: &IncidentId,
) -> Result<Course, DbError> {
    course(reader, deployment, incident, u64::from(u32::MAX))
}
