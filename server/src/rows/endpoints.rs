//! Endpoints, the tokens that admit them, and when they were last seen (LIVE).

use evidence::digest::Digest;
use evidence::entry::state::EndpointState;
use evidence::id::{EndpointId, Generation};
use evidence::keys::{Fingerprint, PublicKey};
use evidence::time::Time;
use rusqlite::Connection;

use super::DbError;
use super::column::values;
use super::record::{find, find_readable, list, record};

record! {
    EndpointRow of "endpoints" by "endpoint", "generation" {
        endpoint: EndpointId = "endpoint",
        generation: Generation = "generation",
        state: EndpointState = "state",
        /// Digest of the token document.
        token: Digest = "token",
        /// Evidence key. This field and the next three are `None` until the endpoint enrols.
        evidence_key: Option<PublicKey> = "evidence_key",
        /// Fingerprint of the evidence key.
        fingerprint: Option<Fingerprint> = "fingerprint",
        /// SHA-256 of the SubjectPublicKeyInfo of its newest TLS key.
        tls_spki_sha256: Option<Digest> = "tls_spki_sha256",
        /// When it enrolled.
        enrolled: Option<Time> = "enrolled",
        /// Entry of the last change.
        index: u64 = "idx",
    }
}

record! {
    TokenRow of "tokens" by "token" {
        /// Digest of the token document.
        token: Digest = "token",
        endpoint: EndpointId = "endpoint",
        /// Generation it admits.
        generation: Generation = "generation",
        /// One-time key.
        key: PublicKey = "key",
        /// Until when it can be used.
        not_after: Time = "not_after",
        /// Entry `endpoint.admitted`.
        index: u64 = "idx",
        /// Event of the enrolment that used the token.
        used_by: Option<Digest> = "used_by",
    }
}

record! {
    /// What was last seen of an endpoint on the wire.
    LiveRow of "endpoint_live" by "endpoint" {
        endpoint: EndpointId = "endpoint",
        generation: Generation = "generation",
        /// When it last spoke.
        last_seen: Time = "last_seen",
        /// Agent version.
        agent: String = "agent",
        /// Boot id of the endpoint.
        boot_id: String = "boot_id",
        /// Counter of the agent's state. If it goes back, the endpoint is a clone or a restored snapshot.
        state_generation: u64 = "state_generation",
    }
}

