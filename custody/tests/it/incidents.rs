//! `incident-*`, `hold-*`: forged beginnings and ends.

use evidence::digest::Digest;
use evidence::entry::EntryType;
use testkit::bundles::*;

use crate::world::*;

const BY_ALICE: (&str, u8) = ("person:alice", ALICE);

/// Adds an act of alice behind everything else.
fn then(drafts: &mut Vec<Draft>, type_: EntryType, minute: u32) {
    drafts.push(by(type_, &format!("11:{minute}:00"), BY_ALICE, &[]));
}

/// Bob releases a hold.
fn released(hold: Digest, minute: u32) -> Draft {
    let time = format!("11:{minute}:00");
    by(EntryType::HoldReleased, &time, ("person:bob", BOB), &[("hold", hold.to_string())])
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
    hold_2_a_hold_that_nobody_placed: Hold2 "no such hold stands in the incident", |recipe| {
        recipe.drafts = Box::new(|drafts| drafts.push(released(Digest::ZERO, 40)));
    }
    hold_2_a_hold_that_was_released_before: Hold2 "no such hold stands in the incident", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            then(drafts, EntryType::HoldPlaced, 40);
            let hold = drafts.last().unwrap().act.event();
            drafts.extend([released(hold, 41), released(hold, 42)]);
        });
    }
    hold_2_a_hold_of_another_incident: Hold2 "no such hold stands in the incident", |recipe| {
        recipe.drafts = Box::new(|drafts| {
            let placed = Draft::new(EntryType::HoldPlaced, other_incident(), "11:40:00", [], |draft| {
                draft.signed(BY_ALICE.0, ALICE)
            });
            let hold = placed.act.event();
            drafts.extend([placed, released(hold, 41)]);
        });
    }
}
