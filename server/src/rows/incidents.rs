//! Incidents, and the erasable texts that acts name.

use evidence::entry::state::IncidentState;

use crate::rows::condition::Denied;
use proto::status::Class;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::DbError;
use super::column::{self, Sql};

/// One incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentRow {
    pub incident: String,
    /// Whether orders may be issued.
    pub state: IncidentState,
    pub severity: String,
    /// Traffic light.
    pub tlp: String,
    /// RSIT class.
    pub class: String,
    /// Digest of the title's detail object.
    pub detail: Option<[u8; 32]>,
    /// The title; `None` if it was erased or never given.
    pub title: Option<String>,
    /// When it was opened.
    pub opened: String,
    /// Who opened it.
    pub opened_by: String,
    /// When it was closed; empty while it is open.
    pub closed: String,
    /// Number of entries in its chain.
    pub entries: u64,
    pub collections: u64,
}

const SELECT: &str = "SELECT i.incident, i.state, i.severity, i.tlp, i.class, i.detail, d.text, i.opened, i.opened_by,
        i.closed, coalesce(c.next_seq, 0), (SELECT count(*) FROM collections AS x WHERE x.incident = i.incident)
    FROM incidents AS i LEFT JOIN details AS d ON d.digest = i.detail LEFT JOIN chains AS c ON c.incident = i.incident";

fn read_row(row: &Row<'_>) -> rusqlite::Result<IncidentRow> {
    Ok(IncidentRow {
        incident: row.get(0)?,
        state: column::get(row, 1)?,
        severity: row.get(2)?,
        tlp: row.get(3)?,
        class: row.get(4)?,
        detail: row.get(5)?,
        title: row.get(6)?,
        opened: row.get(7)?,
        opened_by: row.get(8)?,
        closed: row.get(9)?,
        entries: row.get(10)?,
        collections: row.get(11)?,
    })
}

/// Opens an incident. Fails if the id is taken.
pub fn insert(tx: &Connection, row: &IncidentRow) -> Result<(), DbError> {
    tx.prepare_cached(
        "INSERT INTO incidents (incident, state, severity, tlp, class, detail, opened, opened_by, closed)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        row.incident,
        Sql(&row.state),
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

/// Closes (`closed` = time) or reopens (`closed` empty) an incident.
pub fn set_state(tx: &Connection, incident: &str, state: IncidentState, closed: &str) -> Result<(), DbError> {
    tx.prepare_cached("UPDATE incidents SET state = ?2, closed = ?3 WHERE incident = ?1")?
        .execute(params![incident, Sql(&state), closed])?;
    Ok(())
}

/// One incident.
pub fn at(reader: &Connection, incident: &str) -> Result<Option<IncidentRow>, DbError> {
    let mut statement = reader.prepare_cached(&format!("{SELECT} WHERE i.incident = ?1"))?;
    Ok(statement.query_row([incident], read_row).optional()?)
}

/// All incidents, newest first.
pub fn all(reader: &Connection, open_only: bool) -> Result<Vec<IncidentRow>, DbError> {
    let mut statement = reader.prepare_cached(&format!(
        "{SELECT} WHERE i.state = ?2 OR NOT ?1 ORDER BY i.opened DESC, i.incident DESC"
    ))?;
    let rows = statement.query_map(params![open_only, Sql(&IncidentState::Open)], read_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Incident ids of one year, such as `INC-2026-`. Used to propose the next id.
pub fn ids_with_prefix(reader: &Connection, prefix: &str) -> Result<Vec<String>, DbError> {
    let mut statement =
        reader.prepare_cached("SELECT incident FROM incidents WHERE substr(incident, 1, length(?1)) = ?1")?;
    let rows = statement.query_map([prefix], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Remembers a detail object. `None`: the object is already erased.
pub fn insert_detail(
    tx: &Connection,
    digest: &[u8; 32],
    index: u64,
    text: Option<&str>,
) -> Result<(), DbError> {
    tx.prepare_cached(
        "INSERT INTO details (digest, idx, text) VALUES (?1, ?2, ?3) ON CONFLICT (digest) DO NOTHING",
    )?
    .execute(params![digest, index, text])?;
    Ok(())
}

/// Text of a detail object; `None` if it is unknown or erased.
pub fn detail(reader: &Connection, digest: &[u8; 32]) -> Result<Option<String>, DbError> {
    let mut statement = reader.prepare_cached("SELECT text FROM details WHERE digest = ?1")?;
    Ok(statement.query_row([digest], |row| row.get::<_, Option<String>>(0)).optional()?.flatten())
}

/// Empties the copy of an erased detail object.
pub fn erase_detail(tx: &Connection, digest: &[u8; 32]) -> Result<(), DbError> {
    tx.execute("UPDATE details SET text = NULL WHERE digest = ?1", [digest])?;
    Ok(())
}

/// The state of an incident. Fails if there is no such incident.
pub(crate) fn must_exist(tx: &Connection, incident: &str) -> Result<IncidentState, Denied> {
    match at(tx, incident)? {
        Some(row) => Ok(row.state),
        None => Err(Denied::no(Class::Missing, format!("there is no incident {incident}"))),
    }
}

/// A condition for acts that need an open incident.
pub fn guard_open(tx: &Connection, incident: &str) -> Result<(), Denied> {
    match must_exist(tx, incident)? {
        IncidentState::Open => Ok(()),
        state @ IncidentState::Closed => {
            Err(Denied::no(Class::Precondition, format!("incident {incident} is {state}; reopen it first")))
        }
    }
}
