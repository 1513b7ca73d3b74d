//! Orders that nobody approved: nothing to hold against a bundle while nothing was collected under them, a failure as soon as something
//! was.

use std::sync::LazyLock;

use evidence::entry::EntryType;
use evidence::order::{Approval, Decision, Order};
use evidence::signed::Signed;
use evidence::text::FixedBytes;
use exhibit_verify::{Report, Verdict};

use crate::verdicts::*;
use testkit::bundles::*;
use testkit::orders::approval;

/// A second order of the good bundle, which needs an approval as the first does.
static SECOND: LazyLock<Signed> = LazyLock::new(|| {
    let files = Recipe::default().build().files;
    let name = files
        .keys()
        .find(|name| name.starts_with("orders/") && !name.contains(".targets/") && name.ends_with(".json"))
        .unwrap();
    let mut order: Order = evidence::json::parse_document(&files[name]).unwrap();
    order.nonce = FixedBytes([6; 16]);
    sign(&order, &[ALICE])
});

fn order_ref() -> [(&'static str, String); 1] {
    [("order", SECOND.digest().to_string())]
}

/// The entry of a decision about the second order, by bob.
fn decided(type_: EntryType, decision: Decision) -> Draft {
    let approval = Approval { decision, ..approval(SECOND.digest(), at("09:38:00")) };
    Draft::new(type_, incident(), "09:38:01", order_ref(), |_| sign(&approval, &[BOB]).into())
}

fn rejected() -> Draft {
    decided(EntryType::OrderRejected, Decision::Reject)
}

fn cancelled() -> Draft {
    Draft::new(EntryType::OrderCancelled, incident(), "09:38:01", order_ref(), |draft| {
        draft.signed("person:alice", ALICE)
    })
}

/// The good bundle with the second order in it, what was decided about it, and what else `change` does to the entries.
fn judge(decision: Option<fn() -> Draft>, change: fn(&mut Vec<Draft>)) -> Report {
    let recipe = Recipe {
        drafts: Box::new(move |drafts: &mut Vec<Draft>| {
            let first = drafts.iter().position(|draft| draft.type_ == EntryType::OrderIssued).unwrap();
            let roster = drafts[first].refs.iter().find(|(name, _)| name == "roster");
            let roster = roster.unwrap().1.clone();
            let refs = [("order", SECOND.digest().to_string()), ("roster", roster)];
            let issued =
                Draft::new(EntryType::OrderIssued, incident(), "09:37:00", refs, |_| SECOND.clone().into());
            let behind = first + 2;
            drafts.insert(behind, issued);
            if let Some(decision) = decision {
                drafts.insert(behind + 1, decision());
            }
            change(drafts);
        }),
        files: Box::new(|files: &mut Files| {
            files.extend(SECOND.split(&format!("orders/{}", SECOND.digest())));
        }),
        ..Recipe::default()
    };
    both(&recipe.build().files, &trust_files()).0
}

fn says(report: &Report, verdict: Verdict) -> &str {
    let second = SECOND.digest().to_string();
    checks(report, verdict)
        .iter()
        .find(|check| check.check == "order" && check.subject == second)
        .map_or("", |check| &check.says)
}

#[test]
fn an_order_that_nobody_obeyed_needs_no_approval() {
    for (decision, word) in [
        (None, "not approved"),
        (Some(rejected as fn() -> Draft), "rejected"),
        (Some(cancelled), "cancelled"),
    ] {
        let report = judge(decision, |_| ());
        assert_eq!(report.exit_code(), 0, "{word}: {}", report.text());
        assert_eq!(
            says(&report, Verdict::Ok),
            format!("issued by alice, 2 targets; {word}: nothing was collected under it")
        );
    }
}

/// The first collection's entry names the second order.
fn started_under_it(drafts: &mut [Draft]) {
    let started = drafts.iter_mut().find(|draft| draft.type_ == EntryType::CollectionStarted).unwrap();
    let order = started.refs.iter_mut().find(|(name, _)| name == "order");
    order.unwrap().1 = SECOND.digest().to_string();
}

#[test]
fn an_order_that_was_obeyed_without_approval_fails_whatever_became_of_it() {
    for decision in [None, Some(rejected as fn() -> Draft), Some(cancelled)] {
        let report = judge(decision, |drafts| started_under_it(drafts));
        assert_eq!(report.exit_code(), 1, "{}", report.text());
        assert!(
            says(&report, Verdict::Failed).contains("was obeyed, but needs the approval"),
            "{}",
            report.text()
        );
        assert!(fails(&report, "delegation"), "{}", report.text());
    }
}

/// The endpoint obeyed the second order; the collector's entry says it was the first.
#[test]
fn a_collection_under_an_unapproved_order_does_not_pass_under_the_name_of_another() {
    let approved = Recipe::default().build().files;
    let approved =
        approved.keys().find_map(|name| name.strip_prefix("orders/")?.get(..64)).unwrap().to_owned();
    let recipe = Recipe {
        collected: Box::new(|collected: &mut Collected| {
            if collected.attempt == 1 {
                collected.delegation.document.order = SECOND.digest();
            }
        }),
        drafts: Box::new(move |drafts: &mut Vec<Draft>| {
            for draft in drafts.iter_mut().filter(|draft| draft.type_ == EntryType::CollectionStarted) {
                let order = draft.refs.iter_mut().find(|(name, _)| name == "order");
                order.unwrap().1 = approved.clone();
            }
        }),
        ..Recipe::default()
    };
    let report = verify(&recipe.build().files);
    assert_eq!(report.exit_code(), 1, "{}", report.text());
    assert!(fails(&report, "delegation"), "{}", report.text());
}
