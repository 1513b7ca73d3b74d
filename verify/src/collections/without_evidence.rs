//! A collection without evidence in the bundle: it was disposed of, or interrupted before its first segment.

use super::delegation::{Begun, Context};
use super::expected::{Expected, anchors, number};
use super::manifest::Found;
use crate::disposal;
use crate::report::{CollectionSummary, Report};

/// A collection that two persons disposed of. Its delegation and its manifest stay in the bundle.
pub(super) fn disposed(
    context: &Context<'_>,
    begun: &Begun<'_>,
    manifest: &Found<'_>,
    places: &str,
    report: &mut Report,
) {
    let delegation = &begun.collection.delegation;
    let id = delegation.collection.to_string();
    let stored = if let Found::Recorded(_, stored) = manifest { Some(stored) } else { None };
    report.ok(
        "manifest",
        &id,
        if stored.is_some() {
            "is the one that collection.stored recorded; what it describes is destroyed"
        } else {
            "none: the collection was interrupted"
        },
    );
    for check in ["seals", "container"] {
        report.not_asked(check, &id, "does not apply: the evidence was disposed of");
    }
    let copies = stored.and_then(|stored| number(stored, "copies").ok());
    let stores = disposal::stores(context.course, &delegation.collection);
    let state = match copies {
        Some(copies) if stores < copies => {
            format!("disposed of in {stores} of {copies} copies (gone from {places})")
        }
        _ => format!("disposed (gone from {places})"),
    };
    report.disposed.push(id.clone());
    report.collections.push(CollectionSummary {
        collection: id,
        endpoint: format!("{}#{}", delegation.endpoint, delegation.generation),
        state,
        items: 0,
        content_bytes: 0,
        stored_bytes: 0,
        outcomes: Vec::new(),
        limitations: Vec::new(),
    });
}

/// A collection that was interrupted before its first segment arrived.
pub(super) fn interrupted_at_once(expected: &Expected, manifest: &Found<'_>, report: &mut Report, id: &str) {
    let says = "interrupted before its first segment";
    match (manifest, anchors(expected, &[])) {
        (Found::Nowhere, Ok(())) => {
            for check in ["seals", "container", "manifest"] {
                report.ok(check, id, says);
            }
        }
        (Found::Nowhere, Err(why)) => report.failed("seals", id, why),
        _ => report.failed(
            "manifest",
            id,
            "the ledger and this folder disagree on whether evidence was stored",
        ),
    }
}
