//! A collection of a partial production: it has chosen items instead of the container.

use evidence::digest::Digest;
use evidence::manifest::Manifest;

use super::delegation::{Context, Delegated};
use super::expected::Expected;
use super::manifest::recorded;
use super::{items, skip};
use crate::report::Report;

/// Checks that the ledger recorded the manifest, and that each chosen item is under the manifest's `items_root`.
pub(super) fn check(
    context: &Context<'_>,
    expected: &Expected,
    delegated: &Delegated,
    manifest: Option<(Manifest, Digest)>,
    report: &mut Report,
    progress: &mut dyn FnMut(u64),
) {
    let id = expected.collection.to_string();
    let bound = match (&manifest, &expected.stored) {
        (Some((manifest, digest)), Some(stored)) => {
            recorded(manifest, digest, stored, delegated).map(|state| (manifest, state))
        }
        (None, _) => Err("is missing: without it no item can be proven".to_owned()),
        (Some(_), None) => Err("is there, but the ledger has no collection.stored".to_owned()),
    };
    let (manifest, state) = match bound {
        Ok(bound) => bound,
        Err(why) => {
            report.failed("manifest", &id, why);
            return skip(report, &id, &["items"]);
        }
    };
    report.ok(
        "manifest",
        &id,
        "is the one that collection.stored recorded; what it says of the whole container is not checked here",
    );
    for check in ["seals", "container"] {
        report.not_asked(check, &id, "does not apply: a partial production, the container stays sealed");
    }
    match items::check(context.files, &expected.collection, manifest, progress) {
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
            let delegation = &delegated.delegation;
            let endpoint = format!("{}#{}", delegation.endpoint, delegation.generation);
            report.produced(&id, endpoint, state, manifest, produced);
        }
        Err(why) => report.failed("items", &id, why),
    }
}
