//! A collection of a partial production: it has chosen items instead of the container.

use super::delegation::{Begun, Context};
use super::manifest::{Found, recorded};
use super::{items, skip};
use crate::report::Report;

/// Checks that the ledger recorded the manifest, and that each chosen item is under the manifest's `items_root`.
pub(super) fn check(
    context: &Context<'_>,
    begun: &Begun<'_>,
    manifest: &Found<'_>,
    report: &mut Report,
    progress: &mut dyn FnMut(u64),
) {
    let delegation = &begun.collection.delegation;
    let id = delegation.collection.to_string();
    let Found::Recorded(manifest, stored) = manifest else {
        report.failed("manifest", &id, "is missing: without it no item can be proven");
        return skip(report, &id, &["items"]);
    };
    report.ok(
        "manifest",
        &id,
        "is the one that collection.stored recorded; what it says of the whole container is not checked here",
    );
    for check in ["seals", "container"] {
        report.not_asked(check, &id, "does not apply: a partial production, the container stays sealed");
    }
    match items::check(context.files, &delegation.collection, manifest, progress) {
        Ok(produced) => {
            report.ok(
                "items",
                &id,
                format!(
                    "{} of {} items: record, proof and content of each hold",
                    produced.len(),
                    manifest.items
                ),
            );
            let endpoint = format!("{}#{}", delegation.endpoint, delegation.generation);
            report.produced(&id, endpoint, recorded(stored), manifest, produced);
        }
        Err(why) => report.failed("items", &id, why),
    }
}
