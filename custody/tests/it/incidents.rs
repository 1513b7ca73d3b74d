//! `incident-*`, `hold-*`: forged beginnings and ends.

use evidence::entry::EntryType;
use testkit::bundles::*;

use crate::world::*;

const BY_ALICE: (&str, u8) = ("person:alice", ALICE);

/// Adds an act of alice behind everything else.
fn then(drafts: &mut Vec<Draft>, type_: EntryType, minute: u32) {
    drafts.push(by(type_, &format!("11:{minute}:00"), BY_ALICE, &[]));
}

forgeries! {
    incident_1_opens_another_incident: Incident1 "it opens another incident than that of its chain", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let opened = &mut drafts[OPENED];
            set(opened, "incident", "INC-2026-0009");
            opened.act = opened.signed(BY_ALICE.0, ALICE);
        });
    }
    incident_2_begins_with_something_else:
        Incident2 "incident.opened is the first entry of its incident, and no other", |recipe| {
        recipe.drafts = Box::new(|drafts| drop(drafts.remove(OPENED)));
    }
    incident_2_opened_twice:
        Incident2 "incident.opened is the first entry of its incident, and no other", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let refs = [("incident", INCIDENT.to_owned())];
            drafts.push(by(EntryType::IncidentOpened, "11:40:00", BY_ALICE, &refs));
        });
    }
    incident_4_closed_twice: Incident4 "the incident is not open", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            then(drafts, EntryType::IncidentClosed, 40);
            then(drafts, EntryType::IncidentClosed, 41);
        });
    }
    incident_4_reopened_while_it_is_open: Incident4 "the incident is open", |recipe| {
        recipe.drafts = Box::new(|drafts| then(drafts, EntryType::IncidentReopened, 40));
    }
    incident_5_an_order_in_a_closed_incident: Incident5 "the incident is not open", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            drafts.insert(ISSUED, by(EntryType::IncidentClosed, "09:25:00", BY_ALICE, &[]));
        });
    }
}
