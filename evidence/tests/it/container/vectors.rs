//! The worked examples of docs/spec/container.md and seal.md. `EXHIBIT_BLESS=1` writes it anew.
//!
//! Compressed bytes may change with the compressor, so the tests compare only their meaning: the stored example must
//! verify for ever, and what the writer makes today must have the same plain stream and records.

use evidence::container::ContainerSummary;
use std::path::{Path, PathBuf};
use testkit::containers::forge::Forge;
use testkit::containers::lab::{identity, signer, small, verify_parts};
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
fn totals(summary: &ContainerSummary) -> (String, String) {
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
    let (fixed, compressed) = totals(&built.summary);
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
    let (summary, _) = verify_parts([(seal.as_slice(), bytes.as_slice())]).unwrap();
    let (fixed_stored, compressed_stored) = totals(&summary);
    assert_eq!(fixed_stored, fixed);
    assert_eq!(String::from_utf8(stored("compressed.json")).unwrap(), compressed_stored);
}

#[test]
fn the_worked_example_of_odd_things_is_unchanged() {
    let forge = Forge::odd(identity(), 7);
    let built = forge.build();
    assert_eq!(signer().public(), testkit::people::key(7).public());
    let (mut fixed, compressed) = totals(&built.summary);
    fixed.push_str(&format!("{}\n", evidence::digest::Digest::of(&forge.plain)));
    let file = |index: usize, ending: &str| format!("odd/{index:06}.{ending}");
    if blessing() {
        for (index, (bytes, seal)) in built.segments.iter().enumerate() {
            bless(&file(index, "segment"), bytes);
            bless(&file(index, "seal"), seal);
        }
        bless("odd/totals.txt", fixed.as_bytes());
        bless("odd/compressed.json", compressed.as_bytes());
    }
    let [seals, segments] =
        ["seal", "segment"].map(|ending| [0, 1].map(|index| stored(&file(index, ending))));
    let parts = seals.iter().map(Vec::as_slice).zip(segments.iter().map(Vec::as_slice));
    let (summary, records) = verify_parts(parts).unwrap();
    let (mut fixed_stored, compressed_stored) = totals(&summary);
    fixed_stored.push_str(&format!("{}\n", evidence::digest::Digest::of(&forge.plain)));
    assert_eq!(String::from_utf8(stored("odd/totals.txt")).unwrap(), fixed);
    assert_eq!(fixed_stored, fixed);
    assert_eq!(String::from_utf8(stored("odd/compressed.json")).unwrap(), compressed_stored);
    assert_eq!(records, forge.records);

    // What the example is for is in it.
    let has = |what: &dyn Fn(&evidence::item::ItemRecord) -> bool| records.iter().any(what);
    assert!(has(&|record| record.part == Some(3) && record.parent.is_some()));
    assert!(has(&|record| record.member.as_ref().is_some_and(|name| name.0.len() > 255)));
    assert!(has(&|record| str::from_utf8(&record.path.0).is_err() && record.xattrs.len() == 3));
    assert!(has(&|record| record.before.as_ref().is_some_and(|before| before.mtime.seconds() < 0)));
    assert!(has(&|record| record.before.as_ref().is_some_and(|before| before.uid > 0o7_777_777)));
    assert!(has(&|record| record.path.0 == b"live/outcomes.part0001.jsonl"));
    let opened = records_of(&seals[0]).pop().unwrap();
    assert_eq!((opened.path.0.as_slice(), opened.outcome.as_str()), (&b"/long-file"[..], "interrupted"));
}
