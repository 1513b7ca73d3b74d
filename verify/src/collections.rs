//! The checks of one collection: its delegation, its seals, its manifest and every byte of its container.
//! Guarantee: after a check fails, the checks that follow it are not made, and the report names them.

mod container;
mod delegation;
mod expected;
pub(crate) mod items;
mod manifest;
mod part;
mod without_evidence;

use evidence::container::Limits;

pub(crate) use delegation::Context;
pub(crate) use expected::{Expected, expected, number};

use crate::disposal;
use crate::report::{CollectionSummary, Report};
use container::walk;
use delegation::begun;
use expected::anchors;
use manifest::{Found, bind, manifest};
use without_evidence::{disposed, interrupted_at_once};

/// Verifies one collection; each part is a check of its own in the report.
pub(crate) fn check(
    context: &Context<'_>,
    expected: &Expected,
    report: &mut Report,
    progress: &mut dyn FnMut(u64),
) {
    let id = expected.collection.to_string();
    let folder = format!("evidence/{id}");
    let Some(begun) = begun(context, expected) else {
        return skip(report, &id, &["seals", "container", "manifest"]);
    };
    let delegation = &begun.collection.delegation;
    report.ok(
        "delegation",
        &id,
        format!("attempt {} of {}#{}", delegation.attempt, delegation.endpoint, delegation.generation),
    );
    if context.files.below(&format!("{folder}/")).next().is_none() {
        // The collection was started, and the bundle has nothing of it. `coverage` decides whether that is right. But what remains of
        // disposed evidence must be here.
        if !context.partial && disposal::stores(context.course, &expected.collection) > 0 {
            report.failed("manifest", &id, "is missing: of disposed evidence delegation and manifest stay");
        }
        return;
    }
    let manifest = match manifest(context, &folder, expected) {
        Ok(Found::Refused) => return skip(report, &id, &["seals", "container"]),
        Ok(manifest) => manifest,
        Err(why) => {
            report.failed("manifest", &id, why);
            return skip(report, &id, &["seals", "container"]);
        }
    };
    if context.partial {
        return part::check(context, &begun, &manifest, report, progress);
    }
    let walked =
        match walk(context.files, &folder, delegation, Limits::of_order(&begun.order.limits), progress) {
            Ok(walked) => walked,
            Err((check, why)) => {
                report.failed(check, &id, why);
                let other = if check == "seals" { "container" } else { "seals" };
                return skip(report, &id, &[other, "manifest"]);
            }
        };
    let Some(walked) = walked else {
        if let Some(places) = disposal::places(context.course, &expected.collection) {
            return disposed(context, &begun, &manifest, &places, report);
        }
        return interrupted_at_once(expected, &manifest, report, &id);
    };
    let summary = &walked.summary;
    let anchored = anchors(expected, &walked.seals);
    report.record("seals", &id, anchored.map(|()| format!("{} segments, one chain", summary.segments)));
    report.ok(
        "container",
        &id,
        format!("{} items re-hashed, {} plain bytes regenerated", summary.items, summary.plain_len),
    );
    let state = match bind(expected, &manifest, &walked) {
        Ok(state) => state,
        Err(why) => {
            report.failed("manifest", &id, why);
            return;
        }
    };
    report.ok(
        "manifest",
        &id,
        if matches!(manifest, Found::Recorded(..)) {
            "describes this container"
        } else {
            "none: the collection was interrupted; its seals speak up to the last segment"
        },
    );
    report.collections.push(CollectionSummary {
        collection: id,
        endpoint: format!("{}#{}", delegation.endpoint, delegation.generation),
        state,
        items: summary.items,
        content_bytes: summary.content_bytes,
        stored_bytes: summary.stored_len,
        outcomes: summary
            .counts_by_outcome
            .iter()
            .map(|(outcome, count)| (outcome.to_string(), *count))
            .collect(),
        // An interrupted collection has no manifest, and so no limitations.
        limitations: match manifest {
            Found::Recorded(manifest, _) => manifest.limitations.clone(),
            _ => Vec::new(),
        },
    });
}

fn skip(report: &mut Report, id: &str, checks: &[&'static str]) {
    for check in checks {
        report.not_checked(check, id, "an earlier check of this collection failed");
    }
}
