//! Prepares a partial production: the items that the selectors choose, with their records and proofs.
//!
//! Guarantee: every selector chooses something. This module refuses an item that cannot be proven, or whose record names a
//! neighbour, before the read gets its entry. Record lines come from the seals, and their tree must have the signed root. Not here:
//! sending.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use evidence::bundle::production::{
    ITEMS_MAX, ItemProof, SELECTORS_MAX, Selection, Selector, Unproducible, What, check_producible,
};
use evidence::digest::Digest;
use evidence::item::{ItemRecord, Stage};
use evidence::length::len;
use evidence::manifest::Manifest;
use ledger::{Hash, Leaves, inclusion_proof, leaf_hash, root_of};
use proto::status::Class;
use store::Key;

use super::snapshot::{Collected, Snapshot};
use crate::collector::Collector;
use crate::failure::{Failure, chain};
use crate::rows;
use crate::services::reads::Reads;
use crate::services::reads::lines::SealReader;

/// Index rows examined between two checks of the clock: one page of a listing.
const PAGE_ROWS: u32 = 4096;

/// An item that the bundle will contain.
#[derive(Debug)]
pub struct Chosen {
    pub record: ItemRecord,
    /// The record line as sealed.
    pub line: Vec<u8>,
    /// Its place in its collection.
    pub proof: ItemProof,
}

/// The content of a partial bundle.
#[derive(Debug)]
pub struct Production {
    /// The chosen items.
    pub selection: Selection,
    chosen: BTreeMap<Digest, BTreeMap<u64, Chosen>>,
}

impl Production {
    /// The items of a collection, by ordinal.
    pub fn of(&self, collection: &Digest) -> impl Iterator<Item = (&u64, &Chosen)> {
        self.chosen.get(collection).into_iter().flatten()
    }

    /// Finds the items, their records and proofs.
    ///
    /// # Errors
    /// If a selector is malformed, or chooses nothing, too much, or an item that cannot be shown without its neighbours.
    pub async fn prepare(reads: &Reads, snapshot: &Snapshot, only: &[Bytes]) -> Result<Self, Failure> {
        let selection = choose(&reads.collector, snapshot, only).await?;
        let mut chosen = BTreeMap::new();
        for collected in &snapshot.collections {
            let id = collected.row.id;
            if let Some(items) = selection.of(&id) {
                chosen.insert(id, records(reads, collected, items).await?);
            }
        }
        Ok(Self { selection, chosen })
    }
}

/// Finds the items that the selectors choose, by the index.
async fn choose(collector: &Collector, snapshot: &Snapshot, only: &[Bytes]) -> Result<Selection, Failure> {
    if only.len() > SELECTORS_MAX {
        return Err(Failure::new(
            Class::OverLimit,
            format!("at most {SELECTORS_MAX} selectors; use patterns, or export the whole incident"),
        ));
    }
    let mut selection = Selection::new();
    for text in only {
        let shown = text.escape_ascii().to_string();
        let selector = Selector::parse(text)
            .map_err(|error| Failure::malformed(format!("selector {shown}: {error}")))?;
        let mut found = false;
        let mut unproven = 0_u64;
        let about = |one: &&Collected| selector.is_about(&one.row.id);
        let mut is_known = false;
        for collected in snapshot.collections.iter().filter(about) {
            is_known = true;
            if collected.manifest.is_none() {
                unproven += 1;
                continue;
            }
            for n in ordinals(collector, collected, &selector).await? {
                found = true;
                selection.insert(collected.row.id, n);
                if selection.len() > ITEMS_MAX {
                    return Err(Failure::new(
                        Class::OverLimit,
                        format!(
                            "the selectors choose more than {ITEMS_MAX} items; choose fewer, or export the whole incident"
                        ),
                    ));
                }
            }
        }
        if !is_known {
            return Err(Failure::missing(format!(
                "selector {shown}: {} has no such collection",
                snapshot.incident
            )));
        }
        if !found {
            let unproven = match unproven {
                0 => String::new(),
                count => format!(
                    "; {count} interrupted collections were not looked at: without a manifest their items cannot be proven one by one"
                ),
            };
            return Err(Failure::missing(format!("selector {shown} chooses no item{unproven}")));
        }
    }
    Ok(selection)
}

