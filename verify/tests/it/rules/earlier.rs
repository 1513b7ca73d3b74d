//! `roster-4`, `order-25`, `access-3`, `disposal-8`: what must be true of entries before.

use evidence::digest::Digest;
use evidence::entry::EntryType;
use evidence::id::Chain;
use testkit::bundles::*;

use super::refused;
use crate::forged::with;

fn place(drafts: &[Draft], type_: EntryType) -> usize {
    drafts.iter().position(|draft| draft.type_ == type_ && draft.chain == incident()).unwrap()
}

/// Somebody read this object.
fn accessed(object: fn(&str) -> String) -> Recipe<'static> {
    with! { drafts: move |drafts: &mut Vec<Draft>| {
        let at = place(drafts, EntryType::EvidenceAccessed);
        let draft = &mut drafts[at];
        let collection = draft.refs[0].1.split('/').next().unwrap().to_owned();
        draft.refs[0].1 = object(&collection);
        draft.act = own(&draft.act_by("collector:c1"));
    } }
}

/// An endpoint refused an order.
fn refusal(reason: &'static str, chain: Chain, order: Option<Digest>) -> Recipe<'static> {
    with! { drafts: move |drafts: &mut Vec<Draft>| {
        let issued = drafts[place(drafts, EntryType::OrderIssued)].act.event();
        let refs = [
            ("endpoint", "web-03".to_owned()),
            ("order", order.unwrap_or(issued).to_string()),
            ("reason", reason.to_owned()),
        ];
        drafts.push(Draft::new(EntryType::OrderRefused, chain.clone(), "11:40:00", refs, |draft| {
            own(&draft.act_by("collector:c1"))
        }));
    } }
}

#[test]
fn access_3_an_object_that_nobody_can_be_given() {
    let acts = "custody.acts";
    refused(
        "access-3",
        vec![
            ("everything", acts, accessed(|_| "everything".into())),
            ("a collection and nothing of it", acts, accessed(str::to_owned)),
            ("an item of a name", acts, accessed(|id| format!("{id}/item/first"))),
            ("the bundle of another incident", acts, accessed(|_| "INC-2026-0008/bundle".into())),
        ],
    );
}

#[test]
fn order_25_a_refusal_for_no_reason() {
    let acts = "custody.acts";
    refused(
        "order-25",
        vec![
            ("bored", acts, refusal("bored", incident(), None)),
            ("busy, which is never recorded", acts, refusal("busy", incident(), None)),
            ("an order that was never issued", acts, refusal("policy", incident(), Some(Digest::ZERO))),
        ],
    );
}

#[test]
fn roster_4_a_version_is_left_out() {
    let jumped = with! {
        roster: |paper: &mut Paper<evidence::roster::Roster>| if paper.document.version == 2 {
            paper.document.version = 3;
        },
        drafts: |drafts: &mut Vec<Draft>| {
            let draft = drafts.iter_mut().rfind(|draft| draft.type_ == EntryType::RosterPublished).unwrap();
            draft.refs[1].1 = "3".into();
        },
        files: |files: &mut Files| {
            for ending in ["json", "json.sig"] {
                if let Some(bytes) = files.remove(&format!("deployment/roster-2.{ending}")) {
                    files.insert(format!("deployment/roster-3.{ending}"), bytes);
                }
            }
        },
    };
    refused("roster-4", vec![("from the first to the third", "roster", jumped)]);
}

#[test]
fn disposal_8_a_collection_that_runs() {
    let running = with! { drafts: |drafts: &mut Vec<Draft>| {
        let at = place(drafts, EntryType::CollectionInterrupted);
        drafts.remove(at);
        let mut ending = Ending::of(drafts);
        ending.approved();
    } };
    refused("disposal-8", vec![("the attempt that was never interrupted", "disposition", running)]);
}
