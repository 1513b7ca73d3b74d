//! Tells handlers which endpoint, person or mirror calls.

use std::sync::Arc;

use certs::connection::PeerInfo;
use certs::name::Subject;
use evidence::id::{EndpointId, Generation, IncidentId, MirrorId, PersonId};
use evidence::signed::Signed;
use proto::status::Class;
use proto::v1;
use tonic::{Request, Status};

use crate::failure::{Failure, chain};

/// The endpoint that calls.
///
/// # Errors
/// If the caller is not an endpoint. The access table lets nobody else through.
pub fn endpoint<T>(request: &Request<T>) -> Result<(Arc<PeerInfo>, EndpointId, Generation), Failure> {
    let peer = peer(request)?;
    match &peer.identity.subject {
        Subject::Endpoint { id, generation } => Ok((Arc::clone(&peer), id.clone(), *generation)),
        _ => Err(Failure::forbidden("this call is for endpoints")),
    }
}

/// The person who calls.
///
/// # Errors
/// If the caller is not a person. The access table lets nobody else through.
pub fn person<T>(request: &Request<T>) -> Result<PersonId, Failure> {
    match &peer(request)?.identity.subject {
        Subject::Person(person) => Ok(person.clone()),
        _ => Err(Failure::forbidden("this call is for persons")),
    }
}

/// The mirror that calls. It may have been retired since; this function does not check that.
///
/// # Errors
/// If the caller is not a mirror. The access table lets nobody else through.
pub fn mirror<T>(request: &Request<T>) -> Result<MirrorId, Failure> {
    match &peer(request)?.identity.subject {
        Subject::Mirror(mirror) => Ok(mirror.clone()),
        _ => Err(Failure::forbidden("this call is for mirrors")),
    }
}

fn peer<T>(request: &Request<T>) -> Result<Arc<PeerInfo>, Failure> {
    certs::connection::peer(request)
        .ok_or_else(|| Failure::new(Class::Unidentified, "the connection has no identity"))
}

/// The incidents that a request for a list asks for.
pub enum Filter {
    /// Every incident.
    All,
    /// A text that names no incident: the list is empty.
    Nothing,
    One(IncidentId),
}

/// Reads the incident in a request for a list. The empty text asks for all incidents.
pub fn incident_filter(text: &str) -> Filter {
    match (text, text.parse()) {
        ("", _) => Filter::All,
        (_, Ok(incident)) => Filter::One(incident),
        (_, Err(_names_none)) => Filter::Nothing,
    }
}

/// Reads a signed document that the request must contain.
pub fn signed(field: &'static str, message: Option<v1::SignedDocument>) -> Result<Signed, Status> {
    Ok(proto::convert::signed(field, message)?)
}

/// Parses a digest.
pub fn digest(field: &'static str, text: &str) -> Result<evidence::digest::Digest, Failure> {
    proto::convert::digest(field, text).map_err(|error| Failure::malformed(chain(&error)))
}