/// Admits an endpoint: its slot and its token.
///
/// # Errors
/// An error of the database. A generation is admitted only once.
pub(crate) fn admit(tx: &Connection, token: &TokenRow) -> Result<(), DbError> {
    tx.prepare_cached("INSERT INTO tokens (token, endpoint, generation, key, not_after, idx) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(values![token.token, token.endpoint, token.generation, token.key, token.not_after, token.index])?;
    // A lost or expired token may be replaced by another one for the same generation, if that has not
    // enrolled yet.
    tx.prepare_cached(
        "INSERT INTO endpoints (endpoint, generation, state, token, evidence_key, fingerprint, tls_spki_sha256, enrolled, idx)
         VALUES (?1, ?2, ?5, ?3, '', '', NULL, '', ?4)
         ON CONFLICT (endpoint, generation) DO UPDATE SET token = excluded.token, idx = excluded.idx
         WHERE state = ?5",
    )?
    .execute(values![token.endpoint, token.generation, token.token, token.index, EndpointState::Admitted])?;
    Ok(())
}

/// Enrols an admitted generation. It supersedes the earlier ones.
pub(crate) fn enrol(tx: &Connection, row: &EndpointRow, event: &Digest) -> Result<(), DbError> {
    tx.prepare_cached("UPDATE tokens SET used_by = ?2 WHERE token = ?1")?
        .execute(values![row.token, event])?;
    tx.prepare_cached(
        "UPDATE endpoints SET state = ?4, idx = ?3
         WHERE endpoint = ?1 AND generation < ?2 AND state IN (?5, ?6)",
    )?
    .execute(values![
        row.endpoint,
        row.generation,
        row.index,
        EndpointState::Superseded,
        EndpointState::Admitted,
        EndpointState::Enrolled
    ])?;
    tx.prepare_cached(
        "INSERT INTO endpoints (endpoint, generation, state, token, evidence_key, fingerprint, tls_spki_sha256, enrolled, idx)
         VALUES (?1, ?2, ?9, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (endpoint, generation) DO UPDATE SET state = excluded.state, token = excluded.token,
             evidence_key = excluded.evidence_key, fingerprint = excluded.fingerprint, tls_spki_sha256 = excluded.tls_spki_sha256,
             enrolled = excluded.enrolled, idx = excluded.idx",
    )?
    .execute(values![
        row.endpoint,
        row.generation,
        row.token,
        row.evidence_key,
        row.fingerprint,
        row.tls_spki_sha256,
        row.enrolled,
        row.index,
        EndpointState::Enrolled
    ])?;
    Ok(())
}

/// Records the TLS key after a renewal.
pub(crate) fn renew(
    tx: &Connection,
    endpoint: &EndpointId,
    generation: Generation,
    tls_spki_sha256: &Digest,
    index: u64,
) -> Result<(), DbError> {
    tx.prepare_cached(
        "UPDATE endpoints SET tls_spki_sha256 = ?3, idx = ?4 WHERE endpoint = ?1 AND generation = ?2",
    )?
    .execute(values![endpoint, generation, tls_spki_sha256, index])?;
    Ok(())
}

/// Retires a generation.
pub(crate) fn retire(
    tx: &Connection,
    endpoint: &EndpointId,
    generation: Generation,
    index: u64,
) -> Result<(), DbError> {
    tx.prepare_cached("UPDATE endpoints SET state = ?4, idx = ?3 WHERE endpoint = ?1 AND generation = ?2")?
        .execute(values![endpoint, generation, index, EndpointState::Retired])?;
    Ok(())
}

/// One generation of an endpoint.
pub(crate) fn at(
    reader: &Connection,
    endpoint: &EndpointId,
    generation: Generation,
) -> Result<Option<EndpointRow>, DbError> {
    find(reader, "FROM endpoints WHERE endpoint = ?1 AND generation = ?2", values![endpoint, generation])
}

/// Every generation of every endpoint, by name.
pub(crate) fn all(reader: &Connection) -> Result<Vec<EndpointRow>, DbError> {
    list(reader, "FROM endpoints ORDER BY endpoint, generation", values![])
}

/// Every generation of one endpoint.
pub(crate) fn of(reader: &Connection, endpoint: &EndpointId) -> Result<Vec<EndpointRow>, DbError> {
    list(reader, "FROM endpoints WHERE endpoint = ?1 ORDER BY generation", values![endpoint])
}

/// A token by the digest of its document.
pub(crate) fn token(reader: &Connection, token: &Digest) -> Result<Option<TokenRow>, DbError> {
    find(reader, "FROM tokens WHERE token = ?1", values![token])
}

/// Records that an endpoint was seen.
pub(crate) fn seen(tx: &Connection, live: &LiveRow) -> Result<(), DbError> {
    tx.prepare_cached(
        "INSERT INTO endpoint_live (endpoint, generation, last_seen, agent, boot_id, state_generation)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (endpoint) DO UPDATE SET generation = excluded.generation, last_seen = excluded.last_seen,
             agent = excluded.agent, boot_id = excluded.boot_id, state_generation = excluded.state_generation",
    )?
    .execute(values![live.endpoint, live.generation, live.last_seen, live.agent, live.boot_id, live.state_generation])?;
    Ok(())
}

/// What was last seen of an endpoint. A row that cannot be read counts as none: it would stop every start, and the endpoint's
/// next connection writes it again.
pub(crate) fn live(reader: &Connection, endpoint: &EndpointId) -> Result<Option<LiveRow>, DbError> {
    find_readable(reader, "FROM endpoint_live WHERE endpoint = ?1", values![endpoint])
}
