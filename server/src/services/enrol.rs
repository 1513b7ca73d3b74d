//! Enrols endpoints: an admin registers a token; the endpoint signs its enrolment with two keys, and renews it later.
//!
//! Guarantee: a token enrols one endpoint. The next enrolment of the same slot is the next generation. No two endpoints share a
//! key. The collector writes the entry before the certificate leaves, and earlier generations lose their access at once. If the
//! answer got lost and the endpoint repeats the same enrolment, it gets the same answer. Not here: the endpoint's own checks of the
//! answer (`evidence::enrolment`).

pub(crate) mod wire;

use certs::authority::{ENDPOINT_GRACE, ENDPOINT_LIFE};
use certs::key::TlsPublicKey;
use certs::name::{Identity, Subject};
use certs::request::{Named, Request};
use evidence::digest::Digest;
use evidence::enrolment::{EnrolmentRequest, Renewal, Token};
use evidence::entry::state::EndpointState;
use evidence::entry::{ActObject, EntryType};
use evidence::id::{Chain, EndpointId, Generation};
use evidence::keys::PublicKey;
use evidence::signed::Signed;
use proto::status::Class;
use proto::v1;
use rusqlite::Connection;
use store::Key;

use crate::collector::Collector;
use crate::failure::{Failure, OrFailure as _, chain};
use crate::log::recorder::Recorded;
use crate::rows::condition::{Condition, Denied};
use crate::rows::endpoints::EndpointRow;
use crate::rows::{self, DbError};

/// Registers a token, which admits the slot.
///
/// # Errors
/// A refusal if the token pins another deployment, or does not name the slot's next generation.
pub async fn register_token(collector: &Collector, signed: Signed) -> Result<Recorded, Failure> {
    let now = crate::clock::now();
    let published = collector.people.in_force(now)?;
    let token =
        Token::verify(&signed, published.roster()).map_err(|error| Failure::forbidden(chain(&error)))?;
    token.check_time(now).map_err(|error| Failure::precondition(chain(&error)))?;
    for (what, same) in [
        ("collector_id", token.collector_id == collector.id),
        ("authority", token.authority == collector.people.authority().id()),
        ("ca_sha256", token.ca_sha256.0 == collector.authority.fingerprint()),
        ("log_key", token.log_key.as_str() == collector.log_key),
    ] {
        if !same {
            return Err(Failure::malformed(format!("the token pins another {what} than this deployment's")));
        }
    }
    let refs = [
        ("endpoint", token.endpoint.to_string()),
        ("generation", token.generation.to_string()),
        ("token", signed.digest().to_string()),
    ];
    let (endpoint, generation) = (token.endpoint.clone(), token.generation);
    let condition: Condition = Box::new(move |tx| may_admit(tx, &endpoint, generation));
    collector
        .recorder
        .record_if(EntryType::EndpointAdmitted, Chain::Deployment, &refs, ActObject::from(signed), condition)
        .await
}

/// Checks that the token is for the generation after the newest that enrolled.
fn may_admit(tx: &Connection, endpoint: &EndpointId, generation: Generation) -> Result<(), Denied> {
    check_next(endpoint, newest_enrolled(tx, endpoint)?, generation.number())
}

fn check_next(endpoint: &EndpointId, newest: u32, generation: u32) -> Result<(), Denied> {
    let text = match newest.checked_add(1) {
        Some(next) if next == generation => return Ok(()),
        Some(next) => {
            format!("endpoint {endpoint} is at generation {newest}; the token must name generation {next}")
        }
        None => {
            format!("endpoint {endpoint} has used its last generation, {newest}; enrol it under another name")
        }
    };
    Err(Denied::no(Class::Precondition, text))
}

/// The newest generation that ever enrolled; 0 if none did.
fn newest_enrolled(tx: &Connection, endpoint: &EndpointId) -> Result<u32, DbError> {
    let rows = rows::endpoints::all(tx)?;
    let taken = rows.iter().filter(|row| row.endpoint == *endpoint && row.state != EndpointState::Admitted);
    Ok(taken.map(|row| row.generation.number()).max().unwrap_or(0))
}

