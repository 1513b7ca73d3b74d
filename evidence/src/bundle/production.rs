//! Partial production: chosen items with proof and without their neighbours (docs/spec/bundle.md, *Partial production*).
//! Guarantee: what parses here prints back the same; a selection has one digest, whoever computes it.
//! Not here: which items exist (collector), the checks of a bundle (crate `exhibit-verify`).

mod proof;
mod selector;

use std::collections::{BTreeMap, BTreeSet};

pub use proof::{ItemProof, ItemProofError};
pub use selector::{Pattern, Selector, SelectorError, What};

use crate::container::OUTCOMES_NAME;
use crate::digest::{Digest, Hasher};
use crate::item::ItemRecord;

/// Most items of one production. Each is a read of its own; to hand over more, export the whole.
pub const ITEMS_MAX: usize = 10_000;

/// Most selectors of one production. With [`selector::SELECTOR_BYTES_MAX`] they stay below the wire's limit for a message.
pub const SELECTORS_MAX: usize = 1024;

/// The chosen items: collection → ordinals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection(BTreeMap<Digest, BTreeSet<u64>>);

impl Selection {
    /// An empty selection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses an item. False if it was chosen already.
    pub fn insert(&mut self, collection: Digest, n: u64) -> bool {
        self.0.entry(collection).or_default().insert(n)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    /// True when nothing is chosen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The collections with their chosen ordinals, both sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&Digest, &BTreeSet<u64>)> {
        self.0.iter()
    }

    /// The chosen ordinals of one collection.
    #[must_use]
    pub fn of(&self, collection: &Digest) -> Option<&BTreeSet<u64>> {
        self.0.get(collection)
    }

    /// The digest with which the ledger records the selection.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::new();
        for (collection, items) in &self.0 {
            for n in items {
                hasher.update(format!("{collection} {n}\n").as_bytes());
            }
        }
        hasher.finish()
    }

    /// The fields, sorted, with which acts state that an export was partial.
    #[must_use]
    pub fn fields(&self) -> [(&'static str, String); 3] {
        [
            ("items", self.len().to_string()),
            ("partial", "yes".to_owned()),
            ("selection", self.digest().to_string()),
        ]
    }
}

/// Which file of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemFile {
    /// The record line: the leaf.
    Record,
    /// Its inclusion in `items_root`.
    Proof,
    Content,
}

impl ItemFile {
    /// Its name in a bundle.
    #[must_use]
    pub fn name(self, collection: &Digest, n: u64) -> String {
        let ending = match self {
            Self::Record => "record",
            Self::Proof => "proof",
            Self::Content => "content",
        };
        format!("evidence/{collection}/items/{n:06}.{ending}")
    }
}

/// Why an item cannot leave without its neighbours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unproducible {
    /// The item's lines are the records of other items.
    #[error("item {n} lists what became of other items: it names its neighbours")]
    Outcomes { n: u64 },
    /// A sparse file too large to have a digest of its logical content.
    #[error("item {n} is a sparse file without a digest of its whole content")]
    NoDigest { n: u64 },
    /// The item's record names another item, which holds the content.
    #[error("item {n} is a hard link, and its record names item {holder}, which is not chosen")]
    Link {
        n: u64,
        /// The one that holds its content.
        holder: u64,
    },
}

/// True for members whose lines are the records of other items.
#[must_use]
pub(crate) fn is_outcomes(path: &[u8]) -> bool {
    path == OUTCOMES_NAME.as_bytes() || path.starts_with(b"live/outcomes.")
}

/// Checks that a record can be shown together with the chosen items of its collection.
///
/// # Errors
/// [`Unproducible`] says what the record would reveal about other items, or what cannot be checked.
pub fn check_producible(record: &ItemRecord, chosen: &BTreeSet<u64>) -> Result<(), Unproducible> {
    let n = record.n;
    match &record.link {
        _ if is_outcomes(&record.path.0) => Err(Unproducible::Outcomes { n }),
        Some(link) if !chosen.contains(&link.n) => Err(Unproducible::Link { n, holder: link.n }),
        _ if record.has_content() && record.sha256.is_none() => Err(Unproducible::NoDigest { n }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::Kind;
    use crate::time::FileTime;

    #[test]
    fn a_selection_is_digested_as_the_text_says() {
        let mut selection = Selection::new();
        let (a, b) = (Digest([1; 32]), Digest([2; 32]));
        assert!(selection.insert(b, 10) && selection.insert(b, 9) && selection.insert(a, 7));
        assert!(!selection.insert(a, 7));
        let text = format!("{a} 7\n{b} 9\n{b} 10\n");
        assert_eq!(selection.digest(), Digest::of(text.as_bytes()));
        assert_eq!(selection.len(), 3);
        assert_eq!(selection.fields()[0], ("items", "3".to_owned()));
    }

    #[test]
    fn the_list_of_outcomes_never_leaves_alone() {
        let begun = FileTime::new(0, 0).unwrap();
        let chosen = BTreeSet::from([0]);
        for path in ["live/outcomes.jsonl", "live/outcomes.part0001.jsonl"] {
            let record = ItemRecord::new("outcomes", Kind::Stream, path, begun);
            assert_eq!(check_producible(&record, &chosen), Err(Unproducible::Outcomes { n: 0 }));
        }
        let record = ItemRecord::new("host", Kind::Stream, "live/host.jsonl", begun);
        check_producible(&record, &chosen).unwrap();
    }
}
