//! Turns a whole bundle into a partial production of chosen items, as a collector makes it: from the seals and the container.

use std::collections::BTreeSet;

use evidence::bundle::Overview;
use evidence::bundle::production::{ItemFile, ItemProof, Selection};
use evidence::container::{SeekTable, read_item};
use evidence::digest::Digest;
use evidence::item::{ItemRecord, Stage};
use evidence::json;
use evidence::manifest::Manifest;
use evidence::seal::Seal;
use ledger::{Leaves, inclusion_proof, leaf_hash};

use super::{Files, collections_by_endpoint, edit};

/// The id of the collection that web-03 stored.
pub fn stored_id(files: &Files) -> Digest {
    let of = &collections_by_endpoint(files)[&("web-03".to_owned(), 1)];
    *of.iter().find(|id| files.contains_key(&format!("evidence/{id}/manifest.json"))).unwrap()
}

/// Reads all record lines of web-03's stored collection from its seals.
pub fn lines(files: &Files) -> Vec<Vec<u8>> {
    lines_of(files, &stored_id(files))
}

fn lines_of(files: &Files, id: &Digest) -> Vec<Vec<u8>> {
    let prefix = format!("evidence/{id}/seals/");
    let seals = files.iter().filter(|(name, _)| name.starts_with(&prefix));
    let mut lines = Vec::new();
    for (_, bytes) in seals {
        let seal = Seal::parse(bytes).unwrap();
        let count = usize::try_from(seal.header.items).unwrap();
        lines.extend(seal.records().unwrap().take(count).map(Result::unwrap));
    }
    lines
}

/// Reads an item's content from its container.
fn content(files: &Files, id: &Digest, record: &ItemRecord) -> Vec<u8> {
    let container = &files[&format!("evidence/{id}/container.tar.zst")];
    let footer = &container[container.len() - SeekTable::FOOTER_BYTES..];
    let table = &container[container.len() - SeekTable::table_len(footer).unwrap()..];
    let table = SeekTable::parse(table).unwrap();
    let mut out = Vec::new();
    let fetch = |range: std::ops::Range<u64>| {
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        Ok::<_, std::convert::Infallible>(container[range].to_vec())
    };
    read_item(record, &table, fetch, |bytes| {
        out.extend_from_slice(bytes);
        Ok(())
    })
    .unwrap();
    out
}

/// Keeps only these items of web-03's stored collection, and nothing of any other.
pub fn produce(files: &mut Files, chosen: &[u64]) {
    produce_from(files, &[(stored_id(files), chosen)]);
}

/// Keeps only these items of these collections.
pub fn produce_from(files: &mut Files, chosen: &[(Digest, &[u64])]) {
    let mut items = Files::new();
    for (id, chosen) in chosen {
        let lines = lines_of(files, id);
        let leaves: Vec<_> = lines.iter().map(|line| leaf_hash(line)).collect();
        let manifest: Manifest =
            json::parse_document(&files[&format!("evidence/{id}/manifest.json")]).unwrap();
        for n in *chosen {
            let line = &lines[usize::try_from(*n).unwrap()];
            let record = ItemRecord::parse_line(line, Stage::Final).unwrap();
            let proof = ItemProof {
                collection: *id,
                index: *n,
                count: manifest.items,
                hashes: inclusion_proof(&Leaves(&leaves), *n, manifest.items).unwrap(),
            };
            if record.has_content() {
                items.insert(ItemFile::Content.name(id, *n), content(files, id, &record));
            }
            items.insert(ItemFile::Record.name(id, *n), line.clone());
            items.insert(ItemFile::Proof.name(id, *n), proof.encode());
        }
    }
    let kept = |name: &str| chosen.iter().any(|(id, _)| name.starts_with(&format!("evidence/{id}/")));
    files.retain(|name, _| {
        let elsewhere = name.starts_with("details/") || (name.starts_with("evidence/") && !kept(name));
        !(elsewhere || name.contains("/seals/") || name.ends_with(".zst"))
    });
    files.extend(items);
    edit(files, "bundle.json", |overview: &mut Overview| {
        overview.partial = true;
        overview.collections = Overview::listed(chosen.iter().map(|(id, _)| *id));
    });
}

/// The selection that the files of a partial production show.
pub fn selection(files: &Files) -> Selection {
    let mut selection = Selection::new();
    let records: BTreeSet<&String> = files.keys().filter(|name| name.ends_with(".record")).collect();
    for name in records {
        let mut parts = name.split('/');
        let id = parts.nth(1).unwrap().parse().unwrap();
        let n = parts.nth(1).unwrap().strip_suffix(".record").unwrap();
        selection.insert(id, n.parse().unwrap());
    }
    selection
}
