//! The worked example of docs/spec/container.md and seal.md. `EXHIBIT_BLESS=1` writes it anew.
//!
//! Compressed bytes may change with the compressor, so the tests compare only their meaning: the stored example must
//! verify for ever, and what the writer makes today must have the same plain stream and records.

use std::path::{Path, PathBuf};
use testkit::containers::lab::{Built, identity, signer, small, verify_parts};
use testkit::containers::records_of;
use testkit::vectors::{blessing, load, save};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/spec/vectors/container")
}

fn stored(name: &str) -> Vec<u8> {
    load(folder().join(name))
}

fn bless(name: &str, bytes: &[u8]) {
    save(folder().join(name), bytes);
}

/// What does not depend on the compressor, and what does.
fn totals(built: &Built) -> (String, String) {
    let summary = &built.summary;
    let fixed = serde_json::json!({
        "deployment": identity().deployment, "collection": identity().collection, "order": identity().order,
        "attempt": identity().attempt, "sealer": signer().public(), "plain_len": summary.plain_len,
        "items": summary.items, "items_root": summary.items_root, "content_bytes": summary.content_bytes,
        "outcomes": summary.counts_by_outcome,
    });
    let compressed = serde_json::json!({
        "segments": summary.segments, "stored_len": summary.stored_len,
        "container_sha256": summary.container_sha256, "seal_head": summary.seal_head,
    });
    let text = |value| serde_json::to_string_pretty(&value).unwrap() + "\n";
    (text(fixed), text(compressed))
}

#[test]
fn the_worked_example_is_unchanged() {
    let built = small();
    let segment = &built.segments[0];
    let mut records = Vec::new();
    for record in records_of(&segment.seal) {
        records.extend(record.to_line().unwrap());
        records.push(b'\n');
    }
    let (fixed, compressed) = totals(&built);
    if blessing() {
        bless("example.tar", &built.plain());
        bless("example.tar.zst", &segment.bytes);
        bless("example.seal", &segment.seal);
        bless("records.jsonl", &records);
        bless("totals.json", fixed.as_bytes());
        bless("compressed.json", compressed.as_bytes());
    }
    assert!(stored("example.tar") == built.plain(), "the plain stream changed");
    assert_eq!(String::from_utf8(stored("records.jsonl")), String::from_utf8(records));
    assert_eq!(String::from_utf8(stored("totals.json")).unwrap(), fixed);

    let (seal, bytes) = (stored("example.seal"), stored("example.tar.zst"));
    let (summary, found) = verify_parts([(seal.as_slice(), bytes.as_slice())]).unwrap();
    let (fixed_stored, compressed_stored) = totals(&Built { segments: Vec::new(), summary, records: found });
    assert_eq!(fixed_stored, fixed);
    assert_eq!(String::from_utf8(stored("compressed.json")).unwrap(), compressed_stored);
}