/// Enrols an endpoint.
///
/// # Errors
/// A refusal that names the mismatch. Nothing is recorded then.
pub async fn enrol(collector: &Collector, signed: Signed, csr: &[u8]) -> Result<v1::EnrolResponse, Failure> {
    let request: EnrolmentRequest = signed.read().map_err(|error| Failure::malformed(chain(&error)))?;
    let (token_row, token) = registered(collector, &request.token).await?;
    let request = EnrolmentRequest::verify(&signed, &token, request.token)
        .map_err(|error| Failure::new(Class::Unidentified, chain(&error)))?;
    let named = Named {
        spki_sha256: &request.tls_spki_sha256,
        csr_sha256: &request.csr_sha256,
        challenge: &request.nonce.0,
    };
    let tls_key = requested(csr, named)?;
    let event = signed.digest();
    let is_again = token_row.used_by == Some(event);
    if !is_again {
        token.check_time(crate::clock::now()).map_err(|error| Failure::precondition(chain(&error)))?;
    }
    let refs = [
        ("endpoint", request.endpoint.to_string()),
        ("evidence_key", request.evidence_key.fingerprint().to_string()),
        ("generation", request.generation.to_string()),
        ("token", request.token.to_string()),
    ];
    let wanted = Wanted {
        endpoint: request.endpoint.clone(),
        generation: request.generation,
        token: request.token,
        evidence_key: request.evidence_key.clone(),
        tls_spki_sha256: request.tls_spki_sha256,
    };
    let condition: Condition = Box::new(move |tx| may_enrol(tx, &wanted));
    let recorded = collector
        .recorder
        .record_if(EntryType::AgentEnrolled, Chain::Deployment, &refs, ActObject::from(signed), condition)
        .await?;
    if !recorded.is_new {
        // A replay must not bring back a generation that was renewed, superseded or retired meanwhile.
        still_current(collector, &request.endpoint, request.generation, &request.tls_spki_sha256).await?;
    }
    // The entry is recorded. Cut off every earlier generation before the new one can connect.
    collector.supersede_endpoint(&request.endpoint, request.generation);
    let certificates = issue(collector, &tls_key, request.endpoint.clone(), request.generation)?;
    tracing::info!(endpoint = %request.endpoint, generation = %request.generation, "Endpoint enrolled");
    let authority = collector.people.authority();
    Ok(v1::EnrolResponse {
        certificates: certificates.into_iter().map(Into::into).collect(),
        rosters: collector.rosters(0).await?,
        authority_keys: authority.keys.iter().map(ToString::to_string).collect(),
        authority_threshold: authority.threshold,
        enrolled: Some(recorded.proven.into()),
        log_keys: Some(collector.log_key_changes().await?),
    })
}

struct Wanted {
    endpoint: EndpointId,
    generation: Generation,
    token: Digest,
    evidence_key: PublicKey,
    tls_spki_sha256: Digest,
}

fn may_enrol(tx: &Connection, wanted: &Wanted) -> Result<(), Denied> {
    let used = |what: &str| Denied::no(Class::Exists, format!("{what}; ask for a new token"));
    match rows::endpoints::token(tx, &wanted.token)? {
        None => {
            return Err(Denied::no(Class::Missing, "no such token is registered".to_owned()));
        }
        Some(row) if row.used_by.is_some() => return Err(used("the token is used")),
        Some(_) => {}
    }
    match rows::endpoints::at(tx, &wanted.endpoint, wanted.generation)? {
        Some(row) if row.state == EndpointState::Admitted && row.token == wanted.token => {}
        Some(row) if row.state == EndpointState::Admitted => {
            return Err(used("a newer token took its place"));
        }
        _ => return Err(used("the slot is taken")),
    }
    may_admit(tx, &wanted.endpoint, wanted.generation)?;
    let taken = rows::endpoints::all(tx)?.iter().any(|row| {
        row.evidence_key.as_ref() == Some(&wanted.evidence_key)
            || row.tls_spki_sha256 == Some(wanted.tls_spki_sha256)
    });
    if taken {
        return Err(Denied::no(
            Class::Exists,
            "one of the keys belongs to another enrolment; make new ones".to_owned(),
        ));
    }
    Ok(())
}

async fn registered(
    collector: &Collector,
    token: &Digest,
) -> Result<(rows::endpoints::TokenRow, Token), Failure> {
    let id = *token;
    let row = collector.db.read_async(move |db| rows::endpoints::token(db, &id)).await?;
    let Some(row) = row else {
        return Err(Failure::missing("no such token is registered"));
    };
    let signed = collector.document(Key::document(id.as_bytes())).await?;
    let token = signed.read().or_internal("read the token")?;
    Ok((row, token))
}

