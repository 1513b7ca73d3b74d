//! The check `items` of a partial production: content → record → salted leaf → `items_root` of the manifest that the ledger recorded.
//! Guarantee: an item holds only if its record has its one text form and its own place in its collection's tree, and if every byte of its
//! content is right. Not here: the items that were left out. Nobody can say anything about them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use evidence::bundle::production::{ItemFile, ItemProof, Selection, check_producible};
use evidence::container::LogicalContent;
use evidence::digest::Digest;
use evidence::item::{ItemRecord, Stage};
use evidence::length::to_u64;
use evidence::manifest::Manifest;

use crate::files::Files;
use crate::report::ProducedItem;
use evidence::causes::chain;

/// Bytes of content hashed at once.
const PIECE_BYTES: usize = 256 << 10;

/// The items that the bundle has records of.
pub(crate) fn selection(files: &Files<'_>) -> Result<Selection, String> {
    let mut selection = Selection::new();
    for name in files.below("evidence/") {
        let Some((collection, file)) =
            name.strip_prefix("evidence/").and_then(|name| name.split_once("/items/"))
        else {
            continue;
        };
        let odd = || format!("{name} is no file of an item");
        let (digits, _) = file.split_once('.').ok_or_else(odd)?;
        let collection: Digest = collection.parse().map_err(|_not_an_id| odd())?;
        let n: u64 = digits.parse().map_err(|_not_a_number| odd())?;
        let known = [ItemFile::Record, ItemFile::Proof, ItemFile::Content];
        if !known.iter().any(|file| file.name(&collection, n) == name) {
            return Err(odd());
        }
        if ItemFile::Record.name(&collection, n) == name {
            selection.insert(collection, n);
        } else if !files.has(&ItemFile::Record.name(&collection, n)) {
            return Err(format!("{name} has no record beside it"));
        }
    }
    Ok(selection)
}

/// Checks every item of a collection against its verified manifest.
pub(crate) fn check(
    files: &Files<'_>,
    collection: &Digest,
    manifest: &Manifest,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<ProducedItem>, String> {
    let selection = selection(files)?;
    let chosen: &BTreeSet<u64> =
        selection.of(collection).ok_or("not one item of it is here, though its folder is")?;
    let mut records: BTreeMap<u64, ItemRecord> = BTreeMap::new();
    for n in chosen {
        let record = proven(files, collection, *n, manifest)?;
        check_producible(&record, chosen).map_err(|cause| chain(&cause))?;
        records.insert(*n, record);
    }
    let mut produced = Vec::with_capacity(records.len());
    for (n, record) in &records {
        let says = |why: String| format!("item {n}: {why}");
        if let Some(link) = &record.link {
            let holder = records.get(&link.n);
            let agrees = holder.is_some_and(|holder| {
                holder.has_content()
                    && holder.member.as_ref() == Some(&link.member)
                    && (holder.size, holder.sha256) == (record.size, record.sha256)
            });
            if !agrees {
                return Err(says(format!(
                    "is a hard link to item {}, which does not hold what it says",
                    link.n
                )));
            }
        }
        content(files, collection, record, progress).map_err(says)?;
        produced.push(ProducedItem {
            collection: collection.to_string(),
            n: *n,
            shown: record.shown.clone(),
            outcome: record.outcome.to_string(),
            size: record.size.filter(|_| record.has_content()),
            sha256: record.sha256.filter(|_| record.has_content()).map(|digest| digest.to_string()),
        });
    }
    Ok(produced)
}

/// One record at its place under the manifest's root.
fn proven(files: &Files<'_>, collection: &Digest, n: u64, manifest: &Manifest) -> Result<ItemRecord, String> {
    let name = ItemFile::Record.name(collection, n);
    let line = files.required(&name)?;
    let record =
        ItemRecord::parse_line(&line, Stage::Final).map_err(|cause| format!("{name}: {}", chain(&cause)))?;
    let proof_name = ItemFile::Proof.name(collection, n);
    let proof = ItemProof::parse(&files.required(&proof_name)?)
        .map_err(|cause| format!("{proof_name}: {}", chain(&cause)))?;
    if proof.collection != *collection || proof.index != n || proof.count != manifest.items {
        return Err(format!(
            "{proof_name} is about item {} of {} of collection {}",
            proof.index, proof.count, proof.collection
        ));
    }
    if record.n != n {
        return Err(format!("{name} is the record of item {}", record.n));
    }
    proof.verify(&line, &manifest.items_root).map_err(|cause| format!("{name}: {}", chain(&cause)))?;
    Ok(record)
}

/// Checks that the bundle holds content exactly for the records that have content of their own, and that it is the right content.
fn content(
    files: &Files<'_>,
    collection: &Digest,
    record: &ItemRecord,
    progress: &mut dyn FnMut(u64),
) -> Result<(), String> {
    let name = ItemFile::Content.name(collection, record.n);
    match (record.has_content(), files.has(&name)) {
        (true, true) => {}
        (true, false) => return Err(format!("{name} is missing")),
        (false, true) => {
            return Err(format!("{name} is here, and its record has no content of its own"));
        }
        (false, false) => return Ok(()),
    }
    let mut reader = files.judged(&name).map_err(|cause| chain(&cause))?;
    let mut check = LogicalContent::new(record);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = reader.read(&mut piece).map_err(|cause| format!("{name}: {cause}"))?;
        let Some(bytes) = piece.get(..count).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        check.feed(bytes).map_err(|cause| format!("{name} {}", chain(&cause)))?;
        progress(to_u64(count));
    }
    check.finish().map_err(|cause| format!("{name} {}", chain(&cause)))
}
