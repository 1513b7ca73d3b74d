//! Endpoints: an endpoint admin's token admits a slot, and three keys enrol it. Later the endpoint is renewed
//! and retired.

use evidence::digest::Digest;
use evidence::enrolment::{EnrolmentRequest, Renewal, Token};
use evidence::id::{EndpointId, Generation};
use evidence::keys::PublicKey;

use super::acts::same_deployment;
use super::{Broken, BrokenRule, Case, Change, Rules};

/// A token that was admitted and has not been used yet.
#[derive(Debug, Clone)]
pub(super) struct Admitted {
    token: Token,
}

/// An endpoint.
#[derive(Debug, Clone)]
pub(super) struct Enrolled {
    pub(super) evidence_key: PublicKey,
    pub(super) is_retired: bool,
}

impl Rules {
    pub(super) fn admitted(&self, case: &Case<'_>, token: Token) -> Result<Change, Broken> {
        same_deployment(&token.deployment, case)?;
        case.refs(&[
            ("token", case.envelope.event.to_string()),
            ("endpoint", token.endpoint.to_string()),
            ("generation", token.generation.to_string()),
        ])?;
        Ok(Change::Token(case.envelope.event, Box::new(Admitted { token })))
    }

    pub(super) fn enrolment(&self, case: &Case<'_>) -> Result<Change, Broken> {
        let digest: Digest = case.digest("token")?;
        let Some(admitted) = self.tokens.get(&digest) else {
            return Err(BrokenRule::TokenUnknown.into());
        };
        let request = EnrolmentRequest::verify(&case.signed()?, &admitted.token, digest)
            .map_err(BrokenRule::Enrolment)?;
        same_deployment(&request.deployment, case)?;
        if case.envelope.time >= admitted.token.not_after {
            return Err(BrokenRule::TokenExpired.into());
        }
        case.refs(&[
            ("endpoint", request.endpoint.to_string()),
            ("generation", request.generation.to_string()),
            ("evidence_key", request.evidence_key.fingerprint().to_string()),
        ])?;
        let (endpoint, generation) = (request.endpoint, request.generation);
        let id = (endpoint.clone(), generation.number());
        if self.endpoints.contains_key(&id) {
            return Err(BrokenRule::EndpointEnrolledBefore { endpoint, generation }.into());
        }
        let enrolled = Enrolled { evidence_key: request.evidence_key, is_retired: false };
        Ok(Change::Enrolled(id, Box::new(enrolled), digest))
    }

    pub(super) fn renewal(&self, case: &Case<'_>) -> Result<Change, Broken> {
        let signed = case.signed()?;
        let unverified: Renewal = signed.read().map_err(BrokenRule::Signed)?;
        let endpoint = self.live(&unverified.endpoint, unverified.generation)?;
        let renewal = Renewal::verify(&signed, &endpoint.evidence_key).map_err(BrokenRule::Enrolment)?;
        same_deployment(&renewal.deployment, case)?;
        case.refs(&[
            ("endpoint", renewal.endpoint.to_string()),
            ("generation", renewal.generation.to_string()),
        ])?;
        Ok(Change::None)
    }

    pub(super) fn retired(&self, case: &Case<'_>) -> Result<Change, Broken> {
        let endpoint = case.envelope.reference("endpoint").and_then(|id| id.parse().ok());
        let generation = case.envelope.reference("generation").and_then(|number| number.parse().ok());
        let (Some(endpoint), Some(generation)) = (endpoint, generation) else {
            return Err(BrokenRule::EndpointMissing.into());
        };
        let generation: Generation = generation;
        // A slot may be retired before anyone enrolled in it. Then there is nothing to take away.
        Ok(Change::Retired((endpoint, generation.number())))
    }

    /// An endpoint that is enrolled and not retired.
    pub(super) fn live(&self, id: &EndpointId, generation: Generation) -> Result<&Enrolled, Broken> {
        match self.endpoints.get(&(id.clone(), generation.number())) {
            Some(found) if found.is_retired => {
                Err(BrokenRule::EndpointRetired { endpoint: id.clone(), generation }.into())
            }
            Some(found) => Ok(found),
            None => Err(BrokenRule::EndpointNeverEnrolled { endpoint: id.clone(), generation }.into()),
        }
    }
}
