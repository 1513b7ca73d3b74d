//! Endpoints: enrolled with a token that an endpoint-admin signed, each key proving the others.

use evidence::enrolment::{EnrolmentRequest, Token};
use evidence::entry::EntryType;
use evidence::id::{EndpointId, Generation};
use evidence::roster::Role;

use crate::custody::{Custody, Proven, signer};
use crate::files::Files;
use crate::rosters::{Rosters, signed};
use crate::trust::chain;

/// Verifies the enrolment of one endpoint's generation and returns it.
pub(crate) fn check(
    files: &Files,
    endpoint: &EndpointId,
    generation: Generation,
    custody: &Custody,
    rosters: &Rosters,
) -> Result<EnrolmentRequest, String> {
    let token_signed = signed(files, &format!("deployment/token-{endpoint}-{generation}"))?;
    let enrolment_signed = signed(files, &format!("deployment/enrolment-{endpoint}-{generation}"))?;
    let token: Token = token_signed.read().map_err(|cause| chain(&cause))?;
    let enrolment = EnrolmentRequest::verify(&enrolment_signed, &token, token_signed.digest())
        .map_err(|cause| chain(&cause))?;
    if enrolment.endpoint != *endpoint || enrolment.generation != generation {
        return Err(format!(
            "the enrolment is of {}#{}",
            enrolment.endpoint, enrolment.generation
        ));
    }
    let admitted = entry(custody, EntryType::EndpointAdmitted, &token_signed.digest())
        .ok_or("the token has no endpoint.admitted entry")?;
    let enrolled = entry(custody, EntryType::AgentEnrolled, &enrolment_signed.digest())
        .ok_or("the enrolment has no agent.enrolled entry")?;
    if admitted.index >= enrolled.index {
        return Err("it was enrolled before its token was admitted".to_owned());
    }
    let key = signer(&token_signed, "exhibit-token-v1")?;
    let admin = rosters
        .person(admitted.index, &key, &[Role::EndpointAdmin])
        .filter(|person| person.id == token.issuer)
        .ok_or_else(|| format!("the token is not signed by {} as endpoint-admin", token.issuer))?;
    if enrolled.entry.envelope.time >= token.not_after {
        return Err(format!(
            "it was enrolled after the token of {} had expired",
            admin.id
        ));
    }
    for (name, expected) in [
        ("endpoint", endpoint.to_string()),
        ("generation", generation.to_string()),
        ("evidence_key", enrolment.evidence_key.fingerprint().to_string()),
    ] {
        if enrolled.reference(name) != Some(expected.as_str()) {
            return Err(format!("agent.enrolled names another {name}"));
        }
    }
    Ok(enrolment)
}

/// The log index at which an endpoint's generation was retired, if the bundle tells.
pub(crate) fn retired_at(custody: &Custody, endpoint: &EndpointId, generation: Generation) -> Option<u64> {
    let names = |proven: &&Proven| {
        proven.entry.envelope.type_ == EntryType::EndpointRetired
            && proven.reference("endpoint") == Some(endpoint.as_str())
            && proven.reference("generation") == Some(generation.to_string().as_str())
    };
    custody.deployment.values().find(names).map(|proven| proven.index)
}

fn entry<'a>(custody: &'a Custody, type_: EntryType, event: &evidence::digest::Digest) -> Option<&'a Proven> {
    custody
        .deployment
        .values()
        .find(|proven| proven.entry.envelope.type_ == type_ && proven.entry.envelope.event == *event)
}
