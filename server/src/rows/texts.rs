//! Decides which texts of approved plans stay. Mirrors follow the same rule, `evidence::disposal::text_stays`.
//! Guarantee: the decision is made inside the caller's transaction, so that a recorded hold
//! counts at once.

use evidence::digest::Digest;
use evidence::disposal::Claim;
use evidence::id::Chain;
use evidence::time::Time;
use rusqlite::Connection;

use crate::rows::retention::may_be_destroyed;
use crate::rows::{DbError, disposals};

/// Whether a text that an approved plan names stays at `now`.
pub(crate) fn text_stays(reader: &Connection, text: &Digest, now: Time) -> Result<bool, DbError> {
    let mut of_deployment = false;
    let mut claims = Vec::new();
    for row in disposals::namings(reader, text)? {
        let Chain::Incident(incident) = &row.incident else {
            of_deployment = true;
            continue;
        };
        claims.push(Claim {
            named: row.named,
            planned: row.planned,
            is_reason: row.is_reason,
            is_free: may_be_destroyed(reader, incident, now)?,
        });
    }
    Ok(evidence::disposal::text_stays(of_deployment, claims))
}
