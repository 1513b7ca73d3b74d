//! Evidence that was destroyed while something kept it.

use super::*;

#[test]
fn what_was_kept_when_it_went() {
    refused(vec![
        (
            "a hold before the approvals",
            "disposition",
            "under legal hold; 1 stand",
            disposed(|ending| {
                ending.person(EntryType::HoldPlaced, "alice", ALICE, &[]);
                let plan = ending.approved();
                ending.destroyed(&plan);
            }),
        ),
        (
            "a hold between approvals and destruction",
            "disposition",
            "disposition.executed at",
            disposed(|ending| {
                let plan = ending.approved();
                ending.person(EntryType::HoldPlaced, "alice", ALICE, &[]);
                ending.destroyed(&plan);
            }),
        ),
        (
            "one of two holds released",
            "disposition",
            "under legal hold; 1 stand",
            disposed(|ending| {
                let hold = ending.person(EntryType::HoldPlaced, "alice", ALICE, &[]).to_string();
                ending.person(EntryType::HoldPlaced, "bob", BOB, &[]);
                ending.person(EntryType::HoldReleased, "bob", BOB, &[("hold", &hold)]);
                let plan = ending.approved();
                ending.destroyed(&plan);
            }),
        ),
        (
            "a hold released by a responder",
            "custody.acts",
            "hold.released at",
            disposed(|ending| {
                let hold = ending.person(EntryType::HoldPlaced, "alice", ALICE, &[]).to_string();
                ending.person(EntryType::HoldReleased, "dan", DAN, &[("hold", &hold)]);
                let plan = ending.approved();
                ending.destroyed(&plan);
            }),
        ),
        (
            "before retention's end",
            "disposition",
            "it is kept until 2026-11-21T23:00:00",
            disposed(|ending| {
                ending.keep_until("23:00:00");
                let plan = ending.approved();
                ending.destroyed(&plan);
            }),
        ),
        (
            "retention made longer between approvals and destruction",
            "disposition",
            "it is kept until 2026-11-21T23:00:00",
            disposed(|ending| {
                let plan = ending.approved();
                ending.keep_until("23:00:00");
                ending.destroyed(&plan);
            }),
        ),
        (
            "the incident reopened",
            "disposition",
            "the incident is open",
            disposed(|ending| {
                let plan = ending.approved();
                ending.person(EntryType::IncidentReopened, "alice", ALICE, &[]);
                ending.destroyed(&plan);
            }),
        ),
        (
            "no retention at all",
            "disposition",
            "no retention is set",
            and_drafts(all_gone(), |drafts| {
                drafts.retain(|draft| draft.type_ != EntryType::RetentionChanged);
            }),
        ),
    ]);
}
