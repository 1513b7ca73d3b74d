//! The list of evidence that no store of the collector has whole, and for which it asks mirrors (docs/spec/mirror.md, *Repair*).
//!
//! Guarantee: the list holds only keys whose digest covers the whole content, so an object from a mirror is either right or
//! refused. The list is bounded, and no key stays for ever: it leaves when the object was repaired here, when it was disposed of, or
//! when no mirror gave it within [`LIFE`]. It lives in memory only: the repair queue fills it again while an object is missing.
//! Not here: what happens to an object that arrives (`upkeep::repairs`).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use store::{Key, KeyKind};
use tokio::sync::watch;

/// Most keys that are wanted at once. The others wait in the repair queue for their turn.
const WANTS_MAX: usize = 1024;

/// How long a key stays wanted. By then every connected mirror was told several times: none has the object, or nobody
/// misses it any more. The next repair that fails asks again, after those that never had their turn.
const LIFE: Duration = Duration::from_secs(1800);

/// The objects that are wanted now.
#[derive(Debug)]
pub struct Wants {
    /// Each key, with the time since which it is wanted.
    keys: Mutex<BTreeMap<Key, Instant>>,
    changed: watch::Sender<u64>,
}

impl Default for Wants {
    fn default() -> Self {
        Self { keys: Mutex::default(), changed: watch::Sender::new(0) }
    }
}

impl Wants {
    /// Asks mirrors for an object. Never asks for a text: a missing text was erased.
    pub fn ask(&self, key: &Key) {
        self.ask_at(key, Instant::now());
    }

    fn ask_at(&self, key: &Key, now: Instant) {
        if !can_be_asked(key) {
            return;
        }
        let mut keys = self.keys_at(now);
        if keys.len() < WANTS_MAX && !keys.contains_key(key) {
            keys.insert(key.clone(), now);
            drop(keys);
            self.changed.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// True if an object is wanted.
    pub fn has(&self, key: &Key) -> bool {
        self.keys_at(Instant::now()).contains_key(key)
    }

    /// Removes an object that is there now.
    pub fn remove(&self, key: &Key) {
        self.keys_at(Instant::now()).remove(key);
    }

    /// Removes the objects for which `is_gone` returns true: they were disposed of.
    pub fn forget(&self, is_gone: impl Fn(&Key) -> bool) {
        self.keys_at(Instant::now()).retain(|key, _| !is_gone(key));
    }

    /// All that are wanted now.
    pub fn all(&self) -> Vec<Key> {
        self.keys_at(Instant::now()).keys().cloned().collect()
    }

    /// Reports additions.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The keys whose time is not over.
    fn keys_at(&self, now: Instant) -> MutexGuard<'_, BTreeMap<Key, Instant>> {
        // A map of keys has no half-changed state.
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have read its clock a moment later. Such a key counts as new.
        keys.retain(|_, since| now.saturating_duration_since(*since) < LIFE);
        keys
    }
}

/// True if the key's digest covers every byte. A document's digest covers its first line only: another's signatures could follow.
pub fn can_be_asked(key: &Key) -> bool {
    matches!(key.kind(), KeyKind::Segment | KeyKind::Seal | KeyKind::Targets | KeyKind::Stamp)
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
        wants.remove(&key(0));
        wants.ask(&key(WANTS_MAX));
        assert!(!wants.has(&key(0)) && wants.has(&key(WANTS_MAX)));
    }

    #[test]
    fn what_nobody_gives_makes_room_and_what_was_disposed_of_is_forgotten() {
        let wants = Wants::default();
        let key = |collection: u8, index: u64| Key::segment(&[collection; 32], index, &[3; 32]);
        let begin = Instant::now();
        for index in 0..1024 {
            wants.ask_at(&key(1, index), begin);
        }
        let before = begin + LIFE - Duration::from_secs(1);
        wants.ask_at(&key(2, 0), before);
        assert!(!wants.keys_at(before).contains_key(&key(2, 0)), "there is no room yet");
        // Asking again does not extend the time, because otherwise no room would ever become free.
        wants.ask_at(&key(1, 0), before);
        wants.ask_at(&key(2, 0), begin + LIFE);
        let now: Vec<Key> = wants.keys_at(begin + LIFE).keys().cloned().collect();
        assert_eq!(now, [key(2, 0)]);
        wants.ask_at(&key(1, 0), begin + LIFE);
        wants.forget(|wanted| *wanted == key(2, 0));
        assert!(!wants.has(&key(2, 0)) && wants.has(&key(1, 0)));
        assert_eq!(*wants.watch().borrow(), 1026);
    }
}