/// The ordinals of the items in one collection that a selector chooses.
async fn ordinals(
    collector: &Collector,
    collected: &Collected,
    selector: &Selector,
) -> Result<Vec<u64>, Failure> {
    let number = collected.row.number;
    let pattern = match &selector.what {
        What::Ordinal(n) => {
            let n = *n;
            let found = collector.db.read_async(move |db| rows::collections::item(db, number, n)).await?;
            return Ok(found.map(|item| item.n).into_iter().collect());
        }
        What::Path(pattern) => pattern,
    };
    let (prefix, id) = (pattern.literal_prefix(), collected.row.id);
    let (mut from, mut chosen) = (0, Vec::new());
    loop {
        let prefix = prefix.clone();
        let page = collector
            .db
            .read_async(move |db| rows::collections::items_page(db, number, &prefix, false, from, PAGE_ROWS))
            .await?;
        let Some(last) = page.last() else {
            return Ok(chosen);
        };
        let next = last.n.checked_add(1);
        let wanted = page.iter().filter(|item| selector.chooses(&id, item.n, &item.path));
        chosen.extend(wanted.map(|item| item.n));
        // The caller refuses too many items. This check only keeps the memory bounded.
        if chosen.len() > ITEMS_MAX {
            return Ok(chosen);
        }
        match next {
            Some(next) => from = next,
            None => return Ok(chosen),
        }
    }
}

/// Reads the lines and proofs of the chosen items from all seals of their collection.
async fn records(
    reads: &Reads,
    collected: &Collected,
    items: &BTreeSet<u64>,
) -> Result<BTreeMap<u64, Chosen>, Failure> {
    let collector = &*reads.collector;
    let id = collected.row.id;
    let broken = |what: String| Failure::internal("find the chosen items", what);
    let manifest = collected.manifest.ok_or_else(|| broken("a collection without manifest".to_owned()))?;
    let manifest: Manifest = collector
        .document(Key::document(manifest.as_bytes()))
        .await?
        .read()
        .map_err(|error| broken(chain(&error)))?;
    let mut reader = SealReader::start(&reads.program)?;
    let mut leaves: Vec<Hash> = Vec::new();
    let mut lines: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    for segment in &collected.segments {
        for line in reader.lines(collector, &collected.row, segment).await? {
            let n = len(&leaves);
            leaves.push(leaf_hash(&line));
            if items.contains(&n) {
                lines.insert(n, line);
            }
        }
    }
    let count = len(&leaves);
    if count != manifest.items || Digest::from(root_of(&leaves)) != manifest.items_root {
        return Err(Failure::new(
            Class::Contradiction,
            format!(
                "the seals of collection {id} do not give the root that its manifest signs; the operator runs `exhibit-server fsck --evidence`"
            ),
        ));
    }
    let mut chosen = BTreeMap::new();
    for n in items {
        let line = lines.remove(n).ok_or_else(|| broken(format!("item {n} is in no seal")))?;
        let record = ItemRecord::parse_line(&line, Stage::Final).map_err(|error| broken(chain(&error)))?;
        // The index only finds the item. The sealed record decides.
        if record.n != *n {
            return Err(broken(format!("the index says {n}, the seal {}", record.n)));
        }
        check_producible(&record, items).map_err(|error| {
            let next = match error {
                Unproducible::Link { holder, .. } => {
                    format!("choose item {holder} as well, or leave item {n} out")
                }
                _ => format!("leave item {n} out, or export the whole incident"),
            };
            let short: String = id.to_string().chars().take(12).collect();
            Failure::precondition(format!("collection {short}: {error}; {next}"))
        })?;
        let hashes = inclusion_proof(&Leaves(&leaves), *n, count).map_err(|error| broken(chain(&error)))?;
        let proof = ItemProof { collection: id, index: *n, count, hashes };
        chosen.insert(*n, Chosen { record, line, proof });
    }
    Ok(chosen)
}
