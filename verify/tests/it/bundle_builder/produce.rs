//! A whole bundle becomes a partial production of chosen items, as a collector makes it: from the seals and the container.

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

use super::{Files, edit};

/// The stored collection's id.
pub fn stored_id(files: &Files) -> Digest {
    let name = files.keys().find(|name| name.ends_with("/manifest.json")).unwrap();
    name.split('/').nth(1).unwrap().parse().unwrap()
}

/// All record lines of the stored collection, out of its seals.
pub fn lines(files: &Files) -> Vec<Vec<u8>> {
    let prefix = format!("evidence/{}/seals/", stored_id(files));
    let seals = files.iter().filter(|(name, _)| name.starts_with(&prefix));
    let mut lines = Vec::new();
    for (_, bytes) in seals {
        let seal = Seal::parse(bytes).unwrap();
        let count = usize::try_from(seal.header.items).unwrap();
        lines.extend(seal.records().unwrap().take(count).map(Result::unwrap));
    }
    lines
}

/// An item's content out of the container.
fn content(files: &Files, record: &ItemRecord) -> Vec<u8> {
    let container = &files[&format!("evidence/{}/container.tar.zst", stored_id(files))];
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

/// Keeps these items of the stored collection and nothing else of any.
pub fn produce(files: &mut Files, chosen: &[u64]) {
    let id = stored_id(files);
    let lines = lines(files);
    let leaves: Vec<_> = lines.iter().map(|line| leaf_hash(line)).collect();
    let manifest: Manifest = json::parse_document(&files[&format!("evidence/{id}/manifest.json")]).unwrap();
    let mut items = Files::new();
    for n in chosen {
        let line = &lines[usize::try_from(*n).unwrap()];
        let record = ItemRecord::parse_line(line, Stage::Final).unwrap();
        let proof = ItemProof {
            collection: id,
            index: *n,
            count: manifest.items,
            hashes: inclusion_proof(&Leaves(&leaves), *n, manifest.items).unwrap(),
        };
        if record.has_content() {
            items.insert(ItemFile::Content.name(&id, *n), content(files, &record));
        }
        items.insert(ItemFile::Record.name(&id, *n), line.clone());
        items.insert(ItemFile::Proof.name(&id, *n), proof.encode());
    }
    let folder = format!("evidence/{id}/");
    files.retain(|name, _| {
        let elsewhere =
            name.starts_with("details/") || (name.starts_with("evidence/") && !name.starts_with(&folder));
        !(elsewhere || name.contains("/seals/") || name.ends_with(".zst"))
    });
    files.extend(items);
    edit(files, "bundle.json", |overview: &mut Overview| {
        overview.partial = true;
        overview.collections = vec![id];
    });
}

/// What the files of a partial production come to.
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
