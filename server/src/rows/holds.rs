//! Legal holds and retention of incidents.

use evidence::digest::Digest;
use evidence::id::{Actor, IncidentId};
use evidence::time::Time;
use rusqlite::Connection;

use super::DbError;
use super::column::values;
use super::record::{find_value, list, record};

record! {
    /// A hold that is in force.
    HoldRow of "holds" by "h.incident", "h.hold" {
        /// Event id of its `hold.placed`.
        hold: Digest = "h.hold",
        placed: Time = "h.placed",
        /// The person who placed it.
        by: Actor = "h.by",
        /// Why; `None` if the reason was erased or never given.
        reason: Option<String> = "d.text",
    }
}

/// Places a hold.
pub(crate) fn place(
    tx: &Connection,
    incident: &IncidentId,
    row: &HoldRow,
    detail: Option<Digest>,
) -> Result<(), DbError> {
    tx.prepare_cached(
        "INSERT INTO holds (hold, incident, placed, by, detail, released) VALUES (?1, ?2, ?3, ?4, ?5, '')",
    )?
    .execute(values![row.hold, incident, row.placed, row.by, detail])?;
    Ok(())
}

/// Ends a hold of this incident. If the hold is not in force, nothing changes: the act's guard has already
/// refused that.
pub(crate) fn release(
    tx: &Connection,
    incident: &IncidentId,
    hold: &Digest,
    time: Time,
) -> Result<(), DbError> {
    tx.prepare_cached("UPDATE holds SET released = ?3 WHERE hold = ?2 AND incident = ?1 AND released = ''")?
        .execute(values![incident, hold, time])?;
    Ok(())
}

/// The holds of an incident that are in force, oldest first.
pub(crate) fn standing(reader: &Connection, incident: &IncidentId) -> Result<Vec<HoldRow>, DbError> {
    let rest = "FROM holds AS h LEFT JOIN details AS d ON d.digest = h.detail
         WHERE h.incident = ?1 AND h.released = '' ORDER BY h.placed, h.hold";
    list(reader, rest, values![incident])
}

/// Sets the time until which an incident's evidence must be kept.
pub(crate) fn set_retention(tx: &Connection, incident: &IncidentId, until: Time) -> Result<(), DbError> {
    tx.prepare_cached(
        "INSERT INTO retention (incident, until) VALUES (?1, ?2) ON CONFLICT (incident) DO UPDATE SET until = ?2",
    )?
    .execute(values![incident, until])?;
    Ok(())
}

/// The time until which an incident's evidence must be kept; `None` means without end.
pub(crate) fn retention(reader: &Connection, incident: &IncidentId) -> Result<Option<Time>, DbError> {
    let sql = "SELECT until, incident FROM retention WHERE incident = ?1";
    find_value(reader, "retention", sql, values![incident])
}
