//! Disposal: the course of each incident's chain, what approved plans name, which objects each store has destroyed,
//! and which stores must wait.

use evidence::digest::Digest;
use evidence::disposal::{Course, Fact, Object, Plan, Refusal};
use evidence::entry::EntryType;
use evidence::entry::state::CollectionState;
use evidence::id::{Actor, Chain, DeploymentId, IncidentId};
use evidence::roster::Role;
use rusqlite::Connection;

use super::column::{Millis, values};
use super::entries::{self, EntryRow};
use super::record::{find, insert as insert_row, list, record};
use super::{DbError, incidents, rosters};

/// Folds the first `count` entries of an incident's chain.
///
/// # Errors
/// An error of the database, or a row that is malformed.
pub(crate) fn course(
    reader: &Connection,
    deployment: &DeploymentId,
    incident: &IncidentId,
    count: u64,
) -> Result<Course, DbError> {
    let mut course = Course::new(deployment.clone(), incident.clone());
    for row in entries::of_chain(reader, &Chain::from(incident.clone()), 0, count)? {
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
    let is_approver = match (&row.actor, row.kind) {
        (Some(Actor::Person(person)), EntryType::DispositionApproved) => {
            let before = || DbError::Absent { table: "rosters", key: format!("before entry {}", row.index) };
            let roster = rosters::in_force_at(reader, row.index)?.ok_or_else(before)?.roster()?;
            roster.person(person).is_some_and(|person| person.has(Role::Approver))
        }
        _ => false,
    };
    Ok(see(&Fact {
        index: row.index,
        time: row.time,
        type_: row.kind,
        event: row.event,
        refs: &row.refs,
        by: row.actor.as_ref(),
        detail: row.detail,
        is_approver,
    }))
}

/// Takes an entry about disposal. The entry's own row must already exist.
///
/// # Errors
/// The refusal if the entry's condition does not hold; otherwise an error of the database.
pub(crate) fn apply(
    tx: &Connection,
    deployment: &DeploymentId,
    incident: &IncidentId,
    seq: u64,
) -> Result<Result<(), Refusal>, DbError> {
    let mut course = course(tx, deployment, incident, seq)?;
    let Some(row) = entries::of_chain(tx, &Chain::from(incident.clone()), seq, 1)?.pop() else {
        return Err(DbError::Absent { table: "entries", key: format!("incident {incident}, seq {seq}") });
    };
    let judged = with_fact(tx, &row, |fact| {
        course.judge(fact)?;
        course.apply(fact);
        Ok(())
    })?;
    if let Err(refusal) = judged {
        return Ok(Err(refusal));
    }
    let plan: Digest = row.parsed("plan")?;
    let named = course.approved().find(|named| named.digest() == plan);
    match (row.kind, named) {
        (EntryType::DispositionApproved, Some(named)) => condemn(tx, named, &plan, row.index)?,
        (EntryType::DispositionExecuted, Some(named)) => {
            let gone =
                DisposedRow { object: row.parsed("object")?, store: row.required("store")?.to_owned(), plan };
            insert_row(tx, &gone)?;
            if matches!(gone.object, Object::Details(_)) {
                for digest in &named.details {
                    if !crate::rows::texts::text_stays(tx, digest, row.time)? {
                        incidents::erase_detail(tx, digest)?;
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
        statement.execute(values![id, plan.incident, digest, plan.count, index])?;
    }
    Ok(())
}

record! {
    /// An object that a store has destroyed.
    DisposedRow of "disposed" by "object", "store", "plan" {
        object: Object = "object",
        store: String = "store",
        plan: Digest = "plan",
    }
}

record! {
    /// An object that an approved plan names.
    Condemned of "condemned" by "object", "plan" {
        incident: IncidentId = "incident",
        plan: Digest = "plan",
        /// The entry of its second approval.
        index: u64 = "idx",
    }
}

/// The first approved plan that names a collection or text, if any does.
pub(crate) fn condemned(reader: &Connection, object: &Digest) -> Result<Option<Condemned>, DbError> {
    find(reader, "FROM condemned WHERE object = ?1 ORDER BY idx", values![object])
}

record! {
    ApprovedPlan of "condemned" by "incident", "plan" {
        incident: IncidentId = "incident",
        plan: Digest = "plan",
    }
}

/// The approved plans, oldest first, with their incidents.
pub(crate) fn plans(reader: &Connection) -> Result<Vec<ApprovedPlan>, DbError> {
    list(reader, "FROM condemned GROUP BY incident, plan ORDER BY min(idx)", [])
}

/// True if an object is recorded as destroyed on a store.
pub(crate) fn is_gone(
    reader: &Connection,
    plan: &Digest,
    object: &Object,
    store: &str,
) -> Result<bool, DbError> {
    let mut statement = reader.prepare_cached(
        "SELECT 1 FROM disposed WHERE object = ?1 AND store = ?2 AND (plan = ?3 OR object LIKE '%/evidence')",
    )?;
    Ok(statement.exists(values![object, store, plan])?)
}

record! {
    /// How one chain names a text.
    NamingRow of "entries" by "incident" {
        incident: Chain = "incident",
        /// Just past the last entry that names it, not counting reasons of approvals.
        named: u64 = "coalesce(max(seq + 1) FILTER (WHERE type <> 'disposition.approved'), 0) AS named",
        /// Just past the last entry that an approved plan of the chain considered.
        planned: u64 = "(SELECT coalesce(max(count), 0) FROM condemned WHERE condemned.incident = entries.incident)
            AS planned",
        /// True if the text is the reason of an approval.
        is_reason: bool = "max(type = 'disposition.approved') AS is_reason",
    }
}

/// Every chain that names a text.
pub(crate) fn namings(reader: &Connection, text: &Digest) -> Result<Vec<NamingRow>, DbError> {
    list(reader, "FROM entries WHERE detail = ?1 GROUP BY incident", values![text])
}

/// True if every chain that names a text has given up its texts on a store.
pub(crate) fn text_is_gone(reader: &Connection, text: &Digest, store: &str) -> Result<bool, DbError> {
    let mut statement = reader.prepare_cached(
        "SELECT 1 FROM entries WHERE detail = ?1 AND (type = 'disposition.approved' OR NOT EXISTS (
             SELECT 1 FROM condemned JOIN disposed USING (plan)
             WHERE condemned.object = ?1 AND condemned.incident = entries.incident
               AND disposed.object = entries.incident || '/details' AND disposed.store = ?2))",
    )?;
    Ok(!statement.exists(values![text, store])?)
}

/// Deletes the rows of a collection's segments and items once no store has them, because paths are evidence
/// as well. The manifest and its counts stay.
pub(crate) fn purge(tx: &Connection, collection: &Digest) -> Result<(), DbError> {
    let number = "(SELECT number FROM collections WHERE id = ?1)";
    for table in ["items", "segments"] {
        tx.execute(&format!("DELETE FROM {table} WHERE collection = {number}"), values![collection])?;
    }
    for room in ["segments", "seals", "quarantine"] {
        tx.execute("DELETE FROM repair_queue WHERE key LIKE ?1", [format!("{room}/{collection}/%")])?;
    }
    tx.execute(
        "UPDATE collections SET state = ?2, items = 0, not_ok = 0, plain_bytes = 0, stored_bytes = 0, segments = 0,
             copies = 0, degraded = 0, seal_head = NULL WHERE id = ?1",
        values![collection, CollectionState::Disposed],
    )?;
    Ok(())
}

record! {
    /// A store that keeps an object for now.
    WaitRow of "disposal_waits" by "store", "object", "plan" {
        store: String = "store",
        object: Object = "object",
        plan: Digest = "plan",
        /// When to ask the store again; `None` means now.
        due: Option<Millis> = "due_ms",
        /// Why the object is still there.
        why: String = "why",
    }
}

/// Notes that a store keeps an object for now.
pub(crate) fn wait(tx: &Connection, row: &WaitRow) -> Result<(), DbError> {
    tx.prepare_cached(
        "INSERT INTO disposal_waits (store, object, plan, due_ms, why) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (store, object, plan) DO UPDATE SET due_ms = ?4, why = ?5",
    )?
    .execute(values![row.store, row.object, row.plan, row.due, row.why])?;
    Ok(())
}

/// Removes the note that an object waits on a store.
pub(crate) fn wait_over(tx: &Connection, store: &str, object: &Object, plan: &Digest) -> Result<(), DbError> {
    tx.prepare_cached("DELETE FROM disposal_waits WHERE store = ?1 AND object = ?2 AND plan = ?3")?
        .execute(values![store, object, plan])?;
    Ok(())
}

/// The objects that stores still keep for now.
pub(crate) fn waits(reader: &Connection) -> Result<Vec<WaitRow>, DbError> {
    list(reader, "FROM disposal_waits ORDER BY object, store", [])
}

/// The course of an incident's whole chain.
pub(crate) fn course_now(
    reader: &Connection,
    deployment: &DeploymentId,
    incident: &IncidentId,
) -> Result<Course, DbError> {
    course(reader, deployment, incident, u64::from(u32::MAX))
}
