//! Endpoints, the tokens that admit them, and when they were last seen (LIVE).

use evidence::entry::state::EndpointState;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::DbError;
use super::column::{self, Sql};

/// One generation of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointRow {
    pub endpoint: String,
    pub generation: u32,
    /// State of this generation.
    pub state: EndpointState,
    /// Digest of the token document.
    pub token: [u8; 32],
    /// Evidence key (public, text); empty until enrolled.
    pub evidence_key: String,
    /// Its fingerprint; empty until enrolled.
    pub fingerprint: String,
    /// TLS key (public, text); empty until enrolled.
    pub tls_key: String,
    /// When it enrolled; empty until then.
    pub enrolled: String,
    /// Entry of the last change.
    pub index: u64,
}

const COLUMNS: &str = "endpoint, generation, state, token, evidence_key, fingerprint, tls_key, enrolled, idx";

fn read_row(row: &Row<'_>) -> rusqlite::Result<EndpointRow> {
    Ok(EndpointRow {
        endpoint: row.get(0)?,
        generation: row.get(1)?,
        state: column::get(row, 2)?,
        token: row.get(3)?,
        evidence_key: row.get(4)?,
        fingerprint: row.get(5)?,
        tls_key: row.get(6)?,
        enrolled: row.get(7)?,
        index: row.get(8)?,
    })
}

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Digest of the token document.
    pub token: [u8; 32],
    /// The token is valid until this time.
    pub endpoint: String,
    /// Generation it admits.
    pub generation: u32,
    /// One-time key (public, text).
    pub key: String,
    /// Until when it can be used.
    pub not_after: String,
    /// Entry `endpoint.admitted`.
    pub index: u64,
    /// Event of the enrolment that used the token.
    pub used_by: Option<[u8; 32]>,
}

/// What was last seen of an endpoint on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveRow {
    pub endpoint: String,
    pub generation: u32,
    /// When it last spoke.
    pub last_seen: String,
    /// Agent version.
    pub agent: String,
    /// Boot id of the endpoint.
    pub boot_id: String,
    /// Counter of the agent's state. If it goes back, the endpoint is a clone or a restored snapshot.
    pub state_generation: u64,
}

/// Admits an endpoint: its slot and its token.
///
/// # Errors
/// An error of the database. A generation is admitted only once.
pub fn admit(tx: &Connection, token: &TokenRow) -> Result<(), DbError> {
    tx.prepare_cached("INSERT INTO tokens (token, endpoint, generation, key, not_after, idx) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![token.token, token.endpoint, token.generation, token.key, token.not_after, token.index])?;
    // A lost or expired token may be replaced by another one for the same generation, if that has not
    // enrolled yet.
    tx.prepare_cached(
        "INSERT INTO endpoints (endpoint, generation, state, token, evidence_key, fingerprint, tls_key, enrolled, idx)
         VALUES (?1, ?2, ?5, ?3, '', '', '', '', ?4)
         ON CONFLICT (endpoint, generation) DO UPDATE SET token = excluded.token, idx = excluded.idx
         WHERE state = ?5",
    )?
    .execute(params![token.endpoint, token.generation, token.token, token.index, Sql(&EndpointState::Admitted)])?;
    Ok(())
}

/// Enrols an admitted generation. It supersedes the earlier ones.
pub fn enrol(tx: &Connection, row: &EndpointRow, event: &[u8; 32]) -> Result<(), DbError> {
    tx.prepare_cached("UPDATE tokens SET used_by = ?2 WHERE token = ?1")?
        .execute(params![row.token, event])?;
    tx.prepare_cached(
        "UPDATE endpoints SET state = ?4, idx = ?3
         WHERE endpoint = ?1 AND generation < ?2 AND state IN (?5, ?6)",
    )?
    .execute(params![
        row.endpoint,
        row.generation,
        row.index,
        Sql(&EndpointState::Superseded),
        Sql(&EndpointState::Admitted),
        Sql(&EndpointState::Enrolled)
    ])?;
    tx.prepare_cached(
        "INSERT INTO endpoints (endpoint, generation, state, token, evidence_key, fingerprint, tls_key, enrolled, idx)
         VALUES (?1, ?2, ?9, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (endpoint, generation) DO UPDATE SET state = excluded.state, token = excluded.token,
             evidence_key = excluded.evidence_key, fingerprint = excluded.fingerprint, tls_key = excluded.tls_key,
             enrolled = excluded.enrolled, idx = excluded.idx",
    )?
    .execute(params![
        row.endpoint,
        row.generation,
        row.token,
        row.evidence_key,
        row.fingerprint,
        row.tls_key,
        row.enrolled,
        row.index,
        Sql(&EndpointState::Enrolled)
    ])?;
    Ok(())
}

/// Records the TLS key after a renewal.
pub fn renew(
    tx: &Connection,
    endpoint: &str,
    generation: u32,
    tls_key: &str,
    index: u64,
) -> Result<(), DbError> {
    tx.prepare_cached("UPDATE endpoints SET tls_key = ?3, idx = ?4 WHERE endpoint = ?1 AND generation = ?2")?
        .execute(params![endpoint, generation, tls_key, index])?;
    Ok(())
}

/// Retires a generation.
pub fn retire(tx: &Connection, endpoint: &str, generation: u32, index: u64) -> Result<(), DbError> {
    tx.prepare_cached("UPDATE endpoints SET state = ?4, idx = ?3 WHERE endpoint = ?1 AND generation = ?2")?
        .execute(params![endpoint, generation, index, Sql(&EndpointState::Retired)])?;
    Ok(())
}

/// One generation of an endpoint.
pub fn at(reader: &Connection, endpoint: &str, generation: u32) -> Result<Option<EndpointRow>, DbError> {
    let mut statement = reader.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM endpoints WHERE endpoint = ?1 AND generation = ?2"
    ))?;
    Ok(statement.query_row(params![endpoint, generation], read_row).optional()?)
}

