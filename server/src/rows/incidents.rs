//! Incidents, and the erasable texts that acts name.

use evidence::digest::Digest;
use evidence::entry::incident::{RsitClass, Severity, Tlp};
use evidence::entry::state::IncidentState;
use evidence::id::{Actor, IncidentId};
use evidence::time::Time;
use proto::status::Class;
use rusqlite::Connection;

use super::DbError;
use super::column::values;
use super::record::{find, find_value, list, list_values, record};
use crate::rows::condition::Denied;

record! {
    IncidentRow of "incidents" by "i.incident" {
        incident: IncidentId = "i.incident",
        /// Whether orders may be issued.
        state: IncidentState = "i.state",
        severity: Option<Severity> = "i.severity",
        /// Who may be told.
        tlp: Option<Tlp> = "i.tlp",
        class: Option<RsitClass> = "i.class",
        /// Digest of the title's detail object.
        detail: Option<Digest> = "i.detail",
        /// The title; `None` if it was erased or never given.
        title: Option<String> = "d.text",
        opened: Time = "i.opened",
        opened_by: Actor = "i.opened_by",
        /// When it was closed; `None` while it is open.
        closed: Option<Time> = "i.closed",
        /// Number of entries in its chain.
        entries: u64 = "coalesce(c.next_seq, 0) AS next_seq",
        collections: u64 = "(SELECT count(*) FROM collections AS x WHERE x.incident = i.incident) AS collections",
    }
}

const FROM: &str = "FROM incidents AS i LEFT JOIN details AS d ON d.digest = i.detail
    LEFT JOIN chains AS c ON c.incident = i.incident";

/// Opens an incident. Fails if the id is taken.
pub(crate) fn insert(tx: &Connection, row: &IncidentRow) -> Result<(), DbError> {
    tx.prepare_cached(
        "INSERT INTO incidents (incident, state, severity, tlp, class, detail, opened, opened_by, closed)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(values![
        row.incident,
        row.state,
        row.severity,
        row.tlp,
        row.class,
        row.detail,
        row.opened,
        row.opened_by,
        row.closed
    ])?;
    Ok(())
}

/// Closes (`closed` = time) or reopens (`closed` = `None`) an incident.
pub(crate) fn set_state(
    tx: &Connection,
    incident: &IncidentId,
    state: IncidentState,
    closed: Option<Time>,
) -> Result<(), DbError> {
    tx.prepare_cached("UPDATE incidents SET state = ?2, closed = ?3 WHERE incident = ?1")?
        .execute(values![incident, state, closed])?;
    Ok(())
}

pub(crate) fn at(reader: &Connection, incident: &IncidentId) -> Result<Option<IncidentRow>, DbError> {
    find(reader, &format!("{FROM} WHERE i.incident = ?1"), values![incident])
}

/// All incidents, newest first.
pub(crate) fn all(reader: &Connection, open_only: bool) -> Result<Vec<IncidentRow>, DbError> {
    let rest = format!("{FROM} WHERE i.state = ?2 OR NOT ?1 ORDER BY i.opened DESC, i.incident DESC");
    list(reader, &rest, values![open_only, IncidentState::Open])
}

/// Incident ids of one year, such as `INC-2026-`. Used to propose the next id.
pub(crate) fn ids_with_prefix(reader: &Connection, prefix: &str) -> Result<Vec<IncidentId>, DbError> {
    let sql = "SELECT incident FROM incidents WHERE substr(incident, 1, length(?1)) = ?1";
    list_values(reader, "incidents", sql, values![prefix])
}

/// Remembers a detail object. `None`: the object is already erased.
pub(crate) fn insert_detail(
    tx: &Connection,
    digest: &Digest,
    index: u64,
    text: Option<String>,
) -> Result<(), DbError> {
    tx.prepare_cached(
        "INSERT INTO details (digest, idx, text) VALUES (?1, ?2, ?3) ON CONFLICT (digest) DO NOTHING",
    )?
    .execute(values![digest, index, text])?;
    Ok(())
}

/// Text of a detail object; `None` if it is unknown or erased.
pub(crate) fn detail(reader: &Connection, digest: &Digest) -> Result<Option<String>, DbError> {
    let sql = "SELECT text, digest FROM details WHERE digest = ?1";
    Ok(find_value::<Option<String>>(reader, "details", sql, values![digest])?.flatten())
}

/// Empties the copy of an erased detail object.
pub(crate) fn erase_detail(tx: &Connection, digest: &Digest) -> Result<(), DbError> {
    tx.execute("UPDATE details SET text = NULL WHERE digest = ?1", values![digest])?;
    Ok(())
}

/// The state of an incident. Fails if there is no such incident.
pub(crate) fn must_exist(tx: &Connection, incident: &IncidentId) -> Result<IncidentState, Denied> {
    match at(tx, incident)? {
        Some(row) => Ok(row.state),
        None => Err(Denied::no(Class::Missing, format!("there is no incident {incident}"))),
    }
}

/// A condition for acts that need an open incident.
pub(crate) fn guard_open(tx: &Connection, incident: &IncidentId) -> Result<(), Denied> {
    match must_exist(tx, incident)? {
        IncidentState::Open => Ok(()),
        state @ IncidentState::Closed => {
            Err(Denied::no(Class::Precondition, format!("incident {incident} is {state}; reopen it first")))
        }
    }
}
