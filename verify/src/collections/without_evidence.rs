//! A collection without evidence in the bundle: it was disposed of, or interrupted before its first segment.

use evidence::digest::Digest;
use evidence::manifest::Manifest;

use super::delegation::{Context, Delegated};
use super::expected::{Expected, anchors, number};
use super::manifest::recorded;
use super::skip;
use crate::disposal;
use crate::report::{CollectionSummary, Report};

/// A collection that two persons disposed of. Its delegation and its manifest stay in the bundle.
pub(super) fn disposed(
    context: &Context<'_>,
    expected: &Expected,
    delegated: &Delegated,
    manifest: Option<&(Manifest, Digest)>,
    places: &str,
    report: &mut Report,
) {
    let id = expected.collection.to_string();
    let bound = match (manifest, &expected.stored) {
        (Some((manifest, digest)), Some(stored)) => {
            recorded(manifest, digest, stored, delegated).map(|_state| Some(manifest))
        }
        (None, None) => Ok(None),
        _ => Err("the ledger and this folder disagree on whether evidence was stored".to_owned()),
    };
    let manifest = match bound {
        Ok(manifest) => manifest,
        Err(why) => {
            report.failed("manifest", &id, why);
            return skip(report, &id, &["seals", "container"]);
        }
    };
    report.ok(
        "manifest",
        &id,
        if manifest.is_some() {
            "is the one that collection.stored recorded; what it describes is destroyed"
        } else {
            "none: the collection was interrupted"
        },
    );
    for check in ["seals", "container"] {
        report.not_asked(check, &id, "does not apply: the evidence was disposed of");
    }
    let copies = expected.stored.as_ref().and_then(|stored| number(stored, "copies").ok());
    let stores = disposal::stores(context.course, &expected.collection);
    let state = match copies {
        Some(copies) if stores < copies => {
            format!("disposed of in {stores} of {copies} copies (gone from {places})")
        }
        _ => format!("disposed (gone from {places})"),
    };
    report.disposed.push(id.clone());
    report.collections.push(CollectionSummary {
        collection: id,
        endpoint: format!("{}#{}", delegated.delegation.endpoint, delegated.delegation.generation),
        state,
        items: 0,
        content_bytes: 0,
        stored_bytes: 0,
        outcomes: Vec::new(),
        limitations: Vec::new(),
    });
}

/// A collection that was interrupted before its first segment arrived.
pub(super) fn interrupted_at_once(
    expected: &Expected,
    manifest: Option<&(Manifest, Digest)>,
    report: &mut Report,
    id: &str,
) {
    let says = "interrupted before its first segment";
    match (manifest, &expected.stored, anchors(expected, &[])) {
        (None, None, Ok(())) => {
            for check in ["seals", "container", "manifest"] {
                report.ok(check, id, says);
            }
        }
        (None, None, Err(why)) => report.failed("seals", id, why),
        _ => report.failed(
            "manifest",
            id,
            "the ledger and this folder disagree on whether evidence was stored",
        ),
    }
}
