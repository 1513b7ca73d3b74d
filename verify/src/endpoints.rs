//! The check `endpoint`: an endpoint-admin signed the token of each enrolment, the token's key and the endpoint's evidence key signed the enrolment,
//! and the evidence key signed each renewal.

use std::collections::BTreeMap;

use evidence::digest::Digest;
use evidence::enrolment::{EnrolmentRequest, Renewal, Token};
use evidence::entry::{ActObject, EntryType};
use evidence::id::{EndpointId, Generation};
use evidence::roster::Role;

use crate::acts::act_of;
use crate::documents::{signed, signer};
use crate::entries::{Entries, Proven};
use crate::files::Files;
use crate::report::Report;
use crate::rosters::Rosters;
use evidence::causes::chain;

#[derive(Debug, Default)]
pub(crate) struct Endpoints(BTreeMap<(EndpointId, u32), EnrolmentRequest>);

impl Endpoints {
    /// Verifies every enrolment and every renewal that the deployment's chain names. Each enrolment is a check of its own.
    pub(crate) fn load(files: &Files<'_>, entries: &Entries, rosters: &Rosters, report: &mut Report) -> Self {
        let mut endpoints = Self::default();
        for proven in entries.of_deployment(EntryType::AgentEnrolled) {
            // Display only: an entry of this type that lacks one of these refs was refused when it was read.
            let named = |name| proven.reference(name).unwrap_or_default();
            let subject = format!("{}#{}", named("endpoint"), named("generation"));
            match enrolment(files, proven, entries, rosters) {
                Ok(enrolment) => {
                    let key = (enrolment.endpoint.clone(), enrolment.generation.number());
                    report.ok(
                        "endpoint",
                        &subject,
                        format!("evidence key {}", enrolment.evidence_key.fingerprint()),
                    );
                    if endpoints.0.insert(key, enrolment).is_some() {
                        report.failed("endpoint", &subject, "it was enrolled twice in one generation");
                    }
                }
                Err(why) => report.failed("endpoint", &subject, why),
            }
        }
        for proven in entries.of_deployment(EntryType::AgentRenewed) {
            if let Err(why) = endpoints.renewal(files, proven) {
                // Display only, as above.
                report.failed("endpoint", proven.reference("endpoint").unwrap_or_default(), why);
            }
        }
        endpoints
    }

    pub(crate) fn get(&self, endpoint: &EndpointId, generation: Generation) -> Option<&EnrolmentRequest> {
        self.0.get(&(endpoint.clone(), generation.number()))
    }

    /// All verified enrolments, ordered by name and then by generation.
    pub(crate) fn all(&self) -> impl Iterator<Item = &EnrolmentRequest> {
        self.0.values()
    }

    fn renewal(&self, files: &Files<'_>, proven: &Proven) -> Result<(), String> {
        let says = |why: String| format!("{} at {}: {why}", EntryType::AgentRenewed, proven.index);
        let act = act_of(files, proven)?.signed().map_err(|cause| says(chain(&cause)))?;
        let unverified: Renewal = act.read().map_err(|cause| says(chain(&cause)))?;
        let enrolment = self
            .get(&unverified.endpoint, unverified.generation)
            .ok_or_else(|| says("the endpoint is not enrolled".to_owned()))?;
        let renewal = Renewal::verify(&act, &enrolment.evidence_key).map_err(|cause| says(chain(&cause)))?;
        let same = renewal.deployment == proven.entry.envelope.deployment
            && proven.reference("endpoint") == Some(renewal.endpoint.as_str())
            && proven.reference("generation") == Some(renewal.generation.to_string().as_str());
        if same { Ok(()) } else { Err(says("its entry names another endpoint".to_owned())) }
    }
}

/// Verifies one enrolment with its token.
fn enrolment(
    files: &Files<'_>,
    enrolled: &Proven,
    entries: &Entries,
    rosters: &Rosters,
) -> Result<EnrolmentRequest, String> {
    let act: ActObject = act_of(files, enrolled)?;
    let enrolment_signed = act.signed().map_err(|cause| chain(&cause))?;
    let unverified: EnrolmentRequest = enrolment_signed.read().map_err(|cause| chain(&cause))?;
    let (endpoint, generation) = (&unverified.endpoint, unverified.generation);
    let token_signed = signed(files, &format!("deployment/token-{endpoint}-{generation}"))?;
    let token: Token = token_signed.read().map_err(|cause| chain(&cause))?;
    let enrolment = EnrolmentRequest::verify(&enrolment_signed, &token, token_signed.digest())
        .map_err(|cause| chain(&cause))?;
    let admitted = entry(entries, EntryType::EndpointAdmitted, &token_signed.digest())
        .ok_or("the token has no endpoint.admitted entry")?;
    if admitted.index >= enrolled.index {
        return Err("it was enrolled before its token was admitted".to_owned());
    }
    let key = signer(&token_signed, "exhibit-token-v1")?;
    let admin = rosters
        .person(admitted.index, &key, &[Role::EndpointAdmin])
        .filter(|person| person.id == token.issuer)
        .ok_or_else(|| format!("the token is not signed by {} as endpoint-admin", token.issuer))?;
    if enrolled.entry.envelope.time >= token.not_after {
        return Err(format!("it was enrolled after the token of {} had expired", admin.id));
    }
    if enrolment.deployment != enrolled.entry.envelope.deployment {
        return Err(format!("it is of deployment {}", enrolment.deployment));
    }
    for (name, expected) in [
        ("endpoint", endpoint.to_string()),
        ("generation", generation.to_string()),
        ("evidence_key", enrolment.evidence_key.fingerprint().to_string()),
        ("token", token_signed.digest().to_string()),
    ] {
        if enrolled.reference(name) != Some(expected.as_str()) {
            return Err(format!("agent.enrolled names another {name}"));
        }
    }
    Ok(enrolment)
}

/// The log index at which an endpoint's generation was retired; `None` if the bundle holds no such entry.
pub(crate) fn retired_at(entries: &Entries, endpoint: &EndpointId, generation: Generation) -> Option<u64> {
    let names = |proven: &&Proven| {
        proven.entry.envelope.type_ == EntryType::EndpointRetired
            && proven.reference("endpoint") == Some(endpoint.as_str())
            && proven.reference("generation") == Some(generation.to_string().as_str())
    };
    entries.deployment.values().find(names).map(|proven| proven.index)
}

fn entry<'a>(entries: &'a Entries, type_: EntryType, event: &Digest) -> Option<&'a Proven> {
    entries
        .deployment
        .values()
        .find(|proven| proven.entry.envelope.type_ == type_ && proven.entry.envelope.event == *event)
}
