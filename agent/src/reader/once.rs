//! Which paths came already, in 16 bytes each.
//!
//! Guarantee: exact up to collisions of 128 bits of SHA-256; a million paths take 16 MiB and never, not even while it
//! grows, twice that. Not here: what a second coming means.

use std::collections::BTreeSet;

use sha2::Digest as _;

type Short = [u8; 16];

/// Newcomers kept apart before they are merged: 32,768, about 1 MiB.
const FRESH_MAX: usize = 1 << 15;

/// Room added at a time, in digests: 1 MiB. Doubling would hold twice what is needed at the worst moment.
const ROOM: usize = 1 << 16;

/// A set that only grows.
#[derive(Debug, Default)]
pub(super) struct Once {
    sorted: Vec<Short>,
    fresh: BTreeSet<Short>,
}

impl Once {
    /// True the first time.
    pub(super) fn insert(&mut self, path: &[u8]) -> bool {
        let mut short = [0; 16];
        for (to, from) in short.iter_mut().zip(sha2::Sha256::digest(path)) {
            *to = from;
        }
        if self.sorted.binary_search(&short).is_ok() || !self.fresh.insert(short) {
            return false;
        }
        if self.fresh.len() >= FRESH_MAX {
            self.merge();
        }
        true
    }

    /// Merges from the back, in place.
    fn merge(&mut self) {
        let fresh = std::mem::take(&mut self.fresh);
        let mut old = self.sorted.len();
        let mut place = old.saturating_add(fresh.len());
        if self.sorted.capacity() < place {
            self.sorted.reserve_exact(fresh.len().max(ROOM));
        }
        self.sorted.resize(place, [0; 16]);
        for newcomer in fresh.into_iter().rev() {
            while let Some(largest) = old.checked_sub(1).and_then(|last| self.sorted.get(last).copied())
                && largest > newcomer
            {
                place -= 1;
                old -= 1;
                if let Some(slot) = self.sorted.get_mut(place) {
                    *slot = largest;
                }
            }
            place -= 1;
            if let Some(slot) = self.sorted.get_mut(place) {
                *slot = newcomer;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_is_new_once_over_many_merges() {
        let mut once = Once::default();
        let path = |number: u32| format!("/a/{number}").into_bytes();
        for number in 0..200_000 {
            assert!(once.insert(&path(number)), "{number}");
            assert!(!once.insert(&path(number / 2)), "{number}");
        }
        for number in 0..200_000 {
            assert!(!once.insert(&path(number)), "{number}");
        }
        assert!(once.sorted.is_sorted() && once.sorted.len() + once.fresh.len() == 200_000);
        assert!(once.sorted.capacity() <= 200_000 + ROOM);
    }
}
