//! `incident-*`: how the chain of an incident begins, and what it takes while the incident is open or closed.

use evidence::entry::EntryType;

use crate::rule::{Broken, RuleId, must};
use crate::{Case, State};

impl State {
    /// Judges the place of an entry in the life of its incident.
    pub(crate) fn incident(&self, case: &Case<'_>) -> Result<(), Broken> {
        let envelope = case.envelope;
        let Some(incident) = envelope.incident.incident() else {
            return Ok(());
        };
        must(
            RuleId::Incident2,
            (envelope.seq == 0) == (envelope.type_ == EntryType::IncidentOpened),
            "incident.opened is the first entry of its incident, and no other",
        )?;
        // Where the first entry broke incident-2, the entries behind it are not blamed for that.
        let is_open = self.courses.get(incident).is_none_or(evidence::disposal::Course::is_open);
        match envelope.type_ {
            EntryType::IncidentOpened => must(
                RuleId::Incident1,
                envelope.reference("incident") == Some(incident.to_string().as_str()),
                "it opens another incident than that of its chain",
            ),
            EntryType::IncidentClosed => must(RuleId::Incident4, is_open, "the incident is not open"),
            EntryType::IncidentReopened => must(RuleId::Incident4, !is_open, "the incident is open"),
            EntryType::OrderIssued => must(RuleId::Incident5, is_open, "the incident is not open"),
            _ => Ok(()),
        }
    }
}
