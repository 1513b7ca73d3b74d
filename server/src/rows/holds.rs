//! Legal holds and retention of incidents.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::DbError;

/// A hold that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldRow {
    /// Event id of its `hold.placed`.
    pub hold: [u8; 32],
    /// When it was placed.
    pub placed: String,
    /// Who placed it.
    pub by: String,
    /// Why; `None` if the reason was erased or never given.
    pub reason: Option<String>,
}

/// Places a hold.
pub fn place(
    tx: &Connection,
    incident: &str,
    row: &HoldRow,
    detail: Option<&[u8; 32]>,
) -> Result<(), DbError> {
    tx.prepare_cached(
        "INSERT INTO holds (hold, incident, placed, by, detail, released) VALUES (?1, ?2, ?3, ?4, ?5, '')",
    )?
    .execute(params![row.hold, incident, row.placed, row.by, detail])?;
    Ok(())
}

/// Ends a hold of this incident. If the hold is not in force, nothing changes: the act's guard has already
/// refused that.
pub fn release(tx: &Connection, incident: &str, hold: &[u8; 32], time: &str) -> Result<(), DbError> {
    tx.prepare_cached("UPDATE holds SET released = ?3 WHERE hold = ?2 AND incident = ?1 AND released = ''")?
        .execute(params![incident, hold, time])?;
    Ok(())
}

/// The holds of an incident that are in force, oldest first.
pub fn standing(reader: &Connection, incident: &str) -> Result<Vec<HoldRow>, DbError> {
    let mut statement = reader.prepare_cached(
        "SELECT h.hold, h.placed, h.by, d.text FROM holds AS h LEFT JOIN details AS d ON d.digest = h.detail
         WHERE h.incident = ?1 AND h.released = '' ORDER BY h.placed, h.hold",
    )?;
    let rows = statement.query_map([incident], |row| {
        Ok(HoldRow { hold: row.get(0)?, placed: row.get(1)?, by: row.get(2)?, reason: row.get(3)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Sets the time until which an incident's evidence is kept at least.
pub fn set_retention(tx: &Connection, incident: &str, until: &str) -> Result<(), DbError> {
    tx.prepare_cached(
        "INSERT INTO retention (incident, until) VALUES (?1, ?2) ON CONFLICT (incident) DO UPDATE SET until = ?2",
    )?
    .execute([incident, until])?;
    Ok(())
}

/// The time until which an incident's evidence is kept at least; `None` means without end.
pub fn retention(reader: &Connection, incident: &str) -> Result<Option<String>, DbError> {
    let mut statement = reader.prepare_cached("SELECT until FROM retention WHERE incident = ?1")?;
    Ok(statement.query_row([incident], |row| row.get::<_, String>(0)).optional()?)
}