/// Renews a certificate. With `expired`, the endpoint calls on the enrolment listener, inside the grace period.
///
/// # Errors
/// A refusal that names the mismatch.
pub async fn renew(
    collector: &Collector,
    signed: Signed,
    csr: &[u8],
    caller: Option<(&EndpointId, Generation)>,
) -> Result<Vec<Vec<u8>>, Failure> {
    let unverified: Renewal = signed.read().map_err(|error| Failure::malformed(chain(&error)))?;
    if caller.is_some_and(|caller| caller != (&unverified.endpoint, unverified.generation)) {
        return Err(Failure::forbidden("an endpoint renews its own certificate only"));
    }
    let row = enrolled(collector, &unverified.endpoint, unverified.generation).await?;
    let evidence_key = row
        .evidence_key
        .ok_or_else(|| Failure::internal("read the endpoint's key", "an enrolled endpoint has no key"))?;
    let renewal = Renewal::verify(&signed, &evidence_key)
        .map_err(|error| Failure::new(Class::Unidentified, chain(&error)))?;
    if renewal.deployment != collector.deployment {
        return Err(Failure::malformed("the renewal is of another deployment"));
    }
    let named = Named {
        spki_sha256: &renewal.tls_spki_sha256,
        csr_sha256: &renewal.csr_sha256,
        challenge: &renewal.nonce.0,
    };
    let tls_key = requested(csr, named)?;
    if caller.is_none() {
        within_grace(collector, row.index).await?;
    }
    let refs = [("endpoint", renewal.endpoint.to_string()), ("generation", renewal.generation.to_string())];
    let (endpoint, generation) = (renewal.endpoint.clone(), renewal.generation);
    let condition: Condition = Box::new(move |tx| match rows::endpoints::at(tx, &endpoint, generation)? {
        Some(row) if row.state == EndpointState::Enrolled => Ok(()),
        _ => Err(Denied::no(Class::Forbidden, format!("{endpoint}#{generation} is not enrolled"))),
    });
    let recorded = collector
        .recorder
        .record_if(EntryType::AgentRenewed, Chain::Deployment, &refs, ActObject::from(signed), condition)
        .await?;
    if !recorded.is_new {
        // A replayed old renewal must not certify a key that a newer renewal replaced.
        still_current(collector, &renewal.endpoint, renewal.generation, &renewal.tls_spki_sha256).await?;
    }
    issue(collector, &tls_key, renewal.endpoint, renewal.generation)
}

async fn enrolled(
    collector: &Collector,
    endpoint: &EndpointId,
    generation: Generation,
) -> Result<EndpointRow, Failure> {
    let id = endpoint.clone();
    let row = collector.db.read_async(move |db| rows::endpoints::at(db, &id, generation)).await?;
    row.filter(|row| row.state == EndpointState::Enrolled).ok_or_else(|| {
        Failure::forbidden(format!("{endpoint}#{generation} is not enrolled here; enrol it anew"))
    })
}

async fn still_current(
    collector: &Collector,
    endpoint: &EndpointId,
    generation: Generation,
    tls_spki_sha256: &Digest,
) -> Result<(), Failure> {
    let row = enrolled(collector, endpoint, generation).await?;
    if row.tls_spki_sha256.as_ref() == Some(tls_spki_sha256) {
        return Ok(());
    }
    Err(Failure::precondition("a newer certificate request took the place of this one"))
}

/// The row last changed when the newest certificate was issued. After the certificate's life and the grace period the endpoint must
/// enrol anew.
async fn within_grace(collector: &Collector, index: u64) -> Result<(), Failure> {
    let entry = collector.db.read_async(move |db| rows::entries::at(db, index)).await?;
    let Some(entry) = entry else {
        return Err(Failure::internal("renew the certificate", format!("entry {index} has no row")));
    };
    let end = crate::clock::end_of_wait(entry.time, ENDPOINT_LIFE + ENDPOINT_GRACE);
    if crate::clock::now() <= end {
        return Ok(());
    }
    Err(Failure::precondition(format!(
        "the certificate could be renewed until {end}; enrol the endpoint anew"
    )))
}

/// The key of a certificate request that a signed document names. The request itself proves that its maker has the key.
pub(crate) fn requested(csr: &[u8], named: Named<'_>) -> Result<TlsPublicKey, Failure> {
    Request::read_named(csr, named).map_err(|error| Failure::malformed(chain(&error)))
}

fn issue(
    collector: &Collector,
    key: &TlsPublicKey,
    id: EndpointId,
    generation: Generation,
) -> Result<Vec<Vec<u8>>, Failure> {
    let identity = Identity::new(collector.deployment.clone(), Subject::Endpoint { id, generation });
    collector.issue(key, &identity, ENDPOINT_LIFE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_generation_follows_the_last_one() {
        let endpoint: EndpointId = "web-1".parse().unwrap();
        assert!(check_next(&endpoint, 0, 1).is_ok());
        assert!(check_next(&endpoint, u32::MAX - 1, u32::MAX).is_ok());
        for (newest, generation) in [(0, 0), (0, 2), (1, 1), (u32::MAX, u32::MAX), (u32::MAX, 0)] {
            assert!(check_next(&endpoint, newest, generation).is_err(), "{generation} after {newest}");
        }
    }
}
