//! Forgeries of order in time: each document is genuine, but what it needs stands behind it in the log. One test for each
//! rule, named by it.

use testkit::bundles::*;

use evidence::entry::EntryType;

use super::refused;

/// Moves the first entry of a type right behind the first one of another type, and dates it like that one.
fn behind(drafts: &mut Vec<Draft>, moved: EntryType, other: EntryType) {
    let place =
        |drafts: &[Draft], type_| drafts.iter().position(|draft: &Draft| draft.type_ == type_).unwrap();
    let mut late = drafts.remove(place(drafts, moved));
    let before = place(drafts, other);
    late.time = drafts[before].time;
    drafts.insert(before + 1, late);
}

#[test]
fn order_16_an_approval_that_stands_before_its_order_counts_for_nothing() {
    refused(vec![
        (
            "approval, order, collection",
            "order",
            with! { drafts: |drafts: &mut Vec<Draft>| behind(drafts, EntryType::OrderIssued, EntryType::OrderApproved) },
        ),
        (
            "approval, collection, order",
            "order",
            with! { drafts: |drafts: &mut Vec<Draft>| behind(drafts, EntryType::OrderIssued, EntryType::CollectionStarted) },
        ),
    ]);
}
