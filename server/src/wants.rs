//! Evidence that no store of the collector has whole, and that mirrors are asked for (docs/spec/mirror.md, *Repair*).
//!
//! Guarantee: only keys that say all of their content are wanted, so whatever a mirror gives is right or refused; bounded. Not
//! here: what is done with an object that came (`run::repairs`). In memory only: the repair queue fills it again.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use store::{Key, KeyKind};
use tokio::sync::watch;

/// Keys that are wanted at once. The others wait in the repair queue for their turn.
const WANTS_MAX: usize = 1024;

/// What is wanted now.
#[derive(Debug)]
pub struct Wants {
    keys: Mutex<BTreeSet<Key>>,
    changed: watch::Sender<u64>,
}

impl Default for Wants {
    fn default() -> Self {
        Self {
            keys: Mutex::default(),
            changed: watch::Sender::new(0),
        }
    }
}

impl Wants {
    /// Asks mirrors for an object. Texts are not asked for: one that is gone was erased.
    pub fn ask(&self, key: &Key) {
        if !can_be_asked(key) {
            return;
        }
        let mut keys = self.keys();
        if keys.len() < WANTS_MAX && keys.insert(key.clone()) {
            drop(keys);
            self.changed.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// Whether an object is wanted.
    pub fn has(&self, key: &Key) -> bool {
        self.keys().contains(key)
    }

    /// It is there now.
    pub fn settle(&self, key: &Key) {
        self.keys().remove(key);
    }

    /// All that are wanted now.
    pub fn all(&self) -> Vec<Key> {
        self.keys().iter().cloned().collect()
    }

    /// Tells of additions.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn keys(&self) -> MutexGuard<'_, BTreeSet<Key>> {
        // A set of keys has no half state.
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Objects whose digest covers every byte. A document's covers its first line only: its signatures could be another's.
pub fn can_be_asked(key: &Key) -> bool {
    matches!(
        key.kind(),
        KeyKind::Segment | KeyKind::Seal | KeyKind::Targets | KeyKind::Stamp
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_its_key_says_whole_is_wanted_and_never_too_much() {
        let wants = Wants::default();
        for refused in [Key::document(&[1; 32]), Key::detail(&[1; 32]), Key::checkpoint()] {
            wants.ask(&refused);
        }
        assert!(wants.all().is_empty());
        let key = |index: usize| Key::segment(&[2; 32], u64::try_from(index).unwrap(), &[3; 32]);
        for index in 0..WANTS_MAX + 5 {
            wants.ask(&key(index));
        }
        assert_eq!(wants.all().len(), WANTS_MAX);
        assert!(wants.has(&key(0)) && !wants.has(&key(WANTS_MAX)));
        wants.settle(&key(0));
        wants.ask(&key(WANTS_MAX));
        assert!(!wants.has(&key(0)) && wants.has(&key(WANTS_MAX)));
    }
}
