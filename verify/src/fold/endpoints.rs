//! The words of the check `endpoint`: each enrolment that holds.
//! Not here: the rules of tokens, enrolments and renewals (`fold`).

use std::collections::BTreeMap;

use evidence::enrolment::EnrolmentRequest;
use evidence::id::EndpointId;

use crate::report::Report;

/// Enrolments that hold.
#[derive(Debug, Default)]
pub(crate) struct Endpoints(BTreeMap<(EndpointId, u32), EnrolmentRequest>);

impl Endpoints {
    /// Reports enrolments in the order of the log; each is a check of its own.
    pub(crate) fn of(enrolments: Vec<EnrolmentRequest>, report: &mut Report) -> Self {
        let mut endpoints = Self::default();
        for enrolment in enrolments {
            let subject = format!("{}#{}", enrolment.endpoint, enrolment.generation);
            report.ok("endpoint", &subject, format!("evidence key {}", enrolment.evidence_key.fingerprint()));
            endpoints.0.insert((enrolment.endpoint.clone(), enrolment.generation.number()), enrolment);
        }
        endpoints
    }

    /// All of them, ordered by name and then by generation.
    pub(crate) fn all(&self) -> impl Iterator<Item = &EnrolmentRequest> {
        self.0.values()
    }
}