/// Every generation of every endpoint, by name.
pub fn all(reader: &Connection) -> Result<Vec<EndpointRow>, DbError> {
    let mut statement =
        reader.prepare_cached(&format!("SELECT {COLUMNS} FROM endpoints ORDER BY endpoint, generation"))?;
    let rows = statement.query_map([], read_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A token by the digest of its document.
pub fn token(reader: &Connection, token: &[u8; 32]) -> Result<Option<TokenRow>, DbError> {
    let mut statement = reader.prepare_cached(
        "SELECT token, endpoint, generation, key, not_after, idx, used_by FROM tokens WHERE token = ?1",
    )?;
    let found = statement.query_row([token], |row| {
        Ok(TokenRow {
            token: row.get(0)?,
            endpoint: row.get(1)?,
            generation: row.get(2)?,
            key: row.get(3)?,
            not_after: row.get(4)?,
            index: row.get(5)?,
            used_by: row.get(6)?,
        })
    });
    Ok(found.optional()?)
}

/// Records that an endpoint was seen.
pub fn seen(tx: &Connection, live: &LiveRow) -> Result<(), DbError> {
    tx.prepare_cached(
        "INSERT INTO endpoint_live (endpoint, generation, last_seen, agent, boot_id, state_generation)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (endpoint) DO UPDATE SET generation = excluded.generation, last_seen = excluded.last_seen,
             agent = excluded.agent, boot_id = excluded.boot_id, state_generation = excluded.state_generation",
    )?
    .execute(params![live.endpoint, live.generation, live.last_seen, live.agent, live.boot_id, live.state_generation])?;
    Ok(())
}

/// What was last seen of an endpoint.
pub fn live(reader: &Connection, endpoint: &str) -> Result<Option<LiveRow>, DbError> {
    let mut statement = reader.prepare_cached(
        "SELECT endpoint, generation, last_seen, agent, boot_id, state_generation FROM endpoint_live WHERE endpoint = ?1",
    )?;
    let found = statement.query_row([endpoint], |row| {
        Ok(LiveRow {
            endpoint: row.get(0)?,
            generation: row.get(1)?,
            last_seen: row.get(2)?,
            agent: row.get(3)?,
            boot_id: row.get(4)?,
            state_generation: row.get(5)?,
        })
    });
    Ok(found.optional()?)
}
