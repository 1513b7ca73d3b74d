//! Compares the changes of the log key that one store's entries record with the keys that the collector knows.
//! Not here: the authority's signatures (`log_key::keys_held` checked them when it read the keys).

use evidence::entry::{Entry, EntryType};
use evidence::length::to_usize;
use evidence::log_key::{LogKeyChange, LogKeys};
use ledger::{Hash, Note};

use crate::failure::chain;

/// The keys, with the places that this store's entries give them so far.
pub(super) struct RecordedKeys {
    keys: LogKeys,
    /// Number of changes in this store so far.
    seen: u64,
}

impl RecordedKeys {
    pub(super) fn new(keys: &LogKeys) -> Self {
        Self { keys: keys.clone(), seen: 0 }
    }

    /// Looks at the next entry.
    pub(super) fn see(&mut self, body: &[u8], index: u64, problem: &mut dyn FnMut(String)) {
        // A body that is not an entry is reported elsewhere.
        let Ok(entry) = Entry::parse(body) else { return };
        let (EntryType::KeyRotated | EntryType::LogSuccession) = entry.envelope.type_ else {
            return;
        };
        let signed = entry.act.as_ref().and_then(|act| act.signed().ok());
        let change = signed.as_ref().and_then(|signed| signed.read::<LogKeyChange>().ok());
        let (Some(signed), Some(change)) = (signed, change) else {
            return problem("it records no change of the log key".to_owned());
        };
        let is_next = self.seen.checked_add(1) == Some(change.number);
        if is_next && self.keys.place(change.number, &signed.digest(), index) {
            self.seen = change.number;
        } else {
            problem(format!(
                "it records change {} of the log key, which `log-keys/` of this directory does not have so",
                change.number
            ));
        }
    }

    /// Checks after the last entry: the head's key may sign its size, and each change names the history it stands on.
    pub(super) fn check(&self, leaves: &[Hash], note: &[u8], problem: &mut dyn FnMut(String)) {
        if self.keys.changes().is_empty() {
            return;
        }
        for placed in self.keys.changes().iter().filter(|placed| placed.index.is_some()) {
            let change = &placed.change;
            match leaves.get(..to_usize(change.size)) {
                Some(vouched) if ledger::root_of(vouched).0 == change.root.0 => {}
                Some(_) => problem(format!(
                    "change {} of the log key vouches for another history of {} entries",
                    change.number, change.size
                )),
                // A store that is behind the others does not record this change yet.
                None if change.number > self.seen => {}
                None => problem(format!(
                    "change {} of the log key vouches for {} entries, and here are {}",
                    change.number,
                    change.size,
                    leaves.len()
                )),
            }
        }
        let verified = Note::parse(note).map_err(|error| chain(&error)).and_then(|note| {
            let policy = self.keys.policy().map_err(|error| chain(&error))?;
            policy.verify_note(&note).map(drop).map_err(|error| chain(&error))
        });
        if let Err(why) = verified {
            problem(why);
        }
    }
}
