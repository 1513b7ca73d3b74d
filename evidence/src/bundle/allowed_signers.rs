//! `deployment/allowed_signers`: the keys of a bundle as stock `ssh-keygen -Y verify` reads them.
//! Guarantee: one roster and one set of enrolments give one file, in whatever order the caller met the endpoints.

use std::collections::BTreeMap;

use crate::enrolment::EnrolmentRequest;
use crate::id::{EndpointId, Generation};
use crate::keys::PublicKey;
use crate::roster::Roster;

/// The namespaces in which an endpoint's key may sign.
const ENDPOINT_NAMESPACES: &str =
    "exhibit-delegation-v1,exhibit-enrolment-v1,exhibit-manifest-v1,exhibit-renewal-v1";

/// An endpoint's evidence key in one of its enrolments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolledKey {
    /// The endpoint's name.
    pub endpoint: EndpointId,
    /// Which of its enrolments.
    pub generation: Generation,
    /// The key that signs its delegations and manifests.
    pub evidence_key: PublicKey,
}

impl From<&EnrolmentRequest> for EnrolledKey {
    fn from(enrolment: &EnrolmentRequest) -> Self {
        Self {
            endpoint: enrolment.endpoint.clone(),
            generation: enrolment.generation,
            evidence_key: enrolment.evidence_key.clone(),
        }
    }
}

/// The file: the lines of the bundle's newest roster, then one line for each enrolment in the bundle, ordered by the bytes of the
/// endpoint's name and then by the generation as a number (`db-01#2` before `db-01#10`).
pub fn allowed_signers(newest: &Roster, enrolled: impl IntoIterator<Item = EnrolledKey>) -> Vec<u8> {
    let lines: BTreeMap<(EndpointId, Generation), PublicKey> =
        enrolled.into_iter().map(|one| ((one.endpoint, one.generation), one.evidence_key)).collect();
    let mut text = newest.allowed_lines();
    for ((endpoint, generation), key) in lines {
        text.push_str(&format!(
            "endpoint:{endpoint}#{generation} namespaces=\"{ENDPOINT_NAMESPACES}\" {key}\n"
        ));
    }
    text.into_bytes()
}
